"""JPEG: pixels by Pillow, and the metadata that it does not know segment by segment."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from deblurcli.photo.colour import cmyk_to_rgb
from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats import pillow
from deblurcli.photo.formats.gain_map import joined, read_gain_map, turned
from deblurcli.photo.formats.photoshop import CAPTIONS, not_carried, resource
from deblurcli.photo.formats.segments import JpegFile, behind_picture, holds_video, open_jpeg, segment, with_end
from deblurcli.photo.formats.shape import Format, Parts
from deblurcli.photo.formats.sniff import check_size
from deblurcli.photo.metadata import (
    DAMAGED,
    MARK,
    orientation,
    xmp_with_length,
    xmp_without_item,
)
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import icc_profile

FORMAT = Format(
    "JPEG",
    (".jpg", ".jpeg", ".jpe", ".jfif"),
    (8,),
    largest=65500,
    holds=frozenset({"gray", "icc", "exif", "xmp", "xmp_extension", "iptc", "comment", "gain_map"}),
    limits={"exif": 65527, "xmp": 65504, "iptc": 65500, "comment": 65533},  # each lies in one segment
)
_TAKEN = ("APP1 Exif", "APP1 http://ns.adobe.com/xap/1.0/", "APP2 ICC_PROFILE", "APP13 Photoshop 3.0")
"""By Pillow."""
_STORAGE = ("APP0 JFIF", "APP0 JFXX", "APP12 Ducky", "APP14 Adobe", "APP2 urn:iso:std:iso:ts:21496:-1")
_TITLES = {
    "APP1 FLIR": "FLIR's thermal picture",
    "APP2 FPXR": "FlashPix data",
    "APP11 JP": "Content Credentials (C2PA)",
    "COM": "further comments",
}
EXTENSION, EXTENSION_STEP = b"http://ns.adobe.com/xmp/extension/\0", 65400
_MOTION = re.compile(rb"(:(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)\s*)1")


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode a JPEG file. Raises PhotoError for what is refused, anything else for what is damaged."""
    image = open_jpeg(path, file)
    check_size(path, *image.size, len(image.getbands()), max_pixels)
    behind = behind_picture(file, image.scan)
    if behind is None:
        image = JpegFile(with_end(path, file, image.scan))
    parts = Parts(_named(image), _TAKEN + _STORAGE, _TITLES)
    decoded = pillow.decode(path, image, parts, max_pixels)
    if behind is None:
        decoded.warnings.append("The file has no end marker, though all of its pixels are there.")
    if image.mode == "CMYK":
        # Inks are inverted, as Adobe has them, whether its marker says so or not: Pillow takes that for granted, too.
        decoded.samples, note = cmyk_to_rgb(decoded.samples, decoded.icc)
        decoded.icc = icc_profile("srgb")
        decoded.warnings.append(note)
    pictures = 0
    if parts.take_all("APP2 MPF"):
        decoded.gain_map, pictures = read_gain_map(file)
    if holds_video(file, image.scan) or (decoded.xmp and is_motion_photo(decoded.xmp)):
        decoded.further = "The file holds a video as well"
    elif pictures:
        if pictures > 1 + (decoded.gain_map is not None):
            decoded.further = "The file holds further pictures, such as views or a preview"
    elif behind and behind.picture:
        decoded.further = "The file holds further pictures after the first"
    elif behind and behind.rest:
        decoded.warnings.append(f"{behind.rest} bytes after the picture were dropped: nobody knows what they are.")
    decoded.xmp = decoded.xmp and without_motion(decoded.xmp)
    extension = parts.take_all("APP1 http://ns.adobe.com/xmp/extension/")
    decoded.xmp_extension = joined_extension(map(bytes, extension))
    if extension and decoded.xmp_extension is None:
        decoded.warnings.append("The extended part of the XMP data is damaged and was dropped.")
    _turn_gain_map(decoded)
    decoded.iptc = image.info.get("photoshop", {}).get(CAPTIONS)
    decoded.comment = parts.take("COM")
    return decoded


def write(file: BinaryIO, samples: Samples, photo: Photo, quality: int) -> list[str]:
    """Encode (H, W) or (H, W, 3) uint8 samples; qualities of 90 and more keep full colour resolution."""
    dpi = photo.dpi and tuple(round(value) for value in photo.dpi)
    encoded = pillow.encode(
        samples,
        "JPEG",
        quality=quality,
        subsampling="4:4:4" if quality >= 90 else "4:2:0",
        icc_profile=photo.icc,
        exif=MARK + photo.exif if photo.exif else b"",
        xmp=photo.xmp or b"",
        comment=photo.comment or b"",
        extra=metadata_segments(photo.iptc, photo.xmp_extension),
        dpi=dpi if dpi and max(dpi) < 2**16 else (0, 0),
    )
    file.write(joined(bytes(encoded), photo.gain_map) if photo.gain_map else encoded)
    return []


def _turn_gain_map(decoded: Decoded) -> None:
    """Turns the gain map as ``to_photo`` will turn the photo."""
    try:
        turn = orientation(decoded.exif) if decoded.exif else 1
    except DAMAGED:
        return
    if turn == 1 or decoded.gain_map is None:
        return
    try:
        decoded.gain_map = turned(decoded.gain_map, turn, decoded.samples.size)
        decoded.xmp = decoded.xmp and xmp_with_length(decoded.xmp, "GainMap", len(decoded.gain_map))
    except Exception:  # decoders raise all sorts of things on damaged files
        decoded.gain_map = None
        decoded.xmp = decoded.xmp and xmp_without_item(decoded.xmp, "GainMap")
        decoded.warnings.append("The HDR gain map is damaged and was dropped.")


def _named(image: JpegFile) -> Iterator[tuple[str, bytes]]:
    """The segments of metadata, each by its number and how it introduces itself; and Photoshop's resources."""
    for name, data in image.applist:
        introduction = data[:40].split(b"\0")[0].decode("latin-1") if name != "COM" else ""
        yield f"{name} {introduction}".strip() if introduction.isprintable() else name, data
    yield from ((name, b"") for name in not_carried(image.info.get("photoshop", {})))


def joined_extension(segments: Iterable[bytes]) -> bytes | None:
    """The extended XMP packet of a file's segments, put together (XMP specification, part 3), or None."""
    parts: dict[int, bytes] = {}
    length = 0
    for body in segments:
        if len(body) >= len(EXTENSION) + 40:
            length, offset = struct.unpack_from(">II", body, len(EXTENSION) + 32)
            parts.setdefault(offset, body[len(EXTENSION) + 40 :])
    whole = b"".join(parts[offset] for offset in sorted(parts))
    return whole if parts and len(whole) == length else None


def metadata_segments(iptc: bytes | None, xmp_extension: bytes | None) -> bytes:
    """Segments for IPTC captions (each record in one of them is small) and for an extended XMP packet."""
    found = []
    if iptc:
        found.append(segment(0xED, b"Photoshop 3.0\0" + resource(CAPTIONS, iptc)))
    if xmp_extension:
        name = hashlib.md5(xmp_extension, usedforsecurity=False).hexdigest().upper().encode()
        for start in range(0, len(xmp_extension), EXTENSION_STEP):
            head = EXTENSION + name + struct.pack(">II", len(xmp_extension), start)
            found.append(segment(0xE1, head + xmp_extension[start : start + EXTENSION_STEP]))
    return b"".join(found)


def is_motion_photo(xmp: bytes) -> bool:
    """Whether an XMP packet says that a video follows the picture, as phones append it."""
    return bool(_MOTION.search(xmp))


def without_motion(xmp: bytes) -> bytes:
    """The packet without saying so."""
    return xmp_without_item(_MOTION.sub(rb"\g<1>0", xmp), "MotionPhoto")
