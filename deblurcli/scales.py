"""From coarse to fine: halved copies of a photo, and how what is changed in each becomes one change. NumPy only.

A network knows blur of a few pixels. Wide blur is that, too, in a copy of the photo that is small enough. So the photo
is halved again and again, and the network changes every copy. From the coarsest on, what it changed in a copy, Δ, and
what came of the coarser copies, C, become D::

    D = Δ + ↑((1 − α) · (C − ↓Δ))

↓ is the mean of 2 × 2 px, ↑ bilinear doubling. Every copy keeps its own finest octave, which no other shows; what the
next coarser one shows as well is shared, by as much, α, as the network trusts what it made of the finer one. Where it
does not say, that is ½. What is added to the photo is the D of the photo itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.networks.spec import NetworkSpec
from deblurcli.photo.transfer import to_codes, to_float
from deblurcli.tiling import Region, mirrored

Scales = Literal["auto"] | int
Floats = NDArray[np.float32]

BAND = 32  # rows of a copy that are made at a time: they fit into a core's cache
# px: blur up to this radius is known from the copy itself, from twice as much on from the next coarser one alone.
KNOWN = 4.0


def scales_of(height: int, width: int, spec: NetworkSpec, wanted: Scales = "auto") -> int:
    """At how many sizes a photo is restored, itself counted.

    A copy that is hardly larger than the least a network accepts, or smaller than what it is to see around a pixel,
    shows it little but the photo's mirrored borders.

    Args:
        wanted: so many where the photo is large enough; "auto" is all for networks that are better so, else 1.
    """
    if wanted == "auto" and not spec.coarse_to_fine:
        return 1
    most, count = (16 if wanted == "auto" else wanted), 1
    while count < most and min(height, width) >> count >= max(2 * spec.min_size, spec.halo):
        count += 1
    return count


def halved(source: NDArray[Any], show: Callable[[NDArray[Any]], Picture]) -> NDArray[np.uint16]:
    """A photo of half the size, each pixel the mean of 2 × 2; where a row or column is left over, it is mirrored.

    Args:
        source: (H, W, 3), of any type. show: its rows → floats in [0, 1], as a network is to see them.

    Returns:
        (⌈H/2⌉, ⌈W/2⌉, 3): sixteen bits, as eight would be too few to filter.
    """
    height, width = ((side + 1) // 2 for side in source.shape[:2])
    copy = np.empty((height, width, 3), np.uint16)
    for top in range(0, height, BAND):
        rows = min(BAND, height - top)
        codes = mirrored(source, Region(2 * top, 0, 2 * rows, 2 * width))
        if codes.dtype == np.uint8 and show is to_float:  # whole numbers, which takes a third of the time
            pairs = np.add(codes[0::2], codes[1::2], dtype=np.uint16)
            copy[top : top + rows] = (np.add(pairs[:, 0::2], pairs[:, 1::2], dtype=np.uint32) * 257 + 2) >> 2
        else:
            copy[top : top + rows] = to_codes(mean_of_squares(show(codes)), np.uint16)
    return copy


def fused(change: Floats, trust: Floats | None, coarser: NDArray[Any]) -> Floats:
    """D of the formula above. ``change`` becomes it, in place.

    Args:
        change: Δ, (h, w, 3), h and w even. trust: α, (h/2, w/2), or None for ½.
        coarser: C at the same place, (h/2, w/2, 3).
    """
    missing = mean_of_squares(change)
    np.subtract(coarser, missing, out=missing)
    missing *= np.float32(0.5) if trust is None else (1 - trust)[..., None]
    return add_doubled(change, missing)


def fused_size(own: Floats, coarser: NDArray[Any]) -> Floats:
    """A length in px, like a blur radius, from the finest copy that knows it: (h, w), by that and the coarser ones.

    Args:
        own: what this copy says, (h, w), h and w even.
        coarser: what the coarser ones say at the same place, (h/2, w/2), in their px.
    """
    wide = add_doubled(np.zeros((*own.shape, 1), np.float32), 2 * coarser.astype(np.float32)[..., None])[..., 0]
    share = (wide / np.float32(KNOWN) - 1).clip(0, 1)
    return np.add(own, share * (wide - own))


def mean_of_squares(picture: Floats) -> Floats:
    """↓: (H, W, C) → (H/2, W/2, C), the means of 2 × 2; H and W are even."""
    rows = np.add(picture[0::2], picture[1::2])
    squares = np.add(rows[:, 0::2], rows[:, 1::2])
    squares *= np.float32(0.25)
    return squares


def add_doubled(picture: Floats, half: Floats) -> Floats:
    """``picture`` (H, W, C) + ↑ ``half`` (H/2, W/2, C), in place: interpolated between the middles of its pixels."""
    wide = np.empty((half.shape[0], picture.shape[1], picture.shape[2]), np.float32)
    near = half * np.float32(0.75)
    far = half * np.float32(0.25)
    wide[:, 0::2] = near
    wide[:, 1::2] = near
    wide[:, 2::2] += far[:, :-1]
    wide[:, 1:-1:2] += far[:, 1:]
    wide[:, 0] += far[:, 0]
    wide[:, -1] += far[:, -1]
    near, far = wide * np.float32(0.75), wide
    far *= np.float32(0.25)
    picture[0::2] += near
    picture[1::2] += near
    picture[2::2] += far[:-1]
    picture[1:-1:2] += far[1:]
    picture[0] += far[0]
    picture[-1] += far[-1]
    return picture
