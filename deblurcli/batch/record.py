"""What a result records of how it was made, in its Software field: so that a run knows what an earlier one did.

Times are no more than hints: cards are written by cameras in other time zones, and copying a file may touch it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from deblurcli import __version__
from deblurcli.batch.storage import fetched
from deblurcli.errors import PhotoError

if TYPE_CHECKING:
    from deblurcli.batch.jobs import Job
    from deblurcli.batch.one_photo import Options
    from deblurcli.restore import Deblurrer, Restoration

_RECORD = re.compile(r"deblur [^;]* settings ([0-9a-f]{8})(?:, source ([0-9a-f]{8}))?")


def description(deblurrer: Deblurrer, job: Job, options: Options, result: Restoration, source: Path) -> str:
    """What was done to a photo, for its metadata. EXIF text is ASCII. ``source`` is its file on this machine."""
    backend = deblurrer.backend
    text = f"deblur {__version__}: {str(deblurrer).replace(' · ', ', ')}, amount {options.amount:g}"
    if result.scales > 1:
        text += f", {result.scales} scales"
    if result.approximate:
        text += f", approximate: in {result.tiles} tiles"
    settings = options.sum(job, backend.spec.name, deblurrer.weights, backend.precision)
    return f"{text}, settings {settings}, source {sha256(source)[:8]}"


def is_finished(job: Job, options: Options, network: str, weights: str, precision: str) -> bool:
    """Whether a photo's output, and its maps if they are wanted, were made of it with the same options and weights.

    The output itself tells: its metadata say how it was made, and of what. That is compared where the photo is newer,
    or seems to be. (A BMP file has no metadata: newer than the photo, it is taken for finished.)
    """
    from deblurcli.photo.formats.table import FORMATS, format_for

    try:
        newer = job.target.stat().st_mtime >= job.source.stat().st_mtime
        if options.export_maps and not (options.maps_folder(job) / "maps.json").is_file():
            return False
        if "exif" not in FORMATS[format_for(job.target, options.format)].holds:
            return newer
        settings, source = _read(job.target)
        if settings != options.sum(job, network, weights, precision):
            return False
        return newer or source == sha256(job.source)[:8]
    except (OSError, PhotoError):
        return False


def is_ours(path: Path) -> bool:
    """Whether this program made a photo, as far as the photo says so."""
    try:
        return bool(_read(path)[0])
    except PhotoError:
        return False


def sha256(path: Path) -> str:
    """SHA-256 of a file. (``hashlib.file_digest`` came with Python 3.11.)"""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _read(path: Path) -> tuple[str, str]:
    """Sums of the settings and of the source that a photo was made with; empty where it does not say so."""
    from deblurcli.photo.decode import read_software

    with fetched(path) as local:
        said = _RECORD.search(read_software(local))
    return (said[1], said[2] or "") if said else ("", "")
