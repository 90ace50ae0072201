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
from deblurcli.photo.formats.boxes import box, boxes
from deblurcli.photo.formats.items import as_seen, exif_item, in_meta, lost, properties
from deblurcli.photo.formats.shape import Format
from deblurcli.photo.formats.sniff import CONVERT, check_size
from deblurcli.photo.metadata import unmarked
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
_DEPTHS = (8, 10, 10, 12)


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode an AVIF file. Raises PhotoError for what is refused, anything else for what is damaged."""
    data = file.read()
    _refuse(path, data)
    file.seek(0)
    image = AvifImagePlugin.AvifImageFile(file)  # reads the metadata
    check_size(path, *image.size, len(image.getbands()), max_pixels)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:  # imagecodecs would decode them all
        file.seek(0)
        samples = np.asarray(AvifImagePlugin.AvifImageFile(file))
    else:
        samples = imagecodecs.avif_decode(data)
        samples = samples[0] if samples.ndim == 4 else samples
    known = properties(data)
    samples = full_range(samples, _bits(data)) if samples.dtype == np.uint16 else samples
    exif = exif_item(data) or unmarked(image.info.get("exif"))  # Pillow's has been written again, or may have been
    icc, xmp = image.info.get("icc_profile"), image.info.get("xmp")
    decoded = Decoded("avif", as_seen(samples, known), lost(data), icc, exif, xmp, turn=1)
    decoded.cicp = next((struct.unpack_from(">HH", b, 4) for k, b in known if k == b"colr" and b[:4] == b"nclx"), None)
    decoded.take_cicp()
    decoded.take_resolution()
    if frames > 1:
        decoded.further = f"It is an animation of {frames} frames"
    return decoded


def _refuse(path: Path, data: bytes) -> None:
    iprp = in_meta(data, b"iprp")
    if iprp and sum(kind == b"ipma" for kind, _ in boxes(iprp)) > 1:
        hint = f"ImageMagick with libheif opens it. {CONVERT}"
        raise PhotoError(path, "is an AVIF file with several property tables, which is not supported", hint)


def _bits(data: bytes) -> int:
    """Bits per channel. Of a picture in tiles, only they state it."""
    found = boxes(in_meta(data, b"iprp", b"ipco") or memoryview(b""))
    return max((_DEPTHS[body[2] >> 5 & 3] for kind, body in found if kind == b"av1C"), default=8)


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
