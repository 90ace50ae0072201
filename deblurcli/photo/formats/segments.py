"""Segments, which JPEG files are made of, looked at before a decoder is, which small ones can keep busy for minutes."""

from __future__ import annotations

import os
import re
import struct
from io import BytesIO
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import ImageChops
from PIL.JpegImagePlugin import MARKER, JpegImageFile

from deblurcli.errors import PhotoError
from deblurcli.photo.formats.sniff import CONVERT, COPY_AGAIN
from deblurcli.photo.limits import LARGEST_METADATA, MAX_GAP, MAX_PARTS, MAX_SCANS

STRIP = "Remove its metadata, for instance with exiftool, or save it again."
_VIDEO = re.compile(
    rb"MotionPhoto_Data|ftyp(?:mp4|isom|iso\d|qt  |avc1|hvc1|M4V|3gp)|\x1aE\xdf\xa3|RIFF....AVI ", re.DOTALL
)
_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|ftyp(?:hei|hev|mif1|avi)|RIFF....WEBP|II\*\0|MM\0\*", re.DOTALL)
START_OF_SCAN, END_OF_IMAGE, JPEG_LS = 0xDA, b"\xff\xd9", 0xF7
_ANYTHING = (bytes([0x55]) * 64, bytes([0xAA]) * 64, bytes(range(16, 240, 7)) * 2, b"\xfe\x7d" * 32)
"""Bytes that mean something else to whatever code."""
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Segments that begin with how many bits a sample has."""
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_HIERARCHICAL = {0xC5, 0xC6, 0xCD, 0xCE}
# Pillow steps over the bodies of these, and over everything else byte by byte.
_WITH_BODY = {marker & 0xFF for marker, (_, _, handler) in MARKER.items() if handler}
_MARKER = re.compile(rb"\xff([^\x00\xff])")


class JpegFile(JpegImageFile):
    """Pillow's, except that it leaves EXIF blocks alone: their fields may overlap, and so unpack to any size.

    Attributes:
        scan: where in the file its first scan begins; 0 where there is none.
    """

    scan = 0

    def _read_dpi_from_exif(self) -> None:
        pass


def open_jpeg(path: Path, file: BinaryIO) -> JpegFile:
    """The file, opened but not decoded.

    Raises:
        PhotoError: as ``check_segments``.
    """
    scan = check_segments(path, file)
    # A class of its own rather than Image.open, whose size limit is global and cannot be overruled.
    image = JpegFile(file)
    image.scan = scan
    return image


def check_segments(path: Path, file: BinaryIO) -> int:
    """Refuse what is made to keep a decoder busy. Files that are cut short pass: the decoder tells.

    Returns:
        Where the first scan begins; 0 where there is none.

    Raises:
        PhotoError: the file has more segments, more bytes in them or between them, or more scans than a photo has; or
            it is coded in a way that is not supported.
    """
    if os.fstat(file.fileno()).st_size < 4:
        return 0
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        position = 2
        gap = 0
        for _ in range(MAX_PARTS):
            found = _MARKER.search(data, position, position + MAX_GAP)
            if found is None:
                if position + MAX_GAP < len(data):
                    raise PhotoError(path, "is damaged: there is something unexpected between its parts", COPY_AGAIN)
                return 0
            gap += found.start(1) - position
            position, kind = found.end(), found[1][0]
            if gap > MAX_GAP:
                raise PhotoError(path, "is damaged: there is something unexpected between its parts", COPY_AGAIN)
            if position > LARGEST_METADATA:
                raise PhotoError(path, f"has more than {LARGEST_METADATA / 1e6:.0f} MB of metadata", STRIP)
            if kind == START_OF_SCAN:
                _check_scans(path, data, position)
                return position
            if kind in _WITH_BODY or kind == JPEG_LS:
                if position + 3 > len(data):
                    return 0
                _check_coding(path, kind, data[position + 2])
                position += struct.unpack_from(">H", data, position)[0]
        raise PhotoError(path, f"has more than {MAX_PARTS} segments of metadata", STRIP)


def _check_coding(path: Path, frame: int, bits: int) -> None:
    """Refuse what no decoder here knows; ``frame`` is a segment's kind, ``bits`` the first byte of its body."""
    if frame == JPEG_LS:
        raise PhotoError(path, "is a JPEG-LS picture, which is not supported", f"FFmpeg opens it. {CONVERT}")
    if frame in _LOSSLESS | _HIERARCHICAL:
        kind = "lossless" if frame in _LOSSLESS else "hierarchical"
        raise PhotoError(path, f"is a {kind} JPEG picture, which is not supported", f"GDCM opens it. {CONVERT}")
    if frame in _FRAMES and bits != 8:
        hint = f"GDAL and libjpeg-turbo's djpeg open it. {CONVERT}"
        raise PhotoError(path, f"is a JPEG picture of {bits} bits per channel, which is not supported", hint)


class Behind(NamedTuple):
    """What follows a picture in its file: whether another picture is in it, and how many bytes it is."""

    picture: bool
    rest: int


def behind_picture(file: BinaryIO, scan: int) -> Behind | None:
    """What is behind the end of a JPEG picture whose first scan begins at ``scan``; None where it has no end.

    Zero bytes and line ends are nothing.
    """
    if not scan:
        return Behind(False, 0)
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        end = data.find(END_OF_IMAGE, scan)
        if end < 0:
            return None
        found = re.compile(rb"[^\0\r\n]").search(data, end + 2)
        if found is None:
            return Behind(False, 0)
        return Behind(bool(_PICTURE.search(data, found.start())), len(data) - found.start())


def holds_video(file: BinaryIO, scan: int) -> bool:
    """Whether a video follows, as phones append it, whatever the metadata say of that."""
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        # Not in the picture itself: an expression takes four times as long to find nothing as ``find`` its end.
        return bool(_VIDEO.search(data, max(data.find(END_OF_IMAGE, scan), scan)))


def with_end(path: Path, file: BinaryIO, scan: int) -> BinaryIO:
    """The file with the marker of its end, which it lacks, if that is all that it lacks.

    A decoder makes up what is missing from whatever it finds: where that makes no difference, nothing is missing.

    Raises:
        PhotoError: pixels are missing.
    """
    file.seek(0)
    data = file.read().rstrip(b"\xff")
    whole = data + END_OF_IMAGE
    others = (data + more + END_OF_IMAGE for more in _ANYTHING)
    if all_scans(data, scan) and all(_same(whole, other) for other in others):
        return BytesIO(whole)
    raise PhotoError(path, "is cut short", COPY_AGAIN)


def _same(one: bytes, other: bytes) -> bool:
    """Whether two files have the same pixels."""
    pictures = [JpegFile(BytesIO(data)) for data in (one, other)]
    return ImageChops.difference(*pictures).getbbox(alpha_only=False) is None


def all_scans(data: bytes, scan: int) -> bool:
    """Whether the scans of a file, the first of which begins at ``scan``, hold every coefficient to its last bit."""
    left: dict[tuple[int, int], int] = {}
    components: set[int] = set()
    for found in re.finditer(b"\xff\xda", data[scan - 2 :]):
        place = scan + found.start() + 2
        (number,) = data[place : place + 1] or b"\0"
        names = data[place + 1 : place + 1 + 2 * number : 2]
        if len(rest := data[place + 1 + 2 * number :][:3]) < 3:
            return False
        first, last, bits = rest
        components.update(names)
        left |= {(name, n): bits & 15 for name in names for n in range(first, min(last, 63) + 1)}
    return bool(components) and all(left.get((name, n)) == 0 for name in components for n in range(64))


def _check_scans(path: Path, data: mmap, start: int) -> None:
    end = data.find(END_OF_IMAGE, start)
    scans = re.finditer(b"\xff\xda", data if end < 0 else memoryview(data)[:end])
    if sum(1 for found in islice(scans, MAX_SCANS * 1000) if found.start() >= start) > MAX_SCANS:
        raise PhotoError(
            path, f"has more than {MAX_SCANS} scans, each of which takes as long to decode as a whole photo", COPY_AGAIN
        )


def segment(kind: int, body: bytes) -> bytes:
    """A segment with this content; ``kind`` is the second byte of its marker."""
    return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body
