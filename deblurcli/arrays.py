"""The conventions of every array in this project, said once.

==============  ==================  =======================================================================
name            shape, dtype        meaning
==============  ==================  =======================================================================
``Picture``     (H, W, 3) float32   RGB as displayed (sRGB-like transfer curve, *not* linear light), in [0, 1]
``Pixels``      (H, W, 3) uint8,    RGB as a file stores it: codes 0…255, 0…65535, or floats where 1.0 is white
                uint16 or float32
``Maps``        name → (C, H, W)    what a network predicted for each pixel; units are in its ``MapSpec``
                float32
tensors         (B, C, H, W)        inside networks; C in the network's own channel order
==============  ==================  =======================================================================

Rows come first, y points down, lengths are in pixels of the array they belong to, and a blur *radius* is the
radius of the circle of confusion (half its diameter). Pictures are upright: EXIF orientation is already applied.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.float32]
# NumPy's types cannot say "one of these three"; the table above does.
Pixels: TypeAlias = NDArray[Any]
Maps: TypeAlias = dict[str, NDArray[np.float32]]
