"""The suites that know the truth: sharp pictures blurred by a known radius, and noise on top.

Training looks at the middle of each photo to choose its checkpoints (``validation_cases``). These suites look at
other parts of the photos, through other lenses, so that what they say was not chosen by.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from deblurcli.arrays import Picture
from deblurcli.errors import UsageError
from deblurcli.evaluation.baselines import richardson_lucy, unsharp, why_no_deconvolution, wiener
from deblurcli.evaluation.bench import MARGIN, Bench, Blurred, defocus
from deblurcli.evaluation.metrics import compare, psnr
from deblurcli.evaluation.rows import Row, Values, gain_summary, mean_gains, means, with_label
from deblurcli.evaluation.sheet import detail
from deblurcli.evaluation.validation import CROP, LENSES
from deblurcli.evaluation.validation import MARGIN as VALIDATION_MARGIN

RADII = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 14.0)  # px
NOISE = 1.5  # of 255, standard deviation
OTHER_NOISE = (0.5, 4.0)
OTHER_NOISE_RADII = (1.0, 3.0, 6.0)
SIDE = 192  # px, of the crops
SEED = 7_000_000  # validation stays far below

FLAT = (0.2, 0.5, 0.8)  # displayed gray levels
STRONG_NOISE = (3.0, 5.0, 15.0)  # as in tables 6 and 7 of the paper on GGKMNet
STRONG_NOISE_RADIUS = 3.0


def away_from_the_middle(height: int, width: int, generator: torch.Generator) -> tuple[slice, slice] | None:
    """A square of ``SIDE`` px and a margin in a part of the photo that training's validation never looks at.

    It lies at one of the two ends of the photo's longer side; None if the photo is too small to have such a part.
    """
    side = SIDE + 2 * MARGIN
    longer, shorter = max(height, width), min(height, width)
    end = (longer - CROP) // 2 - VALIDATION_MARGIN
    if end < side or shorter < side:
        return None
    far, along, across = torch.rand(3, generator=generator).tolist()
    first = round(along * (end - side)) + (longer - end if far < 0.5 else 0)
    second = round(across * (shorter - side))
    spans = slice(first, first + side), slice(second, second + side)
    return spans if height >= width else (spans[1], spans[0])


def cases(
    bench: Bench, settings: list[tuple[float, float]], draw: int = 0
) -> Iterator[tuple[str, float, float, Blurred]]:
    """Name, radius, noise and pictures for every photo that is large enough and every (radius, noise).

    The place in the photo and the lens depend on photo and radius and never change between runs; another ``draw`` has
    the same but for its noise.

    Raises:
        UsageError: no photo is large enough.
    """
    found = False
    for number, (name, picture) in enumerate(bench.sharp_pictures()):
        for radius, noise in settings:
            seed = SEED + 1000 * number + round(10 * radius)
            generator = torch.Generator().manual_seed(seed)
            place = away_from_the_middle(picture.shape[0], picture.shape[1], generator)
            if place is None:
                break
            found = True
            lens = LENSES.draw(1, generator)
            grain = torch.Generator().manual_seed(seed + draw * SEED)
            yield name, radius, noise, defocus(picture[place], radius, lens, noise, grain)
    if not found:
        least = CROP + 2 * (VALIDATION_MARGIN + SIDE + 2 * MARGIN)
        raise UsageError(f"{bench.photos}: no photo is large enough", f"The longer side must have {least} px or more.")


def synthetic(bench: Bench) -> Iterator[Row]:
    """Gains per blur radius and noise, with baselines if asked for: PSNR, SSIM, MAE (and LPIPS where installed)."""
    settings = [(radius, NOISE) for radius in RADII]
    settings += [(radius, noise) for noise in OTHER_NOISE for radius in OTHER_NOISE_RADII]
    for name, radius, noise, case in cases(bench, settings):
        pictures = {"input": case.blurred, "deblur": bench.restore(case.blurred)}
        if bench.baselines:
            pictures["unsharp"] = unsharp(case.blurred)
            if not why_no_deconvolution():
                pictures["RL oracle"] = richardson_lucy(case)
                pictures["Wiener oracle"] = wiener(case)
        labels = {"photo": name, "radius": radius, "noise": noise}
        yield Row(labels, compare(pictures, case.sharp), detail(case.blurred, pictures["deblur"], case.sharp))


def synthetic_summary(rows: list[Row]) -> Values:
    """Over all blurred pictures (radius above 0); then gains per radius at the usual noise, and per noise level."""
    blurred = [row for row in rows if row.labels["radius"]]
    lines = gain_summary(blurred)
    lines |= {measure: means(blurred, measure) for measure in rows[0].values}
    lines |= {f"gain R={radius:g}": mean_gains(with_label(rows, radius=radius, noise=NOISE)) for radius in RADII}
    for noise in sorted((NOISE, *OTHER_NOISE)):
        alike = [row for row in with_label(rows, noise=noise) if row.labels["radius"] in OTHER_NOISE_RADII]
        lines[f"gain noise={noise:g}"] = mean_gains(alike)
    return lines


def noise(bench: Bench) -> Iterator[Row]:
    """What becomes of noise: of σ in 1/255 on flat gray and on blurred pictures, and the PSNR gained in spite of it.

    "noise gain" is std(f(x + n) − f(x + m)) / std(n − m) for two draws n and m: 1 leaves noise as it is, 2 doubles it.
    """

    def noise_gain(one: Picture, other: Picture, restored: Picture) -> Values:
        return {"noise gain": {"deblur": float((restored - bench.restore(other)).std() / (one - other).std())}}

    for number, level in enumerate(FLAT):
        for sd in STRONG_NOISE:
            generator = torch.Generator().manual_seed(SEED + number)
            shape = (2, SIDE, SIDE, 3)
            one, other = (level + sd / 255 * torch.randn(shape, generator=generator)).clamp(0, 1).numpy()
            labels = {"photo": f"flat {level:g}", "noise": sd}
            yield Row(labels, noise_gain(one, other, bench.restore(one)))
    settings = [(STRONG_NOISE_RADIUS, sd) for sd in STRONG_NOISE]
    draws = (cases(bench, settings, draw) for draw in (0, 1))
    for (name, radius, sd, case), (_, _, _, twin) in zip(*draws, strict=True):
        restored = bench.restore(case.blurred)
        pictures = {"input": case.blurred, "deblur": restored}
        values = {"psnr": {method: psnr(picture, case.sharp) for method, picture in pictures.items()}}
        labels = {"photo": name, "radius": radius, "noise": sd}
        yield Row(labels, values | noise_gain(case.blurred, twin.blurred, restored))


def noise_summary(rows: list[Row]) -> Values:
    """Mean noise gain on flat gray and on blurred pictures, and mean gain of PSNR, per noise level."""
    lines: Values = {}
    flat, textured = ([row for row in rows if ("psnr" in row.values) == has] for has in (False, True))
    for sd in STRONG_NOISE:
        lines[f"noise gain, flat, noise={sd:g}"] = means(with_label(flat, noise=sd), "noise gain")
        lines[f"noise gain, textured, noise={sd:g}"] = means(with_label(textured, noise=sd), "noise gain")
        lines |= gain_summary(with_label(textured, noise=sd), suffix=f" R={STRONG_NOISE_RADIUS:g} noise={sd:g}")
    return lines
