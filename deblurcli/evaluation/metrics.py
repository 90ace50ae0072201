"""One definition of each measure. Pictures are (H, W, 3), 1.0 is white."""

from __future__ import annotations

import math

import numpy as np

from deblurcli.arrays import Picture
from deblurcli.photo.transfer import to_codes, to_float


def psnr(picture: Picture, reference: Picture) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and colours, after rounding both to 8 bits.

    Equal pictures give 99.0 instead of infinity, so that means stay finite.
    """
    difference = to_float(to_codes(picture, np.uint8)) - to_float(to_codes(reference, np.uint8))
    mse = float(np.mean(difference.astype(np.float64) ** 2))
    return 99.0 if mse == 0 else min(99.0, -10 * math.log10(mse))
