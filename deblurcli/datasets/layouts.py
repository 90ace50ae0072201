"""The data sets that papers on defocus report on: how many pictures, how large, how to be paired, and how cropped.

Sizes and numbers are those in GGKMNet's Table 1, KPAC's section 5 (DPDD's split: 350, 74 and 76 pairs) and P2IKT's
"Experimental Configuration" (DED). How folders and files are *called* stands in none of these papers and has not been
verified on the data sets themselves: ``pairs.find_pairs`` therefore goes by common names of folders and files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deblurcli.arrays import Pixels
from deblurcli.errors import UsageError

Pairing = Literal["suffixes", "folders", "slices", "alone"]


@dataclass(frozen=True)
class Layout:
    """One data set.

    Attributes:
        name: what users type. title: as papers write it.
        pairing: how a blurred photo finds its reference.
            "suffixes": NAME_blur.* and NAME_sharp.* lie side by side.
            "folders": two folders hold files of the same name, or else the same number of files in the same order.
            "slices": the same, but several photos of a scene, focused differently, share one reference.
            "alone": there are no references.
        size: height and width of its pictures in px; None where they differ.
        pictures: how many blurred pictures are tested on; None where no paper at hand says it.
    """

    name: str
    title: str
    pairing: Pairing
    size: tuple[int, int] | None = None
    pictures: int | None = None


LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        Layout("dpdd", "DPDD", "folders", (1120, 1680), 76),
        Layout("lfdof", "LFDOF", "slices", (688, 1008)),
        Layout("realdof", "RealDOF", "folders", None, 50),  # about 1536 × 2320
        Layout("rtf", "RTF", "folders", (360, 360), 22),
        Layout("ded", "DED", "folders", (409, 613)),
        Layout("cuhk", "CUHK", "alone", None, 704),  # about 470 × 610
        Layout("multifocus", "multifocus", "suffixes"),
    )
}

# What both pictures of a pair are cut to before they are compared: multiples of so many px. INIKNet's code: 32, so that
# DPDD loses its 16 rightmost columns. P2IKT: 409 × 613 → 400 × 608 and 360² → 352², which are multiples of 16; which
# border goes, it does not say. GKMNet pads and thus keeps all. P2IKT also shrinks RealDOF to 1120 × 1680 by a filter
# that it does not name, which nothing here repeats.
CROPS = {"whole": 1, "iniknet": 32, "p2ikt": 16}


def crop(pixels: Pixels, protocol: str = "whole") -> Pixels:
    """The part of a picture that a paper's scores are about.

    Args:
        pixels: (H, W, C), of any type and range.
        protocol: a key of ``CROPS``.

    Returns:
        (H', W', C), a view of the top left; H' and W' are the largest multiples that fit, which may be 0.

    Raises:
        UsageError: there is no such protocol.
    """
    if protocol not in CROPS:
        raise UsageError(f"no crop is called '{protocol}'", f"There are: {', '.join(CROPS)}.")
    height, width = (side - side % CROPS[protocol] for side in pixels.shape[:2])
    return pixels[:height, :width]
