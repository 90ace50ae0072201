"""``deblur preview PHOTO``: what restoring would do, in a second or two."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deblurcli.cli.defaults import profile_option
from deblurcli.cli.messages import say, warn
from deblurcli.cli.options import (
    SCALES_HELP,
    Spoken,
    amount_option,
    careful_option,
    even_out_option,
    keep_bokeh_option,
    keep_focus_option,
    network_options,
)
from deblurcli.cli.values import LocalPath, ScalesType

if TYPE_CHECKING:
    from deblurcli.careful import Careful
    from deblurcli.focus import KeepBokeh
    from deblurcli.scales import Scales


@click.command(cls=Spoken, short_help="Show in a moment what restoring would do to a photo, before and after.")
@click.argument("photo", type=LocalPath(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=LocalPath(path_type=Path),
    help="Picture to write.  [default: one in the cache folder, which the next preview replaces]",
)
@network_options
@click.option("--scales", type=ScalesType(), default="auto", help=SCALES_HELP)
@amount_option
@careful_option
@even_out_option
@keep_bokeh_option("auto")
@keep_focus_option
@click.option("--no-open", is_flag=True, help="Only write the picture, and open no viewer.")
@click.option("--overwrite", is_flag=True, help="Replace an existing picture. Originals are never replaced.")
@profile_option
@click.option("-q", "--quiet", is_flag=True, help="Show only the path, warnings and errors.")
def preview(
    photo: Path,
    output: Path | None,
    network: str | None,
    weights: str | None,
    backend: str,
    device: str,
    precision: str,
    scales: Scales,
    amount: float,
    careful: Careful,
    even_out: bool,
    keep_bokeh: KeepBokeh,
    keep_focus: bool | None,
    no_open: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Restore a few small parts of a photo and show them before and after, at 100 %.

    \b
    deblur preview photo.jpg
    deblur preview photo.jpg --amount 0.6 -o look.png

    One part is soft, one is larger, and one is the sharpest: what is in focus should stay as it is. They look as they
    will after a full run; values differ by no more than a few of 255 levels. The path of the picture is printed. If
    there is a screen, your viewer opens it.
    """
    from concurrent.futures import ThreadPoolExecutor

    from deblurcli.batch.jobs import check_original
    from deblurcli.errors import PhotoError
    from deblurcli.loading import load
    from deblurcli.look.picture import write_pairs
    from deblurcli.look.places import telling_places
    from deblurcli.look.words import about_part
    from deblurcli.photo.decode import read_photo
    from deblurcli.photo.formats.table import format_for

    began = time.perf_counter()
    target = output or _own_place()
    format_for(target)
    check_original(target, "-o", photo)
    if output and output.exists() and not overwrite:
        raise PhotoError(output, "exists already", "--overwrite replaces it.")
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load, network, weights, backend, device, precision)
        read = read_photo(photo)
        deblurrer = loading.result()
    places = telling_places(read.pixels)
    parts = deblurrer.parts(
        read,
        [region for _, region in places],
        amount=amount,
        careful=careful,
        even_out=even_out,
        scales=scales,
        keep_bokeh=keep_bokeh,
        keep_focus=keep_focus,
    )
    pairs = [about_part(name, part) for (name, _), part in zip(places, parts, strict=True)]
    pairs.sort(key=lambda pair: -pair.before.size)
    title = f"{photo.name}   {deblurrer}   amount {amount:g}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_pairs(target, title, pairs, read.icc)
    if deblurrer.backend.spec.context == "global":
        warn(f"{photo}: this network looks at the whole picture, so its full result will differ a little")
    click.echo(target)
    say(
        f"{len(pairs)} part{'s' * (len(pairs) != 1)} of {photo.name} in {time.perf_counter() - began:.1f} s",
        verbosity=-1 if quiet else 0,
    )
    if not no_open and sys.stdout.isatty() and _has_screen():
        click.launch(str(target))


def _own_place() -> Path:
    """Neither the photo's folder nor one that fills up: there is a single one."""
    from platformdirs import user_cache_path

    return user_cache_path("deblur", appauthor=False) / "preview.png"


def _has_screen() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
