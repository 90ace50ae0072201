"""Photoshop's image resources: captions and more, which JPEG, PNG and TIFF files hold in blocks of their own."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

CAPTIONS = 0x0404
_OUT_OF_DATE = {0x03ED, CAPTIONS, 0x0409, 0x040C, 0x040F, 0x0422, 0x0423, 0x0424, 0x0425}
"""Resolution, captions, thumbnails, profile, EXIF, XMP, sum of the captions: elsewhere, or of no use now."""
_SETTINGS = {*range(0x03E8, 0x03EC), *range(0x03EF, 0x03FF), 0x0400, 0x0402, 0x0406, 0x0408, 0x040A, 0x040D, 0x0411}
_SETTINGS |= {0x0412, 0x0414, 0x0419, 0x041A, 0x041E, 0x0421, 0x0426, 0x0428, 0x042D, 0x042F, 0x0430, 0x0434, 0x0436}
_SETTINGS |= {0x043A, 0x043B, 0x2710}
"""How Photoshop's windows and printers were set, colours of its background among it: it writes them into every file."""
_TITLES = {
    **dict.fromkeys((0x03EE, 0x0415, 0x041D, 0x0435), "names of channels"),
    **dict.fromkeys((0x0401, *range(0x07D0, 0x0BB9)), "paths"),
    **dict.fromkeys((0x040E, 0x0431), "colour samplers"),
    0x0410: "a watermark",
    0x0429: "layer comps",
    0x0432: "a measurement scale",
    0x0433: "a timeline",
    0x0438: "counts",
    **dict.fromkeys((0x040B, 0x041B), "a web address"),
    **dict.fromkeys((0x041C, 0x1F40), "a workflow"),
}


def resource(number: int, content: bytes) -> bytes:
    """An image resource without a name."""
    return b"8BIM" + struct.pack(">H2xI", number, len(content)) + content + bytes(len(content) % 2)


def resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each resource."""
    position = 0
    while data[position : position + 4] == b"8BIM" and position + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, position + 4)
        name = data[position + 6] + 1
        position += 6 + name + name % 2
        (length,) = struct.unpack_from(">I", data.ljust(position + 4, b"\0"), position)
        yield number, data[position + 4 : position + 4 + length]
        position += 4 + length + length % 2


def captions(data: bytes) -> bytes | None:
    """The IPTC records among resources; or the bytes themselves, if they are such records."""
    return dict(resources(data)).get(CAPTIONS, data if data.startswith(b"\x1c") else None)


def not_carried(numbers: Iterable[int]) -> list[str]:
    """What people call those resources that are neither carried nor mere settings."""
    left = (number for number in numbers if number not in _OUT_OF_DATE | _SETTINGS)
    return [f"Photoshop's {_TITLES[number]}" if number in _TITLES else "other Photoshop data" for number in left]
