"""Where a photo is restored, and how strongly: what is meant to be soft, a mask and a region → a strength per pixel.

A soft background is wanted as often as a soft subject is not, and no network can tell them apart. How wide the blur is
tells most: focus that was missed is missed by little. What is blurred wider than a limit is left as it is.

Nor can a network tell slight blur from a camera that draws softly. The whole photo can: where much of it is far softer
than its sharpest parts, these are in focus, as sharp as this camera draws, and are left as they are.

The network's map of the blur radius is right where there is detail and a guess where there is none, and near its limit
it flickers. So it is made whole: around each place, its values are averaged by how much detail there is, and follow the
photo's own colours to the edges of things (a guided filter, whose windows are as large as ``CELL`` limits).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, floor, log
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deblurcli.arrays import Picture
from deblurcli.errors import UsageError
from deblurcli.maps.block_means import BlockMeans
from deblurcli.networks.spec import MapSpec, NetworkSpec
from deblurcli.photo.decode import read_photo
from deblurcli.photo.transfer import to_codes, to_float
from deblurcli.tiling import Region

KeepBokeh = Literal["auto", "strict", "off"] | float
Floats = NDArray[np.float32]

LIMITS = {"auto": (6.0, 0.01), "strict": (1.0, 0.0015)}
"""At least so many px, and so large a share of the photo's longer side: "auto" leaves alone only what nobody takes for
focus that was missed, "strict" all that is seen to be softer than what is in focus."""

SHARPEST, TIMES = 0.2, 2.5
"""It is at least so many times the radius that this share of the photo's detail stays below: where all is blurred,
nothing is in focus for the rest to be a background of."""

FADE = 1.5
"""Blur of so many times the limit is left alone altogether."""

IN_FOCUS = 3.0
"""Blur of so many times that of the sharpest parts is out of focus; between these, a little is."""

SOFT_LENS = 1.0, 2.0
"""Radius in px of the sharpest parts up to which they are taken to be in focus, and from which on they are not."""

APART = 2.0, 3.0
"""So many times as wide as the sharpest parts must the softest be blurred, for the former to be in focus in part, and
altogether. In photos equally blurred all over, the network finds up to twice as much in one place as in another."""

MOST = 0.8
"""The softest parts: so large a share of the photo's detail is less blurred."""

UNSEEN = 0.8
"""Blur radius, px, below which nothing looks softer than anything else."""

CELL = 5.0
"""Half the side of the windows, in limits; for what is in focus, in the least one."""

DETAIL = 4 / 255
"""Contrast of neighbouring blocks at which the radius is half trusted."""

COLOUR = 0.03
"""Colours nearer than this, 1.0 is white, are of one thing."""

BLOCKS = 1_600_000
"""As many blocks as the map may have, for 24 megapixels those of 4 px."""

BAND = 64
"""Rows of the photo that are worked on at once."""

FEATHER = 1 / 8, 32
"""Width of a region's soft border: share of its shorter side, and the most, px."""


# ---- what people ask for ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Area:
    """A rectangle of a photo of any size, as people write it: "X,Y,W,H", each in px or in % of the photo's side.

    Raises:
        UsageError: it is none.
    """

    text: str

    def __post_init__(self) -> None:
        if len(self._sides) != 4 or not (self._sides[2][0] and self._sides[3][0]):
            raise UsageError(
                f"'{self.text}' is not a region: four numbers are needed, X,Y,W,H",
                "From the left, from the top, width and height, in pixels or percent: 100,200,640,480 or "
                "25%,25%,50%,50%.",
            )

    @property
    def _sides(self) -> list[tuple[float, bool]]:
        """Four numbers, and whether they are percent; anything else if it is no area."""
        found = [re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", part) for part in self.text.split(",")]
        return [(float(number[1]), number[2] == "%") for number in found if number] if all(found) else []

    def region(self, height: int, width: int) -> Region:
        """The pixels of a photo that lie in it, if only partly.

        Raises:
            UsageError: it reaches beyond the photo.
        """
        x, y, w, h = (
            number / 100 * side if percent else number
            for (number, percent), side in zip(self._sides, (width, height, width, height), strict=True)
        )
        region = Region(floor(y), floor(x), ceil(round(y + h, 6)) - floor(y), ceil(round(x + w, 6)) - floor(x))
        check_region(region, height, width)
        return region


def check_region(region: Region, height: int, width: int) -> None:
    """Raises UsageError unless the region lies within a photo of this size and is not empty."""
    if 0 in region.shape or region.intersection(Region(0, 0, height, width)) != region:
        raise UsageError(
            f"the region of {region.width} × {region.height} px at {region.left},{region.top} does not lie within "
            f"the photo, which is {width} × {height} px",
            "Percentages fit photos of any size, e.g. 25%,25%,50%,50% for the middle.",
        )


@dataclass(frozen=True, eq=False)
class Mask:
    """A picture that says where to restore.

    Attributes:
        values: (h, w) uint8, 255 restores. name: of its file, for people. sum: eight letters, others for other files.
    """

    values: NDArray[np.uint8]
    name: str = ""
    sum: str = ""


def read_mask(path: Path) -> Mask:
    """A mask from a file: its transparency if it has any, else how light it is.

    Raises:
        PhotoError: the file cannot be read. UsageError: nothing would be restored.
    """
    photo = read_photo(path)
    alpha = None if photo.alpha is None else to_float(photo.alpha)
    values = to_codes(photo.picture.mean(axis=2) if alpha is None or alpha.min() == 1 else alpha, np.uint8)
    if not values.any():
        raise UsageError(f"{path}: this mask is black everywhere", "White restores, black leaves as it is.")
    return Mask(values, path.name, hashlib.sha256(path.read_bytes()).hexdigest()[:8])


def what_to_keep(
    keep_bokeh: KeepBokeh, keep_focus: bool | None, told_where: bool = False
) -> tuple[KeepBokeh, bool | None]:
    """What is kept where people leave it open: nothing, if they say what is to be restored; else whatever is known."""
    if keep_focus is None and (told_where or keep_bokeh not in ("auto", "off")):
        keep_focus = False
    return "off" if told_where and keep_bokeh == "auto" else keep_bokeh, keep_focus


def radius_map(spec: NetworkSpec, keep_bokeh: KeepBokeh, keep_focus: bool | None = False) -> tuple[MapSpec, ...]:
    """The map that bokeh and focus are known by, if they are to be kept; "auto" and None keep what can be known.

    Raises:
        UsageError: the network has none.
    """
    if keep_bokeh == "off" and keep_focus is False:
        return ()
    if not isinstance(keep_bokeh, str) and keep_bokeh <= 0:
        raise UsageError(f"--keep-bokeh is a blur radius above 0 px, not {keep_bokeh:g}")
    found = tuple(m for m in spec.maps if m.across_scales)[:1]
    asked = "--keep-focus" if keep_focus else "--keep-bokeh" if keep_bokeh not in ("auto", "off") else ""
    if asked and not found:
        raise UsageError(
            f"{spec.name} does not say how wide the blur is, so that {asked} cannot go by it",
            "iniknet-fast does. Or say where with --mask or --region.",
        )
    return found


# ---- how strongly -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """What was left alone: blur from which radius on, px, 0 for none; which shares of the photo, as bokeh, in focus."""

    bokeh_from: float = 0.0
    bokeh: float = 0.0
    focus: float = 0.0


@dataclass(frozen=True)
class Where:
    """Where a photo of a size is restored.

    Attributes:
        keep_bokeh: radius in px from which blur is left as it is, see ``limit_for`` for "auto" and "strict"; or "off".
        keep_focus: what is in focus is left as it is, too.
        mask: (h, w) of any size, scaled to the photo: 255 restores, 0 does not.
        region: only here.

    Raises:
        UsageError: the region reaches beyond the photo, or has nothing of the mask.
    """

    height: int
    width: int
    keep_bokeh: KeepBokeh = "off"
    keep_focus: bool = False
    mask: NDArray[np.uint8] | None = None
    region: Region | None = None

    def __post_init__(self) -> None:
        if self.region:
            check_region(self.region, self.height, self.width)
        if self.wanted and 0 in self.wanted.shape:
            raise UsageError("the mask is black all over the region", "White restores, black leaves as it is.")

    @cached_property
    def wanted(self) -> Region | None:
        """What may change, None for everything."""
        wanted = self.region or Region(0, 0, self.height, self.width)
        if self.mask is not None:
            rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
            (top, bottom), (left, right) = (
                # Between its middles, a mask is interpolated: a pixel of it reaches over half of the next.
                (floor(max(on[0] - 0.5, 0) * side / n), ceil(min(on[-1] + 1.5, n) * side / n))
                for on, n, side in zip((rows, columns), self.mask.shape, (self.height, self.width), strict=True)
            )
            wanted = wanted.intersection(Region(top, left, bottom - top, right - left))
        return None if wanted.shape == (self.height, self.width) else wanted

    @property
    def stretched(self) -> bool:
        """Whether the mask has to be stretched to have the photo's shape."""
        if self.mask is None:
            return False
        height, width = self.mask.shape
        return abs(log(height * self.width / width / self.height)) > 0.02 and min(height, width) > 1

    @property
    def side(self) -> int:
        """Of the blocks that blur radii are averaged over, px."""
        side = 2
        while self.height * self.width > BLOCKS * side**2:
            side *= 2
        return side

    def apply(
        self,
        before: NDArray[Any],
        after: NDArray[Any],
        show: Callable[[NDArray[Any]], Picture],
        radius: Floats | None = None,
        known: Region | None = None,
    ) -> Kept:
        """Puts the photo back into ``after`` where it is not to be restored, in place.

        Args:
            before, after: codes of the photo and what became of it, (H, W, 3), of whatever depths.
            show: makes of codes, (h, w, 3), what the network sees.
            radius: of the blur, px, (H, W) or means over blocks of ``side``; None to keep neither bokeh nor focus.
            known: where it was computed, None for everywhere.
        """
        kept, share = Kept(), None
        if radius is not None:
            kept, share = self._kept(in_blocks(before, self.side, show), radius, known)
        if share is None and self.mask is None and self.region is None:
            return kept
        for top in range(0, self.height, BAND):
            rows = slice(top, min(top + BAND, self.height))
            strength = self._strength(rows, share)
            if strength.min() < 1:
                after[rows] = blended(before[rows], after[rows], strength)
        return kept

    def in_parts(
        self, light: Picture, radius: Floats, regions: Sequence[Region], near: Sequence[tuple[Picture, Floats]]
    ) -> list[Floats]:
        """How strongly regions of the photo are restored, (h, w) each, by the blur radius of a small copy of it.

        Args:
            light: the photo as shown, in blocks of ``side`` px.
            radius: px of the photo, (H, W) or in blocks that are as large or larger by a power of two.
            near: the regions themselves as shown, and their blur radius, in blocks of ``side`` px: a small copy does
                not tell what is in focus from what nearly is.
        """
        where = self
        if radius.shape != (self.height, self.width):
            times = round(light.shape[0] / radius.shape[0])
            radius = radius.repeat(times, 0).repeat(times, 1)[: light.shape[0], : light.shape[1]]
            where = replace(self, keep_focus=False)
        _, share = where._kept(light, radius, None)
        strengths = [self._strength(region.slices[0], share)[:, region.slices[1]] for region in regions]
        if self.keep_focus and not where.keep_focus:
            _, most = _radii_of(radius[::2, ::2], _detail(light)[::2, ::2])
            seen = [(shown, _detail(shown), own) for shown, own in near]
            sharpest, _ = _radii_of(*(np.concatenate([s[k].ravel() for s in seen]) for k in (2, 1)))
            for strength, (shown, detail, own) in zip(strengths, seen, strict=True):
                focus = self._whole(in_focus(own, sharpest, most), shown, detail, LIMITS["auto"][0])
                np.minimum(strength, 1 - _resized(focus, strength.shape), out=strength)
        return strengths

    def _kept(self, light: Picture, radius: Floats, known: Region | None) -> tuple[Kept, Floats | None]:
        """What is left alone, and how much of each block, (h, w); None if nothing is."""
        side = self.side
        if radius.shape == (self.height, self.width):
            radius = in_blocks(radius[..., None], side, to_float)[..., 0]
        detail = _detail(light)
        if known:
            trusted = np.zeros(detail.shape, np.float32)
            (top, left), (bottom, right) = (-(-known.top // side), -(-known.left // side)), (known.bottom, known.right)
            trusted[top : -(-bottom // side), left : -(-right // side)] = 1
            detail *= trusted
        sharpest, most = _radii_of(radius[::2, ::2], detail[::2, ::2])  # tell as much
        limit = limit_for(self, sharpest)
        bokeh = _step((radius / limit - 1) / (FADE - 1)) if limit else np.zeros_like(radius)
        focus = in_focus(radius, sharpest, most) if self.keep_focus else np.zeros_like(radius)
        if not (bokeh.any() or focus.any()):
            return Kept(limit), None
        shares = [self._whole(of, light, detail, reach) for of, reach in ((bokeh, limit), (focus, LIMITS["auto"][0]))]
        return Kept(limit, *(float(np.mean(share > 0.5)) for share in shares)), np.maximum(*shares)

    def _whole(self, share: Floats, light: Picture, detail: Floats, limit: float) -> Floats:
        """A share of each block, made whole."""
        return _step((spread(share, light, detail, CELL * limit / self.side) - 0.1) / 0.8) if share.any() else share

    def _strength(self, rows: slice, share: Floats | None) -> Floats:
        """Of these rows, (h, W): all that was asked for, multiplied; without the ``share`` that is left alone."""
        strength = np.ones((rows.stop - rows.start, self.width), np.float32)
        if share is not None:
            box = self._box(rows, self.height / self.side, self.width / self.side)
            strength -= _resized(share, strength.shape, box)
        if self.mask is not None:
            strength *= to_float(_resized(self.mask, strength.shape, self._box(rows, *self.mask.shape)))
        if self.region:
            down, across = (_ramp(self.region, axis, side) for axis, side in enumerate((self.height, self.width)))
            strength *= down[rows, None] * across
        return strength

    def _box(self, rows: slice, height: float, width: float) -> tuple[float, float, float, float]:
        """Where these rows lie in a picture of the photo that has another size."""
        return 0, rows.start * height / self.height, width, rows.stop * height / self.height


def blended(before: NDArray[Any], after: NDArray[Any], strength: Floats) -> NDArray[Any]:
    """What becomes of codes (h, w, 3) if they change only by ``strength`` (h, w): of the type of ``after``."""
    own = to_float(before)
    with np.errstate(invalid="ignore"):  # what is infinite does not change
        change: Floats = np.nan_to_num(to_float(after) - own, posinf=0, neginf=0)
    change *= strength[..., None]
    return to_codes(own + change, after.dtype)


def limit_for(where: Where, sharpest: float) -> float:
    """From which blur radius on, px, blur is taken for wanted; 0 if none is.

    Args:
        where: "auto" and "strict" go by the photo's size, and by how sharp its sharpest parts are.
        sharpest: their radius, px.
    """
    if where.keep_bokeh == "off":
        return 0.0
    if not isinstance(where.keep_bokeh, str):
        return where.keep_bokeh
    least, share = LIMITS[where.keep_bokeh]
    return float(max(least, share * max(where.height, where.width), TIMES * sharpest))


def in_focus(radius: Floats, sharpest: float, most: float) -> Floats:
    """How far each block is in focus, by its blur radius: as sharp as the photo's sharpest parts, or nearly so.

    A photo about equally soft all over has nothing in focus, nor has one whose sharpest parts are too soft for that.

    Args:
        radius: px, (h, w). sharpest, most: radii that ``SHARPEST`` and ``MOST`` of the photo's detail stay below.
    """
    lens = 1 - _step((sharpest - SOFT_LENS[0]) / (SOFT_LENS[1] - SOFT_LENS[0]))
    apart = _step((most / max(sharpest, UNSEEN) - APART[0]) / (APART[1] - APART[0]))
    return lens * apart * (1 - _step((radius / max(sharpest, 1e-3) - 1) / (IN_FOCUS - 1)))


def _radii_of(radius: Floats, detail: Floats) -> tuple[float, float]:
    """The radii, px, that ``SHARPEST`` and ``MOST`` of the detail stay below. Both are by blocks, of one shape."""
    order = np.argsort(radius, axis=None)
    sums = np.cumsum(detail.ravel()[order] + 1e-6, dtype=np.float64)  # of a flat photo, all of it counts
    sharpest, most = (float(radius.ravel()[order[np.searchsorted(sums, s * sums[-1])]]) for s in (SHARPEST, MOST))
    return sharpest, most


def spread(values: Floats, light: Picture, weights: Floats, cell: float) -> Floats:
    """Values made whole: a weighted guided filter.

    Args:
        values: (h, w). light: (h, w, 3), the picture whose edges they are to follow.
        weights: (h, w), how far each value is right; where none is, those of a wider neighbourhood count.
        cell: half the side of the windows, px of ``values``.
    """
    shape = values.shape
    near, far = (tuple(max(round(side / cell / times), 1) for side in shape) for times in (1, 4))
    weights = (weights + 1e-4).astype(np.float32)

    def mean(of: Floats, to: tuple[int, ...] = near) -> Floats:
        sums: Floats = _resized(weights * of, to)
        return np.divide(sums, _resized(weights, to), dtype=np.float32)

    wide = _resized(mean(values, far), near)
    trust = _resized(weights, near)
    trust = (trust / (trust + 0.05)).astype(np.float32)
    colours = [np.ascontiguousarray(light[..., k]) for k in range(3)]
    middle, colour = mean(values), np.stack([mean(c) for c in colours], -1)
    along = np.stack([mean(c * values) for c in colours], -1) - middle[..., None] * colour
    among = np.stack([np.stack([mean(a * b) for b in colours], -1) for a in colours], -1)
    among += COLOUR**2 * np.eye(3) - colour[..., None] * colour[..., None, :]
    slope = np.linalg.solve(among, along[..., None])[..., 0].astype(np.float32) * trust[..., None]
    whole: Floats = _resized(trust * middle + (1 - trust) * wide - (slope * colour).sum(-1), shape)
    for k, c in enumerate(colours):
        whole = whole + _resized(slope[..., k], shape) * c
    return whole


def in_blocks(source: NDArray[Any], side: int, show: Callable[[NDArray[Any]], Floats]) -> Floats:
    """What is shown of a photo or map, (H, W, C), averaged over blocks, (h, w, C); those at the end may be smaller."""
    height, width, channels = source.shape
    blocks = BlockMeans(channels, height, width, side)
    for top in range(0, height, BAND):
        rows = source[top : top + BAND]
        blocks.add(Region(top, 0, len(rows), width), show(rows))
    return np.moveaxis(blocks.means(), 0, -1)


def _detail(light: Picture) -> Floats:
    """How far the radius is known from what there is in each block, (h, w, 3) → (h, w) in [0, 1)."""
    gray = light.mean(axis=2)
    squares = np.zeros_like(gray)
    squares[:-1] += np.diff(gray, axis=0) ** 2
    squares[:, :-1] += np.diff(gray, axis=1) ** 2
    squares /= squares + np.float32(DETAIL**2)
    return squares


def _ramp(region: Region, axis: int, side: int) -> Floats:
    """How much of a region each row (axis 0) or column of the photo has: it fades out where the photo goes on."""
    first, end = (region.top, region.bottom) if axis == 0 else (region.left, region.right)
    width = max(min(FEATHER[0] * min(region.shape), FEATHER[1]), 1)
    place = np.arange(side) + 0.5
    rise = (place - first) / width if first else np.ones(side)
    fall = (end - place) / width if end < side else np.ones(side)
    return _step(np.minimum(rise, fall))


def _step(part: Any) -> Floats:
    """0 up to 0, 1 from 1 on, smooth between."""
    part = np.clip(part, 0, 1).astype(np.float32)
    return part * part * (3 - 2 * part)


def _resized(
    plane: NDArray[Any], shape: tuple[int, ...], box: tuple[float, float, float, float] | None = None
) -> NDArray[Any]:
    """A plane, or a part of it, at another size: interpolated between middles, averaged where it becomes smaller."""
    return np.asarray(Image.fromarray(plane).resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box=box))
