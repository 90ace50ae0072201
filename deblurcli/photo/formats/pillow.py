"""What Pillow does for the formats that it reads and writes."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from deblurcli.errors import PhotoError
from deblurcli.photo.colour import bands
from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats.sniff import BILEVEL, CONVERT, check_size
from deblurcli.photo.metadata import sensible_dpi, unmarked


def decode(path: Path, image: ImageFile, lost: Iterable[str], max_pixels: int | None) -> Decoded:
    """A file that Pillow has opened; CMYK stays CMYK."""
    check_size(path, *image.size, len(image.getbands()), max_pixels)
    info = image.info
    exif = unmarked(info.get("exif"))
    name = str(image.format).lower()
    decoded = Decoded(name, _samples(path, image), lost, info.get("icc_profile"), exif, info.get("xmp"))
    if "dpi" in info and info.get("jfif_unit") != 0:
        decoded.dpi = sensible_dpi(*map(float, info["dpi"]))
    elif name == "jpeg":
        decoded.take_resolution()
    return decoded


def _samples(path: Path, image: ImageFile) -> Samples:
    """The samples of a Pillow image as uint8 (H, W, C), copied a band at a time: at once would hold them thrice."""
    image.load()
    source = image
    if image.mode == "1":
        raise PhotoError(path, *BILEVEL)
    if image.mode == "P":
        source = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        raise PhotoError(path, f"has a pixel format that is not supported ({image.mode})", CONVERT)
    width, height = source.size
    samples = np.empty((height, width, len(source.getbands())), np.uint8)
    for rows in bands(height):
        band = np.asarray(source.crop((0, rows.start, width, rows.stop)))
        samples[rows] = band.reshape(samples[rows].shape)
    return samples


def encode(samples: Samples, format: str, **options: object) -> memoryview:
    """The file as Pillow writes it. By way of memory: on a full disk its own writing says but 'encoder error'."""
    buffer = BytesIO()
    Image.fromarray(samples).save(buffer, format, **options)
    return buffer.getbuffer()
