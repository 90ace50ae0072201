"""Fine patterns that a network took for blur, put back.

Networks know photos. In stripes of two or three pixels, as screens, prints and fabrics have them, they may see blur,
and take away the stripes; what comes instead looks like coloured noise. Taking blur away adds detail and loses none: on
photos, nearly everywhere, more than 0.9 of it remains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.guard import around
from deblurcli.photo.transfer import to_codes, to_float

BLOCK = 16
"""Side of the blocks, px, that are told apart, each with those around it."""

ENOUGH = 4
"""Rows of each block that are looked at."""

LEAST, DETAIL = 0.4, 0.05
"""Share of a block's detail that has to remain, where its standard deviation is larger than the second."""

SEEN = np.array([0.2, 0.5, 0.3], np.float32)
"""Shares of red, green and blue. No two are alike, so that stripes of any two colours are told apart."""

BAND = 32
"""Rows of blocks that are worked on at once."""


def keep_patterns(
    before: NDArray[Any], after: NDArray[Any], show: Callable[[NDArray[Any]], Picture], amount: float = 1.0
) -> float:
    """Puts fine patterns that are gone back into ``after``, in place.

    Args:
        before, after: codes of a photo and what became of it, (H, W, 3), of whatever depths.
        show: makes of codes, (h, w, 3), what the network sees.
        amount: how much of the network's change is in ``after``, 0 … 1.

    Returns:
        The share of the photo that this was necessary in.
    """
    height, width = (side // BLOCK for side in before.shape[:2])
    if not height or not width:
        return 0.0
    own, common = np.empty((2, height, width), np.float32)
    for top in range(0, height, BAND):
        rows = slice(top, min(top + BAND, height))
        b, a = (_blocks(codes[BLOCK * rows.start : BLOCK * rows.stop], show) for codes in (before, after))
        own[rows] = np.einsum("iajb,iajb->ij", b, b)
        common[rows] = np.einsum("iajb,iajb->ij", a, b)
    own, common = around(own), around(common)
    lost = (own > DETAIL**2 * ENOUGH * BLOCK) & (common < (1 - amount * (1 - LEAST)) * own)
    if lost.any():
        share = np.pad(around(lost.astype(np.float32)), 1, mode="edge")  # of what was before
        down, right = (_between(number, side) for number, side in zip(share.shape, before.shape, strict=False))
        for top in range(0, len(before), BLOCK * BAND):
            rows = slice(top, top + BLOCK * BAND)
            back = (down[rows] @ share @ right.T)[..., None]
            if back.any():
                changed = to_float(after[rows])
                after[rows] = to_codes(changed + back * (to_float(before[rows]) - changed), after.dtype)
    return float(np.mean(lost))


def _blocks(codes: NDArray[Any], show: Callable[[NDArray[Any]], Picture]) -> NDArray[np.float32]:
    """What varies in each block, (h, ENOUGH, w, BLOCK)."""
    height, width = len(codes) // BLOCK, codes.shape[1] // BLOCK
    rows = codes[:, : width * BLOCK].reshape(height, BLOCK, width * BLOCK, 3)[:, :ENOUGH]
    seen = (show(rows.reshape(height * ENOUGH, width * BLOCK, 3)) @ SEEN).reshape(height, ENOUGH, width, BLOCK)
    return seen - seen.mean(axis=(1, 3), keepdims=True)


def _between(number: int, side: int) -> NDArray[np.float32]:
    """The matrix (side, number) from blocks, one more at each end, to pixels: linear between their middles."""
    place = np.minimum((np.arange(side) + 0.5) / BLOCK + 0.5, number - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(number))).astype(np.float32)
