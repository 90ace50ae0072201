"""``deblur inspect PHOTO -o REPORT.html``: look at what the network did, and why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from deblurcli.cli.messages import say, warn
from deblurcli.cli.options import SCALES_HELP, network_options
from deblurcli.cli.values import LocalPath, ScalesType, TileType

PLACE = (256, 256)  # px, of which the page opens on the one that changed most


@click.command(short_help="Make a page that shows what was done to a photo, and why.")
@click.argument("photo", type=LocalPath(path_type=Path))
@click.option(
    "-o", "--output", type=LocalPath(path_type=Path), help="HTML file.  [default: NAME-inspected.html beside it]"
)
@network_options
@click.option(
    "--tile",
    type=TileType(),
    default="auto",
    help="Side of the tiles that large photos are cut into; auto chooses what fits into memory.",
)
@click.option("--scales", type=ScalesType(), default="auto", help=SCALES_HELP)
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
def inspect(
    photo: Path,
    output: Path | None,
    network: str | None,
    weights: str | None,
    backend: str,
    device: str,
    precision: str,
    tile: Any,
    scales: Any,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Restore a photo and write one HTML file to look at: before and after, what the network chose at each pixel.

    \b
    deblur inspect photo.jpg -o report.html

    The file needs no network connection and stays below 15 MB. It opens where most changed: a slider between before and
    after, another for the amount, maps laid over the photo, and for the pixel that is pointed at its inverse kernel,
    frequency response and coefficients.
    """
    from tempfile import TemporaryDirectory

    from deblurcli.errors import PhotoError, UsageError
    from deblurcli.loading import load
    from deblurcli.look.places import largest_change
    from deblurcli.maps.page import page_scale, write_page
    from deblurcli.photo.decode import read_photo
    from deblurcli.scales import scales_of
    from deblurcli.weights.store import calibration

    target = output or photo.with_name(f"{photo.stem}-inspected.html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{target}: the page is an HTML file", "Give it a name that ends in .html.")
    if target.exists() and not overwrite:
        raise PhotoError(target, "exists already", "--overwrite replaces it.")
    read = read_photo(photo)
    deblurrer = load(network, weights, backend, device, precision)
    spec = deblurrer.backend.spec
    height, width = read.pixels.shape[:2]
    began = time.perf_counter()
    with TemporaryDirectory() as files:
        scale = page_scale(height, width, spec.maps, scales_of(height, width, spec, scales))
        how = {"tile": tile, "scales": scales, "maps_scale": scale, "maps_folder": Path(files)}
        result = deblurrer.restore(read, maps=True, keep_bokeh="off", keep_focus=False, **how)
        seconds = time.perf_counter() - began
        settings = {
            "photo": f"{photo.name}, {width} × {height} px, {read.depth} bits per channel",
            "network": f"{spec.title} ({spec.paper})",
            "weights": deblurrer.weights,
            "ran on": " · ".join((deblurrer.backend.name, deblurrer.backend.device, deblurrer.backend.precision)),
            "scales": ", ".join(["full size", *(f"1/{2**n}" for n in range(1, result.scales))]),
            "tiles": f"{result.tiles} of {result.tile_shape[1]} × {result.tile_shape[0]} px",
            "time": f"{seconds:.1f} s, {seconds / height / width * 1e6:.2f} s per megapixel, maps included",
        }
        if meaning := calibration(spec.name, deblurrer.weights):
            settings["calibration"] = meaning
        if result.warnings:
            settings["note"] = " ".join(result.warnings)
        kernels = deblurrer.backend.kernels()
        shown = result.photo, result.maps, spec, kernels, photo.name, settings
        target.parent.mkdir(parents=True, exist_ok=True)
        start = largest_change(read.pixels, result.photo.pixels, PLACE)
        write_page(target, read, *shown, coarse=result.coarse, start=start, overwrite=overwrite)
    for warning in result.warnings:
        warn(f"{photo}: {warning}")
    say(f"{target}  ({deblurrer} · {seconds:.1f} s)", verbosity=-1 if quiet else 0)
