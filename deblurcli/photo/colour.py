"""Colour models that cannot be kept (CMYK, premultiplied alpha) → RGB, and any depth → what screens show."""

from __future__ import annotations

from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Pixels
from deblurcli.photo.decoded import Samples
from deblurcli.photo.profiles import icc_profile
from deblurcli.photo.transfer import to_codes, to_float

BAND = 256
"""Rows that are worked on at once, so that no intermediate is as large as the photo."""


def bands(height: int) -> Iterator[slice]:
    """Slices of rows that cover 0…height."""
    return (slice(top, min(top + BAND, height)) for top in range(0, height, BAND))


def eight_bits(pixels: Pixels) -> NDArray[np.uint8]:
    """Codes of any depth for screens; a band at a time, so that no whole photo is held as floats."""
    if pixels.dtype == np.uint8:
        return pixels
    codes = np.empty(pixels.shape, np.uint8)
    for rows in bands(len(pixels)):
        codes[rows] = to_codes(np.nan_to_num(to_float(pixels[rows])), np.uint8)
    return codes


def cmyk_to_rgb(cmyk: Samples, icc: bytes | None) -> tuple[Samples, str]:
    """(H, W, 4) uint8 or uint16 ink (0 = none) → (H, W, 3) sRGB of the same depth, and a warning in words.

    The profile is applied with relative colorimetric intent and black point compensation. Without a (usable) one
    each ink just absorbs its complement, as simple viewers do.
    """
    rgb = np.empty((*cmyk.shape[:2], 3), cmyk.dtype)
    note = "it has no colour profile, so the colours are approximate"
    if icc:
        try:
            target = icc_profile("srgb")
            for rows in bands(len(cmyk)):
                rgb[rows] = imagecodecs.cms_transform(
                    np.ascontiguousarray(cmyk[rows]),
                    icc,
                    target,
                    colorspace="cmyk",
                    outcolorspace="rgb",
                    outdtype=cmyk.dtype,
                    intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
                    flags=imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION,
                )
            return rgb, "CMYK was converted to sRGB through its colour profile."
        except imagecodecs.CmsError:
            note = "its colour profile is unusable, so the colours are approximate"
    white = np.iinfo(cmyk.dtype).max
    for rows in bands(len(cmyk)):
        light = white - cmyk[rows].astype(np.uint32)
        rgb[rows] = (light[..., :3] * light[..., 3:] + white // 2) // white
    return rgb, f"CMYK was converted to sRGB; {note}."


def unpremultiply(samples: Samples) -> None:
    """Divide the colours of (H, W, C) samples by their last channel, alpha, in place."""
    top = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    for rows in bands(len(samples)):
        alpha = samples[rows, :, -1:].astype(np.float64)
        straight = samples[rows, :, :-1] * np.divide(top, alpha, out=np.zeros_like(alpha), where=alpha != 0)
        samples[rows, :, :-1] = straight if top == 1.0 else np.rint(np.minimum(straight, top))
