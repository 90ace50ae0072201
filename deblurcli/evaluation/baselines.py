"""What others do without learning: sharpening, and deconvolution that is told the true blur.

Deconvolution works on linear light, where the blur happened. It is told the true kernel, what lies beyond the borders
and, Wiener's, how much smoothing suits the picture best. No user can tell it: an upper mark for its kind, not a
competitor.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from deblurcli.arrays import Picture
from deblurcli.errors import installs
from deblurcli.evaluation.bench import Blurred, inside
from deblurcli.evaluation.metrics import psnr
from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear, to_codes, to_float

Plane = NDArray[np.float64]

UNSHARP = ImageFilter.UnsharpMask(radius=2, percent=150, threshold=3)  # Pillow's default
ITERATIONS = 30
BALANCES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # of smoothness against fidelity


def why_no_deconvolution() -> str:
    """In words why there are no oracle baselines here; empty if there are."""
    return "" if find_spec("skimage") else f"scikit-image is not installed: {installs('metrics')}"


def unsharp(picture: Picture) -> Picture:
    """Unsharp masking as Pillow does it, at its usual strength: (H, W, 3) → the same."""
    return to_float(np.asarray(Image.fromarray(to_codes(picture, np.uint8)).filter(UNSHARP)))


def richardson_lucy(case: Blurred) -> Picture:
    """Richardson–Lucy deconvolution, ``ITERATIONS`` steps: (H, W, 3)."""
    from skimage.restoration import richardson_lucy as deconvolve

    border = case.kernel.shape[1] // 2

    def restored(plane: Plane, kernel: Plane) -> Any:
        return deconvolve(np.pad(plane, border, mode="wrap"), kernel, ITERATIONS)[border:-border, border:-border]

    return _for_each_colour(case, restored)


def wiener(case: Blurred) -> Picture:
    """Wiener–Hunt deconvolution: (H, W, 3), the best of all ``BALANCES`` by PSNR."""
    from skimage.restoration import wiener as deconvolve

    def restored(balance: float) -> Picture:
        return _for_each_colour(case, lambda plane, kernel: deconvolve(plane, kernel, balance, clip=False))

    return max(map(restored, BALANCES), key=lambda picture: psnr(picture, case.sharp))


def _for_each_colour(case: Blurred, deconvolve: Callable[[Plane, Plane], Any]) -> Picture:
    linear = srgb_to_linear(case.surroundings).astype(np.float64)
    planes = [deconvolve(linear[..., colour], case.kernel[colour].astype(np.float64)) for colour in range(3)]
    return inside(linear_to_srgb(np.clip(np.stack(planes, axis=2), 0, 1)))
