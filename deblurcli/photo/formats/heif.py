"""HEIC and HEIF, as phones write them, by pillow-heif: an extra, since its wheels contain libraries under the GPL."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from deblurcli.errors import PhotoError, installs
from deblurcli.photo.decoded import Decoded
from deblurcli.photo.formats.items import lost
from deblurcli.photo.formats.sniff import CONVERT, check_size
from deblurcli.photo.metadata import unmarked
from deblurcli.photo.transfer import full_range

EXTRA = f"{installs('heif')} reads them; or convert it to JPEG, PNG or TIFF first."


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode the main picture of a HEIF file. Raises PhotoError for what is refused, anything else for damage."""
    try:
        import pillow_heif
    except ImportError as error:
        raise PhotoError(path, "is a HEIC picture, which only the extra 'heif' can read", EXTRA) from error
    container = pillow_heif.open_heif(file, convert_hdr_to_8bit=False, bgr_mode=False)
    image = container[container.primary_index]
    check_size(path, *image.size, 4 if image.has_alpha else 3, max_pixels)
    if image.premultiplied_alpha:
        raise PhotoError(path, "has premultiplied colours, which are not supported", CONVERT)
    samples = np.asarray(image)
    info = image.info
    bits = info.get("bit_depth", 8)
    if samples.dtype == np.uint16 and bits < 16:  # the decoder has shifted them up
        samples = full_range(samples >> np.uint16(16 - bits), bits)
    exif = unmarked(info.get("exif"))
    file.seek(0)
    # Pixels are upright already.
    decoded = Decoded("heif", samples, lost(file.read()), info.get("icc_profile"), exif, info.get("xmp"), turn=1)
    if profile := info.get("nclx_profile"):
        decoded.cicp = (profile["color_primaries"], profile["transfer_characteristics"])
        decoded.take_cicp()
    decoded.take_resolution()
    if len(container) > 1:
        decoded.further = f"The file holds {len(container)} pictures"
    return decoded
