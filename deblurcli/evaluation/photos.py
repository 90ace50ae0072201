"""The suites on photos as they are: real pairs, photos that are in focus already, and seams between tiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.datasets.pairs import find_pairs
from deblurcli.evaluation.baselines import unsharp
from deblurcli.evaluation.bench import Bench
from deblurcli.evaluation.metrics import compare, psnr, weighted_mean
from deblurcli.evaluation.rows import Row, Values, gain_summary, means, with_label
from deblurcli.evaluation.sheet import detail
from deblurcli.focus import KeepBokeh, radius_map
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_float

SEAM_TILE = 256  # px
SHARPER = 2.0  # times the gradient energy
WINDOW = 4.0  # px, standard deviation of the window that energy is averaged over
FLOOR = (2 / 255) ** 2  # energy below this is noise
MOST_GROUPS = 12  # in a summary
LEAST_SHARE = 0.01  # of the pixels; a mean over fewer says little


def texture(picture: Picture) -> NDArray[np.float64]:
    """The squared gradient of the gray picture (H, W, 3), averaged over a Gaussian window of ``WINDOW`` px: (H, W)."""
    down, right = np.gradient(picture.mean(axis=2, dtype=np.float64))
    reach = round(3 * WINDOW)
    squares = torch.from_numpy(np.pad(down**2 + right**2, reach, mode="edge"))
    return weighted_mean(squares[None, None], WINDOW, reach)[0, 0].numpy()


def out_of_focus(photo: Picture, reference: Picture) -> NDArray[np.bool_]:
    """Where a photo is out of focus, judged by its reference's showing more detail there: (H, W).

    True where the reference has more than ``SHARPER`` times the photo's ``texture``. Both are raised by ``FLOOR`` so
    that noise in flat areas does not decide.
    """
    return texture(reference) + FLOOR > SHARPER * (texture(photo) + FLOOR)


def why_no_pairs(bench: Bench) -> str:
    """In words why there are no real pairs; empty if there are."""
    return "" if bench.pairs else "no folder of real pairs was named (--pairs DIR)"


def real(bench: Bench) -> Iterator[Row]:
    """Gains on real pairs: everywhere, where the photo is out of focus, and in the rest.

    Raises:
        UsageError: the files do not fit the layout. PhotoError: one cannot be read, or its pictures differ in size.
    """
    for pair in find_pairs(bench.pairs, bench.layout) if bench.pairs else ():
        blurred, sharp = pair.read(bench.crop)
        pictures = {"input": blurred, "deblur": bench.restore(blurred)}
        if bench.baselines:
            pictures["unsharp"] = unsharp(blurred)
        values = compare(pictures, sharp)
        mask = out_of_focus(blurred, sharp)
        for place, where in (("out of focus", mask), ("in focus", ~mask)):
            if where.mean() >= LEAST_SHARE:
                values[f"psnr {place}"] = {method: psnr(p, sharp, where) for method, p in pictures.items()}
        labels = {"photo": pair.name, "group": pair.group, "out of focus": float(mask.mean())}
        yield Row(labels, values, detail(blurred, pictures["deblur"], sharp))


def real_summary(rows: list[Row]) -> Values:
    """Over all pairs, per group of pairs where they are few, out of focus (also per group), and in focus."""
    lines = gain_summary(rows)
    lines |= {measure: means(rows, measure) for measure in rows[0].values if not measure.startswith("psnr ")}
    groups = dict.fromkeys(row.labels["group"] for row in rows)
    for group in groups if 1 < len(groups) <= MOST_GROUPS else ():
        its_rows = with_label(rows, group=group)
        lines |= gain_summary(its_rows, suffix=f" {group}")
        lines |= gain_summary(its_rows, "psnr out of focus", f" out of focus {group}")
    lines |= gain_summary(rows, "psnr out of focus", " out of focus")
    lines |= gain_summary(rows, "psnr in focus", " in focus")
    return lines


def sharp(bench: Bench) -> Iterator[Row]:
    """Do no harm: what changes in a photo that is in focus, and what a second pass changes again.

    Method "keep-bokeh" is ``deblur --keep-bokeh``: soft backgrounds are left alone, where the network can tell.
    """
    methods: dict[str, KeepBokeh] = {"deblur": "off"}
    if radius_map(bench.deblurrer.backend.spec, "auto"):
        methods["keep-bokeh"] = "strict"
    for name, picture in bench.sharp_pictures():
        values: Values = {"psnr": {}, "change": {}, "again": {}}
        for method, keep in methods.items():
            once = bench.restore(picture, keep_bokeh=keep)
            values["psnr"][method] = psnr(once, picture)
            values["change"][method] = float(np.percentile(np.abs(once - picture), 99.9)) * 255
            values["again"][method] = psnr(bench.restore(once, keep_bokeh=keep), once)
        yield Row({"photo": name}, values)


def sharp_summary(rows: list[Row]) -> Values:
    """Means, the worst, the 99.9th percentile of the change of code values in 1/255, and PSNR of a second pass."""
    methods = rows[0].values["psnr"]
    return {
        "psnr": means(rows, "psnr"),
        "worst": {method: min(row.values["psnr"][method] for row in rows) for method in methods},
        "99.9 % change by less than": means(rows, "change"),
        "again": means(rows, "again"),
    }


def seams(bench: Bench) -> Iterator[Row]:
    """Tiles against the whole, at full precision: largest and mean difference in 1/255."""
    for name, picture in bench.sharp_pictures():
        how = [
            {
                "tile": tile,
                "careful": bench.careful,
                "even_out": bench.even_out,
                "keep_bokeh": "off",
                "keep_focus": False,
            }
            for tile in ("none", SEAM_TILE)
        ]
        whole, tiles = (bench.deblurrer.restore(Photo(picture), **h).photo.pixels for h in how)
        difference = np.abs(to_float(whole) - to_float(tiles)) * 255
        values = {"largest": float(difference.max()), "mean": float(difference.mean())}
        yield Row({"photo": name, "tile": SEAM_TILE}, {measure: {"deblur": v} for measure, v in values.items()})


def seams_summary(rows: list[Row]) -> Values:
    """The largest and the largest mean difference, in 1/255."""
    return {measure: {"deblur": max(row.values[measure]["deblur"] for row in rows)} for measure in ("largest", "mean")}
