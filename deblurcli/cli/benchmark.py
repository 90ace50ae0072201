"""``deblur benchmark``: seconds and memory."""

from __future__ import annotations

from pathlib import Path

import click

from deblurcli.cli.restore import network_options


@click.command()
@click.option("--megapixels", type=click.FloatRange(0, min_open=True), default=6.0, show_default=True)
@click.option("--depth", type=click.Choice(["8", "16"]), default="8", show_default=True, help="Bits per channel.")
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True)
@network_options
@click.option("--tile", metavar="auto|none|PX", default="auto", help="Side of the tiles.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the figures to this JSON file.")
def benchmark(
    megapixels: float,
    depth: str,
    repeats: int,
    network: str | None,
    weights: str | None,
    backend: str,
    device: str,
    precision: str,
    tile: str,
    output: Path | None,
) -> None:
    """Measure seconds and peak memory of restoring one photo, program start included.

    \b
    deblur benchmark --megapixels 24 --depth 16
    deblur benchmark --network iniknet --weights mine.safetensors -o results/iniknet.json
    """
    from deblurcli.evaluation.results import command_line, write_results
    from deblurcli.evaluation.timing import calibration, measure
    from deblurcli.restore import load

    arguments = ["--backend", backend, "--device", device, "--precision", precision, "--tile", tile]
    for option, value in (("--network", network), ("--weights", weights)):
        arguments += [option, value] if value else []
    figures = measure(megapixels, int(depth), repeats, arguments)
    figures["calibration GFLOP/s"] = round(calibration(), 1)
    for name, value in figures.items():
        click.echo(f"{name}: {value}")
    if output:
        write_results(
            output, command_line(), {"network": str(load(network, weights, backend, device, precision))} | figures
        )
