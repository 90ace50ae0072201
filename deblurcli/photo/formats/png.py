"""PNG: pixels of every depth by imagecodecs (Pillow cuts 16-bit colour to 8), metadata chunk by chunk."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import wrap
from typing import BinaryIO

import imagecodecs
import numpy as np

from deblurcli.errors import PhotoError
from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats.photoshop import CAPTIONS, captions, resource
from deblurcli.photo.formats.shape import Format, Parts
from deblurcli.photo.formats.sniff import BILEVEL, COPY_AGAIN, check_length, check_size
from deblurcli.photo.limits import LARGEST_PART, MAX_CHUNKS, MAX_PARTS, MAX_TEXTS
from deblurcli.photo.metadata import as_text, sensible_dpi
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import SRGB_CURVE, Space, means_colours, profile_of
from deblurcli.photo.transfer import from_video_range

FORMAT = Format(
    "PNG",
    (".png",),
    (8, 16),
    largest=1_000_000,
    holds=frozenset({"gray", "alpha", "icc", "exif", "xmp", "cicp", "iptc", "comment", "texts"}),
)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = len(SIGNATURE) + 25
INFLATED = 2**20
XMP_KEYWORD = b"XML:com.adobe.xmp"
IPTC_KEYWORD = "Raw profile type iptc"
"""As ImageMagick writes captions, and ExifTool reads them: in hexadecimal."""
METRE = 39.37007874015748
"""Inches in a metre."""

_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced picture: the first column and row, and how far it is to the next."""
_ONCE = {b"IHDR", b"PLTE", b"tRNS"}
_PICTURE = _ONCE | {b"IDAT", b"IEND"}
_STORAGE = ("fcTL", "fdAT", "bKGD", "hIST", "sBIT", "sPLT", "tIME", "oFFs", "iDOT", "vpAg", "caNv", "orNT")
_TITLES = {"caBX": "Content Credentials (C2PA)", "mDCV": "mastering display", "cLLI": "light levels", "mkBS": "layers"}
_SRGB: dict[str, tuple[int, ...]] = {
    "gAMA": (45455,),
    "cHRM": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
}


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode a PNG file. Raises PhotoError for what is refused, anything else for what is damaged."""
    _check_header(path, file, max_pixels)
    once: set[bytes] = set()
    others: list[tuple[str, bytes]] = []
    xmp: bytes | None = None
    texts: list[tuple[str, str]] = []
    picture: list[bytes | memoryview] = [SIGNATURE]
    body = whole = memoryview(b"")
    warnings: list[str] = []
    too_many = 0
    for name, body, whole in _chunks(path, file.read(), warnings):
        if name in _PICTURE:
            if name not in once:
                picture.append(whole)
            once |= {name} & _ONCE
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            keyword = bytes(body[:80]).split(b"\0")[0]
            if keyword == XMP_KEYWORD and xmp is None:
                xmp = _international_text(bytes(body), warnings)
            elif len(texts) < MAX_TEXTS:
                texts.append((keyword.decode("latin-1"), _text(name, bytes(body), warnings)))
            else:
                too_many += 1
        else:
            others.append((name.decode("latin-1"), bytes(body)))
    if too_many:
        warnings.append(f"{too_many} PNG text fields were dropped: only the first {MAX_TEXTS} are kept.")
    _check_pixels(path, picture)
    # libpng sees nothing but the picture: it would complain about odd metadata on the user's terminal.
    encoded = b"".join(picture)
    del picture, body, whole  # and with them the file's bytes
    parts = Parts(others, _STORAGE, _TITLES)
    decoded = Decoded("png", _pixels(encoded), parts, exif=parts.take("eXIf"), xmp=xmp, warnings=warnings)
    if (animation := parts.take("acTL")) and (frames := struct.unpack_from(">I", animation)[0]) > 1:
        decoded.further = f"It is an animation of {frames} frames"
    profile, cicp, srgb = (parts.take(name) for name in ("iCCP", "cICP", "sRGB"))
    tags = {name: body for name in _SRGB if (body := parts.take(name)) is not None}
    if profile is not None:
        _, _, rest = profile.partition(b"\0")
        decoded.icc = _inflate(rest[1:], "colour profile", warnings)
    if cicp and len(cicp) == 4 and not cicp[3]:
        has_alpha = decoded.samples.ndim == 3 and decoded.samples.shape[2] in (2, 4)
        colours = decoded.samples[..., :-1] if has_alpha else decoded.samples
        colours[:] = from_video_range(colours)
        warnings.append("Its values were in the narrow range that video uses; they now use the full range.")
    if cicp and len(cicp) == 4 and (decoded.icc is None or means_colours(cicp[0], cicp[1])):
        # It ranks above the profile, which is for programs that do not know it (PNG, third edition, 4.3).
        decoded.icc, decoded.cicp = None, (cicp[0], cicp[1])
        decoded.take_cicp()
    elif profile is None and srgb is None:
        decoded.icc = _colour_tags(tags)
    if (size := parts.take("pHYs")) is not None:
        x, y, unit = struct.unpack(">IIB", size)
        decoded.dpi = sensible_dpi(x / METRE, y / METRE) if unit == 1 else None
    _sort_texts(texts, decoded)
    return decoded


def _check_header(path: Path, file: BinaryIO, max_pixels: int | None) -> None:
    """Refuse what the first chunk tells of, before the file is in memory. Leaves the file at its start."""
    head = file.read(HEADER_END)
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if len(head) < HEADER_END:
        raise PhotoError(path, "is cut short", COPY_AGAIN)
    if head[12:16] != b"IHDR":
        raise PhotoError(path, "is damaged: its header is missing", COPY_AGAIN)
    width, height, depth, colour, *methods = struct.unpack_from(">IIBBBBB", head, 16)
    if (depth, colour) == (1, 0):
        raise PhotoError(path, *BILEVEL)
    if depth not in _DEPTHS.get(colour, ()) or methods[:2] != [0, 0] or methods[2] > 1:
        raise PhotoError(path, "is damaged: no PNG file has pixels of this kind", COPY_AGAIN)
    check_size(path, width, height, _CHANNELS[colour], max_pixels)
    check_length(path, length, width, height)


def _check_pixels(path: Path, picture: list[bytes | memoryview]) -> None:
    """Refuse, within a hundredth of the time that a network takes, pixels that unpack to more than there can be.

    libpng would go through all of it, however much that is.
    """
    width, height, depth, colour = struct.unpack_from(">IIBB", picture[1], 8)
    # The bytes that begin each row are at most twice as many where the file is interlaced.
    left = height * (2 + -(-width * depth * _CHANNELS[colour] // 8)) + width + 64
    inflater = zlib.decompressobj()
    for chunk in picture[2:]:
        data: bytes | memoryview = chunk[8:-4] if chunk[4:8] == b"IDAT" else b""
        while data and left >= 0 and not inflater.eof:
            left -= len(inflater.decompress(data, INFLATED))
            data = inflater.unconsumed_tail
    if left < 0:
        raise PhotoError(path, "is damaged: it holds more than pixels of its size", COPY_AGAIN)
    if not inflater.eof:
        raise PhotoError(path, "is cut short", COPY_AGAIN)


def _pixels(encoded: bytes) -> Samples:
    """The samples of a PNG file that holds nothing but its picture.

    Where it is interlaced, each of the seven passes is decoded as a picture of its own: libpng warns of whole ones on
    the user's terminal.
    """
    width, height, depth, colour, *_, interlaced = struct.unpack_from(">IIBBBBB", encoded, 16)
    if not interlaced:
        return imagecodecs.png_decode(encoded)
    data, others = b"", b""
    for name, body, whole in _chunks(Path(), encoded, []):
        if name == b"IDAT":
            data += body
        elif name not in (b"IHDR", b"IEND"):
            others += whole
    data = zlib.decompress(data)
    samples: Samples | None = None
    start = 0
    for left, top, step_x, step_y in _PASSES:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns < 1 or rows < 1:
            continue
        end = start + rows * (1 + -(-columns * depth * _CHANNELS[colour] // 8))
        header = _chunk(b"IHDR", struct.pack(">IIBB3x", columns, rows, depth, colour))
        body = _chunk(b"IDAT", zlib.compress(data[start:end], 0))
        part = imagecodecs.png_decode(SIGNATURE + header + others + body + _chunk(b"IEND", b""))
        if samples is None:
            samples = np.empty((height, width, *part.shape[2:]), part.dtype)
        samples[top::step_y, left::step_x] = part
        start = end
    assert samples is not None
    return samples


def write(file: BinaryIO, samples: Samples, photo: Photo, quality: int) -> list[str]:
    """Encode (H, W) or (H, W, C) uint8 or uint16 samples with the metadata of ``photo``.

    Level 3 is twice as fast as zlib's default on photos, and its files are no larger.
    """
    encoded = memoryview(imagecodecs.png_encode(samples, level=3))
    file.write(encoded[:HEADER_END])
    if photo.icc:
        file.write(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(photo.icc)))
    if photo.cicp:
        file.write(_chunk(b"cICP", bytes([*photo.cicp, 0, 1])))
    if photo.dpi:
        x, y = (min(round(value * METRE), 2**31 - 1) for value in photo.dpi)
        file.write(_chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if photo.exif:
        file.write(_chunk(b"eXIf", photo.exif))
    if photo.xmp:
        file.write(_chunk(b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + photo.xmp))
    if photo.iptc:
        wrapped = resource(CAPTIONS, photo.iptc)
        lines = "\n".join(wrap(wrapped.hex(), 72))
        file.write(_text_chunk(IPTC_KEYWORD, f"\niptc\n{len(wrapped):8}\n{lines}\n"))
    if photo.comment:
        file.write(_text_chunk("Comment", as_text(photo.comment)))
    for keyword, text in photo.texts:
        file.write(_text_chunk(keyword, text.replace("\0", " ")))
    file.write(encoded[HEADER_END:])
    return []


def _chunks(path: Path, data: bytes, warnings: list[str]) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Name and body of each chunk, and the chunk as a whole. Check sums are verified.

    A damaged part of the picture is an error, a damaged ancillary chunk (its name starts with a lower-case letter)
    is left out.
    """
    view, position = memoryview(data), len(SIGNATURE)
    name = b""
    ancillary = 0
    for _ in range(MAX_CHUNKS):
        if name == b"IEND":
            return
        if position + 12 > len(data):
            raise PhotoError(path, "is cut short", COPY_AGAIN)
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise PhotoError(path, "is cut short", COPY_AGAIN)
        if zlib.crc32(view[position + 4 : end]) == struct.unpack_from(">I", data, end)[0]:
            yield name, view[position + 8 : end], view[position : end + 4]
        elif name[:1].islower():
            warnings.append(f"The {name.decode('latin-1')} part of the PNG file is damaged and was dropped.")
        else:
            raise PhotoError(
                path, f"is damaged: the checksum of its {name.decode('latin-1')} part is wrong", COPY_AGAIN
            )
        position = end + 4
        ancillary += name[:1].islower()
        if ancillary > MAX_PARTS:
            break
    raise PhotoError(path, f"has more than {MAX_PARTS} pieces of metadata", "Save it again with another program.")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _inflate(compressed: bytes, title: str, warnings: list[str]) -> bytes | None:
    """Decompress, but not without end; None, with a warning, for what is damaged or too large."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(compressed, LARGEST_PART)
    except zlib.error:
        text = b""
    if not inflater.eof:
        warnings.append(f"The {title} is damaged or larger than {LARGEST_PART / 1e6:.0f} MB and was dropped.")
        return None
    return text


def _text(name: bytes, body: bytes, warnings: list[str]) -> str:
    """The text of a chunk of any of the three kinds."""
    keyword, _, rest = body.partition(b"\0")
    if name == b"tEXt":
        return rest.decode("latin-1")
    if name == b"zTXt":
        return (_inflate(rest[1:], f"text {keyword.decode('latin-1')}", warnings) or b"").decode("latin-1")
    return (_international_text(body, warnings, f"text {keyword.decode('latin-1')}") or b"").decode("utf-8", "replace")


def _sort_texts(texts: list[tuple[str, str]], decoded: Decoded) -> None:
    """The comment and the captions have places of their own, as other formats know them."""
    for keyword, text in texts:
        if keyword == "Comment" and decoded.comment is None:
            decoded.comment = text.encode()
        elif keyword == IPTC_KEYWORD and decoded.iptc is None:
            with suppress(ValueError):  # what is damaged
                decoded.iptc = captions(bytes.fromhex("".join(text.strip().splitlines()[2:])))
        else:
            decoded.texts.append((keyword, text))


def _text_chunk(keyword: str, text: str) -> bytes:
    try:
        return _chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8"))


def _international_text(body: bytes, warnings: list[str], title: str = "XMP packet") -> bytes | None:
    """The text of an iTXt chunk: keyword, compression flag and method, language, translated keyword, text."""
    _, _, rest = body.partition(b"\0")
    compressed, text = rest[:1] == b"\1", b"".join(rest[2:].split(b"\0", 2)[2:])
    return _inflate(text, title, warnings) if compressed else text


def _colour_tags(found: dict[str, bytes]) -> bytes | None:
    """A profile that says what the chunks of primaries and gamma do; None for sRGB, and for nonsense."""
    try:
        numbers = dict(_SRGB) | {name: struct.unpack(f">{len(_SRGB[name])}I", body) for name, body in found.items()}
        if all(abs(value - norm) <= 100 for n in _SRGB for value, norm in zip(numbers[n], _SRGB[n], strict=True)):
            return None
        white, red, green, blue = ((float(x), float(y)) for x, y in np.reshape(numbers["cHRM"], (4, 2)) / 100_000)
        (gamma,) = numbers["gAMA"]
        curve = SRGB_CURVE if abs(gamma - 45455) <= 100 else (100_000 / gamma,)
        return profile_of(Space("PNG colours", (red, green, blue), white, curve).named())
    except (ArithmeticError, ValueError, struct.error, np.linalg.LinAlgError):
        return None
