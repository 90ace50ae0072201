"""What travels beside the pixels: EXIF blocks and XMP packets, read and changed without disturbing the rest.

An EXIF block is changed in place, and what does not fit is appended: maker notes hold offsets that count from the
start of the block, so nothing in it may move.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

from deblurcli.photo.formats import ifd
from deblurcli.photo.formats.ifd import Buffer, Entry, Field, Header

SOFTWARE, ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x0131, 0x0112, 0x011A, 0x011B, 0x0128
CENTIMETRES, INCHES = 3, 2
MARK = b"Exif\0\0"
"""What many formats have before an EXIF block."""
STRIP_OFFSETS = (0x0111, 0x0144)
"""Where a TIFF file's strips or tiles are."""
THUMBNAIL_OFFSET, THUMBNAIL_LENGTH = 0x0201, 0x0202
COLOR_SPACE, UNCALIBRATED, WIDTH, HEIGHT = 0xA001, 0xFFFF, 0xA002, 0xA003
ORIGINAL_TIME, MODIFIED_TIME = 0x9003, 0x0132

# Pairs of fields that change places when a picture is turned by 90°: its size in the first and in the EXIF IFD,
# its resolution, and that of the focal plane.
_SWAPPED = ((0x0100, 0x0101), (X_RESOLUTION, Y_RESOLUTION))
_SWAPPED_EXIF = ((0xA002, 0xA003), (0xA20E, 0xA20F))

# The fields of a TIFF file's first IFD that describe the photo; the others say how its pixels are stored.
# Document, description, make, model, page, software, date, artist, host, copyright, rating, print matching, XP… texts.
DESCRIPTIVE = frozenset(
    {0x000B, 0x010D, 0x010E, 0x010F, 0x0110, 0x011D, SOFTWARE, 0x0132, 0x013B, 0x013C, 0x8298, 0x4746, 0x4749, 0xC4A5}
    | {*range(0x9C9B, 0x9CA0), ifd.EXIF_IFD, ifd.GPS_IFD}
)

DAMAGED = (ValueError, struct.error)
"""What the functions below raise for a damaged EXIF block."""


def orientation(exif: bytes) -> int:
    """The orientation tag, 1…8; 1 where it is missing or nonsense."""
    header, found = _first_ifd(exif)
    if ORIENTATION not in found:
        return 1
    (value,) = header.unpack("H", exif, found[ORIENTATION].value)
    return value if 1 <= value <= 8 else 1


def states_orientation(exif: bytes) -> bool:
    """Whether the block has an orientation tag."""
    return ORIENTATION in _first_ifd(exif)[1]


def unmarked(exif: bytes | None) -> bytes | None:
    """The block without ``MARK``; None where there is none."""
    return (exif or b"").removeprefix(MARK) or None


def make_upright(exif: bytes, turn: int | None = None) -> bytes:
    """The block for a picture whose pixels have been turned upright: orientation 1, no (outdated) thumbnail.

    Everything else stays where it is; a picture turned by 90° has its widths and heights swapped. ``turn`` is the
    orientation where another one counts than that of the block.
    """
    header, found = _first_ifd(exif)
    turned = (turn or orientation(exif)) >= 5
    block = bytearray(exif)
    if ORIENTATION in found:
        entry = found[ORIENTATION]
        struct.pack_into(header.order + "HIHH", block, entry.position + 2, ifd.SHORT, 1, 1, 0)
    if turned:
        _swap(block, found, _SWAPPED)
        if ifd.EXIF_IFD in found:
            (offset,) = header.unpack("I", exif, found[ifd.EXIF_IFD].value)
            _swap(block, dict(ifd.entries(exif, header, offset)), _SWAPPED_EXIF)
    return _without_thumbnail(block, header, len(found))


def _swap(block: bytearray, found: dict[int, Entry], pairs: tuple[tuple[int, int], ...]) -> None:
    for first, second in pairs:
        if first in found and second in found:
            a, b = (slice(found[tag].position + 2, found[tag].position + 12) for tag in (first, second))
            block[a], block[b] = block[b], block[a]


def _without_thumbnail(block: bytearray, header: Header, number: int) -> bytes:
    link = header.offset + 2 + 12 * number
    (offset,) = header.unpack("I", block, link)
    if not offset:
        return bytes(block)
    struct.pack_into("4x", block, link)
    try:
        thumbnail = dict(ifd.entries(block, header, offset))
        (start,) = header.unpack("I", block, thumbnail[THUMBNAIL_OFFSET].value)
        (length,) = header.unpack("I", block, thumbnail[THUMBNAIL_LENGTH].value)
    except (struct.error, KeyError):
        return bytes(block)
    # Nothing comes after it: its bytes can go. Elsewhere they have to stay, for nothing may move.
    return bytes(block[:start] if offset < start < start + length == len(block) else block)


def with_software(exif: bytes | None, description: str) -> bytes:
    """The block with ``description`` in its Software field, before what the camera or an editor wrote there."""
    text = description.encode("utf-8").replace(b"\0", b" ")
    if exif is not None:
        header, found = _first_ifd(exif)
        former = ifd.read_field(exif, header, found[SOFTWARE]) if SOFTWARE in found else None
        if former and (before := former.data.split(b"\0")[0].strip()):
            text += b"; " + before
    return _with_fields(exif, {SOFTWARE: Field(ifd.ASCII, len(text) + 1, text + b"\0")})


def software(exif: bytes) -> str:
    """The Software field, or an empty text."""
    header, found = _first_ifd(exif)
    field = ifd.read_field(exif, header, found[SOFTWARE]) if SOFTWARE in found else None
    return field.data.split(b"\0")[0].decode("utf-8", "replace") if field else ""


def time_taken(exif: bytes) -> str:
    """When the photo was taken, "YYYY:MM:DD hh:mm:ss", as far as the block says so; else when it was made."""
    tree = ifd.read_tree(exif, _first_ifd(exif)[0])
    below = tree.get(ifd.EXIF_IFD)
    field = (below.get(ORIGINAL_TIME) if isinstance(below, dict) else None) or tree.get(MODIFIED_TIME)
    return field.data.split(b"\0")[0].decode("ascii", "replace") if isinstance(field, Field) else ""


def with_resolution(exif: bytes | None, dpi: tuple[float, float]) -> bytes:
    """The block with a resolution in pixels per inch, for formats that have no other place for it."""
    order = ifd.read_header(exif).order if exif else "<"
    x, y = (Field(ifd.RATIONAL, 1, struct.pack(order + "II", min(round(v * 1000), 2**32 - 1), 1000)) for v in dpi)
    unit = Field(ifd.SHORT, 1, struct.pack(order + "H", INCHES))
    return _with_fields(exif, {X_RESOLUTION: x, Y_RESOLUTION: y, RESOLUTION_UNIT: unit})


def resolution(exif: bytes) -> tuple[float, float] | None:
    """The resolution that the block states, in pixels per inch."""
    header, found = _first_ifd(exif)
    values = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        field = ifd.read_field(exif, header, found[tag]) if tag in found else None
        if field is None or field.type != ifd.RATIONAL or field.number != 1:
            return None
        above, below = struct.unpack(header.order + "II", field.data)
        values.append(above / below if below else 0.0)
    unit = header.unpack("H", exif, found[RESOLUTION_UNIT].value)[0] if RESOLUTION_UNIT in found else INCHES
    return sensible_dpi(*values, unit=unit)


def sensible_dpi(x: float, y: float, *, unit: int = INCHES) -> tuple[float, float] | None:
    """Pixels per ``unit`` (EXIF: 2 inch, 3 centimetre) → pixels per inch, or None where that means nothing."""
    if unit not in (INCHES, CENTIMETRES) or not all(math.isfinite(v) and 0 < v < 1e6 for v in (x, y)):
        return None
    scale = 2.54 if unit == CENTIMETRES else 1.0
    return float(x) * scale, float(y) * scale


def as_text(comment: bytes) -> str:
    """The comment of a JPEG file, which does not say how it is encoded."""
    try:
        return comment.decode("utf-8")
    except UnicodeDecodeError:
        return comment.decode("latin-1")


def upright_xmp(xmp: bytes) -> bytes:
    """The packet with ``tiff:Orientation`` set to 1, whether it is an attribute or an element; same length."""
    return re.sub(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1", xmp)


def xmp_without_item(xmp: bytes, kind: str) -> bytes:
    """The packet without what it says of a part behind the picture, a "GainMap" or "MotionPhoto", that is gone."""
    item = rb"<rdf:li\b(?:(?!</rdf:li>).)*?:Semantic\s*(?:=\s*[\"']|>\s*)" + kind.encode() + rb"\b.*?</rdf:li>"
    xmp = re.sub(item, b"", xmp, flags=re.DOTALL)
    if kind == "GainMap":
        xmp = re.sub(rb"\s+hdrgm:\w+\s*=\s*(\"[^\"]*\"|'[^']*')", b"", xmp)
    return xmp


def xmp_with_length(xmp: bytes, kind: str, length: int) -> bytes:
    """The packet with another length in bytes of the part behind the picture that is of this kind."""
    item = re.compile(rb"<[^<>]*:Semantic\s*=\s*[\"']" + kind.encode() + rb"[\"'][^<>]*>")
    number = re.compile(rb"(:Length\s*=\s*[\"'])\d+")
    return item.sub(lambda found: number.sub(rb"\g<1>%d" % length, found[0]), xmp)


def with_size(exif: bytes, width: int, height: int) -> bytes:
    """The block with this size in px, where it states one."""
    return _with_numbers(exif, {WIDTH: width, HEIGHT: height})


def with_color_space(exif: bytes, *, srgb: bool) -> bytes:
    """The block saying that the colours are sRGB, or that their profile tells, where it says anything of them."""
    return _with_numbers(exif, {COLOR_SPACE: 1 if srgb else UNCALIBRATED})


def _with_numbers(exif: bytes, numbers: dict[int, int]) -> bytes:
    """The block with other numbers in fields of its EXIF IFD; those that it has not are not added."""
    header, first = _first_ifd(exif)
    if ifd.EXIF_IFD not in first:
        return exif
    (offset,) = header.unpack("I", exif, first[ifd.EXIF_IFD].value)
    block = bytearray(exif)
    for tag, entry in ifd.entries(exif, header, offset):
        if tag in numbers:
            short = entry.type == ifd.SHORT and numbers[tag] < 2**16
            number = struct.pack(header.order + ("HH" if short else "I"), numbers[tag], *((0,) if short else ()))
            kind = ifd.SHORT if short else ifd.LONG
            struct.pack_into(header.order + "HI4s", block, entry.position + 2, kind, 1, number)
    return bytes(block)


def exif_of_tiff(
    data: Buffer, skip: Collection[int] = (), *, raw: bool = False, offset: int | None = None
) -> bytes | None:
    """What a TIFF file says about the photo, as an EXIF block in the file's byte order, or None if it says nothing.

    The block has the fields of the first IFD that describe the photo, its orientation, and the EXIF and GPS IFDs,
    every value byte for byte, and the maker notes where they were, if that is not far into the file. Fields to
    ``skip`` are left out. ``raw`` files may have marks of their own in the place of TIFF's. The photo's IFD, if it is
    not the first, is at ``offset``.
    """
    header = ifd.read_header(data, raw=raw)
    header = header if offset is None else header._replace(offset=offset)
    wanted = (DESCRIPTIVE | {ORIENTATION}) - set(skip)
    tree = {tag: field for tag, field in ifd.read_tree(data, header).items() if tag in wanted}
    block = ifd.write_block(tree, header.order)
    return block if tree.keys() - {ORIENTATION} or orientation(block) != 1 else None


def bytes_of_tiff(data: Buffer, tag: int, offset: int) -> bytes | None:
    """The value of a field of a TIFF file's IFD at ``offset``, or None."""
    header = ifd.read_header(data)
    entry = dict(ifd.entries(data, header, offset)).get(tag)
    field = entry and ifd.read_field(data, header, entry)
    return field.data if field else None


def without_gps(exif: bytes) -> bytes:
    """The block without its GPS IFD, whose bytes become zeros; nothing else moves."""
    header, found = _first_ifd(exif)
    if ifd.GPS_IFD not in found:
        return exif
    block = bytearray(exif)
    (start,) = header.unpack("I", exif, found[ifd.GPS_IFD].value)
    with suppress(struct.error):  # what is damaged
        places = list(ifd.entries(exif, header, start))
        for _, entry in places:
            size = ifd.TYPE_SIZES.get(entry.type, 0) * entry.number
            if size > 4:
                (place,) = header.unpack("I", exif, entry.value)
                block[place : place + size] = bytes(len(block[place : place + size]))
        block[start : start + 6 + 12 * len(places)] = bytes(len(block[start : start + 6 + 12 * len(places)]))
    first, end = header.offset + 2, header.offset + 2 + 12 * len(found) + 4
    kept = b"".join(exif[e.position : e.position + 12] for tag, e in found.items() if tag != ifd.GPS_IFD)
    struct.pack_into(header.order + "H", block, header.offset, len(found) - 1)
    block[first:end] = kept + exif[end - 4 : end] + bytes(12)
    return bytes(block)


def xmp_without_gps(xmp: bytes) -> bytes:
    """The packet without the coordinates that it has as attributes or elements."""
    xmp = re.sub(rb"\s+exif:GPS\w+\s*=\s*(\"[^\"]*\"|'[^']*')", b"", xmp)
    return re.sub(rb"<(exif:GPS\w+)(?:\s[^>]*)?(?:/>|>.*?</\1\s*>)", b"", xmp, flags=re.DOTALL)


def join_exif_and_tiff(file: BinaryIO, exif: bytes, start: int) -> None:
    """Make one TIFF file of an EXIF block and of a finished (not Big-) TIFF file of the same byte order behind it.

    The first IFD is written again at the end: the picture's fields, and those of the block that describe the photo.
    The block stays as it is, so that everything its offsets point to, also those in maker notes, is where it was.

    Args:
        file: begins with the block; from ``start`` on, it is the TIFF file.
    """
    file.flush()
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data, memoryview(data) as view:
        header = ifd.read_header(view[start:])
        if header.big or len(data) + 2**16 >= 2**32:
            raise ValueError("the TIFF file is too large for an EXIF block")
        tree = ifd.read_tree(view[start:], header)
        end = len(data)
    source, found = _first_ifd(exif)
    if source.order != header.order:
        raise ValueError("the EXIF block does not fit the TIFF file")
    for tag in STRIP_OFFSETS:
        if isinstance(field := tree.get(tag), Field):
            kind = f"{header.order}{field.number}{'H' if field.type == ifd.SHORT else 'I'}"
            places = (place + start for place in struct.unpack(kind, field.data))
            data = struct.pack(f"{header.order}{field.number}I", *places)
            tree[tag] = Field(ifd.LONG, field.number, data)
    base = end + end % 2
    # What points out of a damaged block would make a damaged file.
    whole = {tag: e for tag, e in found.items() if ifd.extent(exif, source, e)}
    slots = {tag: exif[e.position : e.position + 12] for tag, e in whole.items() if tag in DESCRIPTIVE - tree.keys()}
    file.seek(end)
    file.write(bytes(base - end) + ifd.write_ifd(tree, header.order, base, slots))
    file.seek(4)
    file.write(struct.pack(header.order + "I", base))


def _first_ifd(exif: bytes) -> tuple[Header, dict[int, Entry]]:
    header = ifd.read_header(exif)
    if header.big:
        raise ValueError("an EXIF block is never a BigTIFF")
    return header, dict(ifd.entries(exif, header, header.offset))


def _with_fields(exif: bytes | None, fields: dict[int, Field]) -> bytes:
    if exif is None:
        return ifd.write_block(dict(fields), "<")
    header, found = _first_ifd(exif)
    block = bytearray(exif)
    block += b"\0" * (len(block) % 2)
    slots = {tag: exif[entry.position : entry.position + 12] for tag, entry in found.items()}
    for tag, field in fields.items():
        value = field.data.ljust(4, b"\0")
        if len(value) > 4:
            value = struct.pack(header.order + "I", len(block))
            block += field.data + b"\0" * (len(field.data) % 2)
        slots[tag] = struct.pack(header.order + "HHI", tag, field.type, field.number) + value
    if slots.keys() == found.keys():
        for tag, entry in found.items():
            block[entry.position : entry.position + 12] = slots[tag]
    else:  # the first IFD grew: it moves to the end, and its old place lies idle
        struct.pack_into(header.order + "I", block, 4, len(block))
        block += struct.pack(header.order + "H", len(slots)) + b"".join(slots[tag] for tag in sorted(slots)) + bytes(4)
    return bytes(block)
