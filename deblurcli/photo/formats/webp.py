"""WebP: pixels by imagecodecs, which needs half the memory that Pillow does for them, metadata chunk by chunk."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs

from deblurcli.errors import PhotoError
from deblurcli.photo.decoded import Decoded
from deblurcli.photo.formats.sniff import COPY_AGAIN, check_length, check_size
from deblurcli.photo.limits import MAX_CHUNKS
from deblurcli.photo.metadata import unmarked


def read_webp(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode a WebP file. Raises PhotoError for what is refused, anything else for what is damaged."""
    head = file.read(30)
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if len(head) < 30:
        raise PhotoError(path, "is cut short", COPY_AGAIN)
    check_length(path, length, *_size(head[12:16], head[20:30]))
    data = file.read()
    chunks: dict[bytes, bytes] = {}
    frames = 0
    for name, body in _chunks(path, data):
        if name in (b"VP8X", b"VP8 ", b"VP8L"):
            check_size(path, *_size(name, bytes(body[:10])), channels=4, max_pixels=max_pixels)
        frames += name == b"ANMF"
        if name in (b"ICCP", b"EXIF", b"XMP "):
            chunks.setdefault(name, bytes(body))
    exif = unmarked(chunks.get(b"EXIF"))
    decoded = Decoded("webp", imagecodecs.webp_decode(data), chunks.get(b"ICCP"), exif, chunks.get(b"XMP "))
    decoded.take_resolution()
    if frames > 1:
        decoded.further = f"It is an animation of {frames} frames"
    return decoded


def _chunks(path: Path, data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and body of each chunk of the RIFF container."""
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise PhotoError(path, "is cut short", COPY_AGAIN)
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + 8 > length + 8:
            return
        name, size = struct.unpack_from("<4sI", data, position)
        yield name, memoryview(data)[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    raise PhotoError(path, f"has more than {MAX_CHUNKS} parts", COPY_AGAIN)


def _size(name: bytes, body: bytes) -> tuple[int, int]:
    """Width and height as the three kinds of header state them."""
    if name == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if name == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
