"""WebP: pixels by imagecodecs, which needs half the memory that Pillow does for them, metadata chunk by chunk."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs

from deblurcli.errors import PhotoError
from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats import pillow
from deblurcli.photo.formats.shape import Format, Parts
from deblurcli.photo.formats.sniff import COPY_AGAIN, check_length, check_size
from deblurcli.photo.limits import MAX_CHUNKS
from deblurcli.photo.metadata import unmarked
from deblurcli.photo.photo import Photo

FORMAT = Format(
    "WebP",
    (".webp",),
    (8,),
    largest=16383,
    holds=frozenset({"alpha", "icc", "exif", "xmp"}),
    resolution_in_exif=True,
)


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode a WebP file. Raises PhotoError for what is refused, anything else for what is damaged."""
    head = file.read(30)
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if len(head) < 30:
        raise PhotoError(path, "is cut short", COPY_AGAIN)
    check_length(path, length, *_size(head[12:16].decode("latin-1"), head[20:30]))
    data = file.read()
    parts = Parts(_chunks(path, data), storage=("ALPH", "ANIM"), titles={"C2PA": "Content Credentials (C2PA)"})
    for name in ("VP8X", "VP8 ", "VP8L"):
        for body in parts.take_all(name):
            check_size(path, *_size(name, bytes(body[:10])), channels=4, max_pixels=max_pixels)
    frames = len(parts.take_all("ANMF"))
    icc, exif, xmp = parts.take("ICCP"), unmarked(parts.take("EXIF")), parts.take("XMP ")
    decoded = Decoded("webp", imagecodecs.webp_decode(data), parts, icc, exif, xmp)
    decoded.take_resolution()
    if frames > 1:
        decoded.further = f"It is an animation of {frames} frames"
    return decoded


def write(file: BinaryIO, samples: Samples, photo: Photo, quality: int) -> list[str]:
    """Encode (H, W, 3) or (H, W, 4) uint8 samples; a quality of 100 is lossless."""
    encoded = pillow.encode(
        samples,
        "WEBP",
        quality=quality,
        lossless=quality == 100,
        exact=True,  # colours under full transparency count too
        icc_profile=photo.icc or b"",
        exif=photo.exif or b"",
        xmp=photo.xmp or b"",
    )
    file.write(encoded)
    return []


def _chunks(path: Path, data: bytes) -> Iterator[tuple[str, memoryview]]:
    """Name and body of each chunk of the RIFF container."""
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise PhotoError(path, "is cut short", COPY_AGAIN)
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + 8 > length + 8:
            return
        name, size = struct.unpack_from("<4sI", data, position)
        yield name.decode("latin-1"), memoryview(data)[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    raise PhotoError(path, f"has more than {MAX_CHUNKS} parts", COPY_AGAIN)


def _size(name: str, body: bytes) -> tuple[int, int]:
    """Width and height as the three kinds of header state them."""
    if name == "VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if name == "VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
