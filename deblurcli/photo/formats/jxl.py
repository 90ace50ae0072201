"""JPEG XL: pixels of every depth by imagecodecs, metadata box by box."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from deblurcli.errors import PhotoError, installs
from deblurcli.photo.colour import bands
from deblurcli.photo.curves import decode, known_space
from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats.boxes import box, boxes
from deblurcli.photo.formats.jxl_header import read_header, restated
from deblurcli.photo.formats.shape import Format, Parts
from deblurcli.photo.formats.sniff import CONVERT, check_size
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import SPACES, Space, icc_profile, profile_of
from deblurcli.photo.transfer import to_float

FORMAT = Format(
    "JPEG XL",
    (".jxl",),
    (8, 16, 32),
    largest=2**30,
    holds=frozenset({"gray", "alpha", "icc", "exif", "xmp"}),
    resolution_in_exif=True,
)
_STORAGE = ("JXL ", "ftyp", "jxll", "jxli", "jbrd")
_TITLES = {"jhgm": "HDR gain map", "jumb": "Content Credentials (C2PA)"}
SIGNATURE = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode a JPEG XL file. Raises PhotoError for what is refused, anything else for what is damaged."""
    data = file.read()
    parts = Parts(_parts(data), _STORAGE, _TITLES)
    stream = parts.take_all("jxlc")[0]  # or its beginning
    header = read_header(bytes(stream[:1024]))
    check_size(path, header.width, header.height, header.channels, max_pixels)
    if header.gray and header.space:
        raise PhotoError(path, "is a gray picture with a tone curve of its own, which is not supported", CONVERT)
    icc = profile_of(header.space) if header.space else _embedded_profile(path, data) if header.profile else None
    exif = parts.take("Exif") or b""
    exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    decoded = Decoded("jxl", imagecodecs.jpegxl_decode(data, index=0), parts, icc, exif, parts.take("xml "), turn=1)
    decoded.cicp = header.cicp
    decoded.take_resolution()
    if header.animated:
        decoded.further = "It is an animation"
    return decoded


def _parts(data: bytes) -> Iterator[tuple[str, bytes | memoryview]]:
    """The boxes, metadata decompressed; each ``jxlc`` is the code stream, or a part of it."""
    if data[:2] == b"\xff\x0a":
        yield "jxlc", memoryview(data)
        return
    for kind, body in boxes(memoryview(data)):
        if kind == b"jxlp":
            yield "jxlc", body[4:]
        elif kind == b"brob":
            known = body[:4] in (b"Exif", b"xml ")
            name = bytes(body[:4]).decode("latin-1")
            yield name, bytes(imagecodecs.brotli_decode(bytes(body[4:]))) if known else b""
        else:
            yield kind.decode("latin-1"), body


def _embedded_profile(path: Path, data: bytes) -> bytes:
    try:
        import pylibjxl  # type: ignore[import-not-found]
    except ImportError as error:
        what = "has a colour profile that only the extra 'jxl' can read"
        raise PhotoError(path, what, f"{installs('jxl')}, with Python 3.11 or newer") from error
    return pylibjxl.decode(data, metadata=True)[1]["icc"]


def write(file: BinaryIO, samples: Samples, photo: Photo, quality: int) -> list[str]:
    """Encode (H, W) or (H, W, C) samples with the metadata of ``photo``; a quality of 100 is lossless.

    The encoder notes no colours but sRGB and its linear form; what is meant is put into the header afterwards.
    Raises ValueError for colours that are not one of ``profiles.SPACES``.
    """
    space = known_space(photo.icc) if photo.icc else SPACES["srgb"]
    if photo.cicp or space is None:
        raise ValueError("its colours are not sRGB, Display P3, Adobe RGB or ProPhoto RGB")
    if quality == 100:
        encoded = imagecodecs.jpegxl_encode(samples, lossless=True, usecontainer=True, numthreads=1)
    else:
        # libjxl's own translation of JPEG's quality.
        distance = 0.1 + (100 - quality) * 0.09 if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25
        light = _linear_srgb(samples, space)
        encoded = imagecodecs.jpegxl_encode(light, distance=distance, usecontainer=True, numthreads=1)
    parts = [(kind, bytes(body)) for kind, body in boxes(memoryview(encoded)) if kind not in (b"JXL ", b"ftyp")]
    file.write(SIGNATURE)
    file.write(b"".join(box(kind, body) for kind, body in parts if kind == b"jxll"))  # has to come first
    if photo.exif:
        file.write(box(b"Exif", bytes(4), photo.exif))
    if photo.xmp:
        file.write(box(b"xml ", photo.xmp))
    stream = b"".join(body[4 * (kind == b"jxlp") :] for kind, body in parts if kind in (b"jxlc", b"jxlp"))
    file.write(box(b"jxlc", restated(stream, space, samples.dtype.itemsize * 8)))
    if photo.icc and photo.icc not in map(icc_profile, SPACES):
        return ["JPEG XL states colours in numbers; the colour profile, which says the same, was dropped."]
    return []


def _linear_srgb(samples: Samples, space: Space) -> Samples:
    """The samples in light, with the primaries of sRGB: what is stored then needs no space of its own. float32."""
    light = np.empty(samples.shape, np.float32)
    srgb = SPACES["srgb"]
    matrix = np.linalg.inv(srgb.adaptation() @ srgb.to_xyz()) @ space.adaptation() @ space.to_xyz()
    colours = slice(0, 3 if samples.ndim == 3 and samples.shape[2] >= 3 else 1)
    for rows in bands(len(samples)):
        values = to_float(samples[rows])
        values = values if values.ndim == 3 else values[..., np.newaxis]
        values[..., colours] = decode(space, values[..., colours])
        if colours.stop == 3:
            values[..., colours] = values[..., colours] @ matrix.T.astype(np.float32)
        light[rows] = values.reshape(light[rows].shape)
    return light
