"""Sharpens only what is a little out of focus: python examples/focus_aware.py PHOTO OUT [SMALLEST LARGEST]

Where the blur radius lies between the two (2 and 6 px), the restored photo is taken; where it is smaller, nothing is
missing, and where it is larger, the background may be meant to be soft. Between them one fades into the other.
"""

import sys

import numpy as np
from numpy.typing import NDArray

import deblurcli

FADE = 0.5  # px of blur radius over which the edit fades in and out


def rise(radius: NDArray[np.float32], at: float) -> NDArray[np.floating]:
    """0 below, 1 above ``at``, and a smooth step of twice ``FADE`` px between them."""
    part = np.clip((radius - at) / (2 * FADE) + 0.5, 0, 1)
    return part * part * (3 - 2 * part)


if len(sys.argv) not in (3, 5):
    sys.exit(__doc__)
source, target, *limits = sys.argv[1:]
smallest, largest = map(float, limits or ("2", "6"))

photo = deblurcli.read_photo(source)
deblurrer = deblurcli.load("iniknet-fast")
restored, maps = deblurrer(photo.picture, maps=True)

radius = maps["blur_radius"][0]  # (H, W), px
weight = (rise(radius, smallest) * (1 - rise(radius, largest)))[..., None]
edited = photo.picture + weight * (restored - photo.picture)
deblurcli.write_photo(target, photo.with_picture(edited.astype(np.float32)), description="deblur: focus-aware edit")
print(f"{weight.mean():.0%} of {source} sharpened, where the blur radius is {smallest:g} to {largest:g} px")
