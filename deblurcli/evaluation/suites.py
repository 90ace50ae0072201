"""The fixed suites by name, and how they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tqdm import tqdm

from deblurcli.errors import UsageError
from deblurcli.evaluation import edge, maps, photos, synthetic, text, wide
from deblurcli.evaluation.baselines import why_no_deconvolution
from deblurcli.evaluation.bench import Bench
from deblurcli.evaluation.metrics import lpips
from deblurcli.evaluation.published import Score, beside, measured
from deblurcli.evaluation.rows import Row, Values


def _nothing(bench: Bench) -> str:
    return ""


@dataclass(frozen=True)
class Suite:
    """One row of the table of suites.

    Attributes:
        rows: measures, one picture after the other. summary: rows → measure → method → value.
        missing: in words what this suite lacks here; empty if it can run.
        sharp: whether it works on sharp pictures: photos, or drawn ones if there are none.
    """

    rows: Callable[[Bench], Iterator[Row]]
    summary: Callable[[list[Row]], Values]
    missing: Callable[[Bench], str] = _nothing
    sharp: bool = False


SUITES: dict[str, Suite] = {
    "synthetic": Suite(synthetic.synthetic, synthetic.synthetic_summary, sharp=True),
    "wide": Suite(wide.wide, wide.wide_summary, missing=wide.why_no_mosaics, sharp=True),
    "real": Suite(photos.real, photos.real_summary, missing=photos.why_no_pairs),
    "sharp": Suite(photos.sharp, photos.sharp_summary, sharp=True),
    "noise": Suite(synthetic.noise, synthetic.noise_summary, sharp=True),
    "edge": Suite(edge.edge, edge.edge_summary),
    "text": Suite(text.text, text.text_summary, missing=lambda _: text.why_no_reader()),
    "maps": Suite(maps.maps, maps.maps_summary, missing=maps.why_no_sizes, sharp=True),
    "seams": Suite(photos.seams, photos.seams_summary, sharp=True),
}


@dataclass
class Report:
    """What came of a run.

    Attributes:
        rows: suite → its rows. Suites of sharp pictures that had no photos end in " (drawn)".
        skipped: what could not be measured → why.
        published: what papers report on the data set of suite "real", with ours in its place; empty where the layout
            was not named.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    published: list[Score] = field(default_factory=list)

    def summaries(self) -> dict[str, Values]:
        """Suite → measure → method → value."""
        return {name: SUITES[name.removesuffix(" (drawn)")].summary(rows) for name, rows in self.rows.items()}


def run_suites(names: tuple[str, ...], bench: Bench) -> Report:
    """Runs suites in the order of the table, with progress. "all" runs those that can run and tells about the others.

    Raises:
        UsageError: there is no such suite, or one that was asked for by name cannot run.
    """
    for name in names:
        if name not in ("all", *SUITES):
            raise UsageError(f"no suite is called '{name}'", f"There are: all, {', '.join(SUITES)}.")
        if name != "all" and (reason := SUITES[name].missing(bench)):
            raise UsageError(f"the suite '{name}' cannot run: {reason}")
    chosen = [name for name in SUITES if name in names or "all" in names]
    report = Report()
    for name in chosen:
        suite = SUITES[name]
        if reason := suite.missing(bench):
            report.skipped[name] = reason
            continue
        title = f"{name} (drawn)" if suite.sharp and not bench.photos else name
        report.rows[title] = list(tqdm(suite.rows(bench), desc=title, unit="", leave=False, disable=None))
    if "real" in report.rows and bench.layout != "auto":
        method = f"{bench.deblurrer.backend.spec.name} {bench.deblurrer.weights}"
        ours = measured(report.rows["real"], method, bench.layout, bench.crop)
        report.published = beside(ours)
        if report.published == [ours]:
            report.skipped["published scores"] = f"none at hand on {bench.layout} in the crop '{bench.crop}'"
    if {"synthetic", "wide", "real"} & set(chosen) and isinstance(why := lpips(), str):
        report.skipped["LPIPS"] = why
    if bench.baselines and "synthetic" in chosen and (why := why_no_deconvolution()):
        report.skipped["Richardson-Lucy and Wiener"] = why
    return report
