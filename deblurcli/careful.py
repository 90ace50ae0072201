"""A tile looked at once, or four times, mirrored in turn (self-ensemble).

A network answers mirrored pictures a little differently, although it was taught them alike: what it invents changes,
what is in the photo stays (Timofte, Rothe, Van Gool, Seven Ways to Improve Example-Based Single Image Super Resolution,
CVPR 2016). So the mean draws fewer lines that are none, and is nearer to the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.backends.backend import Answer, Backend

Careful = Literal["auto"] | bool

# Thousands of multiply-adds: what iniknet-fast takes for a megapixel, which is seconds on a laptop.
LITTLE = 66e6
MIRRORED = ((0,), (1,), (0, 1))  # axes along which a tile is mirrored to be looked at again


def is_careful(wanted: Careful, backend: Backend, height: int, width: int) -> bool:
    """Whether the tiles of a copy of the photo are looked at four times: "auto" does so where that costs little."""
    return height * width * backend.spec.cost <= LITTLE if wanted == "auto" else wanted


def look(
    backend: Backend, seen: Picture, maps: Sequence[str], averages: Sequence[NDArray[np.float64]], careful: bool
) -> Answer:
    """What the network makes of a tile (h, w, 3); if ``careful``, the mean of that and of what it makes of it mirrored.

    Args:
        maps, averages: as ``Backend.run`` takes them. The maps are always those of the tile as it is.
    """
    answer = backend.run(seen, maps, averages)
    if not careful:
        return answer
    restored, trust = answer.restored.copy(), None if answer.trust is None else answer.trust.copy()
    for axes in MIRRORED:
        mirrored = backend.run(np.ascontiguousarray(np.flip(seen, axes)), (), averages)
        restored += np.flip(mirrored.restored, axes)
        if trust is not None and mirrored.trust is not None:
            trust += np.flip(mirrored.trust, axes)
    share = np.float32(1 / (1 + len(MIRRORED)))
    return Answer(restored * share, answer.maps, None if trust is None else trust * share)
