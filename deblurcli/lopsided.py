"""Lopsided blur, found in a photo and evened out before a network sees it. NumPy only.

Towards the corners of a photo, the barrel of a lens hides a part of its aperture (optical vignetting). A point out of
focus becomes a disc that is dark on one side there, up to a half-moon: bright towards the middle of the photo, or away
from it, as it lies behind what is in focus or before. Networks undo blur that is the same on all sides. That it is not
cannot be seen in a small neighbourhood, but all over a photo it can.

At p from the middle, in halves of the longer side, a disc of radius R is taken to have the brightness 1 + a · u / R at
u, where a is p times the ``lean`` of the photo. Its transfer function, with its centre of weight in the middle, is K.
E − 1 is what has to be added to the photo to leave Re K of it, which is the same on all sides::

    K = (2 J₁(ρ) − 2i s J₂(ρ)) / ρ · exp(i ρ s / 4),    ρ = 2π R |f|,  s = a · f / |f|
    E − 1 = (K* Re K + ε²) / (|K|² + ε²) − 1

As |Re K| is never above |K|, this makes no noise stronger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, hypot, log, log2, sqrt

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.tiling import Region

Floats = NDArray[np.float32]

# Windows in which blur is taken to be the same: px, how far apart they lie, and what is seen around each.
SIDE, STEP, AROUND = 128, 64, 32
EPSILON = 0.06  # ε: of what blur leaves less than that, nothing can be evened out
WIDE, TOO_WIDE = 14.0, 20.0  # px: what is wider than that makes little and no difference to a copy
UNKNOWN, KNOWN = 0.8, 1.6  # px: radii below and above which the network does not know them, and does
UNSEEN = 0.03  # a below this makes no difference

LEAN = 0.7  # of most lenses that have any
SMALL = 1_600_000  # px, of the copy whose blur radius is asked for
FEWEST = 60_000  # px of a photo: smaller ones, and strips narrower than a window, cannot tell
CROPS, CROP = 3, 384  # of a larger copy so many squares are tried, px
BEST = 6.0  # px: of blur as wide it is best known which way it leans
BLURRED = 2.0, 0.1  # nothing is tried unless more than this share is blurred by more than so many px
# What fineness differs by if a photo leans one way and not the other: chance; surely.
CHANCE, SURE = 0.015, 0.045

Cut = Callable[[Region], Picture]  # what a network sees of a part of a copy, or of its mirror image around it


@dataclass(frozen=True)
class Lopsided:
    """How the blur of a photo is lopsided.

    Attributes:
        height, width: of the photo, px.
        lean: a at the middle of its shorter sides. Below 0, discs are brighter towards the middle of the photo.
        radius: of the blur, px of the photo, (h, w) as a halved copy has it.
    """

    height: int
    width: int
    lean: float
    radius: Floats

    def change(self, cut: Cut, region: Region, level: int) -> Floats:
        """What evens blur out, to be added to each colour: (region.height, region.width).

        It is the same whichever region a pixel is asked for with.

        Args:
            cut: of the photo at 1/2 ** ``level`` of its size.
        """
        change = np.zeros(region.shape, np.float32)
        tops, lefts = (
            range(((start - SIDE) // STEP + 1) * STEP, end, STEP)
            for start, end in ((region.top, region.bottom), (region.left, region.right))
        )
        for top in tops:
            blur = [self._blur(top, left, level) for left in lefts]
            wanted = [k for k, (radius, *a) in enumerate(blur) if radius > UNKNOWN and hypot(*a) > UNSEEN]
            if not wanted:
                continue
            left, right = lefts[wanted[0]], lefts[wanted[-1]] + SIDE
            around = Region(top - AROUND, left - AROUND, SIDE + 2 * AROUND, right - left + 2 * AROUND)
            light = cut(around).mean(axis=2)
            for k in wanted:
                seen = light[:, lefts[k] - left :][:, : SIDE + 2 * AROUND]
                added = np.fft.irfft2(np.fft.rfft2(seen) * _evening(*blur[k]), seen.shape)
                window = Region(top, lefts[k], SIDE, SIDE)
                shared = window.intersection(region)
                inside = shared.shift(-window.top, -window.left).slices
                faded = added[AROUND:-AROUND, AROUND:-AROUND] * _hann()
                change[shared.shift(-region.top, -region.left).slices] += faded[inside]
        return change

    def _blur(self, top: int, left: int, level: int) -> tuple[float, float, float]:
        """Of a window of a copy: its blur radius, px of the copy, and a, down and to the right."""
        side, half = 2**level, max(self.height, self.width) / 2
        rows, columns = (
            slice(*(round(np.clip(at * side / of, 0, 1) * n) for at in (start, start + SIDE)))
            for start, of, n in zip((top, left), (self.height, self.width), self.radius.shape, strict=True)
        )
        known = self.radius[rows, columns]
        if not known.size:
            return 0.0, 0.0, 0.0
        usual = float(np.median(known))
        radius = usual / side
        down, across = (
            self.lean * ((start + SIDE / 2) * side - of / 2) / half
            for start, of in ((top, self.height), (left, self.width))
        )
        seen = usual / round(self.width / self.radius.shape[1])  # px of the copy that told
        fade = min(max((seen - UNKNOWN) / (KNOWN - UNKNOWN), 0), 1)
        fade *= min(max((TOO_WIDE - radius) / (TOO_WIDE - WIDE), 0), 1) / max(1, hypot(down, across))
        return radius, down * fade, across * fade


def lopsided(
    copies: Sequence[tuple[int, int, Cut]],
    restored: Callable[[Picture], tuple[Picture, Floats]],
    most: float = SMALL,
) -> Lopsided | None:
    """Whether a photo's blur is lopsided: None if it is not, or if that cannot be told.

    Evened out the right way and restored, a photo has fine, thin edges; evened out the wrong way, it has doubled ones.

    Args:
        copies: height and width of the photo and of halved copies of it, px, and how to cut from them.
        restored: what a network makes of a picture, (h, w, 3), and of its blur radius, px, (h, w).
        most: pixels that it can be shown at once.
    """
    height, width, _ = copies[0]
    small = next((level for level, (h, w, _) in enumerate(copies) if h * w <= min(SMALL, most)), None)
    if small is None or height * width < FEWEST or min(height, width) < SIDE:
        return None

    def told(by: int) -> tuple[Floats, int, list[Region]]:
        h, w, cut = copies[by]
        picture = cut(Region(0, 0, h, w))
        radius = restored(picture)[1] * np.float32(2**by)
        return radius, *_telling(picture, radius, by, len(copies) - 1)

    # Of a large photo, a copy that takes a quarter of the time tells enough if it is in focus, or far out of it.
    first = small + 1 if small > 1 else small
    radius, level, regions = told(by=first)
    if first > small and not regions and np.mean(radius > UNKNOWN * 2**first) >= BLURRED[1]:
        radius, level, regions = told(by=small)
    if not regions:
        return None
    _, _, cut = copies[level]

    def fineness(lean: float) -> float:
        even = Lopsided(height, width, lean, radius)
        tried = [cut(region) + even.change(cut, region, level)[..., None] for region in regions]
        return _fineness([restored(picture)[0] for picture in tried])

    outward, inward = fineness(LEAN), fineness(-LEAN)
    surely = min(max((abs(outward - inward) - CHANCE) / (SURE - CHANCE), 0), 1)
    return Lopsided(height, width, LEAN * surely * (1 if outward > inward else -1), radius) if surely else None


def _telling(picture: Picture, radius: Floats, small: int, last: int) -> tuple[int, list[Region]]:
    """Which copy tells best which way the blur leans, by its level, and where: nowhere if hardly anything is blurred.

    Args:
        picture: the copy at level ``small``, (h, w, 3). radius: of the photo's blur, px of the photo, (h, w).
        last: level of the smallest copy.
    """
    light = picture.mean(axis=2)
    h, w = light.shape
    down, across = np.ogrid[-h / 2 : h / 2 : h * 1j, -w / 2 : w / 2 : w * 1j]
    steep = np.hypot(*np.gradient(light))
    weight = np.hypot(down, across) * steep / (steep + np.float32(1e-2))
    order = np.argsort(radius, axis=None)
    sums = np.cumsum(weight.ravel()[order], dtype=np.float64)
    usual = float(radius.ravel()[order[np.searchsorted(sums, sums[-1] / 2)]])
    # One finer than the copy that told the radius may be better, but no radius is known from half a pixel.
    level = int(np.clip(round(log2(max(usual, 1e-3) / BEST)), max(small - 1, 0), last))
    least, share = BLURRED
    weight = weight * (radius > max(least * 2**level, KNOWN * 2**small)) * (radius < TOO_WIDE * 2**level)
    if np.mean(weight > 0) < share:
        return level, []
    times = 2.0 ** (small - level)  # a px of the copy that told has so many of the other one
    height, width = (ceil(n * times) for n in (h, w))
    if height * width <= CROPS * CROP**2:
        return level, [Region(0, 0, height, width)]
    # Squares on a grid, with most blurred detail far from the middle.
    side = round(CROP / times)
    tops, lefts = (range(0, max(n - side, 0) + 1, side) for n in (h, w))
    worth = {(y, x): weight[y : y + side, x : x + side].sum() for y in tops for x in lefts}
    best = sorted(worth, key=lambda at: -worth[at])[:CROPS]
    inside = Region(0, 0, height, width)
    return level, [Region(round(y * times), round(x * times), CROP, CROP).intersection(inside) for y, x in best]


def _fineness(pictures: Sequence[Picture]) -> float:
    """How fine and how sparse the edges of pictures are, as a logarithm."""
    moments = []
    for picture in pictures:
        light = picture.mean(axis=2)
        down, across = np.diff(light, axis=0)[:, :-1], np.diff(light, axis=1)[:-1]
        steep = np.hypot(down, across)
        curved = np.abs(np.diff(down, axis=0)[:, :-1] + np.diff(across, axis=1)[:-1])
        moments.append([curved.mean(), np.square(steep).mean(), np.sqrt(steep).mean()])
    curved, square, root = np.mean(moments, axis=0) + 1e-12
    return log(curved * sqrt(square) / root**2)


@cache
def _hann() -> Floats:
    """Weights of a window, (SIDE, SIDE): where they overlap, they add up to one."""
    rise = np.sin(np.pi * (np.arange(SIDE) + 0.5) / SIDE) ** 2
    return np.outer(rise, rise).astype(np.float32)


def _evening(radius: float, down: float, across: float) -> NDArray[np.complex64]:
    """E − 1 of the formula above, for windows as ``np.fft.rfft2`` has them; a is given by its parts."""
    f, fy, fx = _frequencies()
    rho = 2 * np.pi * radius * f
    index = (rho / STRIDE).astype(np.intp)
    first, second = _bessel()
    s = fy * np.float32(down) + fx * np.float32(across)
    even, odd, phase = first[index], second[index] * s, rho * s / 4
    cosine, sine = np.cos(phase), np.sin(phase)
    p, q = even * cosine + odd * sine, odd * cosine - even * sine  # K* = p + iq
    scale = q / (np.square(p) + np.square(q) + np.float32(EPSILON**2))
    return (1j * p - q) * scale


@cache
def _frequencies() -> tuple[Floats, Floats, Floats]:
    """|f|, and f / |f| down and to the right."""
    n = SIDE + 2 * AROUND
    fy, fx = np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n), indexing="ij")
    f = np.maximum(np.hypot(fy, fx), 1e-9)
    return f.astype(np.float32), (fy / f).astype(np.float32), (fx / f).astype(np.float32)


STRIDE = 0.02  # of ρ in the table


@cache
def _bessel() -> tuple[Floats, Floats]:
    """2 J₁(ρ) / ρ and 2 J₂(ρ) / ρ in steps of ``STRIDE``, by Bessel's integral."""
    rho = np.arange(STRIDE / 2, 2 * np.pi * TOO_WIDE, STRIDE)[:, None]
    tau = np.pi * (np.arange(256) + 0.5) / 256
    one, two = (2 / rho[:, 0] * np.cos(n * tau - rho * np.sin(tau)).mean(axis=1) for n in (1, 2))
    return one.astype(np.float32), two.astype(np.float32)
