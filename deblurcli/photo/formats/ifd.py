"""Image file directories (IFDs): the lists of tagged fields that TIFF files and EXIF blocks are made of.

An EXIF block is a small TIFF file: a header that names the byte order, then a first IFD whose pointer fields lead
to the EXIF and GPS IFDs. All offsets count from the start of the block, or of the TIFF file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import Literal, NamedTuple, TypeAlias

from deblurcli.photo.limits import LARGEST_METADATA

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
SUB_IFDS: dict[int, dict] = {EXIF_IFD: {INTEROP_IFD: {}}, GPS_IFD: {}}

BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}


PRIVATE = 32768
"""Tags from here on are not in the TIFF standard."""

MAKER_NOTE = 0x927C
FARTHEST = 32768
"""Up to here a maker note is kept in its place; farther away, the block would become too large for a JPEG file."""

RAW_MARKS = (0x4F52, 0x5352, 0x55)
"""What raw files of Olympus (RO, RS) and Panasonic have in the place of TIFF's 42."""


class Field(NamedTuple):
    """The value of one tag: its TIFF type, how many items it has, and their bytes in the byte order of the block.

    ``place`` is where the value has to lie, counted from the start of the block; 0 is anywhere. Maker notes hold
    offsets that count from there, too.
    """

    type: int
    number: int
    data: bytes
    place: int = 0


Tree: TypeAlias = "dict[int, Field | Tree]"


class Header(NamedTuple):
    """Byte order (``<`` or ``>``), offset of the first IFD, and whether the file is a BigTIFF."""

    order: Literal["<", ">"]
    offset: int
    big: bool = False

    def unpack(self, kinds: str, block: Buffer, offset: int) -> tuple[int, ...]:
        """``struct.unpack_from`` in this byte order."""
        return struct.unpack_from(self.order + kinds, block, offset)


class Entry(NamedTuple):
    """Where an IFD entry starts, its type and count, and where its value field (or the pointer to it) lies."""

    position: int
    type: int
    number: int
    value: int


def read_header(block: Buffer, *, raw: bool = False) -> Header:
    """The header of a TIFF structure (or ``raw`` file like one). Raises ValueError or struct.error for all else."""
    if block[:2] not in (b"II", b"MM"):
        raise ValueError("no TIFF header")
    order = "<" if block[:2] == b"II" else ">"
    (magic,) = struct.unpack_from(order + "H", block, 2)
    if magic == 42 or (raw and magic in RAW_MARKS):
        return Header(order, *struct.unpack_from(order + "I", block, 4))
    if magic == 43:
        return Header(order, *struct.unpack_from(order + "Q", block, 8), big=True)
    raise ValueError("no TIFF header")


def entries(block: Buffer, header: Header, offset: int) -> Iterator[tuple[int, Entry]]:
    """Tag and place of every entry of the IFD at ``offset``. Raises struct.error where the block is cut short."""
    (number,) = header.unpack("Q" if header.big else "H", block, offset)
    start, length = (offset + 8, 20) if header.big else (offset + 2, 12)
    for position in range(start, start + number * length, length):
        tag, kind, count = header.unpack("HHQ" if header.big else "HHI", block, position)
        yield tag, Entry(position, kind, count, position + (12 if header.big else 8))


def read_field(block: Buffer, header: Header, entry: Entry) -> Field | None:
    """The value of an entry, or None where its type is unknown or its value lies outside the block."""
    place = extent(block, header, entry)
    return Field(entry.type, entry.number, bytes(block[place])) if place else None


def extent(block: Buffer, header: Header, entry: Entry) -> slice | None:
    """Where the value of an entry lies, or None where its type is unknown or its value lies outside the block."""
    size = TYPE_SIZES.get(entry.type, 0) * entry.number
    start = entry.value
    if size > (8 if header.big else 4):
        (start,) = header.unpack("Q" if header.big else "I", block, start)
    return slice(start, start + size) if size and start + size <= len(block) else None


def is_complete(block: Buffer, offset: int) -> bool:
    """Whether the IFD at ``offset`` and all values of its standard fields (not private ones) lie within the block."""
    header = read_header(block)
    try:
        found = [entry for tag, entry in entries(block, header, offset) if tag < PRIVATE]
        return all(extent(block, header, entry) for entry in found if entry.type in TYPE_SIZES and entry.number)
    except struct.error:
        return False


def read_tree(block: Buffer, header: Header) -> Tree:
    """The first IFD with its EXIF, GPS and interoperability IFDs; damaged fields are left out.

    Raises ValueError where the values of an IFD are larger than all metadata may be: they may overlap, so that a
    small file holds any amount.
    """
    return _read_ifd(block, header, header.offset, SUB_IFDS)


def _read_ifd(block: Buffer, header: Header, offset: int, sub_ifds: dict[int, dict]) -> Tree:
    tree: Tree = {}
    size = 0
    for tag, entry in entries(block, header, offset):
        if tag in sub_ifds:
            (start,) = header.unpack("Q" if header.big and entry.type in (16, 18) else "I", block, entry.value)
            try:
                tree[tag] = _read_ifd(block, header, start, sub_ifds[tag])
            except struct.error:
                continue
        elif field := read_field(block, header, entry):
            tree[tag] = field
            size += len(field.data)
            if size > LARGEST_METADATA:
                raise ValueError("the values of its fields overlap or are too large")
            if tag == MAKER_NOTE and len(field.data) > 4 and not header.big:
                (place,) = header.unpack("I", block, entry.value)
                tree[tag] = field._replace(place=place if place <= FARTHEST else 0)
    return tree


def write_ifd(tree: Tree, order: str, base: int, slots: dict[int, bytes] | None = None) -> bytes:
    """An IFD to be placed at offset ``base`` (even), followed by its values and sub-IFDs. No next IFD.

    Values that have a place of their own are taken to lie there. ``slots`` are finished entries, 12 bytes each, that
    join those of the tree.
    """
    slots = dict(slots or {})
    values_at, values = base + 2 + 12 * len(tree.keys() | slots.keys()) + 4, bytearray()
    for tag, field in sorted(tree.items(), key=lambda item: item[0]):
        here = values_at + len(values)
        if isinstance(field, dict):
            slots[tag] = struct.pack(order + "HHII", tag, LONG, 1, here)
            values += write_ifd(field, order, here)
        elif field.place:
            slots[tag] = struct.pack(order + "HHII", tag, field.type, field.number, field.place)
        elif len(field.data) <= 4:
            slots[tag] = struct.pack(order + "HHI", tag, field.type, field.number) + field.data.ljust(4, b"\0")
        else:
            slots[tag] = struct.pack(order + "HHII", tag, field.type, field.number, here)
            values += field.data + b"\0" * (len(field.data) % 2)
    entries = b"".join(slots[tag] for tag in sorted(slots))
    return struct.pack(order + "H", len(slots)) + entries + bytes(4) + bytes(values)


def write_block(tree: Tree, order: str) -> bytes:
    """A whole EXIF block. A value that has a place of its own comes first, the IFDs behind it."""
    start = bytearray(8)
    for field in _placed(tree):
        start = start.ljust(field.place, b"\0") + field.data
    start += bytes(len(start) % 2)
    struct.pack_into(order + "2sHI", start, 0, b"II" if order == "<" else b"MM", 42, len(start))
    return bytes(start) + write_ifd(tree, order, len(start))


def _placed(tree: Tree) -> Iterator[Field]:
    for field in tree.values():
        if isinstance(field, dict):
            yield from _placed(field)
        elif field.place:
            yield field
