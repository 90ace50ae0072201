"""``deblur PHOTO -o OUT``: the main job."""

from __future__ import annotations

import json
import logging
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from deblurcli import __version__
from deblurcli.backends import BACKENDS, ONNX_DEVICES, PRECISIONS
from deblurcli.cli.jobs import Job, check_existing, failure, plan_jobs
from deblurcli.cli.messages import report, say, warn
from deblurcli.errors import SOME_FAILED, DeblurError, PhotoError
from deblurcli.networks.spec import DEFAULT_NETWORK, NETWORKS, trainable_networks

if TYPE_CHECKING:
    from deblurcli.restore import Deblurrer, Restoration


MAPS_SCALES = ("1", "1/2", "1/4", "1/8", "1/16")
DEPTHS: dict[str, Any] = {"auto": "auto", "8": 8, "16": 16, "32": 32}


class TileType(click.ParamType):
    """auto, none, or a number of pixels."""

    name = "auto|none|PX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """Text → "auto", "none" or a positive integer."""
        if value in ("auto", "none") or isinstance(value, int):
            return value
        if value.isdecimal() and int(value) > 0:
            return int(value)
        self.fail(f"'{value}' is neither auto, none, nor a number of pixels", param, ctx)


class NetworkType(click.ParamType):
    """The name of a network, reserved ones included."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text → a name in the table."""
        if value not in NETWORKS:
            self.fail(f"'{value}' is not one of {', '.join(trainable_networks())}", param, ctx)
        return value


def network_options(command: Any) -> Any:
    """The options that choose a network and where it runs; one meaning in every command."""
    for option in reversed(
        (
            click.option("-m", "--network", type=NetworkType(), help=f"Network.  [default: {DEFAULT_NETWORK}]"),
            click.option("--weights", metavar="TAG|FILE", help="Weights: a released tag or a .safetensors file."),
            click.option("--backend", type=click.Choice(BACKENDS), default="auto", help="Runtime."),
            click.option(
                "--device",
                default="auto",
                metavar="auto|cpu|cuda|cuda:N|mps|tensorrt|directml",
                callback=check_device,
                help="Where it runs. A device named here is used or refused, never replaced.",
            ),
            click.option(
                "--precision",
                type=click.Choice(PRECISIONS),
                default="auto",
                help="Arithmetic of the network.  [default: auto, which is fp32]",
            ),
        )
    ):
        command = option(command)
    return command


def check_device(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Passes what can name a device."""
    kind, colon, index = value.partition(":")
    if value in ("auto", "cpu", "cuda", "mps", *ONNX_DEVICES) or (kind == "cuda" and colon and index.isdecimal()):
        return value
    raise click.BadParameter(f"'{value}' is not auto, cpu, cuda, cuda:N, mps, tensorrt or directml", ctx, param)


@click.command(short_help="Remove defocus blur from photos (the main job; the word 'restore' may be left out).")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PHOTO|FOLDER...")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="File, or folder for several photos. The suffix decides the format.  [default: NAME-deblurred beside it]",
)
@network_options
@click.option("--tile", type=TileType(), default="auto", help="Side of the tiles; auto fits them into memory.")
@click.option(
    "--amount",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Blend with the original: 0 is the original, 1 the restored photo.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jpeg", "png", "tiff", "webp", "bmp"]),
    help="Output format, whatever the suffix.",
)
@click.option(
    "--depth",
    type=click.Choice(list(DEPTHS)),
    default="auto",
    help="Bits per channel of the output; 32 is float TIFF, not clipped.  [default: auto, as the input]",
)
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG and WebP.")
@click.option("--export-maps", is_flag=True, help="Also write what the network chose at each pixel, to OUTPUT.maps/.")
@click.option(
    "--maps-scale",
    type=click.Choice(MAPS_SCALES),
    default="1/4",
    show_default=True,
    help="Size of exported maps that have many planes, as averages over blocks; those of one plane keep all pixels.",
)
@click.option("--maps-dir", type=click.Path(path_type=Path), help="Folder for the maps' folders.  [default: beside]")
@click.option("--recursive", is_flag=True, help="Look into subfolders, and keep the tree.")
@click.option("--overwrite", is_flag=True, help="Replace existing outputs. Originals are never replaced.")
@click.option("--skip-existing", is_flag=True, help="Leave photos whose output exists.")
@click.option("--max-pixels", type=click.IntRange(1), metavar="N", help="Refuse photos of more pixels (200 million).")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per photo on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say more, and also when stderr is no terminal.")
@click.pass_context
def restore(
    ctx: click.Context,
    photos: tuple[Path, ...],
    output: str | None,
    network: str | None,
    weights: str | None,
    backend: str,
    device: str,
    precision: str,
    recursive: bool,
    format_: str | None,
    overwrite: bool,
    skip_existing: bool,
    quiet: bool,
    verbose: bool,
    **settings: Any,
) -> None:
    """Remove defocus blur from photos.

    \b
    deblur photo.jpg -o sharp.png
    deblur photo.tif -o sharp.tif --depth 16
    deblur a.jpg b.jpg -o sharp/
    deblur shots/ -o sharp/ --recursive --skip-existing
    deblur photo.jpg -o soft.jpg --amount 0.5
    deblur photo.jpg -o sharp.png --export-maps

    Reads and writes JPEG, PNG, TIFF, WebP and BMP. Exit codes: 0 done, 1 nothing could be done, 2 wrong usage, 3 some
    photos failed, 130 interrupted.
    """
    from deblurcli.photo.encode import check_depth, format_for

    # Warnings about a result are printed here, with the photo's name.
    logging.getLogger("deblurcli").addHandler(logging.NullHandler())
    verbosity = 1 if verbose else -1 if quiet else 0
    settings["depth"] = DEPTHS[settings["depth"]]
    settings["format"] = format_
    jobs = plan_jobs(photos, output, recursive, format_)
    for job in jobs:
        check_depth(format_for(job.target, format_), settings["depth"])
    if skip_existing:
        waiting = [job for job in jobs if not job.target.exists()]
        say(f"{len(jobs) - len(waiting)} of {len(jobs)} photos are done already", verbosity=verbosity)
        jobs = waiting
    elif len(jobs) == 1:
        check_existing(jobs[0], overwrite)  # before the network is loaded
    if not jobs:
        return

    deblurrer = _load(network, weights, backend, device, precision)
    errors = [error for job in jobs if (error := _restore_one(job, deblurrer, overwrite, verbosity, settings))]
    if len(jobs) > 1:
        say(f"{len(jobs) - len(errors)} photos restored, {len(errors)} failed", verbosity=verbosity)
    if errors:
        ctx.exit(errors[0].exit_code if len(errors) == len(jobs) else SOME_FAILED)


def _load(network: str | None, weights: str | None, backend: str, device: str, precision: str) -> Deblurrer:
    from deblurcli.restore import load

    return load(network, weights, backend, device, precision)


def _restore_one(
    job: Job, deblurrer: Deblurrer, overwrite: bool, verbosity: int, settings: dict[str, Any]
) -> DeblurError | None:
    """Restores one photo. A failure is reported and returned, so that the others go on."""
    from tqdm import tqdm

    from deblurcli.photo.decode import MAX_PIXELS, read_photo
    from deblurcli.photo.encode import write_photo

    backend = deblurrer.backend
    row: dict[str, Any] = {
        "input": str(job.source),
        "output": str(job.target),
        "network": backend.spec.name,
        "weights": deblurrer.weights,
        "backend": backend.name,
        "device": backend.device,
        "precision": backend.precision,
        "amount": settings["amount"],
    }
    began = time.perf_counter()
    bar = tqdm(desc=job.source.name, unit="tile", leave=False, disable=True if verbosity < 0 else None, delay=0.5)

    def progress(done: int, total: int) -> None:
        bar.total, bar.n = total, done
        bar.refresh()

    error: DeblurError | None = None
    try:
        check_existing(job, overwrite)
        photo = read_photo(job.source, max_pixels=settings["max_pixels"] or MAX_PIXELS)
        with ExitStack() as stack:
            folder = stack.enter_context(_maps_folder(job, settings))
            # Maps are files from the start: of a 24 megapixel photo there would be gigabytes in memory.
            files = folder and Path(stack.enter_context(TemporaryDirectory(dir=folder)))
            result = deblurrer.restore(
                photo,
                amount=settings["amount"],
                tile=settings["tile"],
                depth=settings["depth"],
                maps=settings["export_maps"],
                maps_scale=int(settings["maps_scale"].rpartition("/")[2]),
                maps_folder=files,
                progress=progress,
            )
            if folder:
                from deblurcli.maps.export import export_maps
                from deblurcli.weights.store import calibration

                about = {**row, "calibration": calibration(backend.spec.name, deblurrer.weights)}
                export_maps(folder, result.maps, backend.spec.maps, backend.kernels(), photo, result.photo, about)
                row["maps"] = str(_maps_name(job, settings))
            _make_folder(job.target)
            lost = write_photo(
                job.target,
                result.photo,
                format=settings["format"],
                depth=settings["depth"],
                quality=settings["quality"],
                description=_description(deblurrer, settings["amount"], result),
                overwrite=overwrite,
            )
        height, width = photo.pixels.shape[:2]
        row |= {"width": width, "height": height, "tiles": result.tiles, "tile": list(result.tile_shape)}
        row |= {"approximate": result.approximate, "warnings": [*photo.warnings, *result.warnings, *lost]}
    except (DeblurError, MemoryError, OSError, ValueError, RuntimeError) as caught:
        error = failure(caught, job)
        row["error"] = str(error)
    finally:
        bar.close()
    row["seconds"] = round(time.perf_counter() - began, 3)
    for warning in row.get("warnings", ()):
        warn(f"{job.source}: {warning}")
    if error:
        report(str(error), error.hint)
    else:
        tiles = f"{row['tiles']} tile{'s' * (row['tiles'] != 1)}"
        say(f"{job.target}  ({deblurrer} · {tiles} · {row['seconds']:.1f} s)", verbosity=verbosity)
    if settings["as_json"]:
        click.echo(json.dumps(row))
    return error


def _maps_name(job: Job, settings: dict[str, Any]) -> Path:
    return (settings["maps_dir"] or job.target.parent) / f"{job.target.stem}.maps"


def _maps_folder(job: Job, settings: dict[str, Any]) -> AbstractContextManager[Path | None]:
    """The folder to fill with maps, if any are wanted."""
    if not settings["export_maps"]:
        return nullcontext()
    from deblurcli.maps.export import new_folder

    return new_folder(_maps_name(job, settings))


def _description(deblurrer: Deblurrer, amount: float, result: Restoration) -> str:
    """What was done to a photo, for its metadata. EXIF text is ASCII."""
    text = f"deblur {__version__}: {str(deblurrer).replace(' · ', ', ')}, amount {amount:g}"
    return f"{text}, approximate: in {result.tiles} tiles" if result.approximate else text


def _make_folder(target: Path) -> None:
    """Output folders of a batch are made as needed. (That of a single file is there: ``plan_jobs`` saw to it.)"""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(
            target.parent, f"cannot be made ({error.strerror})", "Choose another output folder."
        ) from error
