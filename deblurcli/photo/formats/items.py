"""Items: what the pictures and metadata of HEIF and AVIF files are (ISO/IEC 23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

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


def _names(data: memoryview) -> Iterator[str]:
    """Kinds of the boxes, of the items, and of the pictures that go with another one."""
    yield from (kind.decode("latin-1") for kind, _ in boxes(data))
    meta = find(data, b"meta")
    if meta is None:  # an image sequence
        return
    iinf = find(meta[4:], b"iinf")
    for _, entry in boxes(iinf[8 if iinf[0] else 6 :]) if iinf else ():
        version, start = entry[0], 8 if entry[0] < 3 else 10
        if version < 2:
            continue
        (kind,) = struct.unpack_from("4s", entry, start)
        content = bytes(entry[start + 4 :]).split(b"\0")[1:2] if kind == b"mime" else []
        yield b" ".join([kind, *content]).decode("latin-1")
    for kind, body in boxes(find(meta[4:], b"iprp", b"ipco") or memoryview(b"")):
        if kind == b"auxC":
            yield bytes(body[4:]).split(b"\0")[0].decode("latin-1")
