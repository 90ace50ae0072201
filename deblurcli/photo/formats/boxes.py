"""Boxes: the parts that HEIF, AVIF, JPEG XL, JPEG 2000 and CR3 files are made of (ISO/IEC 14496-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator


def box(kind: bytes, *content: bytes) -> bytes:
    """A box with this content."""
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def find(data: memoryview, *path: bytes) -> memoryview | None:
    """The content of the first box of this kind, in that of the one before; None where there is none."""
    for wanted in path:
        found = next((body for kind, body in boxes(data) if kind == wanted), None)
        if found is None:
            return None
        data = found
    return data


def boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and content of each box. Raises ValueError or struct.error where the sizes make no sense."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = position + size if size else len(data)
        if not start <= end <= len(data):
            raise ValueError(f"its {kind.decode('latin-1')} box is cut short")
        yield kind, data[start:end]
        position = end
