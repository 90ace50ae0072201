"""What can be said of a photo that was restored, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.focus import Kept
from deblurcli.look.picture import Pair, pair
from deblurcli.look.places import BLOCK, STRIP, change_by_block, contrasts, strips
from deblurcli.parts import Part
from deblurcli.photo.transfer import to_float

HARDLY = 0.8 / 255
"""Mean change, 1.0 is white, that 95 % of a photo stay below of which people see no difference."""

CLIPPED = 0.02
"""What is this near to black or white has lost its grain."""

NOISY = 6 / 255
"""Standard deviation in the most even parts of a photo, from which on blur and grain are not told apart."""

SHARP, SOFT = 0.6, 0.4
"""Share of contrast that there is in the photo itself, of what a small copy has: above is focus, below blur."""

BOKEH, MOSTLY = 0.05, 0.5
"""Shares of a photo that are worth a word, and that are the reason."""

BAND = 512
"""Rows that are compared at once."""

LEFT = "the soft background was left alone (--keep-bokeh off restores it)"

IN_FOCUS = "most of the photo is in focus and was left alone (--no-keep-focus sharpens it, too)"

NOTHING = Kept()

FLAT = 1 / 255
"""Contrast, as a root mean square, of what has nothing to sharpen."""


def about_part(name: str, part: Part) -> Pair:
    """A part of a photo before and after, with how far out of focus it is."""
    if part.radius is None:
        return pair(part.before, part.after, name)
    # Where something changed: in even parts nobody knows.
    weight = np.abs(to_float(part.after) - to_float(part.before)).sum(axis=2) + 1e-4
    radius = float(np.average(part.radius, weights=weight))
    said = (
        "in focus" if radius < 0.3 else f"blur radius {radius:.1f} px" if radius < 3 else f"blur radius {radius:.0f} px"
    )
    left = ", left alone" if radius >= 0.3 and np.array_equal(part.before, part.after) else ""
    return pair(part.before, part.after, f"{name}: {said}{left}")


def remark(
    before: NDArray[Any], after: NDArray[Any], amount: float, kept: Kept = NOTHING, everywhere: bool = True
) -> str:
    """Why little was done to a photo, in a few words; nothing where much was done, or where nobody can tell.

    Args:
        before, after: codes (H, W, 3) of whatever depths. amount: how much of the network's change is in ``after``.
        kept: what was left alone. everywhere: neither a mask nor a region said where.
    """
    changes = change_by_block(before, after)
    if amount == 0 or not changes.size:
        return ""
    if not everywhere:
        why = "is flat, or so soft that --keep-bokeh leaves it alone" if kept.bokeh else "has nothing to sharpen"
        return "" if _differs(before, after) else f"nothing changed: the part you chose {why}"
    if np.quantile(changes, 0.95) > amount * HARDLY:
        return ""
    fine, wide = contrasts(before)
    if wide.mean() < FLAT**2:
        return ""
    if kept.bokeh > MOSTLY:
        return f"hardly changed: {LEFT}"
    left = f"; {LEFT}" if kept.bokeh > BOKEH else ""
    if kept.focus > MOSTLY:
        return f"hardly changed: {IN_FOCUS}{left}"
    if changes.any():  # what was left alone says nothing about the rest
        fine, wide = fine[changes > 0], wide[changes > 0]
    noise = noise_of(before)
    if noise > NOISY:
        return "hardly changed: too noisy to tell blur from grain"
    share = (fine.mean() - 6 * noise**2) / wide.mean()  # a second difference of independent values: six variances
    why = ": the photo is in focus" if share > SHARP else ": blurred more than can be undone" if share < SOFT else ""
    return f"hardly changed{why}{left}" if why or left else ""


def _differs(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Whether anything is different at all, at the precision of the coarser of two depths."""
    step = 0.5 / min(np.iinfo(c.dtype).max if c.dtype.kind == "u" else 65535 for c in (before, after))
    for top in range(0, len(before), BAND):
        rows = slice(top, top + BAND)
        if (np.abs(np.nan_to_num(to_float(after[rows])) - np.nan_to_num(to_float(before[rows]))) > step).any():
            return True
    return False


def noise_of(pixels: NDArray[Any]) -> float:
    """Standard deviation of the grain, 1.0 is white, from the parts of a photo (H, W, 3) that have little else."""
    height, width = (side // BLOCK for side in pixels.shape[:2])
    rows = strips(pixels[: BLOCK * height, : BLOCK * width, 1])  # (h, 4, W)
    level = rows.mean(axis=1).reshape(height, width, BLOCK).mean(axis=2)
    rows = rows[:, ::2] - rows[:, 1::2]
    rows = (rows[..., ::2] - rows[..., 1::2]) / 2  # lines in either direction are gone
    grain = np.square(rows).reshape(height, STRIP // 2, width, BLOCK // 2).mean(axis=(1, 3))
    inside = (level > CLIPPED) & (level < 1 - CLIPPED)
    return float(np.sqrt(np.quantile(grain[inside], 0.1))) if inside.any() else 0.0
