"""Where in a photo there is something to see. NumPy only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deblurcli.photo.transfer import to_float
from deblurcli.tiling import Region

Floats = NDArray[np.float32]

BLOCK = 16
"""Side of the blocks, px, that are told apart. Places begin and end with them."""

STRIP = 4
"""Rows of each block that are looked at where all of them would take too long."""

BAND = 32
"""Rows of blocks that are worked on at once."""

LARGE, SMALL = (288, 448), (192, 208)
"""Height and width of the places in a preview, px."""


class Place(NamedTuple):
    """A part of a photo that tells something, and what."""

    name: str
    region: Region


def telling_places(pixels: NDArray[Any]) -> list[Place]:
    """Up to three places to look at before a photo (H, W, 3) is restored, found without the network.

    Where much contrast is left in a small copy and little in the photo itself, there is blur to take away; where it is
    in both, the photo is in focus.
    """
    if min(pixels.shape[:2]) < 2 * BLOCK:
        return [Place("the photo", Region(0, 0, *pixels.shape[:2]))]
    fine, wide = contrasts(pixels)
    missing = np.sqrt(np.maximum(wide - 2 * fine, 0))
    sharp = np.sqrt(np.minimum(wide, fine))  # grain has nothing in the small copy
    taken = np.zeros(fine.shape, np.float32)
    places: list[Place] = []
    for name, score, size in (
        ("a soft part", missing, SMALL),
        ("a larger part", missing, LARGE),
        ("the sharpest part", sharp, SMALL),
    ):
        region = _best(score, size, pixels.shape[:2], taken)
        if region:
            places.append(Place(name, region))
            taken[_in_blocks(region)] = 1
    return places


def largest_change(before: NDArray[Any], after: NDArray[Any], size: tuple[int, int]) -> Region:
    """The place of this height and width, px, or the whole photo if it is smaller, in which two photos differ most.

    Args:
        before, after: codes (H, W, 3) of whatever depths.
    """
    height, width = before.shape[:2]
    changes = change_by_block(before, after)
    return _best(changes, size, (height, width)) or Region(0, 0, min(size[0], height), min(size[1], width))


def change_by_block(before: NDArray[Any], after: NDArray[Any]) -> Floats:
    """Mean size of the change in each block, 1.0 is white: (⌊H/16⌋, ⌊W/16⌋)."""
    height, width = (side // BLOCK for side in before.shape[:2])
    changes = np.zeros((height, width), np.float32)
    for top in range(0, height if width else 0, BAND):
        rows = slice(BLOCK * top, BLOCK * min(top + BAND, height))
        b, a = (strips(codes[rows, : BLOCK * width]) for codes in (before, after))
        # First along whole rows: that is quick.
        changes[top : top + BAND] = np.abs(a - b).mean(1).reshape(-1, width, BLOCK * 3).mean(2)
    return changes


def strips(codes: NDArray[Any]) -> Floats:
    """Some rows of each block as floats: (H, W, …) → (H/16, 4, W, …), H being a multiple of 16."""
    rows = codes.reshape(-1, BLOCK, *codes.shape[1:])[:, :STRIP]
    return np.nan_to_num(to_float(rows))


def contrasts(pixels: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mean squared second differences in each block, of the photo and of small copies. Even shading has none.

    An edge as sharp as can be has as much of both: in a small copy it is shorter, but so is the side of the photo.
    """
    height, width = (side // BLOCK for side in pixels.shape[:2])
    fine, wide = np.empty((2, height, width), np.float32)
    for top in range(0, height, BAND):
        rows = strips(pixels[BLOCK * top : BLOCK * min(top + BAND, height), : BLOCK * width, 1])
        quarter = rows.reshape(-1, STRIP, STRIP * width, STRIP).mean((1, 3))  # (h, W/4)
        fine[top : top + BAND] = _bends(rows, width).mean(1)
        wide[top : top + BAND] = np.maximum(_bends(quarter, width) / 4, _bends(quarter[:, ::4], width) / 16)
    return fine, wide


def _bends(rows: Floats, width: int) -> Floats:
    """(…, W) → (…, width), the mean square of what each of ``width`` blocks has of second differences."""
    bends = np.diff(rows, 2, axis=-1, append=rows[..., :-3:-1])
    np.square(bends, out=bends)
    return bends.reshape(*rows.shape[:-1], width, -1).mean(-1)


def _best(score: Floats, size: tuple[int, int], photo: tuple[int, ...], taken: Floats | None = None) -> Region | None:
    """The place of this size with the highest score that keeps off what is taken; None if there is none."""
    rows, columns = (min(side // BLOCK, most) for side, most in zip(size, score.shape, strict=True))
    if not rows or not columns:
        return None
    sums = _boxes(score, rows, columns)
    if taken is not None:
        sums[_boxes(taken, rows, columns) > 0.5] = -np.inf
    top, left = (int(i) for i in np.unravel_index(sums.argmax(), sums.shape))
    return Region(top * BLOCK, left * BLOCK, rows * BLOCK, columns * BLOCK) if np.isfinite(sums[top, left]) else None


def _boxes(values: Floats, rows: int, columns: int) -> NDArray[np.float64]:
    """Sums over all boxes of so many blocks. Summed up twice over, any box's is four look-ups."""
    total = np.pad(values, ((1, 0), (1, 0))).astype(np.float64).cumsum(0).cumsum(1)
    return total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]


def _in_blocks(region: Region) -> tuple[slice, slice]:
    return Region(*(side // BLOCK for side in (region.top, region.left, region.height, region.width))).slices
