"""``deblur evaluate``: how good the restored photos are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deblurcli.cli.messages import table_console
from deblurcli.cli.options import careful_option, even_out_option, network_options
from deblurcli.cli.values import Word

if TYPE_CHECKING:
    from deblurcli.careful import Careful
    from deblurcli.evaluation.suites import Report

SUITES = ("synthetic", "wide", "real", "sharp", "noise", "edge", "text", "maps", "seams")
LAYOUTS = ("dpdd", "lfdof", "realdof", "rtf", "ded", "cuhk", "multifocus")
CROPS = ("whole", "iniknet", "p2ikt")


@click.command()
@click.option(
    "--suite",
    "suites",
    type=Word(["all", *SUITES]),
    multiple=True,
    help="synthetic: gain per blur radius · wide: the same at 10 to 40 px · real: gain on real pairs · "
    "sharp: do no harm · noise: is it amplified · "
    "edge: sharpness and overshoot · text: can it be read · maps: do they tell the blur · seams: tiled vs untiled · "
    "all: all that can run here. May be repeated.  [with --networks: synthetic, and real where there are pairs]",
)
@click.option(
    "--networks",
    metavar="all|NAME,NAME...",
    help="Compare networks, with their speed and memory: all that have weights here, or these.",
)
@click.option("--photos", type=click.Path(path_type=Path), help="Folder of sharp photos.  [default: drawn pictures]")
@click.option(
    "--pairs", type=click.Path(path_type=Path), help="Folder of real pairs, blurred and sharp, or of such folders."
)
@click.option(
    "--layout",
    type=Word(["auto", *LAYOUTS]),
    default="auto",
    show_default=True,
    help="Data set that the pairs come from. If named, papers' scores on it are shown too; auto goes by file names.",
)
@click.option(
    "--protocol",
    type=Word(["auto", *CROPS]),
    default="auto",
    show_default=True,
    help="The paper whose crop of the pairs to use; auto is what most papers score on the data set.",
)
@click.option(
    "--baselines", is_flag=True, help="Also measure unsharp masking, and deconvolution that is told the true blur."
)
@careful_option
@even_out_option
@network_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write all rows to this JSON file.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write the worst, median and best to this PNG file.")
def evaluate(
    suites: tuple[str, ...],
    networks: str | None,
    photos: Path | None,
    pairs: Path | None,
    layout: str,
    protocol: str,
    baselines: bool,
    careful: Careful,
    even_out: bool,
    network: str | None,
    weights: str | None,
    backend: str,
    device: str,
    precision: str,
    output: Path | None,
    sheet: Path | None,
) -> None:
    """Measure how good restored photos are, through the same code that restores them.

    \b
    deblur evaluate --suite all
    deblur evaluate --suite all --photos valid/ --pairs pairs/ --baselines -o results/quality.json
    deblur evaluate --suite real --pairs pairs/ --sheet sheet.png      NAME_blur.png and NAME_sharp.png,
                                                                       also in folders by sets
    deblur evaluate --suite real --pairs DPDD/test_c --layout dpdd     and what papers report on it
    deblur evaluate --networks all --photos valid/ --pairs pairs/      all networks side by side
    """
    from deblurcli.errors import UsageError
    from deblurcli.evaluation.bench import Bench
    from deblurcli.evaluation.results import command_line, write_report
    from deblurcli.evaluation.sheet import write_sheet
    from deblurcli.evaluation.suites import run_suites
    from deblurcli.loading import load

    if networks:
        if network or weights or sheet or baselines or careful != "auto" or not even_out:
            what = "--networks goes without -m, --weights, --sheet, --baselines, --careful and --even-out"
            raise UsageError(what, "Each network is measured with its own weights.")
        bench = {"photos": photos, "pairs": pairs, "layout": layout, "protocol": protocol}
        chosen = {"backend": backend, "device": device, "precision": precision}
        _compare(networks, suites or ("synthetic", *(("real",) if pairs else ())), bench, chosen, output)
        return
    if not suites:
        raise UsageError("nothing was named to be measured", "Add --suite all, or compare networks: --networks all.")
    deblurrer = load(network, weights, backend, device, precision)
    report = run_suites(suites, Bench(deblurrer, photos, pairs, baselines, layout, protocol, careful, even_out))
    _print(report, str(deblurrer))
    if output:
        write_report(output, command_line(), str(deblurrer), report, {"photos": photos, "pairs": pairs})
    if sheet:
        write_sheet(sheet, report.rows)


def _compare(
    networks: str, suites: tuple[str, ...], bench: dict[str, Any], chosen: dict[str, str], output: Path | None
) -> None:
    """Measures one network after the other; the file holds those that are done, the table is printed at the end."""
    from deblurcli.evaluation.compared import compare, comparison
    from deblurcli.evaluation.results import command_line, write_results
    from deblurcli.networks.spec import trainable_networks
    from deblurcli.weights.store import has_weights

    names = [n for n in trainable_networks() if has_weights(n)] if networks == "all" else networks.split(",")
    folders = {name: bench[name] and bench[name].name for name in ("photos", "pairs")}
    rows = []
    for row in compare(names, suites, bench, chosen):
        rows.append(row)
        if output:
            write_results(output, command_line(), {**folders, "compared": rows})
    print(comparison(rows))


def _print(report: Report, title: str) -> None:
    """One table of everything: a line per measure, a column per method; papers' scores; and what was skipped."""
    from rich.table import Table

    from deblurcli.evaluation.published import as_table

    summaries = report.summaries()
    methods = list(dict.fromkeys(m for lines in summaries.values() for values in lines.values() for m in values))
    table = Table("suite", "measure", title=title, box=None)
    for method in methods:
        # Figures stay whole; in a narrow terminal it is the words that break.
        table.add_column(method, justify="right", min_width=8)
    for suite, lines in summaries.items():
        for number, (measure, values) in enumerate(lines.items()):
            cells = (f"{values[m]:.3f}" if m in values else "" for m in methods)
            table.add_row("" if number else suite, measure, *cells)
    console = table_console()
    console.print(table)
    if report.published:
        console.print("", as_table(report.published))
    for what, why in report.skipped.items():
        console.print(f"skipped {what}: {why}", style="yellow", highlight=False, markup=False, soft_wrap=True)
