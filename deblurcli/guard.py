"""Whether what a network made of a tile can be right. NumPy only.

Half precision overflows, drivers and memory fail, weights may be broken: a tile that is black, burnt out or full of
garbage must not get into a photo. Taking blur away leaves brightness as it is and adds contrast within limits; what
does not is no restoration.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST_SHIFT = 0.1
"""How far the mean of a colour may move, 1.0 is white."""

LARGEST_CHANGE = 0.1, 2.0
"""How large the root mean square of the change may be: of a flat tile, and for each unit of a tile's contrast."""


def is_sound(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Whether ``after`` can be a restored ``before``; both (H, W, C), 1.0 is white."""
    if not np.isfinite(after).all():
        return False
    change = after - before
    shift = np.abs(change.mean(axis=(0, 1), dtype=np.float64)).max()
    flat, contrast = LARGEST_CHANGE
    largest = flat + contrast * before.std(axis=(0, 1), dtype=np.float64).max()
    return bool(shift <= LARGEST_SHIFT and np.sqrt(np.square(change, dtype=np.float64).mean()) <= largest)
