"""AVIF: pixels of 8, 10 and 12 bits by imagecodecs (Pillow cuts them to 8), metadata box by box (ISO/IEC 23008-12)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import AvifImagePlugin

from deblurcli.errors import PhotoError
from deblurcli.photo.colour import bands
from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats.boxes import box, boxes, find
from deblurcli.photo.formats.items import lost
from deblurcli.photo.formats.shape import Format
from deblurcli.photo.formats.sniff import CONVERT, check_size
from deblurcli.photo.metadata import orientation, unmarked
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import full_range, to_float

FORMAT = Format(
    "AVIF",
    (".avif",),
    (8, 10),
    largest=65536,
    holds=frozenset({"gray", "alpha", "icc", "exif", "xmp", "cicp"}),
    resolution_in_exif=True,
)
_MAIN_ITEM = 1


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode an AVIF file. Raises PhotoError for what is refused, anything else for what is damaged."""
    data = file.read()
    _refuse(path, data)
    file.seek(0)
    image = AvifImagePlugin.AvifImageFile(file)  # reads the metadata, and turns rotation boxes into EXIF orientation
    check_size(path, *image.size, len(image.getbands()), max_pixels)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:  # imagecodecs would decode them all
        file.seek(0)
        samples = np.asarray(AvifImagePlugin.AvifImageFile(file))
    else:
        samples = imagecodecs.avif_decode(data)
        samples = samples[0] if samples.ndim == 4 else samples
        samples = samples[_clean_aperture(data, *samples.shape[:2])]
    exif = unmarked(image.info.get("exif"))
    turn = orientation(exif) if exif else 1
    decoded = Decoded(
        "avif", samples, lost(data), image.info.get("icc_profile"), exif, image.info.get("xmp"), turn=turn
    )
    bits, decoded.cicp = _properties(data)
    decoded.samples = full_range(samples, bits) if samples.dtype == np.uint16 else samples
    decoded.take_cicp()
    decoded.take_resolution()
    if frames > 1:
        decoded.further = f"It is an animation of {frames} frames"
    return decoded


def _refuse(path: Path, data: bytes) -> None:
    meta = find(memoryview(data), b"meta")
    iprp = meta and find(meta[4:], b"iprp")
    if iprp and sum(kind == b"ipma" for kind, _ in boxes(iprp)) > 1:
        hint = f"ImageMagick with libheif opens it. {CONVERT}"
        raise PhotoError(path, "is an AVIF file of several property tables, which is not supported", hint)


def _clean_aperture(data: bytes, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the main picture that are meant to be seen (ISO/IEC 14496-12, 12.1.4); not turned yet."""
    whole = slice(0, height), slice(0, width)
    meta = find(memoryview(data), b"meta")
    if meta is None:  # an image sequence
        return whole
    ipco, ipma, pitm = (find(meta[4:], *place) for place in ((b"iprp", b"ipco"), (b"iprp", b"ipma"), (b"pitm",)))
    if not (ipco and ipma and pitm):
        return whole
    main = int.from_bytes(pitm[4:8] if pitm[0] else pitm[4:6], "big")
    found = list(boxes(ipco))
    for number in _of_item(ipma, main):
        if 0 < number <= len(found) and found[number - 1][0] == b"clap":
            numbers = struct.unpack_from(">IIIIiIiI", found[number - 1][1])
            if 0 in numbers[1::2]:
                return whole
            w, h, x, y = (above / below for above, below in zip(numbers[::2], numbers[1::2], strict=True))
            left, top = round((width - w) / 2 + x), round((height - h) / 2 + y)
            rows, columns = slice(top, top + round(h)), slice(left, left + round(w))
            inside = 0 <= top < rows.stop <= height and 0 <= left < columns.stop <= width
            return (rows, columns) if inside else whole
    return whole


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


def _properties(data: bytes) -> tuple[int, tuple[int, int] | None]:
    """Bits per channel, and the numbers of primaries and transfer characteristics."""
    bits, cicp = 8, None
    meta = find(memoryview(data), b"meta")
    if meta is None:  # an image sequence
        return bits, cicp
    for kind, body in boxes(find(meta[4:], b"iprp", b"ipco") or memoryview(b"")):
        if kind == b"av1C":
            bits = max(bits, (8, 10, 10, 12)[body[2] >> 5 & 3])
        elif kind == b"colr" and body[:4] == b"nclx" and cicp is None:
            cicp = struct.unpack_from(">HH", body, 4)
    return bits, cicp


def write(file: BinaryIO, samples: Samples, photo: Photo, quality: int) -> list[str]:
    """Encode (H, W) or (H, W, C) samples, uint8 for 8 bits, uint16 of full range for 10, with the metadata."""
    bits = 8 if samples.dtype == np.uint8 else 10
    if bits != 8:
        narrow = np.empty_like(samples)
        for rows in bands(len(samples)):
            narrow[rows] = np.rint(to_float(samples[rows]) * np.float32(2**bits - 1))
        samples = narrow
    coloured = samples.ndim == 3 and samples.shape[2] >= 3
    primaries, transfer = photo.cicp or ((2, 2) if photo.icc else (1, 13))
    encoded = imagecodecs.avif_encode(
        samples,
        level=quality,
        speed=6,
        bitspersample=bits,
        pixelformat="444" if quality >= 90 and coloured else None,
        primaries=primaries,
        transfer=transfer,
        matrix=None if not coloured else 0 if quality == 100 else 6,  # the colours themselves, or BT.601
        numthreads=1,
    )
    file.write(_with_metadata(bytes(encoded), photo))
    return []


def _with_metadata(data: bytes, photo: Photo) -> bytes:
    """The file as libavif writes it, with EXIF and XMP as further items and the profile as one more property."""
    items = []
    if photo.exif:
        items.append((box(b"infe", struct.pack(">B3xHH4sx", 2, 0, 0, b"Exif")), bytes(4) + photo.exif))
    if photo.xmp:
        kind = struct.pack(">B3xHH4sx", 2, 0, 0, b"mime") + b"application/rdf+xml\0"
        items.append((box(b"infe", kind), photo.xmp))
    if not items and not photo.icc:
        return data
    parts = {kind: bytes(body) for kind, body in boxes(memoryview(data))}
    ftyp, rest = box(b"ftyp", parts[b"ftyp"]), box(b"mdat", parts[b"mdat"])
    known = {kind: bytes(body) for kind, body in boxes(memoryview(parts[b"meta"])[4:])}
    (number,) = struct.unpack_from(">H", known[b"iinf"], 4)
    ids = range(number + 1, number + 1 + len(items))
    infes = [entry[:12] + struct.pack(">H", n) + entry[14:] for n, (entry, _) in zip(ids, items, strict=True)]
    known[b"iinf"] = struct.pack(">4xH", number + len(items)) + known[b"iinf"][6:] + b"".join(infes)
    about = [box(b"cdsc", struct.pack(">HHH", n, 1, _MAIN_ITEM)) for n in ids]
    known[b"iref"] = known.get(b"iref", bytes(4)) + b"".join(about)
    if photo.icc:
        known[b"iprp"] = _with_profile(known[b"iprp"], photo.icc)

    def head(shift: int, places: list[int]) -> bytes:
        """All that is before the pixels, which lie further back by ``shift`` than they did."""
        locations = bytearray(known[b"iloc"])
        for at in range(8, 8 + 14 * number, 14):
            struct.pack_into(">I", locations, at + 6, struct.unpack_from(">I", locations, at + 6)[0] + shift)
        for n, (_, content), place in zip(ids, items, places, strict=True):
            locations += struct.pack(">HHHII", n, 0, 1, place, len(content))
        struct.pack_into(">H", locations, 6, number + len(items))
        changed = known | {b"iloc": bytes(locations)}
        return ftyp + box(b"meta", bytes(4), *(box(kind, changed[kind]) for kind in changed))

    length = len(head(0, [0] * len(items)))
    first = length + len(rest) + 8
    places = [first + sum(len(content) for _, content in items[:n]) for n in range(len(items))]
    grown = length + len(rest) - len(data)
    return head(grown, places) + rest + box(b"mdat", *(content for _, content in items))


def _with_profile(iprp: bytes, icc: bytes) -> bytes:
    """The item properties with a colour profile for the main item."""
    parts = {kind: bytes(body) for kind, body in boxes(memoryview(iprp))}
    place = sum(1 for _ in boxes(memoryview(parts[b"ipco"]))) + 1
    links, position = bytearray(parts[b"ipma"][:8]), 8
    while position < len(parts[b"ipma"]):
        item, count = struct.unpack_from(">HB", parts[b"ipma"], position)
        own = parts[b"ipma"][position + 3 : position + 3 + count] + bytes([place] * (item == _MAIN_ITEM))
        links += struct.pack(">HB", item, len(own)) + own
        position += 3 + count
    return box(b"ipco", parts[b"ipco"], box(b"colr", b"prof", icc)) + box(b"ipma", bytes(links))
