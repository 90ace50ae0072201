"""What suites measure, one row per picture, and how rows are summed up.

Values are kept as measure → method → value, in rows and in summaries alike. Methods are "input" (the photo as it
was), "deblur", and the names of baselines. A *gain* is a method's value less that of the input.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Picture

Values: TypeAlias = dict[str, dict[str, float]]
Array: TypeAlias = NDArray[np.float64]


class Shown(NamedTuple):
    """What a contact sheet shows of a row: the same part of three pictures, see ``sheet.detail``."""

    blurred: Picture
    restored: Picture
    reference: Picture


@dataclass(frozen=True)
class Row:
    """One picture of a suite.

    Attributes:
        labels: what it was: "photo" is always there; "radius" is in px, "noise" a standard deviation in 1/255.
        values: measure → method → value.
        shown: parts of the pictures, where people may want to look; they are not written to files.
        pixels: numbers of single pixels, (measures, n), for summaries; they are not written to files either.
    """

    labels: dict[str, Any]
    values: Values
    shown: Shown | None = field(default=None, compare=False, repr=False)
    pixels: Array | None = field(default=None, compare=False, repr=False)

    def gain(self, measure: str = "psnr", method: str = "deblur") -> float:
        """How much higher a method's value is than the input's."""
        values = self.values[measure]
        return values[method] - values["input"]


def with_label(rows: Iterable[Row], **labels: Any) -> list[Row]:
    """The rows that carry these labels."""
    return [row for row in rows if all(row.labels.get(name) == value for name, value in labels.items())]


def means(rows: list[Row], measure: str) -> dict[str, float]:
    """Method → mean of a measure over all rows that have it; empty where none has."""
    values = [row.values[measure] for row in rows if measure in row.values]
    return {method: float(np.mean([v[method] for v in values])) for method in (values[0] if values else ())}


def mean_gains(rows: list[Row], measure: str = "psnr") -> dict[str, float]:
    """Method → mean gain; that of the input is 0."""
    average = means(rows, measure)
    return {method: value - average["input"] for method, value in average.items()}


def gain_summary(rows: list[Row], measure: str = "psnr", suffix: str = "") -> Values:
    """Mean gain, its interval, the worst, and the share of pictures made worse, each by method; no rows, no lines.

    "±" is half the 95 % bootstrap interval of the mean (1,000 resamples, fixed seed). Photos are resampled and not
    rows, since rows of one photo are alike.
    """
    rows = [row for row in rows if measure in row.values]
    if not rows:
        return {}
    gains = {
        method: np.array([row.gain(measure, method) for row in rows])
        for method in rows[0].values[measure]
        if method != "input"
    }
    photos = np.array([row.labels["photo"] for row in rows])
    lines = {
        "gain": mean_gains(rows, measure),
        "±": {method: _half_interval(values, photos) for method, values in gains.items()},
        "worst": {method: float(values.min()) for method, values in gains.items()},
        "made worse": {method: float((values < 0).mean()) for method, values in gains.items()},
    }
    return {name + suffix: values for name, values in lines.items()}


def _half_interval(values: Array, photos: NDArray[np.str_]) -> float:
    per_photo = np.array([values[photos == name].mean() for name in np.unique(photos)])
    resampled = np.random.default_rng(0).choice(per_photo, (1000, len(per_photo))).mean(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(high - low) / 2
