"""``deblur PHOTO -o OUT``: the main job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deblurcli.backends import chosen_precision
from deblurcli.batch.inputs import find_photos
from deblurcli.batch.jobs import check_existing, plan_jobs, prepared, shard
from deblurcli.batch.storage import MARK as STORAGE_MARK
from deblurcli.batch.storage import is_folder, is_remote, place
from deblurcli.cli.defaults import use_defaults
from deblurcli.cli.options import (
    SCALES_HELP,
    AreaType,
    BokehType,
    LocalPath,
    ScalesType,
    ShardType,
    TileType,
    check_devices,
    network_options,
    photo_options,
)
from deblurcli.cli.pipe import Pipe, piped
from deblurcli.cli.sections import ENGINE, EVERYDAY, FILES, LOOK, MANY, WHERE, Sectioned, all_of
from deblurcli.errors import INTERRUPTED, PhotoError, UsageError

if TYPE_CHECKING:
    from deblurcli.batch.jobs import Job, Names
    from deblurcli.batch.one_photo import Options, Outcome
    from deblurcli.batch.pipeline import Stop
    from deblurcli.cli.log import Log
    from deblurcli.focus import Mask
    from deblurcli.look.sheet import Sheet
    from deblurcli.networks.spec import NetworkSpec
    from deblurcli.photo.photo import Photo

MAPS_SCALES = ("1", "1/2", "1/4", "1/8", "1/16")
BESIDE = "beside"  # where nothing else is said
WORTH_SAYING = 50e6  # bytes of maps
DEPTHS: dict[str, Any] = {"auto": "auto", "8": 8, "16": 16, "32": 32}


def which_options(command: Any) -> Any:
    """The options that say which photos are restored."""
    return all_of(
        command,
        click.option("--recursive", is_flag=True, help="Include subfolders, and keep the folder tree."),
        click.option(
            "--twins",
            type=click.Choice(["raw", "developed", "both"]),
            default="raw",
            show_default=True,
            help="Which to restore where a camera wrote a raw file and a picture of the same name.",
        ),
        click.option("--skip-existing", is_flag=True, help="Skip photos that were finished with the same options."),
        click.option("--shard", type=ShardType(), help="Do part K of N only, for N runs side by side, e.g. 3/16."),
        click.option("--dry-run", is_flag=True, help="Only list what would be restored, and to where."),
        title=MANY,
    )


def picture_options(command: Any) -> Any:
    """The options that say what the result is like."""
    command = all_of(
        command,
        click.option(
            "--tile",
            type=TileType(),
            default="auto",
            help="Side of the tiles that large photos are cut into; auto chooses what fits into memory.",
        ),
        click.option("--scales", type=ScalesType(), default="auto", help=SCALES_HELP),
        title=ENGINE,
    )
    command = all_of(
        command,
        click.option(
            "--amount",
            type=click.FloatRange(0, 1.5),
            default=1.0,
            show_default=True,
            help="Blend with the original: 0 is the original, 1 the fully restored photo; up to 1.5 exaggerates.",
        ),
        click.option(
            "--format",
            type=click.Choice(["jpeg", "png", "tiff", "webp", "avif", "jxl", "bmp"]),
            help="Output format, whatever the suffix.",
        ),
        click.option(
            "--depth",
            type=click.Choice(list(DEPTHS)),
            default="auto",
            help="Bits per channel of the output; 32 is float TIFF, not clipped.  [default: auto, as the input]",
        ),
        click.option(
            "--quality",
            type=click.IntRange(1, 100),
            default=95,
            show_default=True,
            help="Quality of JPEG, WebP, AVIF and JPEG XL.",
        ),
        title=EVERYDAY,
    )
    return all_of(
        command,
        click.option(
            "--export-maps",
            is_flag=True,
            help="Also write maps of what the network chose at each pixel, to OUTPUT.maps/: all that it has.",
        ),
        click.option(
            "--maps",
            metavar="NAME,NAME...",
            help="Export only these maps, e.g. blur_radius or defocus,mu. An unknown name lists all of them.",
        ),
        click.option(
            "--maps-scale",
            type=click.Choice(MAPS_SCALES),
            default="1/4",
            show_default=True,
            help="Scale of exported maps with many planes, averaged over blocks; maps with one plane keep every pixel.",
        ),
        click.option(
            "--maps-dir", type=LocalPath(path_type=Path), help="Folder to put the maps' folders in.  [default: beside]"
        ),
        title=LOOK,
    )


def where_options(command: Any) -> Any:
    """The options that say where in a photo something is done."""
    return all_of(
        command,
        click.option(
            "--keep-bokeh",
            type=BokehType(),
            default="auto",
            help="Leave alone what is blurred wider than PX, a radius in pixels: soft backgrounds are often meant "
            "to be soft. auto is 6 px, more in large photos and where all is blurred; off restores everything.  "
            "[default: auto, or off with --mask or --region]",
        ),
        click.option(
            "--mask",
            type=LocalPath(path_type=Path),
            metavar="FILE",
            help="Restore where this picture is white or opaque, not where it is black or transparent; any size.",
        ),
        click.option(
            "--region",
            type=AreaType(),
            help="Restore only this part, in pixels or percent of the photo as displayed, e.g. 25%,25%,50%,50%.",
        ),
        title=WHERE,
    )


def limit_options(command: Any) -> Any:
    """The option that says what is too large."""
    return all_of(
        command,
        click.option(
            "--max-pixels",
            type=click.IntRange(1),
            metavar="N",
            help="Refuse photos with more pixels than this (200 million).",
        ),
        title=FILES,
    )


def name_options(command: Any) -> Any:
    """The options that say where results go and how they are called."""
    command = all_of(
        command,
        click.option("--suffix", metavar="TEXT", help="Add this to the photos' names, e.g. --suffix=-sharp."),
        click.option(
            "--template",
            metavar="TEXT",
            help="How to name results, using {stem} {suffix} {network} {tag} {date}, e.g. '{date}/{stem}-{network}'.",
        ),
        title=MANY,
    )
    return all_of(
        command,
        click.option(
            "-o",
            "--output",
            type=click.Path(),
            help="File, or folder for several photos, or - for standard output. The suffix decides the format.  "
            "[default: NAME-deblurred beside it]",
        ),
        click.option("--overwrite", is_flag=True, help="Replace existing outputs. Originals are never replaced."),
        click.option(
            "--profile",
            metavar="NAME",
            is_eager=True,
            expose_value=False,
            callback=use_defaults,
            help="Use the defaults that deblur.toml has under this name; none uses no such file.",
        ),
        title=EVERYDAY,
    )


def run_options(command: Any) -> Any:
    """The options that say how a run goes on and what it tells."""
    command = all_of(
        command,
        click.option("-q", "--quiet", is_flag=True, help="Only warnings and errors."),
        click.option("-v", "--verbose", is_flag=True, help="Say more, even when stderr is not a terminal."),
        title=EVERYDAY,
    )
    command = all_of(
        command,
        click.option("--jobs", type=click.IntRange(1), metavar="N", help="How many photos to work on at a time."),
        click.option(
            "--cluster",
            type=click.Choice(["ray"]),
            help="Use the machines of a Ray cluster; RAY_ADDRESS may say which.",
        ),
        click.option("--fail-fast", is_flag=True, help="Start no more photos once one has failed."),
        click.option(
            "--report",
            "report_file",
            type=LocalPath(),
            metavar="FILE",
            help="Write a list of what failed or was not started; @FILE takes it up.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON line per photo on stdout."),
        title=MANY,
    )
    return all_of(
        command,
        click.option(
            "--compile",
            is_flag=True,
            help="Compile the network first: this takes a minute and pays from hundreds of megapixels on. Needs "
            "PyTorch and a C++ compiler.",
        ),
        title=ENGINE,
    )


def look_options(command: Any) -> Any:
    """The option for looking at what was done."""
    return all_of(
        command,
        click.option(
            "--compare",
            type=LocalPath(path_type=Path),
            is_flag=False,
            flag_value=BESIDE,
            metavar="[=FILE]",
            help="Also make a picture of before and after, NAME.before-after.png beside the output; of several photos "
            "a page of all of them, index.html in the output folder.",
        ),
        title=LOOK,
    )


class RestoreCommand(Sectioned):
    """Takes an option whose value may be left out without one, unless an equals sign comes before it.

    Else ``--compare photo.jpg`` would take the photo for its file.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does."""
        end = args.index("--") if "--" in args else len(args)
        given = [f"{arg}={BESIDE}" if arg == "--compare" else arg for arg in args[:end]]
        return super().parse_args(ctx, given + args[end:])


@click.command(
    cls=RestoreCommand, short_help="Remove defocus blur from photos (the main job; the word 'restore' may be left out)."
)
@click.argument("photos", nargs=-1, required=True, type=click.Path(), metavar="PHOTO|FOLDER|PATTERN|@LIST|-...")
@name_options
@which_options
@partial(network_options, check=check_devices)
@picture_options
@where_options
@look_options
@photo_options
@limit_options
@run_options
@click.pass_context
def restore(
    ctx: click.Context,
    photos: tuple[str, ...],
    output: str | None,
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
    deblur 'shots/**/*.jpg' -o sharp/ --template '{date}/{stem}-sharp'
    find shots -newer last | deblur @- -o sharp/ --report failed.txt
    deblur - -o - < photo.jpg > sharp.jpg
    deblur photo.jpg -o soft.jpg --amount 0.5
    deblur photo.jpg -o all.jpg --keep-bokeh off
    deblur photo.jpg -o face.jpg --region 40%,10%,25%,30%
    deblur photo.jpg -o sharp.png --maps blur_radius
    deblur shots/ -o sharp/ --compare

    Reads and writes JPEG, PNG, TIFF, WebP, AVIF, JPEG XL and BMP; reads camera raw, JPEG 2000 and HEIC.
    To resume an interrupted run, add --skip-existing. Ctrl-C finishes the photos that were begun; a second Ctrl-C
    stops at once. Exit codes: 0 done, 1 nothing could be done, 2 wrong usage, 3 some photos failed, 130 interrupted.
    """
    settings["verbosity"] = 1 if verbose else -1 if quiet else 0
    with piped(photos, output, settings["format"], settings["as_json"]) as pipe:
        code = _run(pipe, settings)
    ctx.exit(code)


def _run(pipe: Pipe, settings: dict[str, Any]) -> int:
    """Restores what is to be restored. Returns the exit code."""
    from deblurcli.batch.pipeline import Stop
    from deblurcli.cli.log import Log
    from deblurcli.focus import radius_map
    from deblurcli.loading import choose_network
    from deblurcli.weights.store import tag_of

    spec = choose_network(settings["network"], settings["weights"])
    options = _options(settings, spec)
    radius_map(spec, options.keep_bokeh)  # which there has to be, or no photo can be restored
    tag = tag_of(spec, settings["weights"])
    precision = chosen_precision(settings["precision"])
    common = {"network": spec.name, "weights": tag, "precision": precision, "amount": options.amount}
    log = Log(common, settings["verbosity"], settings["as_json"], pipe.words)

    jobs = _jobs(pipe, settings, options, _names(settings, spec.name, tag), log)
    if settings["skip_existing"]:
        options = replace(options, finished_by=(spec.name, tag, precision))
        jobs = list(_not_finished(jobs, options, (spec.name, tag, precision), log))
    elif len(jobs) == 1:
        check_existing(jobs[0], options.overwrite)  # before the network is loaded
    if settings["dry_run"]:
        log.plan(jobs)
        return log.exit_code
    options, sheet = _to_look_at(pipe, settings, options, jobs)

    left, stop = {job.target: job for job in jobs}, Stop()
    try:
        with log.bar(len(jobs)), stop.on_signals(log.stopping, only=len(jobs) == 1):
            for job, outcome in _outcomes(jobs, options, settings, stop, log, spec):
                del left[job.target]
                log.add(job, outcome)
                if sheet and "skipped" not in outcome.row:
                    sheet.add(outcome.row, outcome.look)
                if outcome.lost or (settings["fail_fast"] and outcome.exit_code):
                    stop.soon.set()
    finally:
        log.end(list(left.values()))
        if sheet:
            log.note(f"before and after: {sheet.path}")
        if settings["report_file"]:
            _write(settings["report_file"], log.unfinished(list(left.values())))
    return INTERRUPTED if stop.interrupted else log.exit_code


def _options(settings: dict[str, Any], spec: NetworkSpec) -> Options:
    from deblurcli.batch.one_photo import Options
    from deblurcli.photo.formats.raw import RawSettings

    chosen = {field.name: settings[field.name] for field in fields(Options) if field.name in settings}
    scale = int(settings["maps_scale"].rpartition("/")[2])
    raw = RawSettings(**{field.name: settings[f"raw_{field.name}"] for field in fields(RawSettings)})
    maps = settings["maps"]
    names = [m.name for m in spec.maps] if maps is None else [name.strip() for name in maps.split(",")]
    exported = spec.map_names(names) if settings["export_maps"] or maps is not None else ()
    chosen |= {"depth": DEPTHS[settings["depth"]], "maps": exported, "maps_scale": scale, "raw": raw}
    chosen["mask"] = _mask(settings["mask"])
    return Options(**chosen)


def _mask(path: Path | None) -> Mask | None:
    from deblurcli.focus import read_mask

    try:
        return path and read_mask(path)
    except PhotoError as error:
        raise UsageError(f"--mask {error}", error.hint) from error


def _to_look_at(
    pipe: Pipe, settings: dict[str, Any], options: Options, jobs: list[Job]
) -> tuple[Options, Sheet | None]:
    """Options and page for what was asked for to look at."""
    from deblurcli.look.sheet import Sheet
    from deblurcli.photo.encode import format_for

    compare: Path | None = settings["compare"]
    if compare is None or not jobs:
        return options, None
    single, beside = [job.source for job in jobs] == [place(name) for name in pipe.photos], str(compare) == BESIDE
    single = single and len(jobs) == 1
    if single if beside else compare.suffix.lower() not in (".html", ".htm"):
        if len(jobs) > 1:
            raise UsageError(f"{compare}: a picture is of one photo", "Name a page, --compare=FILE.html.")
        picture = _beside(pipe, jobs[0].target, "{stem}.before-after.png") if beside else compare
        format_for(picture)
        if picture.exists() and not options.overwrite:
            raise PhotoError(picture, "exists already", "--overwrite replaces it.")
        return replace(options, comparison=picture), None
    part = "index-{}-of-{}.html".format(*settings["shard"]) if settings["shard"] else "index.html"
    if beside and pipe.output is None:
        raise UsageError("a page of several photos needs a place", "Name a folder with -o, or --compare=FILE.html.")
    page = _beside(pipe, place(str(pipe.output)) / part, part) if beside else compare
    return replace(options, sheet=True), Sheet(page, [job.target for job in jobs], options.overwrite)


def _beside(pipe: Pipe, target: Path, name: str) -> Path:
    """A file of this name beside an output, which has to be where files can be put."""
    if pipe.folder or is_remote(target):
        raise UsageError("--compare needs a place on this machine", "Name a file: --compare=FILE.")
    return target.with_name(name.format(stem=target.stem))


def _names(settings: dict[str, Any], network: str, tag: str) -> Names | None:
    """How results in folders are called, if that was said."""
    from deblurcli.batch.jobs import Names

    suffix, template = settings["suffix"], settings["template"]
    if suffix is not None and template is not None:
        raise UsageError("--suffix and --template cannot be used together", "Put the suffix into the template.")
    if suffix is not None:
        template = "{stem}" + suffix.replace("{", "{{").replace("}", "}}")
    return None if template is None else Names(template, network, tag)


def _jobs(pipe: Pipe, settings: dict[str, Any], options: Options, names: Names | None, log: Log) -> list[Job]:
    """What was asked for, or this shard's part of it, whether it is done or not."""
    from deblurcli.photo.encode import check_depth
    from deblurcli.photo.formats.table import format_for

    output = pipe.output
    if output is None and any(is_folder(place(name)) for name in pipe.photos):
        raise UsageError("a folder needs an output folder", "Name one with -o.")
    skip = None if output is None or STORAGE_MARK in output else Path(output)
    found = find_photos(pipe.photos, recursive=settings["recursive"], twins=settings["twins"], skip=skip)
    if found.errors and not found.sources:
        raise found.errors[0]
    for error in found.errors:
        log.refuse(error)
    for folder in found.passed_over:
        log.detail(f"{folder}: was passed over")
    single = len(pipe.photos) == 1 and [s.path for s in found.sources] == [place(pipe.photos[0])]
    left_out = found.left_out
    jobs = plan_jobs(found.sources, output, single=single, names=names, format=options.format, left_out=left_out)
    for line in left_out:
        log.note(line)
    for job in jobs:
        check_depth(format_for(job.target, options.format), options.depth)
    return shard(jobs, *settings["shard"]) if settings["shard"] else jobs


def _not_finished(jobs: list[Job], options: Options, made_by: tuple[str, str, str], log: Log) -> Iterator[Job]:
    from deblurcli.batch.one_photo import is_finished

    for job in jobs:
        if is_finished(job, options, *made_by):
            log.skip(job)
        else:
            yield job


def _outcomes(
    jobs: list[Job], options: Options, settings: dict[str, Any], stop: Stop, log: Log, spec: NetworkSpec
) -> Iterator[tuple[Job, Outcome]]:
    from deblurcli.batch.pipeline import load_on, photos_at_once, restore_all

    if not jobs:
        return
    chosen = {name: settings[name] for name in ("network", "weights", "backend", "precision", "compile")}
    device, at_once = settings["device"], settings["jobs"]
    if settings["cluster"]:
        from deblurcli.batch.cluster import restore_on_cluster

        jobs = prepared(jobs, options.maps_dir)
        yield from restore_on_cluster(
            jobs, options, **chosen, device=device, at_once=at_once, stop=stop, watch=log.watch
        )
        return
    workers = load_on(device, **chosen)
    jobs, at_once = prepared(jobs, options.maps_dir), at_once or photos_at_once(workers)
    was_read = partial(_tell_size_of_maps, options, spec, log)
    yield from restore_all(jobs, options, workers, at_once=at_once, stop=stop, watch=log.watch, was_read=was_read)


def _tell_size_of_maps(options: Options, spec: NetworkSpec, log: Log, job: Job, photo: Photo) -> None:
    from deblurcli.maps.export import expected_size
    from deblurcli.scales import scales_of

    height, width = photo.pixels.shape[:2]
    exported = [m for m in spec.maps if m.name in options.maps]
    size = expected_size(exported, height, width, scales_of(height, width, spec, options.scales), options.maps_scale)
    if exported and size > WORTH_SAYING:
        less = "--maps exports only those that you name" if len(exported) > 1 else ""
        log.note(f"{job.source}: its maps will take about {size / 1e6:.0f} MB{'; ' * bool(less)}{less}")


def _write(path: str, content: bytes) -> None:
    from deblurcli.photo.atomic import replacing

    with replacing(path) as file:
        file.write(content)
