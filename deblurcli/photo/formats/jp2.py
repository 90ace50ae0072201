"""JPEG 2000: pixels by imagecodecs, metadata box by box (ISO/IEC 15444-1). Read only."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs

from deblurcli.errors import PhotoError
from deblurcli.photo.decoded import Decoded
from deblurcli.photo.formats.boxes import boxes, find
from deblurcli.photo.formats.shape import Parts
from deblurcli.photo.formats.sniff import CONVERT, check_size
from deblurcli.photo.metadata import unmarked
from deblurcli.photo.transfer import full_range

_XMP = "box be7acfcb97a942e89c71999491e3afac"
_IPTC = "box 33c7a4d2b81d4723a0baf1a3e097ad38"
_EXIF = f"box {b'JpgTiffExif->JP2'.hex()}"
_STORAGE = ("jP  ", "ftyp", "rreq", "jp2c", "ihdr", "bpcc", "pclr", "cmap", "cdef", "free")
_TITLES = {
    "box b14bf8bd083d4b43a5ae8cd7d5a6ce03": "GeoTIFF data",
    "res ": "resolution",
    "xml ": "XML",
    "asoc": "labelled data",
    "jumb": "Content Credentials (C2PA)",
}
_START_OF_STREAM = b"\xff\x4f\xff\x51"


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode a JPEG 2000 file or code stream. Raises PhotoError for what is refused, anything else for damage."""
    data = file.read()
    whole = memoryview(b"" if data.startswith(_START_OF_STREAM) else data)
    parts = Parts(_parts(whole), _STORAGE, _TITLES)
    stream = bytes((find(whole, b"jp2c") or b"")[:100]) if whole else data
    exif, xmp, iptc = unmarked(parts.take(_EXIF)), parts.take(_XMP), parts.take(_IPTC)
    icc = next((bytes(body[3:]) for body in parts.take_all("colr") if body[0] in (2, 3)), None)
    width, height, left, top = struct.unpack_from(">4I", stream, 8)
    (channels,) = struct.unpack_from(">H", stream, 40)
    check_size(path, width - left, height - top, channels, max_pixels)
    depths = {stream[42 + 3 * n] for n in range(channels)}
    bits = max(depths) + 1
    if len(depths) > 1 or bits > 16 or channels > 4:
        raise PhotoError(path, f"is a kind of JPEG 2000 file that is not supported ({channels} channels)", CONVERT)
    samples = full_range(imagecodecs.jpeg2k_decode(data), bits)
    return Decoded("jp2", samples, parts, icc, exif, xmp, iptc=iptc)


def _parts(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    """The boxes, those of the header among them, and those of further kinds by the number of their kind."""
    for kind, body in boxes(data):
        if kind == b"jp2h":
            yield from _parts(body)
        elif kind == b"uuid":
            yield f"box {bytes(body[:16]).hex()}", body[16:]
        else:
            yield kind.decode("latin-1"), body
