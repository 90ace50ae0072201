"""The suite of maps: do those in px rank pixels as their true blur does, and what radius does a size stand for?

Photos are blurred by known radii in two ways: evenly, a crop for each radius, and as scenes whose depth varies, with
cut-outs in front. Large pictures are tilted planes, for blur up to 40 px. Only pixels count around which the sharp
photo has texture: blur of what is flat cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.evaluation.bench import Bench, displayed, light
from deblurcli.evaluation.photos import texture
from deblurcli.evaluation.rows import Row, Values, means, with_label
from deblurcli.evaluation.synthetic import NOISE, RADII, SEED, cases
from deblurcli.evaluation.validation import LENSES
from deblurcli.evaluation.wide import mosaics
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_codes
from deblurcli.synthesis.defocus import defocus, scenes
from deblurcli.synthesis.scene import blur_by_field

SIZES = ("defocus_size", "blur_radius")  # maps that grow with the blur
LARGEST = 14.0  # px, blur radius
PLANE = (1.0, 40.0)  # px, blur radius at the two ends of a tilted plane
WIDE_RADII = (14.0, 20.0, 28.0, 38.0)  # px
CALIBRATED = 8.0  # px; wider blur than that networks only soften, and sizes hardly grow
TEXTURED = (4 / 255) ** 2  # squared gradient, see ``photos.texture``
STEP = 4  # px; of this many rows and columns, one is looked at: neighbours say the same

Floats = NDArray[np.float64]


def why_no_sizes(bench: Bench) -> str:
    """In words why the network has nothing to measure; empty if it has."""
    return "" if _sizes(bench) else f"{bench.deblurrer.backend.spec.name} has no map of blur in px"


def maps(bench: Bench) -> Iterator[Row]:
    """Medians of even blur, and rank correlations in scenes and on planes.

    Rows keep their pixels, radius first, for the summary.
    """
    for name, radius, noise, case in cases(bench, [(radius, NOISE) for radius in RADII if radius]):
        pixels = _pixels(bench, case.blurred, case.sharp, np.full(case.sharp.shape[:2], radius))
        values = {method: float(np.median(pixels[n])) for n, method in enumerate(_sizes(bench), 1) if pixels.size}
        labels = {"photo": name, "kind": "even", "radius": radius, "noise": noise}
        yield Row(labels, {"median": values} if values else {}, pixels=pixels)
    config = replace(scenes(LARGEST), flat_share=0.0)
    for number, (name, picture) in enumerate(bench.sharp_pictures()):
        case = defocus(picture, config, NOISE, None, torch.Generator().manual_seed(SEED + 1000 * number))
        pixels = _pixels(bench, case.blurred, case.sharp, case.radius)
        labels = {"photo": name, "kind": "scene", "noise": NOISE}
        yield Row(labels, {"Spearman": _ranked(pixels, _sizes(bench))}, pixels=pixels)
    for number, mosaic in enumerate(mosaics(bench)):
        blurred, radius = tilted(mosaic.picture, torch.Generator().manual_seed(SEED + 1000 * number))
        pixels = _pixels(bench, blurred, mosaic.picture, radius)
        labels = {"photo": mosaic.name, "kind": "plane", "noise": NOISE}
        yield Row(labels, {"Spearman": _ranked(pixels, _sizes(bench))}, pixels=pixels)


def tilted(picture: Picture, generator: torch.Generator) -> tuple[Picture, NDArray[np.float32]]:
    """A photo (H, W, 3) of a plane that is tilted away from focus in a random direction, and its blur radius (H, W).

    The radius grows evenly over the picture, as a plane's does, through ``PLANE``.
    """
    y, x = np.indices(picture.shape[:2], np.float32)
    angle = 2 * np.pi * torch.rand(1, generator=generator).item()
    along = x * np.cos(angle) + y * np.sin(angle)
    radius = np.interp(along, (along.min(), along.max()), PLANE).astype(np.float32)
    field = torch.from_numpy(radius)[None, None]
    blurred = blur_by_field(light(picture), field, LENSES.draw(1, generator))
    return displayed(blurred, NOISE, generator), radius


def maps_summary(rows: list[Row]) -> Values:
    """Rank correlations; the median of each map per radius; and the calibration, radius = a · (size − 1)^b.

    The calibration is fitted to the medians of even blur up to ``CALIBRATED`` px, on logarithms; its error is that in
    scenes, of all radii. Planes, which only photos that are large enough make, stand by themselves.
    """
    even, scene = with_label(rows, kind="even"), with_label(rows, kind="scene")
    methods = list(scene[0].values["Spearman"])
    in_even, in_scenes = (_together(those) for those in (even, scene))
    lines = {
        "Spearman": _ranked(np.concatenate([in_even, in_scenes], 1), methods),
        "Spearman, even blur": _ranked(in_even, methods),
        "Spearman, scenes": _ranked(in_scenes, methods),
        "Spearman within a scene": means(scene, "Spearman"),
    }
    radii = sorted({row.labels["radius"] for row in even})
    medians = {radius: means(with_label(even, radius=radius), "median") for radius in radii}
    lines |= {f"median R={radius:g}": values for radius, values in medians.items()}
    fitted = [radius for radius in radii if radius <= CALIBRATED]
    size = np.array([medians[radius]["defocus_size"] for radius in fitted]) - 1
    b, log_a = np.polyfit(np.log(size), np.log(fitted), 1)
    a = float(np.exp(log_a))
    lines |= {"calibration a": {"defocus_size": a}, "calibration b": {"defocus_size": float(b)}}

    def error(pixels: Floats) -> dict[str, float]:
        truth, size, *others = pixels
        found = (a * np.maximum(size - 1, 0) ** b, *others)
        return {method: float(np.median(np.abs(r - truth))) for method, r in zip(methods, found, strict=True)}

    lines["error in scenes, px"] = error(in_scenes)
    if planes := with_label(rows, kind="plane"):
        lines[f"Spearman within a plane, {PLANE[0]:g} to {PLANE[1]:g} px"] = means(planes, "Spearman")
        on_planes = _together(planes)
        for radius in WIDE_RADII:
            there = on_planes[1:, np.abs(on_planes[0] / radius - 1) < 0.05]
            medians_there = np.median(there, axis=1)
            lines[f"median on planes R={radius:g}"] = dict(zip(methods, map(float, medians_there), strict=True))
        lines["error on planes, px"] = error(on_planes)
    return lines


def _together(rows: list[Row]) -> Floats:
    return np.concatenate([row.pixels for row in rows if row.pixels is not None], axis=1)


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation of two (n,): that of the ranks, which equal values share; NaN where all are equal."""

    def ranks(values: Floats) -> Floats:
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[place]

    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


def _sizes(bench: Bench) -> list[str]:
    return [m.name for m in bench.deblurrer.backend.spec.maps if m.name in SIZES]


def _pixels(bench: Bench, blurred: Picture, sharp: Picture, radius: NDArray[np.floating]) -> Floats:
    """True radius and maps of the pixels that have texture, (1 + maps, n), px."""
    photo = Photo(to_codes(blurred, np.uint8))  # as a user's file would be
    found = bench.deblurrer.restore(photo, maps=True).maps
    planes = [radius, *(found[name][0] for name in _sizes(bench))]
    thinned = np.stack(planes)[:, ::STEP, ::STEP].astype(np.float64)
    return thinned[:, texture(sharp)[::STEP, ::STEP] > TEXTURED]


def _ranked(pixels: Floats, methods: list[str]) -> dict[str, float]:
    truth, *found = pixels
    return {method: spearman(values, truth) for method, values in zip(methods, found, strict=True)}
