"""Whole files to begin from, one of every kind that the readers know. All are drawn here."""

from __future__ import annotations

import json
import pickle
import struct
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import imagecodecs
import numpy as np
import tifffile
from bayer import dng
from numpy.lib import format as npy
from PIL import Image

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (24, 40, 4), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(NOISE[:6, :10]).resize((40, 24), Image.Resampling.BICUBIC))
DEEP = (SMOOTH * np.uint16(257)) ^ np.uint16(5)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
PROFILE = imagecodecs.cms_profile("srgb")


def exif(orientation: int = 6) -> bytes:
    """An EXIF block with all its directories, a maker note and a thumbnail."""
    made = Image.Exif()
    made.endian = "<"
    made.update({0x010F: "Maker", 0x0112: orientation, 0x0131: "1.0", 0x011A: 300.0, 0x011B: 150.0, 0x0128: 2})
    made.get_ifd(0x8769).update({0x829A: 0.004, 0x927C: bytes(range(200)), 0xA002: 40, 0xA003: 24})
    made.get_ifd(0x8769)[0xA005] = {1: "R98"}
    made.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 1.5)})
    block = bytearray(made.tobytes().removeprefix(b"Exif\0\0"))
    block += bytes(len(block) % 2)
    (start,) = struct.unpack_from("<I", block, 4)
    (number,) = struct.unpack_from("<H", block, start)
    struct.pack_into("<I", block, start + 2 + 12 * number, len(block))
    place = len(block) + 30
    block += struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, place, 0x0202, 4, 1, 50, 0) + bytes(50)
    return bytes(block)


METADATA: dict[str, Any] = {"exif": b"Exif\0\0" + exif(), "icc_profile": PROFILE, "dpi": (300, 150), "xmp": XMP}


def pillow(mode: str, format: str, **options: Any) -> bytes:
    """A file as Pillow writes it, of a picture in this mode."""
    picture = Image.fromarray(SMOOTH)
    file = BytesIO()
    (picture if mode == "RGBA" else picture.convert("RGB").convert(mode)).save(file, format, **options)
    return bytes(file.getvalue())


def png(samples: np.ndarray) -> bytes:
    """A PNG file with a chunk of every kind that is looked at; text and profile are stored, not compressed."""
    plain = bytes(imagecodecs.png_encode(np.ascontiguousarray(samples)))
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP, 0)
    chunks = {
        b"iCCP": b"profile\0\0" + zlib.compress(PROFILE, 0),
        b"pHYs": struct.pack(">IIB", 11811, 5906, 1),
        b"eXIf": exif(),
        b"iTXt": text,
        b"tEXt": b"Title\0a picture",
    }
    packed = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )
    return plain[:33] + packed + plain[33:]


EXIF_POINTER, NO_TAG = 0x8769, 0x8768
"""tifffile does not write the former, so that the latter takes its place at first."""


def tiff(samples: np.ndarray, **options: Any) -> bytes:
    """A TIFF file with colour profile, XMP, a resolution and an EXIF directory that is a page of its own."""
    file = BytesIO()
    extra = [(700, 1, len(XMP), XMP, True), (274, 3, 1, 6, True), (NO_TAG, 4, 1, 8, True)]
    with tifffile.TiffWriter(file, bigtiff=options.pop("bigtiff", False)) as writer:
        settings = {"iccprofile": PROFILE, "resolution": (300, 150), "resolutionunit": "inch", "metadata": None}
        settings |= {"extratags": extra, "description": "a picture", "software": "1.0"}
        writer.write(samples, **(settings | {"photometric": "rgb"} | options))
    return with_exif_pointer(file.getvalue())


def with_exif_pointer(data: bytes) -> bytes:
    """A TIFF file in which ``NO_TAG`` became the pointer to the EXIF directory."""
    return data.replace(struct.pack("<HHI", NO_TAG, 4, 1), struct.pack("<HHI", EXIF_POINTER, 4, 1))


def webp(**options: Any) -> bytes:
    """A WebP file in a container that holds metadata, too."""
    return pillow("RGBA", "WEBP", **options, **{key: METADATA[key] for key in ("exif", "icc_profile", "xmp")})


RGB, RGB16, FLOAT = SMOOTH[..., :3], DEEP[..., :3], (SMOOTH[..., :3] / np.float32(200)).astype(np.float32)

PHOTOS: dict[str, Callable[[], bytes]] = {
    "jpeg-rgb": partial(pillow, "RGB", "JPEG", **METADATA),
    "jpeg-progressive": partial(pillow, "RGB", "JPEG", progressive=True, restart_marker_blocks=2, **METADATA),
    "jpeg-gray": partial(pillow, "L", "JPEG", **METADATA),
    "jpeg-cmyk": partial(pillow, "CMYK", "JPEG", exif=METADATA["exif"], icc_profile=PROFILE),
    "png-rgb": partial(png, RGB),
    "png-rgba": partial(png, SMOOTH),
    "png-deep": partial(png, RGB16),
    "png-gray": partial(png, SMOOTH[..., 0]),
    "png-palette": partial(pillow, "P", "PNG", transparency=3),
    "png-bits": partial(pillow, "P", "PNG", bits=2),
    "avif": partial(pillow, "RGBA", "AVIF", quality=90, **{k: METADATA[k] for k in ("exif", "icc_profile", "xmp")}),
    "avif-deep": lambda: bytes(imagecodecs.avif_encode(DEEP[..., :3] >> 6, bitspersample=10)),
    "jxl": lambda: bytes(imagecodecs.jpegxl_encode(SMOOTH, usecontainer=True)),
    "jxl-deep": lambda: bytes(imagecodecs.jpegxl_encode(np.ascontiguousarray(RGB16), lossless=True)),
    "jp2": partial(pillow, "RGB", "JPEG2000"),
    "dng": partial(dng, RGB / 255),
    "tiff-plain": partial(tiff, RGB),
    "tiff-lzw": partial(tiff, RGB, compression="lzw", rowsperstrip=5),
    "tiff-deflate": partial(tiff, RGB16, compression="adobe_deflate", predictor=True),
    "tiff-tiles": partial(tiff, RGB, tile=(16, 16), compression="lzw"),
    "tiff-float": partial(tiff, FLOAT, compression="adobe_deflate", predictor=True),
    "tiff-planes": partial(tiff, np.ascontiguousarray(np.moveaxis(RGB16, -1, 0)), planarconfig="separate"),
    "tiff-alpha": partial(tiff, SMOOTH, extrasamples=["assocalpha"]),
    "tiff-cmyk": partial(tiff, SMOOTH, photometric="separated"),
    "tiff-palette": partial(tiff, SMOOTH[..., 0], photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
    "tiff-jpeg": partial(tiff, RGB, compression="jpeg"),
    "tiff-packbits": partial(tiff, SMOOTH[..., 0], photometric="minisblack", compression="packbits"),
    "tiff-bits": partial(tiff, DEEP[..., 0] >> 4, photometric="miniswhite", bitspersample=12),
    "tiff-big": partial(tiff, RGB, bigtiff=True),
    "tiff-motorola": partial(pillow, "RGB", "TIFF", exif=exif(), big_endian=True),
    "webp-lossy": webp,
    "webp-lossless": partial(webp, lossless=True),
    "webp-simple": partial(pillow, "RGB", "WEBP"),
    "bmp-rgb": partial(pillow, "RGB", "BMP", dpi=(300, 150)),
    "bmp-rgba": partial(pillow, "RGBA", "BMP"),
    "bmp-palette": partial(pillow, "P", "BMP"),
}
"""Name, which begins with the format, → the content of a file. A new format needs a line here and its suffix below."""


# ---- weights --------------------------------------------------------------------------------------------------------


def safetensors() -> bytes:
    """A checkpoint for the tiny network."""
    from safetensors.torch import save

    from deblurcli.networks.build import build_network
    from deblurcli.weights.checkpoint import FORMAT, Header

    header = Header("tiny", "fuzzed", config={}, recipe={"steps": 3}, scores={"psnr": 30.0})
    metadata = {"format": FORMAT}
    metadata |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in vars(header).items()}
    return save(build_network("tiny").state_dict(), metadata)


def pytorch(*, modern: bool) -> bytes:
    """A state dict in one of PyTorch's two file formats."""
    import torch

    file = BytesIO()
    weights = {"net.weight": torch.arange(24.0).reshape(2, 3, 4), "net.bias": torch.ones(2, dtype=torch.float16)}
    torch.save({"state_dict": weights, "epoch": 3}, file, _use_new_zipfile_serialization=modern)
    return file.getvalue()


def object_arrays() -> bytes:
    """A list of arrays as numpy pickles it."""
    items = np.empty(3, object)
    items[:] = [RNG.random((3, 3, 2), dtype=np.float32), np.arange(4), np.float32(3)]
    content, file = BytesIO(), BytesIO()
    npy.write_array_header_1_0(content, {"descr": "|O", "fortran_order": False, "shape": (3,)})
    content.write(pickle.dumps(items, protocol=3))
    with ZipFile(file, "w") as archive:
        archive.writestr("params.npy", content.getvalue())
    return file.getvalue()


WEIGHTS: dict[str, Callable[[], bytes]] = {
    "safetensors": safetensors,
    "pth-zip": partial(pytorch, modern=True),
    "pth-pickle": partial(pytorch, modern=False),
    "npz": object_arrays,
}

SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
"""Where a file's suffix is not the name of its format."""


def suffix_of(name: str) -> str:
    """The suffix of a seed's files."""
    kind = name.partition("-")[0]
    return SUFFIXES.get(kind, kind)
