"""The suite of wide blur: radii of 10 to 40 px, on pictures of more than 2 megapixels that are restored as a whole.

Photos that are smaller are not enlarged, which would show no more of anything, but laid side by side, and blurred and
restored as one picture. Each is measured by itself and only where nothing that lies beside it blurs into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from deblurcli.arrays import Picture
from deblurcli.evaluation.baselines import unsharp
from deblurcli.evaluation.bench import Bench, blur_evenly
from deblurcli.evaluation.metrics import compare
from deblurcli.evaluation.rows import Row, Values, gain_summary, mean_gains, means, with_label
from deblurcli.evaluation.sheet import detail
from deblurcli.evaluation.synthetic import NOISE, SEED
from deblurcli.evaluation.validation import LENSES

RADII = (10.0, 14.0, 20.0, 28.0, 40.0)  # px
PART = (512, 768)  # height and width of what is taken from a small photo, px
GRID = (2, 3)  # rows and columns of such parts
REACH = 64  # px; a blur radius of 40 px reaches 62 px
MOST = 8  # pictures


@dataclass(frozen=True)
class Mosaic:
    """One large photo, or several small ones side by side.

    Attributes:
        picture: (H, W, 3), sharp; ``PART`` times ``GRID`` px.
        photos: names, and where nothing but the photo itself is seen even if the whole is blurred by up to 40 px.
    """

    picture: Picture
    photos: list[tuple[str, tuple[slice, slice]]]

    @property
    def name(self) -> str:
        """The names of all photos."""
        return ", ".join(name for name, _ in self.photos)


def mosaics(bench: Bench) -> Iterator[Mosaic]:
    """The first ``MOST`` mosaics of a bench's sharp pictures, of each its middle, turned if it is upright.

    Pictures as large as a mosaic are one by themselves; those smaller than ``PART`` are passed over. Where too few are
    left for the last mosaic, they fill it again, mirrored, and those copies are not among its ``photos``.
    """
    return islice(_mosaics(bench), MOST)


def _mosaics(bench: Bench) -> Iterator[Mosaic]:
    (height, width), (rows, columns) = PART, GRID
    parts: list[tuple[str, Picture]] = []
    for name, picture in bench.sharp_pictures():
        lying = picture if picture.shape[0] <= picture.shape[1] else np.rot90(picture)
        if (whole := _middle(lying, rows * height, columns * width)) is not None:
            yield Mosaic(whole, [(name, _within(0, 0, rows * height, columns * width))])
        elif (part := _middle(lying, height, width)) is not None:
            parts.append((name, part))
        if len(parts) == rows * columns:
            yield _side_by_side(parts)
            parts = []
    if parts:
        yield _side_by_side(parts)


def _side_by_side(parts: list[tuple[str, Picture]]) -> Mosaic:
    (height, width), (rows, columns) = PART, GRID
    pictures = [picture for _, picture in parts]
    while len(pictures) < rows * columns:
        pictures.append(pictures[-len(parts)][:, ::-1])
    lines = [np.concatenate(pictures[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
    corners = ((row * height, column * width) for row in range(rows) for column in range(columns))
    photos = [(name, _within(*corner, height, width)) for (name, _), corner in zip(parts, corners, strict=False)]
    return Mosaic(np.concatenate(lines), photos)


def _middle(picture: Picture, height: int, width: int) -> Picture | None:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    if min(top, left) < 0:
        return None
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def _within(top: int, left: int, height: int, width: int) -> tuple[slice, slice]:
    return slice(top + REACH, top + height - REACH), slice(left + REACH, left + width - REACH)


def why_no_mosaics(bench: Bench) -> str:
    """In words why there are no large pictures; empty if there are."""
    if not bench.photos or next(mosaics(bench), None):
        return ""
    return f"{bench.photos} has no photo of {PART[1]} × {PART[0]} px or more"


def wide(bench: Bench) -> Iterator[Row]:
    """Gains per blur radius, a row for each photo; lens and noise differ by picture and radius, never between runs.

    It looks at the photos' middles as training's validation does, but at radii that this does not go to.
    """
    for number, mosaic in enumerate(mosaics(bench)):
        for radius in RADII:
            generator = torch.Generator().manual_seed(SEED + 1000 * number + round(10 * radius))
            lens = LENSES.draw(1, generator)
            blurred = blur_evenly(mosaic.picture, radius, lens, NOISE, generator)
            pictures = {"input": blurred, "deblur": bench.restore(blurred)}
            if bench.baselines:
                pictures["unsharp"] = unsharp(blurred)
            for name, place in mosaic.photos:
                parts = {method: picture[place] for method, picture in pictures.items()}
                sharp = mosaic.picture[place]
                labels = {"photo": name, "radius": radius, "noise": NOISE}
                yield Row(labels, compare(parts, sharp), detail(parts["input"], parts["deblur"], sharp))


def wide_summary(rows: list[Row]) -> Values:
    """Over all, and gains per radius."""
    lines = gain_summary(rows) | {measure: means(rows, measure) for measure in rows[0].values}
    radii = sorted({row.labels["radius"] for row in rows})
    return lines | {f"gain R={radius:g}": mean_gains(with_label(rows, radius=radius)) for radius in radii}
