"""JPEG: the segments of a file, those with metadata that Pillow does not know among them.

They are looked at before a decoder sees the file, as decoders take minutes for some that are small.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterable
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from PIL.JpegImagePlugin import MARKER, JpegImageFile

from deblurcli.errors import PhotoError
from deblurcli.photo.limits import LARGEST_METADATA, MAX_GAP, MAX_PARTS, MAX_SCANS
from deblurcli.photo.metadata import photoshop_resource
from deblurcli.photo.sniff import COPY_AGAIN

STRIP = "Remove its metadata, for instance with exiftool, or save it again."
EXTENSION, EXTENSION_STEP = b"http://ns.adobe.com/xmp/extension/\0", 65400
_MOTION = re.compile(rb"(:(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)\s*)1")
START_OF_SCAN, END_OF_IMAGE = 0xDA, b"\xff\xd9"
# Pillow steps over the bodies of these, and over everything else byte by byte.
_WITH_BODY = {marker & 0xFF for marker, (_, _, handler) in MARKER.items() if handler}
_MARKER = re.compile(rb"\xff([^\x00\xff])")


class JpegFile(JpegImageFile):
    """Pillow's, except that it leaves EXIF blocks alone: their fields may overlap, and so unpack to any size."""

    def _read_dpi_from_exif(self) -> None:
        pass


def open_jpeg(path: Path, file: BinaryIO) -> JpegFile:
    """The file, opened but not decoded.

    Raises:
        PhotoError: as ``check_segments``.
    """
    check_segments(path, file)
    # A class of its own rather than Image.open, whose size limit is global and cannot be overruled.
    return JpegFile(file)


def check_segments(path: Path, file: BinaryIO) -> None:
    """Refuse what is made to keep a decoder busy. Files that are cut short pass: the decoder tells.

    Raises:
        PhotoError: the file has more segments, more bytes in them or between them, or more scans than a photo has.
    """
    if os.fstat(file.fileno()).st_size < 4:
        return
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        position = 2
        gap = 0
        for _ in range(MAX_PARTS):
            found = _MARKER.search(data, position, position + MAX_GAP)
            if found is None:
                if position + MAX_GAP < len(data):
                    raise PhotoError(path, "is damaged: between its segments is something else", COPY_AGAIN)
                return
            gap += found.start(1) - position
            position, kind = found.end(), found[1][0]
            if gap > MAX_GAP:
                raise PhotoError(path, "is damaged: between its segments is something else", COPY_AGAIN)
            if position > LARGEST_METADATA:
                raise PhotoError(path, f"has more than {LARGEST_METADATA / 1e6:.0f} MB of metadata", STRIP)
            if kind == START_OF_SCAN:
                return _check_scans(path, data, position)
            if kind in _WITH_BODY:
                if position + 2 > len(data):
                    return
                position += struct.unpack_from(">H", data, position)[0]
        raise PhotoError(path, f"has more than {MAX_PARTS} segments of metadata", STRIP)


def _check_scans(path: Path, data: mmap, start: int) -> None:
    end = data.find(END_OF_IMAGE, start)
    scans = re.finditer(b"\xff\xda", data if end < 0 else memoryview(data)[:end])
    if sum(1 for found in islice(scans, MAX_SCANS * 1000) if found.start() >= start) > MAX_SCANS:
        raise PhotoError(path, f"has more than {MAX_SCANS} scans, each of which takes as long as a photo", COPY_AGAIN)


def joined_extension(segments: Iterable[bytes]) -> bytes | None:
    """The extended XMP packet of a file's segments, put together (XMP specification, part 3), or None."""
    parts: dict[int, bytes] = {}
    length = 0
    for segment in segments:
        if segment.startswith(EXTENSION) and len(segment) >= len(EXTENSION) + 40:
            length, offset = struct.unpack_from(">II", segment, len(EXTENSION) + 32)
            parts.setdefault(offset, segment[len(EXTENSION) + 40 :])
    whole = b"".join(parts[offset] for offset in sorted(parts))
    return whole if parts and len(whole) == length else None


def metadata_segments(iptc: bytes | None, xmp_extension: bytes | None) -> bytes:
    """Segments for IPTC captions (each record in one of them is small) and for an extended XMP packet."""
    found = []
    if iptc:
        found.append(segment(0xED, b"Photoshop 3.0\0" + photoshop_resource(iptc)))
    if xmp_extension:
        name = hashlib.md5(xmp_extension, usedforsecurity=False).hexdigest().upper().encode()
        for start in range(0, len(xmp_extension), EXTENSION_STEP):
            head = EXTENSION + name + struct.pack(">II", len(xmp_extension), start)
            found.append(segment(0xE1, head + xmp_extension[start : start + EXTENSION_STEP]))
    return b"".join(found)


def segment(kind: int, body: bytes) -> bytes:
    """A segment with this content; ``kind`` is the second byte of its marker."""
    return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body


def is_motion_photo(xmp: bytes) -> bool:
    """Whether an XMP packet says that a video follows the picture, as phones append it."""
    return bool(_MOTION.search(xmp))


def without_motion(xmp: bytes) -> bytes:
    """The packet without saying so; same length."""
    return _MOTION.sub(rb"\g<1>0", xmp)
