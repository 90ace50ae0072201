"""JPEG 2000: pixels by imagecodecs, metadata box by box (ISO/IEC 15444-1). Read only."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from deblurcli.errors import PhotoError
from deblurcli.photo.decoded import Decoded
from deblurcli.photo.formats.boxes import boxes, find
from deblurcli.photo.formats.sniff import CONVERT, check_size
from deblurcli.photo.metadata import unmarked
from deblurcli.photo.transfer import full_range

_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_EXIF = b"JpgTiffExif->JP2"
_START_OF_STREAM = b"\xff\x4f\xff\x51"


def read_jp2(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode a JPEG 2000 file or code stream. Raises PhotoError for what is refused, anything else for damage."""
    data = file.read()
    stream, decoded = data, Decoded("jp2", np.empty(0))
    if not data.startswith(_START_OF_STREAM):
        whole = memoryview(data)
        stream = bytes((find(whole, b"jp2c") or b"")[:100])
        for kind, body in boxes(whole):
            if kind == b"uuid" and body[:16] == _XMP:
                decoded.xmp = bytes(body[16:])
            elif kind == b"uuid" and body[:16] == _EXIF:
                decoded.exif = unmarked(bytes(body[16:]))
            elif kind == b"uuid" and body[:16] == _IPTC:
                decoded.iptc = bytes(body[16:])
            elif kind == b"jp2h":
                decoded.icc = next((bytes(b[3:]) for k, b in boxes(body) if k == b"colr" and b[0] in (2, 3)), None)
    width, height, left, top = struct.unpack_from(">4I", stream, 8)
    (channels,) = struct.unpack_from(">H", stream, 40)
    check_size(path, width - left, height - top, channels, max_pixels)
    depths = {stream[42 + 3 * n] for n in range(channels)}
    bits = max(depths) + 1
    if len(depths) > 1 or bits > 16 or channels > 4:
        raise PhotoError(path, f"is a JPEG 2000 file of a kind that is not supported ({channels} channels)", CONVERT)
    samples = imagecodecs.jpeg2k_decode(data)
    decoded.samples = full_range(samples, bits)
    return decoded
