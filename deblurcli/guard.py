"""Whether what a network made of a tile can be right. NumPy only.

Half precision overflows, drivers and memory fail, weights may be broken: a tile that is black, burnt out, another one's
or full of garbage must not get into a photo. Taking blur away leaves brightness as it is, adds contrast within limits,
and leaves dark what was dark; what does not is no restoration. On photos, the network of this program comes nowhere
near these limits: it moves means by less than 0.03 and correlates by more than 0.9.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST_SHIFT = 0.15
"""How far the mean of a colour may move, 1.0 is white."""

LARGEST_CHANGE = 0.15, 2.0
"""How large the root mean square of the change may be: of a flat tile, and for each unit of a tile's contrast."""

LEAST_CORRELATION = 0.3
"""Of values before and after …"""

CONTRAST = 0.02
"""… where their standard deviation is larger than this: less may be noise, of which nothing has to remain."""

BLOCK = 16
"""Side in px of the squares that those values are means of, with their neighbours, in tiles that are large enough:
of finer patterns a network may lose all, and ``patterns`` sees to that."""

ROWS = 64
"""Of a tile, whose change is added up at a time: to map memory for all of it takes longer than the sum."""

ENOUGH = 128
"""Rows and columns, evenly spread, that tell the contrast of a tile. Of the change, every pixel counts."""


def is_sound(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Whether ``after`` can be a restored ``before``; both (H, W, C), 1.0 is white."""
    changes = (after[top : top + ROWS] - before[top : top + ROWS] for top in range(0, len(after), ROWS))
    size = np.sqrt(sum(np.vdot(change, change) for change in changes) / after.size)
    if not np.isfinite(size):  # where one value is not, the sum is not either
        return False
    step = min(before.shape[:2]) // ENOUGH | 1  # odd: an even one sees no stripes of two px
    flat, share = LARGEST_CHANGE
    if size > flat + share * before[::step, ::step].std(dtype=np.float64):
        return False
    before, after = _coarse(before), _coarse(after)
    shift = np.abs((after - before).mean(axis=(0, 1), dtype=np.float64)).max()
    if shift > LARGEST_SHIFT:
        return False
    contrast = before.std(dtype=np.float64)
    if contrast <= CONTRAST:
        return True
    together = ((before - before.mean(dtype=np.float64)) * (after - after.mean(dtype=np.float64))).mean()
    return bool(together > LEAST_CORRELATION * contrast * after.std(dtype=np.float64))


def _coarse(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over blocks, (h, w, 3); what is left over at the edges does not count."""
    height, width, colours = picture.shape
    side = max(1, min(BLOCK, min(height, width) // BLOCK))
    rows = picture[: height // side * side].reshape(height // side, side, width * colours).mean(axis=1)
    columns = rows.reshape(len(rows), width, colours)[:, : width // side * side]
    return around(columns.reshape(len(rows), width // side, side, colours).mean(axis=2))


def around(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 3 × 3 values, (h, w, …): beats between blocks and finer patterns even out."""
    wide = np.pad(blocks, [(1, 1), (1, 1), *[(0, 0)] * (blocks.ndim - 2)], mode="edge")
    wide = wide[:-2] + wide[1:-1] + wide[2:]
    return np.asarray((wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]) / 9, np.float32)
