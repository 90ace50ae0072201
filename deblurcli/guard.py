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


ROWS = 64
"""Of a tile, whose change is added up at a time: to map memory for all of it takes longer than the sum."""

ENOUGH = 128
"""Rows and columns, evenly spread, that tell the means and contrast of a tile. Of the change, every pixel counts."""


def is_sound(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Whether ``after`` can be a restored ``before``; both (H, W, C), 1.0 is white."""
    changes = (after[top : top + ROWS] - before[top : top + ROWS] for top in range(0, len(after), ROWS))
    size = np.sqrt(sum(np.vdot(change, change) for change in changes) / after.size)
    if not np.isfinite(size):  # where one value is not, the sum is not either
        return False
    step = max(1, min(before.shape[:2]) // ENOUGH)
    before, after = (values[::step, ::step] for values in (before, after))
    shift = np.abs((after - before).mean(axis=(0, 1), dtype=np.float64)).max()
    contrast = before.std(dtype=np.float64)
    flat, share = LARGEST_CHANGE
    if shift > LARGEST_SHIFT or size > flat + share * contrast:
        return False
    if contrast <= CONTRAST:
        return True
    together = ((before - before.mean(dtype=np.float64)) * (after - after.mean(dtype=np.float64))).mean()
    return bool(together > LEAST_CORRELATION * contrast * after.std(dtype=np.float64))
