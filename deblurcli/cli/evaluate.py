"""``deblur evaluate``: how good the restored photos are."""

from __future__ import annotations

from pathlib import Path

import click

from deblurcli.cli.restore import network_options


@click.command()
@click.option(
    "--suite",
    type=click.Choice(["synthetic", "real", "sharp", "seams"]),
    required=True,
    help="synthetic: gain per blur radius · real: gain on real pairs · sharp: do no harm · seams: tiled vs untiled.",
)
@click.option("--photos", type=click.Path(path_type=Path), required=True, help="Folder of sharp photos, or of pairs.")
@network_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write all rows to this JSON file.")
def evaluate(
    suite: str,
    photos: Path,
    network: str | None,
    weights: str | None,
    backend: str,
    device: str,
    precision: str,
    output: Path | None,
) -> None:
    """Measure how good restored photos are, through the same code that restores them.

    \b
    deblur evaluate --suite synthetic --photos valid/
    deblur evaluate --suite real --photos pairs/ -o results/real.json      NAME_blur.png and NAME_sharp.png
    """
    from rich.console import Console
    from rich.table import Table

    from deblurcli.evaluation.evaluate import SEAM_TILE, run_suite, summary
    from deblurcli.evaluation.results import command_line, write_results
    from deblurcli.restore import load

    deblurrer = load(network, weights, backend, device, precision)
    rows = run_suite(suite, deblurrer, photos)
    figures = summary(rows)
    table = Table("measure", "value", title=f"{suite}: {len(rows)} pictures, {deblurrer}", box=None)
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
    if output:
        rounded = [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        content = {"network": str(deblurrer), "tile": SEAM_TILE, "summary": figures, "rows": rounded}
        write_results(output, command_line(), content)
