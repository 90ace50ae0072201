"""Scores that papers report, to be printed beside ours. The figures and their sources are in ``published.toml``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deblurcli.datasets.layouts import CROPS, LAYOUTS
from deblurcli.errors import UsageError
from deblurcli.evaluation.rows import Row, means

if TYPE_CHECKING:
    from rich.table import Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Score:
    """One method on one data set.

    Attributes:
        method: its name in the papers; "Input" is the blurred photo itself.
        dataset, trained_on: keys of ``LAYOUTS``; nothing was trained on "", or the method's name says it.
        psnr: dB. ssim: at most 1. lpips: 0 is best.
        protocol: a key of ``CROPS``; only scores of the same protocol can be compared.
        source: paper and table. year: of publication.
        parameters: 10⁶. multiply_adds: 10⁹ at 1280 × 720 px. None wherever the sources are silent.
        ours: measured here.
    """

    method: str
    dataset: str
    trained_on: str
    psnr: float
    ssim: float | None
    lpips: float | None
    protocol: str
    source: str
    year: int | None = None
    parameters: float | None = None
    multiply_adds: float | None = None
    ours: bool = False


@cache
def _all_rows() -> tuple[Score, ...]:
    content = tomllib.loads((Path(__file__).parent / "published.toml").read_text(encoding="utf-8"))
    rows = []
    for table in content["tables"]:
        for method, psnr, ssim, *lpips in table["rows"]:
            about = content["methods"][method]
            rows.append(
                Score(
                    method,
                    table["dataset"],
                    about.get("trained_on", table["trained_on"]),
                    psnr,
                    ssim,
                    lpips[0] if lpips else None,
                    table["protocol"],
                    table["source"],
                    about.get("year"),
                    about.get("params"),
                    about.get("macs"),
                )
            )
    return tuple(rows)


def published_rows(dataset: str, protocol: str = "whole") -> list[Score]:
    """What papers report on ``dataset`` (a key of ``LAYOUTS``), the lowest PSNR first; empty where none does.

    Raises:
        UsageError: there is no such data set.
    """
    if dataset not in LAYOUTS:
        raise UsageError(f"no data set is called '{dataset}'", f"There are: {', '.join(LAYOUTS)}.")
    rows = (row for row in _all_rows() if (row.dataset, row.protocol) == (dataset, protocol))
    return sorted(rows, key=lambda row: row.psnr)


def usual_protocol(dataset: str) -> str:
    """The key of ``CROPS`` that most scores on ``dataset`` are of; "whole" where there are none."""
    used = [row.protocol for row in _all_rows() if row.dataset == dataset]
    return max(CROPS, key=used.count)


def measured(rows: list[Row], method: str, dataset: str, protocol: str) -> Score:
    """The score of our own ``method`` from the rows of suite "real" on a data set (a key of ``LAYOUTS``)."""
    psnr = means(rows, "psnr")["deblur"]
    ssim, lpips = (means(rows, measure).get("deblur") for measure in ("ssim", "lpips"))
    pictures = f"{len(rows)} of {LAYOUTS[dataset].pictures or '?'} pictures"
    return Score(method, dataset, "", psnr, ssim, lpips, protocol, f"measured here, {pictures}", ours=True)


def beside(ours: Score) -> list[Score]:
    """``ours`` in its place among the published scores on its data set and in its protocol."""
    return sorted([*published_rows(ours.dataset, ours.protocol), ours], key=lambda row: row.psnr)


def as_table(scores: list[Score]) -> Table:
    """Scores on one data set in one protocol, for printing; ours is bold."""
    from rich.table import Table

    title = f"{LAYOUTS[scores[0].dataset].title}, crop '{scores[0].protocol}'"
    table = Table(
        "method", "year", "trained on", "PSNR, dB", "SSIM", "LPIPS", "M par.", "source", title=title, box=None
    )
    for row in scores:
        cells = (
            row.method,
            str(row.year or ""),
            LAYOUTS[row.trained_on].title if row.trained_on in LAYOUTS else row.trained_on,
            f"{row.psnr:.2f}",
            f"{row.ssim:.3f}" if row.ssim is not None else "",
            f"{row.lpips:.3f}" if row.lpips is not None else "",
            f"{row.parameters:.2f}" if row.parameters is not None else "",
            row.source,
        )
        table.add_row(*cells, style="bold" if row.ours else None)
    return table
