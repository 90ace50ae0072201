"""Can it be read again? Printed pages, blurred by a disc, go to an OCR program before and after."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from PIL import Image

from deblurcli.arrays import Picture
from deblurcli.errors import DeblurError
from deblurcli.evaluation.bench import MARGIN, Bench, defocus
from deblurcli.evaluation.drawn import FONTS, page
from deblurcli.evaluation.rows import Row, Values, means, with_label
from deblurcli.photo.transfer import to_codes
from deblurcli.synthesis.psf import Lens

RADII = (0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)  # px; the font's size is 20 px
NOISE = 1.0  # of 255
LEGIBLE = 0.7  # share of characters, the pass mark of the Helsinki Deblur Challenge 2021


def why_no_reader() -> str:
    """In words why print cannot be read here; empty if it can."""
    return "" if shutil.which("tesseract") else "the program tesseract is not installed (Debian: tesseract-ocr)"


def read(picture: Picture) -> str:
    """What Tesseract reads on a page, (H, W, 3), taken for one block of English print.

    Raises:
        DeblurError: it failed.
    """
    file = io.BytesIO()
    Image.fromarray(to_codes(picture, np.uint8)).convert("L").save(file, "png")
    done = subprocess.run(
        ["tesseract", "stdin", "stdout", "--psm", "6", "-l", "eng"],
        input=file.getvalue(),
        capture_output=True,
        # Its threads cost more than they bring on small pages.
        env=os.environ | {"OMP_THREAD_LIMIT": "1"},
    )
    if done.returncode:
        hint = "Is its language 'eng' installed (Debian: tesseract-ocr-eng)?"
        raise DeblurError(f"tesseract failed: {done.stderr.decode(errors='replace').strip()}", hint)
    return done.stdout.decode()


def edits(one: str, other: str) -> int:
    """Levenshtein distance: how many characters must be inserted, removed or exchanged to make one the other."""
    distances = list(range(len(other) + 1))
    for row, a in enumerate(one, 1):
        before, distances[0] = distances[0], row
        for column, b in enumerate(other, 1):
            here = min(distances[column] + 1, distances[column - 1] + 1, before + (a != b))
            before, distances[column] = distances[column], here
    return distances[-1]


def accuracy(seen: str, truth: str) -> float:
    """1 − edits ÷ length of the truth, at least 0. Any run of white space counts as one blank."""
    seen, truth = (" ".join(text.split()) for text in (seen, truth))
    return max(0.0, 1 - edits(seen, truth) / len(truth))


def text(bench: Bench) -> Iterator[Row]:
    """Character accuracy per font and blur radius."""
    for name in FONTS:
        picture, truth = page(name)
        picture = np.pad(picture, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
        for radius in RADII:
            generator = torch.Generator().manual_seed(round(10 * radius))
            blurred = defocus(picture, radius, Lens.discs(1), NOISE, generator).blurred
            pages = {"input": blurred, "deblur": bench.restore(blurred)}
            values = {method: accuracy(read(seen), truth) for method, seen in pages.items()}
            yield Row({"photo": name, "radius": radius, "noise": NOISE}, {"accuracy": values})


def legible_radius(accuracies: dict[float, float]) -> float:
    """The radius at which accuracy (radius → accuracy, from small to large radii) first falls below ``LEGIBLE``, px.

    Interpolated between radii; the largest radius if it never falls that low, 0 if it is low from the start.
    """
    points = list(accuracies.items())
    if points[0][1] < LEGIBLE:
        return 0.0
    for (r, high), (s, low) in pairwise(points):
        if low < LEGIBLE:
            return r + (s - r) * (high - LEGIBLE) / (high - low)
    return points[-1][0]


def text_summary(rows: list[Row]) -> Values:
    """Mean accuracy per radius, and up to which radius print is legible."""
    per_radius = {radius: means(with_label(rows, radius=radius), "accuracy") for radius in RADII}
    lines: Values = {f"accuracy R={radius:g}": values for radius, values in per_radius.items()}
    lines["legible up to R"] = {
        method: legible_radius({radius: values[method] for radius, values in per_radius.items()})
        for method in per_radius[RADII[0]]
    }
    return lines
