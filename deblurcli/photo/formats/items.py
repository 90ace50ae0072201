"""Items: what the pictures and metadata of HEIF and AVIF files are (ISO/IEC 23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from deblurcli.photo.decoded import Samples
from deblurcli.photo.formats.boxes import boxes, find
from deblurcli.photo.formats.shape import Parts

_STORAGE = {
    *("ftyp", "meta", "mdat", "idat", "free", "skip", "moov", "mini"),
    *("av01", "hvc1", "hev1", "avc1", "jpeg", "grid", "iden", "iovl", "Exif", "mime application/rdf+xml"),
    *("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", "urn:mpeg:hevc:2015:auxid:1", "urn:mpeg:avc:2015:auxid:1"),
}
_TITLES = {
    "tmap": "HDR gain map",
    "urn:com:apple:photo:2020:aux:hdrgainmap": "HDR gain map",
    "urn:mpeg:mpegB:cicp:systems:auxiliary:depth": "depth map",
    "urn:mpeg:hevc:2015:auxid:2": "depth map",
    "uuid": "Content Credentials (C2PA), or other data of its maker",
}


def lost(data: bytes) -> Parts:
    """What a file holds beside a picture, its alpha channel, EXIF, XMP and thumbnails."""
    names: list[str] = []
    try:
        names.extend(_names(memoryview(data)))
    except (ValueError, IndexError, struct.error):  # the decoder could read it
        names.append("bytes of no known kind")
    return Parts(((name, b"") for name in names), _STORAGE, _TITLES)


def in_meta(data: bytes | memoryview, *path: bytes) -> memoryview | None:
    """The content of the first box of this path in the file's description; None where there is none."""
    meta = find(memoryview(data), b"meta")
    return meta and find(meta[4:], *path)


def properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of what the file says of its main picture, in its order; nothing for an image sequence."""
    ipco, ipma, pitm = (in_meta(data, *path) for path in ((b"iprp", b"ipco"), (b"iprp", b"ipma"), (b"pitm",)))
    if not (ipco and ipma and pitm):
        return []
    main = int.from_bytes(pitm[4:8] if pitm[0] else pitm[4:6], "big")
    found = [(kind, bytes(body)) for kind, body in boxes(ipco)]
    return [found[number - 1] for number in _of_item(ipma, main) if 0 < number <= len(found)]


def _of_item(ipma: memoryview, item: int) -> list[int]:
    """Numbers, from 1, of the properties that an item has."""
    wide_ids, wide_numbers = ipma[0] > 0, bool(ipma[3] & 1)
    (entries,) = struct.unpack_from(">I", ipma, 4)
    position = 8
    for _ in range(entries):
        name, count = struct.unpack_from(">IB" if wide_ids else ">HB", ipma, position)
        position += 5 if wide_ids else 3
        numbers = struct.unpack_from(f">{count}{'H' if wide_numbers else 'B'}", ipma, position)
        position += count * (2 if wide_numbers else 1)
        if name == item:
            return [number & (0x7FFF if wide_numbers else 0x7F) for number in numbers]
    return []


def as_seen(samples: Samples, properties: list[tuple[bytes, bytes]]) -> Samples:
    """A picture cropped, turned and mirrored, in the order of its properties (ISO/IEC 23008-12, 6.3)."""
    for kind, body in properties:
        if kind == b"clap":
            samples = samples[_clean_aperture(body, *samples.shape[:2])]
        elif kind == b"irot":
            samples = np.rot90(samples, body[0] & 3)
        elif kind == b"imir":
            samples = np.flip(samples, body[0] & 1)
    return samples


def _clean_aperture(body: bytes, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns that are meant to be seen (ISO/IEC 14496-12, 12.1.4)."""
    numbers = struct.unpack_from(">IIIIiIiI", body)
    if 0 not in numbers[1::2]:
        w, h, x, y = (above / below for above, below in zip(numbers[::2], numbers[1::2], strict=True))
        left, top = round((width - w) / 2 + x), round((height - h) / 2 + y)
        rows, columns = slice(top, top + round(h)), slice(left, left + round(w))
        if 0 <= top < rows.stop <= height and 0 <= left < columns.stop <= width:
            return rows, columns
    return slice(None), slice(None)


def exif_item(data: bytes) -> bytes | None:
    """The EXIF block, byte for byte; None where there is none."""
    iinf, iloc = in_meta(data, b"iinf"), in_meta(data, b"iloc")
    if not (iinf and iloc):
        return None
    for _, entry in boxes(iinf[8 if iinf[0] else 6 :]):
        start = 8 if entry[0] < 3 else 10
        if entry[0] >= 2 and entry[start : start + 4] == b"Exif":
            item = int.from_bytes(entry[4 : start - 2], "big")
            content = b"".join(data[place] for place in _extents(iloc, item))
            return content[4 + int.from_bytes(content[:4], "big") :] or None
    return None


def _extents(iloc: memoryview, item: int) -> list[slice]:
    """Where in the file the content of an item lies; nothing where it lies elsewhere (ISO/IEC 14496-12, 8.11.3)."""
    version, position = iloc[0], 6
    offsets, lengths, bases, indices = iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15 if version else 0

    def number(size: int) -> int:
        nonlocal position
        position += size
        return int.from_bytes(iloc[position - size : position], "big")

    for _ in range(number(4 if version == 2 else 2)):
        name, method = number(4 if version == 2 else 2), number(2) & 15 if version else 0
        elsewhere = number(2) or method
        base, found = number(bases), []
        for _ in range(number(2)):
            number(indices)
            start, length = base + number(offsets), number(lengths)
            found.append(slice(start, start + length))
        if name == item:
            return [] if elsewhere else found
        if position > len(iloc):
            break
    return []


def _names(data: memoryview) -> Iterator[str]:
    """Kinds of the boxes, of the items, and of the pictures that go with another one."""
    yield from (kind.decode("latin-1") for kind, _ in boxes(data))
    iinf = in_meta(data, b"iinf")
    for _, entry in boxes(iinf[8 if iinf[0] else 6 :]) if iinf else ():
        version, start = entry[0], 8 if entry[0] < 3 else 10
        if version < 2:
            continue
        (kind,) = struct.unpack_from("4s", entry, start)
        content = bytes(entry[start + 4 :]).split(b"\0")[1:2] if kind == b"mime" else []
        yield b" ".join([kind, *content]).decode("latin-1")
    for kind, body in boxes(in_meta(data, b"iprp", b"ipco") or memoryview(b"")):
        if kind == b"auxC":
            yield bytes(body[4:]).split(b"\0")[0].decode("latin-1")
