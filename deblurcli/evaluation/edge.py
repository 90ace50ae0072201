"""How sharp and how clean: a slanted edge, its MTF50 and its overshoot.

The method of ISO 12233: an edge a few degrees off the vertical is crossed by pixels at every fraction of a pixel, so
that its profile can be put together four times finer than the grid; the spectrum of the profile's slope is the
modulation transfer function.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.evaluation.bench import MARGIN, Bench, defocus
from deblurcli.evaluation.rows import Row, Values
from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear
from deblurcli.synthesis.psf import Lens

Array = NDArray[np.float64]

RADII = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # px
CONTRASTS = {"low": (0.4, 0.6), "high": (0.1, 0.9)}  # displayed values left and right of the edge
NOISE = 0.5  # of 255
ANGLE = math.radians(5)
SIDE = 160  # px
REACH = 40  # px on either side of the edge that are looked at
FINER = 4  # bins per px


def distances(side: int) -> Array:
    """How far each pixel's centre lies to the right of the edge through the middle, px: (side, side)."""
    axis = np.arange(side) - (side - 1) / 2
    return axis[None, :] * math.cos(ANGLE) + axis[:, None] * math.sin(ANGLE)


def slanted_edge(low: float, high: float, side: int) -> Picture:
    """An edge between two gray levels, (side, side, 3); pixels on it are mixed by their share, in linear light."""
    share = np.clip(distances(side) + 0.5, 0, 1)
    dark, light = srgb_to_linear(np.array([low, high]))
    encoded = linear_to_srgb(dark + share * (light - dark))
    return np.repeat(encoded[..., None], 3, axis=2).astype(np.float32)


def profile(plane: Array) -> Array:
    """Values across the edge from −``REACH`` to ``REACH`` px in steps of 1/``FINER``: means of the pixels in each."""
    bins = np.floor((distances(plane.shape[0]) + REACH) * FINER).astype(int)
    inside = (bins >= 0) & (bins < 2 * REACH * FINER)
    count = np.bincount(bins[inside], minlength=2 * REACH * FINER)
    return np.bincount(bins[inside], plane[inside], minlength=2 * REACH * FINER) / count


def mtf50(picture: Picture) -> float:
    """The spatial frequency at which contrast has fallen to a half, cycles per px, of an edge picture (H, H, 3).

    Contrast is that of linear light. A sharp pixel grid reaches about 0.6 (the pixel's own aperture); 0.5 is the
    finest that a grid can hold.
    """
    spread = np.diff(profile(srgb_to_linear(picture.mean(axis=2, dtype=np.float64))))
    spectrum = np.abs(np.fft.rfft(spread * np.hanning(len(spread)), 16 * len(spread)))
    mtf = spectrum / spectrum[0]
    frequency = np.fft.rfftfreq(16 * len(spread), 1 / FINER)
    first = int(np.argmax(mtf < 0.5))
    above, below = mtf[first - 1], mtf[first]
    return float(frequency[first - 1] + (above - 0.5) / (above - below) * (frequency[1] - frequency[0]))


def overshoot(picture: Picture, low: float, high: float) -> float:
    """How far displayed values go beyond the two levels, in % of the step; the worse of both sides."""
    values = profile(picture.mean(axis=2, dtype=np.float64))
    return float(max(values.max() - high, low - values.min(), 0.0) / (high - low) * 100)


def edge(bench: Bench) -> Iterator[Row]:
    """MTF50 and overshoot per contrast and blur radius."""
    for name, (low, high) in CONTRASTS.items():
        for radius in RADII:
            generator = torch.Generator().manual_seed(round(10 * radius))
            case = defocus(slanted_edge(low, high, SIDE + 2 * MARGIN), radius, Lens.discs(1), NOISE, generator)
            pictures = {"input": case.blurred, "deblur": bench.restore(case.blurred)}
            values = {
                "mtf50": {method: mtf50(picture) for method, picture in pictures.items()},
                "overshoot": {method: overshoot(picture, low, high) for method, picture in pictures.items()},
            }
            yield Row({"photo": f"{name} contrast", "radius": radius, "noise": NOISE}, values)


def edge_summary(rows: list[Row]) -> Values:
    """The rows as they are: MTF50 in cycles per px and overshoot in % of the step."""
    what = {"mtf50": "MTF50", "overshoot": "overshoot %"}
    return {
        f"{words} {row.labels['photo']} R={row.labels['radius']:g}": row.values[measure]
        for measure, words in what.items()
        for row in rows
    }
