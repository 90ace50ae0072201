"""What a result records of how it was made, in its Software field: so that a run knows what an earlier one did.

Times are no more than hints: cards are written by cameras in other time zones, and copying a file may touch it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deblurcli import __version__
from deblurcli.batch.storage import fetched
from deblurcli.errors import PhotoError

if TYPE_CHECKING:
    from deblurcli.batch.jobs import Job
    from deblurcli.batch.one_photo import Options
    from deblurcli.restore import Deblurrer, Restoration

_SOFTWARE = re.compile(r"deblur [^;]* settings ([0-9a-f]{8})(?:, source ([0-9a-f]{8}))?")


class Record(NamedTuple):
    """Sums of the settings and of the source that a photo was made with; of the latter, if it says so."""

    settings: str
    source: str


def description(deblurrer: Deblurrer, job: Job, options: Options, result: Restoration, source: Path) -> str:
    """What was done to a photo, for its metadata. EXIF text is ASCII. ``source`` is its file on this machine."""
    backend = deblurrer.backend
    text = f"deblur {__version__}: {str(deblurrer).replace(' · ', ', ')}, amount {options.amount:g}"
    if result.bokeh_from:
        text += f", bokeh kept from {result.bokeh_from:.3g} px"
    if options.mask:
        text += f", mask {options.mask.sum}"
    if options.region:
        text += f", region {options.region.text}"
    if result.scales > 1:
        text += f", {result.scales} scales"
    if result.photo.format == "raw":
        text += f", raw look {options.raw.look if options.raw else 'camera'}"
    if result.approximate:
        text += f", approximate: in {result.tiles} tiles"
    settings = options.sum(job, backend.spec.name, deblurrer.weights, backend.precision)
    return f"{text}, settings {settings}, source {sum_of(source)}"


def is_finished(job: Job, options: Options, network: str, weights: str, precision: str) -> bool:
    """Whether a photo's output, and its maps if they are wanted, were made of it with the same options and weights.

    The output itself tells: its metadata say how it was made, and of what. That is compared where the photo came to
    this disk later, or seems to. (A BMP file has no metadata: if the photo came earlier, it is taken for finished.)
    """
    from deblurcli.photo.formats.table import FORMATS, format_for

    try:
        source = job.source.stat()
        # When this machine last wrote to the photo: cameras may be in another time zone.
        written = source.st_ctime if os.name == "posix" else source.st_mtime
        newer = job.target.stat().st_mtime >= written
        if options.maps and not _maps_in(options.maps_folder(job)).issuperset(options.maps):
            return False
        if "exif" not in FORMATS[format_for(job.target, options.format)].holds:
            return newer
        record = record_of(job.target)
        if record is None or record.settings != options.sum(job, network, weights, precision):
            return False
        return newer or record.source == sum_of(job.source)
    except (OSError, PhotoError):
        return False


def _maps_in(folder: Path) -> set[str]:
    """Names of the maps that were exported to a folder."""
    try:
        rows = json.loads((folder / "maps.json").read_text(encoding="utf-8"))["maps"]
        return {row["name"] for row in rows}
    except (OSError, ValueError, LookupError, TypeError):
        return set()


def record_of(path: Path) -> Record | None:
    """What a photo records of how this program made it; None for one that does not, or cannot be read."""
    from deblurcli.photo.decode import read_software

    try:
        with fetched(path) as local:
            if not _may_have(local):
                return None
            said = _SOFTWARE.search(read_software(local))
    except PhotoError:
        return None
    return Record(said[1], said[2] or "") if said else None


def _may_have(path: Path) -> bool:
    """Whether there is a record somewhere in a file. To look for it takes a moment, to decode a photo seconds."""
    if not path.is_file():  # from a named pipe nothing may ever come
        return False
    with suppress(OSError, ValueError), path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return data.find(b", settings ") >= 0
    return False


def sum_of(path: Path) -> str:
    """Eight letters that differ from file to file."""
    with fetched(path) as local:
        return sha256(local)[:8]


def sha256(path: Path) -> str:
    """SHA-256 of a file. (``hashlib.file_digest`` came with Python 3.11.)"""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()
