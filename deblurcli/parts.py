"""Parts of a photo that are restored without the rest: what of each copy they take. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.tiling import Plan, Region, Tile


@dataclass(frozen=True)
class Part:
    """A part of a photo and what became of it.

    Attributes:
        region: where it is. before, after: codes, (region.height, region.width, 3), of one type.
        radius: of the blur, px, (region.height, region.width); None from networks that do not tell.
    """

    region: Region
    before: NDArray[Any]
    after: NDArray[Any]
    radius: NDArray[np.float32] | None


def around(region: Region, plan: Plan) -> Tile:
    """A tile of its own for a region of the photo, which shares nothing with neighbours."""
    (top, height), (left, width) = (
        _stretch(side, canvas, plan) for side, canvas in zip(region.slices, plan.canvas.shape, strict=True)
    )
    return Tile(Region(top, left, height, width), region, region, region)


def at_half(region: Region, photo: Region) -> Region:
    """What of a copy of half the size, ``photo``, doubling looks at to fill a region."""
    top, left = region.top // 2 - 1, region.left // 2 - 1
    bottom, right = (region.bottom + 1) // 2 + 1, (region.right + 1) // 2 + 1
    return Region(top, left, bottom - top, right - left).intersection(photo)


def _stretch(side: slice, canvas: int, plan: Plan) -> tuple[int, int]:
    """Where a tile along one axis begins that is final on this side of a region, and how long it is, px."""
    step = plan.multiple_of
    start = max(side.start - plan.halo, 0) // step * step
    length = -(-max(min(side.stop + plan.halo, canvas) - start, plan.min_size) // step) * step
    return min(start, canvas - length), length
