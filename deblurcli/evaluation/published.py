"""Scores that papers report, to be printed beside ours. The figures and their sources are in ``published.toml``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deblurcli.datasets.layouts import LAYOUTS
from deblurcli.errors import UsageError

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
        dataset, trained_on: keys of ``LAYOUTS``; empty where nothing is trained; rows of our own
            may be trained on something else ("synthetic").
        psnr: dB. ssim: at most 1. lpips: 0 is best.
        protocol: a key of ``CROPS``; only scores of the same protocol can be compared.
        source: paper and table. year: of publication.
        parameters: 10⁶. multiply_adds: 10⁹ at 1280 × 720 px. None wherever the sources are silent.
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


def beside(ours: Score) -> Table:
    """``ours`` in its place among the published scores on its data set and in its protocol, for printing."""
    from rich.table import Table

    title = f"{LAYOUTS[ours.dataset].title}, crop '{ours.protocol}'"
    table = Table(
        "method", "year", "trained on", "PSNR, dB", "SSIM", "LPIPS", "M par.", "source", title=title, box=None
    )
    rows = sorted([*published_rows(ours.dataset, ours.protocol), ours], key=lambda row: row.psnr)
    for row in rows:
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
        table.add_row(*cells, style="bold" if row is ours else None)
    return table
