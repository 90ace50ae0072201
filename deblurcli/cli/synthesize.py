"""``deblur synthesize``: sharp photos → defocused ones, with the truth beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import click

from deblurcli import __version__
from deblurcli.batch.inputs import find_photos
from deblurcli.batch.jobs import Job, check_jobs
from deblurcli.cli.messages import report, say, warn
from deblurcli.cli.values import Number, Word
from deblurcli.errors import SOME_FAILED, DeblurError, PhotoError, UsageError, failure

BLUR, SHARP, RADIUS, DRAWN = "_blur.png", "_sharp.png", "_radius.tif", "_drawn.json"
LENSES = ("disc", "polygon", "cats_eye", "donut", "gaussian")  # the fields of LensPrior, which would load torch


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(), metavar="PHOTO|FOLDER|PATTERN|@LIST...")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Output folder; it is created if need be."
)
@click.option(
    "--count",
    type=Number(1, whole=True, example=3),
    default=1,
    show_default=True,
    help="How many pictures to make of each photo.",
)
@click.option(
    "--radius",
    type=Number(0, 100, example=3),
    metavar="PX",
    help="The same blur radius everywhere.  [default: random scenes with layers in front]",
)
@click.option(
    "--largest",
    type=Number(0, 100, above=True, example=8),
    metavar="PX",
    help="Largest blur radius of random scenes.  [default: 8]",
)
@click.option("--lens", type=Word(LENSES), help="Shape of the aperture.  [default: random]")
@click.option(
    "--noise",
    type=Number(0, 50, example=2),
    metavar="SD",
    help="Sensor noise in mid-tones, in 1/255.  [default: random, up to 4]",
)
@click.option(
    "--jpeg",
    type=Number(1, 100, whole=True, example=90),
    metavar="QUALITY",
    help="Add JPEG compression of this quality.  [default: no]",
)
@click.option(
    "--seed",
    type=Number(0, whole=True, example=7),
    default=0,
    show_default=True,
    help="Another seed gives other pictures.",
)
@click.option("--recursive", is_flag=True, help="Include subfolders, and keep the folder tree.")
@click.option("--overwrite", is_flag=True, help="Replace existing outputs. Originals are never replaced.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per picture on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors.")
@click.pass_context
def synthesize(
    ctx: click.Context,
    photos: tuple[str, ...],
    output: Path,
    count: int,
    recursive: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Put sharp photos out of focus, as a lens would, and keep the truth.

    \b
    deblur synthesize photo.jpg -o pairs/                     a random scene: depth, things in front, lens, noise
    deblur synthesize photo.jpg -o pairs/ --count 20 --seed 7
    deblur synthesize photo.jpg -o pairs/ --radius 3 --lens disc --noise 0
    deblur synthesize shots/ -o pairs/ --largest 12 --jpeg 90

    Each photo NAME becomes NAME_0_blur.png, NAME_0_sharp.png, NAME_0_radius.tif (circle of confusion in px, float)
    and NAME_0_drawn.json (all that chance decided), NAME_1_… and so on. The same command gives the same pictures, and
    'deblur evaluate --suite real --pairs pairs/' takes the folder.
    """
    from tqdm import tqdm

    if settings["radius"] is not None and settings["largest"] is not None:
        raise UsageError("--radius and --largest cannot be used together", "Leave one of them out.")
    jobs = _plan(photos, output, count, recursive)
    errors = []
    for number, job in enumerate(tqdm(jobs, unit="picture", leave=False, disable=True if quiet else None, delay=0.5)):
        row: dict[str, Any] = {"input": str(job.source), "output": str(job.target)}
        try:
            row |= _synthesize_one(job, number % count, overwrite, settings)
        except (DeblurError, MemoryError, OSError, ValueError, RuntimeError) as caught:
            errors.append(failure(caught, job.source))
            row["error"] = str(errors[-1])
            report(row["error"], errors[-1].hint)
        for warning in row.get("warnings", ()) if number % count == 0 else ():
            warn(f"{job.source}: {warning}")
        if as_json:
            click.echo(json.dumps(row))
    say(f"{len(jobs) - len(errors)} pictures written, {len(errors)} failed", verbosity=-1 if quiet else 0)
    if errors:
        ctx.exit(errors[0].exit_code if len(errors) == len(jobs) else SOME_FAILED)


def _plan(inputs: tuple[str, ...], output: Path, count: int, recursive: bool) -> list[Job]:
    """One job for each picture, whose target is the blurred photo; those of one photo follow each other."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file", "Several files are written: name a folder with -o.")
    found = find_photos(inputs, recursive=recursive, skip=output)
    if found.errors:
        raise found.errors[0]
    jobs = [
        Job(s.path, output / s.path.parent.relative_to(s.root) / f"{s.path.stem}_{number}{BLUR}")
        for s in found.sources
        for number in range(count)
    ]
    check_jobs(jobs)
    check_jobs([Job(job.source, _beside(job, SHARP)) for job in jobs])
    return jobs


def _beside(job: Job, ending: str) -> Path:
    return job.target.with_name(job.target.name.removesuffix(BLUR) + ending)


def _synthesize_one(job: Job, number: int, overwrite: bool, settings: dict[str, Any]) -> dict[str, Any]:
    """Makes one picture and all that belongs to it, and returns what the JSON file says and any ``warnings``.

    Raises:
        PhotoError: the photo cannot be read, is too small, or a file exists or cannot be written.
    """
    import tifffile
    import torch

    from deblurcli.photo.atomic import scratch_folder
    from deblurcli.photo.decode import read_photo
    from deblurcli.photo.encode import write_photo
    from deblurcli.synthesis.defocus import defocus, plain, scenes

    for path in (_beside(job, ending) for ending in (BLUR, SHARP, RADIUS, DRAWN)):
        if path.exists() and not overwrite:
            raise PhotoError(path, "exists already", "--overwrite replaces it.")
    photo = read_photo(job.source)
    radius, lens = settings["radius"], settings["lens"]
    config = scenes(settings["largest"] or 8.0, lens) if radius is None else plain(radius, lens)
    # A photo's draw depends on its name, not on which others there are.
    generator = torch.Generator().manual_seed(crc32(f"{settings['seed']}/{job.source.name}/{number}".encode()))
    try:
        made = defocus(photo.picture, config, settings["noise"], settings["jpeg"], generator)
    except UsageError as error:
        raise PhotoError(job.source, str(error), error.hint) from error

    drawn = {"photo": job.source.name, "number": number, "deblur": __version__, "options": settings, **made.drawn}
    what = f"deblur {__version__}: synthesize"
    folder = job.target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # All files are there before the first takes its place: a picture comes with its truth or not at all.
        with scratch_folder(folder) as partial:
            lost = write_photo(partial / _beside(job, BLUR).name, photo.with_picture(made.blurred), description=what)
            write_photo(partial / _beside(job, SHARP).name, photo.with_picture(made.sharp), description=what)
            tifffile.imwrite(partial / _beside(job, RADIUS).name, made.radius, compression="zlib", predictor=3)
            (partial / _beside(job, DRAWN).name).write_text(json.dumps(drawn, indent=1) + "\n")
            for file in sorted(partial.iterdir()):
                file.replace(folder / file.name)
    except OSError as error:
        raise PhotoError(folder, f"cannot be written ({error.strerror})", "Choose another output folder.") from error
    return {**drawn, "warnings": [*photo.warnings, *lost]}
