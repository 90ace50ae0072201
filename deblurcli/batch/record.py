"""What a result records of how it was made, in its Software field: so that a run knows what an earlier one did."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from deblurcli.batch.storage import fetched
from deblurcli.errors import PhotoError

_SOFTWARE = re.compile(r"deblur [^;]* settings ([0-9a-f]{8})(?:, source ([0-9a-f]{8}))?")


class Record(NamedTuple):
    """Sums of the settings and of the source that a photo was made with; of the latter, if it says so."""

    settings: str
    source: str


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
