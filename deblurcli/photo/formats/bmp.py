"""BMP: pixels of 8 bits and their resolution; a colour profile is read, where the last kind of header has one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from PIL.BmpImagePlugin import BmpImageFile

from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats import pillow
from deblurcli.photo.formats.shape import Format
from deblurcli.photo.photo import Photo

FORMAT = Format("BMP", (".bmp", ".dib"), (8,), largest=2**31 - 1, holds=frozenset({"gray"}))
_FILE_HEADER, _V5 = 14, 124


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode a BMP file. Raises PhotoError for what is refused, anything else for what is damaged."""
    head = file.read(_FILE_HEADER + _V5)
    file.seek(0)
    lost: list[str] = []
    decoded = pillow.decode(path, BmpImageFile(file), lost, max_pixels)
    if len(head) == _FILE_HEADER + _V5 and struct.unpack_from("<I", head, _FILE_HEADER) == (_V5,):
        kind = head[_FILE_HEADER + 56 : _FILE_HEADER + 60]
        if kind == b"DEBM":  # embedded
            start, length = struct.unpack_from("<II", head, _FILE_HEADER + 112)
            file.seek(_FILE_HEADER + start)
            decoded.icc = file.read(length)
        elif kind == b"KNIL":  # linked
            lost.append("a colour profile in another file")
    return decoded


def write(file: BinaryIO, samples: Samples, photo: Photo, quality: int) -> list[str]:
    """Encode (H, W) or (H, W, 3) uint8 samples."""
    file.write(pillow.encode(samples, "BMP", dpi=photo.dpi or (0, 0)))
    return []
