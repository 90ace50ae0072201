"""``deblur weights``: which weights there are, what they are, and where more come from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deblurcli.cli.messages import say, table_console
from deblurcli.cli.values import NetworkType, Number, Word
from deblurcli.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from deblurcli.weights.store import Published


@click.group()
def weights() -> None:
    """Trained weights: list, inspect, check, average them, fetch or import those of others.

    \b
    deblur weights list
    deblur weights info iniknet-fast
    deblur weights fetch iniknet.dpdd_paper
    deblur weights import INIKNet.pth --network iniknet -o mine.safetensors
    """


@weights.command("list")
def list_() -> None:
    """List networks and their weights: what works here and now, what can be fetched, and what has none yet.

    \b
    deblur weights list
    """
    from rich.table import Table

    from deblurcli.networks.spec import DEFAULT_NETWORK
    from deblurcli.weights.table import networks_in_order, weights_of

    table = Table(box=None)
    for heading in ("network", "works here", "weights", "", "licence", "gain, dB", "sharp, dB"):
        table.add_column(heading, overflow="fold")
    for spec in networks_in_order():
        default = " (default)" if spec.name == DEFAULT_NETWORK else ""
        for line in weights_of(spec.name):
            gain, sharp = line.scores.get("gain"), line.scores.get("sharp")
            table.add_row(
                spec.name + default,
                line.works,
                line.tag,
                line.where,
                line.licence,
                "" if gain is None else f"{gain:+.2f}",
                "" if sharp is None else f"{sharp:.1f}",
                style="bold" if line.works == "yes" else None,
            )
    table_console().print(table)
    print("\n'deblur weights fetch NETWORK.WEIGHTS' gets what is not fetched; 'deblur train NETWORK' trains it.")


@weights.command()
@click.argument("network")
@click.argument("weights", required=False, metavar="[TAG|FILE]")
@click.option("--card", is_flag=True, help="Print a model card (Markdown): data, licences, recipe, scores, limits.")
def info(network: str, weights: str | None, card: bool) -> None:
    """Show what a weights file says about itself: data, recipe, scores, licence.

    \b
    deblur weights info iniknet-fast
    deblur weights info iniknet-fast --card
    deblur weights info iniknet-fast runs/mine/best.safetensors
    """
    from deblurcli.networks.spec import network_spec
    from deblurcli.weights.card import model_card
    from deblurcli.weights.store import find

    path, header = find(network_spec(network).name, weights)
    if card:
        print(model_card(path, header), end="")
    else:
        print(json.dumps({"file": str(path), **vars(header)}, indent=2, ensure_ascii=False))


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NETWORK.TAG...")
@click.option(
    "--from",
    "mirror",
    metavar="URL",
    envvar="DEBLUR_MIRROR",
    show_envvar=True,
    help="A mirror to use in place of https://raw.githubusercontent.com, with the same paths.",
)
@click.option("--accept-licence", is_flag=True, help="Accept licences that are not permissive without being asked.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors, and the files' paths.")
def fetch(names: tuple[str, ...], mirror: str | None, accept_licence: bool, quiet: bool) -> None:
    """Fetch weights that networks' authors published, and convert them.

    \b
    deblur weights fetch iniknet.dpdd_paper
    deblur photo.jpg -o sharp.png -m iniknet --weights dpdd_paper
    deblur weights fetch kpac-2.dpdd_paper --accept-licence --from https://mirror.example.org/github

    They come from where their authors put them, are checked, and stay in the user's cache, or in the folder that
    DEBLUR_WEIGHTS names; from then on no network connection is needed. The paths of the files are printed. An
    interrupted download resumes where it stopped.
    """
    from tqdm import tqdm

    from deblurcli.weights.fetch import fetch, fetched
    from deblurcli.weights.store import published_as

    rows = [published_as(name) for name in names]
    for row in rows:
        if not (row.permissive or accept_licence or fetched(row)):
            _ask(row)
    for row in rows:
        silent = True if quiet else None
        with tqdm(desc=row.name, unit="B", unit_scale=True, leave=False, disable=silent, smoothing=0) as bar:

            def progress(done: int, total: int | None, bar: tqdm = bar) -> None:
                if not bar.disable:
                    bar.total = total
                    bar.initial = bar.initial or done  # what an earlier call has brought tells nothing of the speed
                    bar.update(done - bar.n)

            path = fetch(row, mirror, progress)
        say(f"{row.name}: licence {row.licence}, from {row.url}", verbosity=-1 if quiet else 0)
        print(path)


def _ask(row: Published) -> None:
    """Raises UsageError where nobody can be asked about the licence, and WeightsError where the answer is no."""
    licence = f"{row.name}: licence of the weights: {row.licence} ({row.url})"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(licence, "Add --accept-licence if you accept it.")
    if not click.confirm(f"{licence}. Fetch them?", err=True):
        raise WeightsError(f"{row.name}: not fetched")


@weights.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-m", "--network", required=True, type=NetworkType(), help="Network that the file is for.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A .safetensors file.")
@click.option("--tag", help="Name of these weights.  [default: as in 'deblur weights list', or imported]")
@click.option("--licence", help="Licence to record.  [default: as in 'deblur weights list', or not stated]")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
def import_(file: Path, network: str, output: Path, tag: str | None, licence: str | None, overwrite: bool) -> None:
    """Convert a FILE (.pth, .pkl, .npz) as a network's authors publish them.

    \b
    deblur weights import INIKNet.pth --network iniknet -o mine.safetensors
    deblur weights import tuned.pth --network iniknet -o tuned.safetensors --tag tuned --licence MIT
    deblur photo.jpg -o sharp.png --weights mine.safetensors

    Only numbers are read: a file that asks for code to be run is refused.
    """
    from deblurcli.weights.checkpoint import save_checkpoint
    from deblurcli.weights.importers import import_weights

    _check_output(output, overwrite)
    try:
        with file.open("rb") as content:
            tensors, header = import_weights(content, str(file), network, tag, licence)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read ({error.strerror})", "Name a .pth, .pkl or .npz file.") from error
    save_checkpoint(output, tensors, header, overwrite=overwrite)
    say(f"{output}: {header.network}, {header.tag}, licence: {header.licence}")


@weights.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option(
    "--share",
    type=Number(0, 1, above=True, example=0.4),
    default=0.5,
    show_default=True,
    help="How much SECOND counts, between 0 and 1.",
)
@click.option(
    "--valid",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of sharp photos to score the mean on.",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A .safetensors file.")
@click.option("--tag", default="mean", show_default=True, help="Name of these weights.")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
def average(
    first: Path, second: Path, share: float, valid: Path | None, output: Path, tag: str, overwrite: bool
) -> None:
    """Average two files of weights that were trained on from the same weights.

    \b
    deblur weights average runs/a/last.safetensors runs/b/last.safetensors -o mean.safetensors
    deblur weights average a.safetensors b.safetensors --share 0.4 --valid valid/ -o mean.safetensors

    The mean often keeps more of what each has learned than either has. Look at the scores: weights of different
    origin have no mean that restores anything.
    """
    from dataclasses import replace

    import torch

    from deblurcli.evaluation.validation import validation_cases
    from deblurcli.networks.build import build_network
    from deblurcli.training.progress import validated
    from deblurcli.weights.average import average as averaged
    from deblurcli.weights.checkpoint import save_checkpoint
    from deblurcli.weights.load import fill

    _check_output(output, overwrite)
    tensors, header = averaged(first, second, share, tag)
    if valid:
        network = build_network(header.network, header.config).eval()
        fill(network, tensors, header.network, str(output))
        cases, scales = validation_cases(valid), int(header.recipe["scales"])
        scores = validated(network, header.network, cases, torch.device("cpu"), scales)
        header = replace(header, scores={name: round(score, 3) for name, score in scores.items()})
    save_checkpoint(output, tensors, header, overwrite=overwrite)
    say(f"{output}: {header.note} " + "  ".join(f"{name} {score:g}" for name, score in header.scores.items()))


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: weights are written as .safetensors", "Give -o a name that ends in .safetensors.")
    if output.exists() and not overwrite:
        raise WeightsError(f"{output}: exists already", "--overwrite replaces it.")


@weights.command()
@click.argument("network", type=NetworkType())
@click.argument("weights", required=False, metavar="[TAG|FILE]")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="FILE.onnx or FILE.dtmodel")
@click.option(
    "--format",
    "format_",
    type=Word(["onnx", "dtmodel"]),
    default="onnx",
    show_default=True,
    help="dtmodel is darktable's: an ONNX file and a description of it, zipped.",
)
@click.option(
    "--tile-size",
    type=Number(1, whole=True, example=768),
    metavar="PX",
    help="For a dtmodel: the fixed side of its tiles.",
)
@click.option("--precision", type=Word(["fp32", "fp16"]), default="fp32", show_default=True)
@click.option(
    "--leave-weights", is_flag=True, help="Leave in the .safetensors file beside the ONNX file what both would hold."
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def export(
    network: str,
    weights: str | None,
    output: Path,
    format_: str,
    tile_size: int | None,
    precision: str,
    leave_weights: bool,
    overwrite: bool,
) -> None:
    """Write a network with its weights as an ONNX file, for other programs.

    \b
    deblur weights export iniknet-fast -o iniknet-fast.onnx
    deblur weights export kpac-3 mine.safetensors -o kpac.onnx --precision fp16
    deblur weights export iniknet-fast -o deblur.dtmodel --format dtmodel --tile-size 768

    The picture goes in and comes out as (1, 3, height, width) float32 RGB in [0, 1]; its sides are multiples of the
    number in the file's metadata. The file is written only if ONNX Runtime gives the same results as PyTorch.

    A dtmodel is for darktable 5.6 and later; it has not been tried inside darktable yet. darktable cuts photos into
    tiles and restores each at full size only, so wide blur, which deblur itself removes in smaller copies, stays.
    darktable's own models have a fixed tile size, which suits graphics processors; --tile-size fixes it here.
    """
    from deblurcli.backends.onnx_files import make_onnx
    from deblurcli.networks.spec import network_spec
    from deblurcli.photo.atomic import replacing
    from deblurcli.weights.store import find

    if output.suffix != f".{format_}":
        raise UsageError(f"{output}: the name of this file has to end in .{format_}")
    if tile_size and format_ != "dtmodel":
        raise UsageError("--tile-size is for --format dtmodel", "Other files take pictures of any size.")
    beside = find(network, weights)[0] if leave_weights else None
    if beside and (format_ != "onnx" or output.parent.resolve() != beside.parent.resolve()):
        raise UsageError(
            f"{output}: cannot leave its weights in {beside}", "Write an ONNX file, into the folder of that file."
        )
    with replacing(output, overwrite=overwrite) as file:
        file.write(make_onnx(network_spec(network), weights, precision, format_, tile_size, beside))
    note = ", restores at one size: darktable's tiles know of no others" if format_ == "dtmodel" else ""
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB{note}")


@weights.command()
def verify() -> None:
    """Check that all released weights are there and undamaged.

    \b
    deblur weights verify
    """
    from deblurcli.weights.store import catalog

    for release in catalog():
        release.verify()
        print(f"{release.network} {release.tag}: as released")
