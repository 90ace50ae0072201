"""``deblur benchmark``: seconds and memory."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deblurcli.backends import BACKENDS, PRECISIONS
from deblurcli.cli.options import careful_option, check_device, even_out_option
from deblurcli.cli.values import NetworkType, Number, Word
from deblurcli.networks.spec import DEFAULT_NETWORK

if TYPE_CHECKING:
    from deblurcli.careful import Careful


@click.command()
@click.option("-m", "--network", type=NetworkType(), multiple=True, default=[DEFAULT_NETWORK], show_default=True)
@click.option("--weights", metavar="TAG|FILE", help="Weights, if one network is named.  [default: what there is]")
@click.option("--backend", type=Word(BACKENDS), multiple=True, default=["auto"], show_default=True)
@click.option("--device", default="auto", metavar="auto|cpu|cuda|cuda:N|mps", callback=check_device)
@click.option("--precision", type=Word(PRECISIONS), multiple=True, default=["auto"], show_default=True)
@click.option("--megapixels", type=Number(0.01, example=24), multiple=True, default=[6.0], show_default=True)
@click.option("--depth", type=Word(["8", "16"]), default="8", show_default=True, help="Bits per channel.")
@click.option(
    "--maps",
    metavar="none|all|NAME,NAME...",
    multiple=True,
    default=["none"],
    show_default=True,
    help="Also export these maps.",
)
@click.option("--tile", metavar="auto|none|PX", default="auto", help="Side of the tiles.")
@careful_option
@even_out_option
@click.option("--preview", is_flag=True, help="Measure deblur preview, not a restoration.")
@click.option("--repeats", type=Number(1, whole=True, example=3), default=3, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the figures to this JSON file.")
def benchmark(
    network: tuple[str, ...],
    weights: str | None,
    backend: tuple[str, ...],
    device: str,
    precision: tuple[str, ...],
    megapixels: tuple[float, ...],
    depth: str,
    maps: tuple[str, ...],
    tile: str,
    careful: Careful,
    even_out: bool,
    preview: bool,
    repeats: int,
    output: Path | None,
) -> None:
    """Measure seconds and peak memory of restoring a photo, beside the rate at which the machine convolves.

    Options that name several things can be given several times, and are combined; results of one
    network are compared with its first. Networks without weights here are measured untrained, which takes as long.

    \b
    deblur benchmark --megapixels 24 --depth 16
    deblur benchmark -m iniknet-fast -m kpac-3 --megapixels 0.9 --tile none --no-careful --no-even-out \\
        -o networks.json
    deblur benchmark --backend torch --backend onnx --precision fp32 --precision fp16
    deblur benchmark --megapixels 3 --maps none --maps blur_radius --maps all
    deblur benchmark --preview --megapixels 24 --backend onnx
    """
    from deblurcli.errors import UsageError
    from deblurcli.evaluation.results import command_line, write_results
    from deblurcli.evaluation.timing import Case, markdown, markdown_of_previews, measure, measure_preview

    if weights and len(network) > 1:
        raise UsageError("weights belong to one network", "Name one with --network.")
    if preview and (maps != ("none",) or tile != "auto"):
        raise UsageError("previews have neither maps nor tiles", "Leave out --maps and --tile, or --preview.")
    looks = () if careful == "auto" else ("--careful" if careful else "--no-careful",)
    looks += () if even_out else ("--no-even-out",)
    rows = []
    for name, size in product(network, megapixels):
        first = None
        for runtime, arithmetic, exported in product(backend, precision, maps):
            options = ("--backend", runtime, "--device", device, "--precision", arithmetic, *looks)
            try:
                if preview:
                    rows.append(measure_preview(Case(name, weights, size, int(depth), options), repeats))
                    continue
                case = Case(name, weights, size, int(depth), (*options, "--tile", tile), exported)
                row, pixels = measure(case, repeats, first)
            except UsageError as error:
                click.echo(f"left out: {error}", err=True)
                continue
            first = pixels if first is None else first
            rows.append(row)
            click.echo(f"{name}: {row['seconds per megapixel']:.2f} s per megapixel", err=True)
    if not rows:
        raise UsageError("nothing could be measured", "The lines above say why.")
    print(markdown_of_previews(rows) if preview else markdown(rows))
    if output:
        write_results(output, command_line(), {"rows": rows})
