"""All networks that have weights here, side by side: how good, how fast, and how much memory.

All look at a photo once: it is networks that are compared, and "auto" would let fast ones look again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from deblurcli.evaluation.bench import Bench
from deblurcli.evaluation.suites import run_suites
from deblurcli.evaluation.timing import Case, measure
from deblurcli.loading import load
from deblurcli.networks.spec import network_spec
from deblurcli.weights.store import tag_of

MEGAPIXELS = 1.0  # of the photo that speed is measured on

# Heading → suite, what it measures, and how that is written.
COLUMNS = {
    "sharp photos, blurred: dB gained": ("synthetic", "gain", "{:+.2f}"),
    "… with more noise": ("synthetic", "gain noise=4", "{:+.2f}"),
    "wide blur": ("wide", "gain", "{:+.2f}"),
    "real photos: dB gained": ("real", "gain", "{:+.2f}"),
    "… out of focus": ("real", "gain out of focus", "{:+.2f}"),
    "… in focus": ("real", "gain in focus", "{:+.2f}"),
    "… made worse": ("real", "made worse", "{:.0%}"),
    "photos in focus come back at, dB": ("sharp", "psnr", "{:.1f}"),
    "noise left on gray": ("noise", "noise gain, flat, noise=5", "× {:.2f}"),
}


def compare(
    networks: Sequence[str], suites: tuple[str, ...], bench: dict[str, Any], chosen: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """A row for each network, with its default weights: what ran, the summaries of suites, seconds and memory.

    Args:
        suites: as ``run_suites`` takes them. bench: further arguments of ``Bench``.
        chosen: backend, device and precision, as ``load`` takes them.

    Raises:
        WeightsError: a network has no weights here. UsageError: something does not fit.
    """
    options = (
        *(word for name, value in chosen.items() for word in (f"--{name}", value)),
        "--no-careful",
        "--no-even-out",
    )
    for name in networks:
        tag_of(network_spec(name))  # what cannot run should not wait for the others
    for name in networks:
        report = run_suites(suites, Bench(load(name, **chosen), careful=False, even_out=False, **bench))
        summaries = {
            suite: {figure: values["deblur"] for figure, values in lines.items() if "deblur" in values}
            for suite, lines in report.summaries().items()
        }
        speed, _ = measure(Case(name, None, MEGAPIXELS, 8, options), repeats=3)
        yield {**speed, "suites": summaries}


def comparison(rows: Sequence[dict[str, Any]]) -> str:
    """What ``compare`` yielded, as a table: Markdown, with a column for whatever was measured of all networks."""

    def cell(row: dict[str, Any], suite: str, figure: str, form: str) -> str | None:
        lines = row["suites"].get(suite, row["suites"].get(f"{suite} (drawn)", {}))
        return form.format(lines[figure]) if figure in lines else None

    columns = {heading: [cell(row, *column) for row in rows] for heading, column in COLUMNS.items()}
    columns |= {
        "runs on": [f"{row['backend']} · {row['device']} · {row['precision']}" for row in rows],
        "s per megapixel": [f"{row['seconds per megapixel']:.2f}" for row in rows],
        "peak GB": [f"{row['peak MB'] / 1000:.2f}" for row in rows],
    }
    shown = {heading: cells for heading, cells in columns.items() if None not in cells}
    names = [f"{row['network']} · {row['weights']}" for row in rows]
    lines = [["network", *shown], *zip(names, *shown.values(), strict=True)]
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in lines]
    return "\n".join([lines[0], "|---" * (1 + len(shown)) + "|", *lines[1:]])
