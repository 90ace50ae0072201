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
from deblurcli.batch.jobs import (
    EXISTS,
    REPLACE,
    check_existing,
    check_original,
    exists,
    plan_jobs,
    prepared,
    real_path,
    shard,
)
from deblurcli.batch.storage import MARK as STORAGE_MARK
from deblurcli.batch.storage import is_folder, is_remote, place
from deblurcli.cli.defaults import file_of
from deblurcli.cli.options import check_devices, network_options, photo_options
from deblurcli.cli.pipe import Pipe, piped
from deblurcli.cli.restore_options import (
    BESIDE,
    DEPTHS,
    RestoreCommand,
    limit_options,
    look_options,
    name_options,
    picture_options,
    run_options,
    where_options,
    which_options,
)
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

WORTH_SAYING = 50e6  # bytes of maps
FEW = 5  # outputs in the way, each of which has its own line


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
    file = file_of(ctx, "skip_existing")
    settings["skips"] = f" (skip-existing is set in {file}; --profile none leaves that out)" if file else ""
    with piped(photos, output, settings["format"], settings["as_json"]) as pipe:
        code = _run(pipe, settings)
    ctx.exit(code)


def _run(pipe: Pipe, settings: dict[str, Any]) -> int:
    """Restores what is to be restored. Returns the exit code."""
    from deblurcli.batch.pipeline import Stop
    from deblurcli.cli.log import Log
    from deblurcli.focus import radius_map
    from deblurcli.loading import as_loaded, choose_network
    from deblurcli.weights.store import tag_of

    spec = choose_network(settings["network"], settings["weights"])
    tag = tag_of(spec, settings["weights"])
    spec = as_loaded(spec, tag)
    options = _options(settings, spec)
    radius_map(spec, options.keep_bokeh, options.keep_focus)  # which there has to be, or no photo can be restored
    precision = chosen_precision(settings["precision"])
    common = {"network": spec.name, "weights": tag, "precision": precision, "amount": options.amount}
    log = Log(common, settings["verbosity"], settings["as_json"], pipe.words, settings["skips"])

    jobs = _jobs(pipe, settings, options, _names(settings, spec.name, tag), log)
    if settings["report_file"]:
        check_original(Path(settings["report_file"]), "--report", *(job.source for job in jobs))
    if settings["skip_existing"]:
        options = replace(options, finished_by=(spec.name, tag, precision))
    jobs = _to_do(jobs, options, settings, log)
    if settings["dry_run"]:
        log.plan(jobs)
        return log.exit_code
    options, sheet = _to_look_at(pipe, settings, options, jobs)

    left, stop = {job.target: job for job in jobs}, Stop()
    if settings["fail_fast"] and log.failed:
        stop.soon.set()
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
        check_original(picture, "--compare=", *(job.source for job in jobs))
        if real_path(picture) == real_path(jobs[0].target):
            raise UsageError(f"{picture}: is the name of the result", "Name another file with --compare=.")
        if picture.exists() and not options.overwrite:
            hint = "--compare names the picture of before and after. --overwrite replaces the one that is there."
            raise PhotoError(picture, EXISTS, hint)
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


def _to_do(jobs: list[Job], options: Options, settings: dict[str, Any], log: Log) -> list[Job]:
    """The jobs without those that were finished before, if these are skipped, and without outputs that are in the way.

    Of many in the way all are told at once; of a few, each when its turn comes.
    """
    from deblurcli.batch.one_photo import is_finished

    left: list[Job] = []
    in_the_way: list[Job] = []
    for job in jobs:
        there = not options.overwrite and not is_remote(job.target) and exists(job.target)
        if options.finished_by and is_finished(job, options, *options.finished_by):
            log.skip(job, only=len(jobs) == 1)
            continue
        left.append(job)
        if there:  # it was before it was looked at, or another run may just have finished it
            in_the_way.append(job)
    hint = REPLACE
    if options.finished_by:
        hint = f"--overwrite replaces what was not finished with the same options{settings['skips']}."
    if len(jobs) == 1 and in_the_way:
        check_existing(in_the_way[0], options.overwrite, hint)  # before the network is loaded
    if len(in_the_way) <= FEW or settings["dry_run"]:
        return left
    log.in_the_way(in_the_way, hint)
    taken = {job.target for job in in_the_way}
    return [job for job in left if job.target not in taken]


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
