"""HDR gain maps in JPEG files (Ultra HDR, ISO 21496-1): a second, small JPEG behind the picture that HDR screens apply.

The picture's change is no matter to it, so it goes along byte for byte, unless the picture is turned. An index (CIPA
DC-007, multi-picture format) says where it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

import numpy as np

from deblurcli.photo.decoded import upright
from deblurcli.photo.formats import ifd
from deblurcli.photo.formats.pillow import encode
from deblurcli.photo.formats.segments import JpegFile, segment
from deblurcli.photo.limits import LARGEST_PART, MAX_SCANS

INDEX = b"MPF\0"
ISO_MARK = b"urn:iso:std:iso:ts:21496:-1\0"
_MARKS = (b"http://ns.adobe.com/hdr-gain-map/", ISO_MARK)
MAX_PICTURES = 10
"""Of those that an index lists, looked at."""
APP1, APP2 = 0xE1, 0xE2
_ABOUT = (APP1, APP2)
JFIF_END = 20
_VERSION, _NUMBER, _ENTRIES = 0xB000, 0xB001, 0xB002


def read_gain_map(file: BinaryIO) -> tuple[bytes | None, int]:
    """The gain map of a JPEG file that has an index, or None, and how many pictures the index lists."""
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        start = data.find(b"\xff\xe2", 0, 2**20)
        while start >= 0 and data[start + 4 : start + 8] != INDEX:
            start = data.find(b"\xff\xe2", start + 2, 2**20)
        if start < 0:
            return None, 1
        base = start + 8
        with memoryview(data) as view, view[base:] as block:
            places = _entries(block)
        for size, offset in places[1:MAX_PICTURES]:
            if size > LARGEST_PART:
                continue
            picture = data[base + offset : base + offset + size]
            if picture[:2] == b"\xff\xd8" and len(picture) == size and any(mark in picture[: 2**16] for mark in _MARKS):
                return picture, len(places)
        return None, len(places)


def turned(gain_map: bytes, orientation: int, largest: int) -> bytes:
    """The gain map of a photo whose EXIF ``orientation`` becomes 1. What it says of itself stays.

    Raises:
        Exception: it cannot be decoded, or was made to keep the decoder busy: it has more than ``largest`` pixels.
    """
    image = JpegFile(BytesIO(gain_map))
    if image.width * image.height > largest or gain_map.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError("too large")
    samples = upright(np.asarray(image), orientation)
    encoded = bytes(encode(np.ascontiguousarray(samples), "JPEG", quality=95, subsampling="4:4:4"))
    about = b"".join(part for kind, part in _first_segments(gain_map) if kind in _ABOUT)
    return encoded[:JFIF_END] + about + encoded[JFIF_END:]


def _first_segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    position = 2
    while 0xE0 <= jpeg[position + 1] <= 0xEF:
        end = position + 2 + struct.unpack_from(">H", jpeg, position + 2)[0]
        yield jpeg[position + 1], jpeg[position:end]
        position = end


def _entries(block: memoryview) -> list[tuple[int, int]]:
    """Size and offset of each picture in an index; empty where it is damaged."""
    try:
        header = ifd.read_header(block)
        entry = dict(ifd.entries(block, header, header.offset))[_ENTRIES]
        field = ifd.read_field(block, header, entry)
        assert field is not None
        numbers = header.unpack(f"{len(field.data) // 4}I", field.data, 0)
        return list(zip(numbers[1::4], numbers[2::4], strict=True))
    except (ValueError, KeyError, AssertionError, struct.error):
        return []


def joined(jpeg: bytes, gain_map: bytes) -> bytes:
    """A JPEG file with a gain map behind it, and the index of both behind its first metadata segments."""
    position = 2
    while jpeg[position + 1] in (0xE0, 0xE1):
        position += 2 + struct.unpack_from(">H", jpeg, position + 2)[0]
    iso = segment(APP2, ISO_MARK + bytes(4)) if ISO_MARK in gain_map[: 2**16] else b""
    length = len(_index(0, 0, 0))
    first = len(jpeg) + len(iso) + length
    index = _index(first, len(gain_map), first - (position + len(iso) + 8))
    return jpeg[:position] + iso + index + jpeg[position:] + gain_map


def _index(first: int, second: int, offset: int) -> bytes:
    entries = struct.pack(">IIIHHIIIHH", 0x030000, first, 0, 0, 0, 0, second, offset, 0, 0)
    tree: ifd.Tree = {
        _VERSION: ifd.Field(7, 4, b"0100"),
        _NUMBER: ifd.Field(ifd.LONG, 1, struct.pack(">I", 2)),
        _ENTRIES: ifd.Field(7, len(entries), entries),
    }
    return segment(APP2, INDEX + ifd.write_block(tree, ">"))
