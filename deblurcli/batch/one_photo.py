"""What is done to one photo of many: read, restore, write, and tell what came of it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from deblurcli import __version__
from deblurcli.batch.jobs import Job, check_existing, check_place, make_folder
from deblurcli.batch.record import record_of, sha256, sum_of
from deblurcli.batch.storage import fetched, is_remote, published
from deblurcli.careful import Careful
from deblurcli.errors import DeblurError, OutputLostError, PhotoError, UsageError, failure
from deblurcli.scales import Scales
from deblurcli.tiling import Progress, Region

if TYPE_CHECKING:
    from deblurcli.focus import Area, KeepBokeh, Mask
    from deblurcli.look.sheet import Look
    from deblurcli.photo.formats.raw import RawSettings
    from deblurcli.photo.photo import Photo
    from deblurcli.restoration import Restoration
    from deblurcli.restore import Deblurrer

# Options that make no difference to the file.
_ELSEWHERE = {"comparison", "finished_by", "maps", "maps_scale", "maps_dir", "max_pixels", "overwrite", "sheet"}
_ELSEWHERE |= {"strict", "tile"}


@dataclass(frozen=True)
class Options:
    """How photos are restored; see ``Deblurrer.restore``, ``read_photo`` and ``write_photo``.

    Attributes:
        maps: names of those to export. maps_dir: folder for the maps' folders; None for beside the outputs.
        comparison: picture of the photo before and after to write; None for none. sheet: look at photos for a page.
        finished_by: network, weights and precision, whose finished results are left as they are; None to redo them.
    """

    amount: float = 1.0
    careful: Careful = "auto"
    even_out: bool = True
    keep_bokeh: KeepBokeh = "auto"
    keep_focus: bool | None = None
    mask: Mask | None = None
    region: Area | None = None
    tile: Literal["auto", "none"] | int = "auto"
    scales: Scales = "auto"
    depth: Literal["auto", 8, 16, 32] = "auto"
    format: str | None = None
    quality: int = 95
    maps: tuple[str, ...] = ()
    maps_scale: int = 4
    maps_dir: Path | None = None
    comparison: Path | None = None
    sheet: bool = False
    max_pixels: int | None = None
    overwrite: bool = False
    transfer: Literal["auto", "srgb", "linear"] = "auto"
    strict: bool = False
    strip: Literal["gps", "all"] | None = None
    raw: RawSettings | None = None
    finished_by: tuple[str, str, str] | None = None

    def maps_folder(self, job: Job) -> Path:
        """Where the maps of a photo go."""
        return (self.maps_dir or job.target.parent) / f"{job.target.stem}.maps"

    def sum(self, job: Job, network: str, weights: str, precision: str) -> str:
        """Eight letters that differ where a finished file would: for other options, weights, or size of the source."""
        from deblurcli.photo.formats.table import format_for

        chosen = {name: value for name, value in asdict(replace(self, mask=None)).items() if name not in _ELSEWHERE}
        chosen |= {"mask": self.mask and self.mask.sum}
        chosen |= {"format": format_for(job.target, self.format), "source": job.source.stat().st_size}
        chosen |= {"network": network, "weights": weights, "precision": precision}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Outcome:
    """What came of a photo.

    Attributes:
        row: JSON values, for pipelines. It has an ``error`` if the photo failed, and ``skipped`` if another run saw to
            it.
        hint: what to do about the error. exit_code: what it ends in, 0 if there is none.
        lost: nothing can be written any more, of whatever photo.
        look: what there is to see, if a page of all is made.
    """

    row: dict[str, Any]
    hint: str = ""
    exit_code: int = 0
    lost: bool = False
    look: Look | None = None


def named(job: Job) -> dict[str, Any]:
    """How every row begins."""
    return {"input": str(job.source), "output": str(job.target)}


class Device(Protocol):
    """Where photos are restored, one at a time."""

    def restore(self, photo: Photo, **how: Any) -> tuple[Deblurrer, Restoration]:
        """``Deblurrer.restore``, once the device is free, and the deblurrer that did it."""
        ...


def restore_photo(
    job: Job,
    options: Options,
    device: Device,
    progress: Progress | None = None,
    was_read: Callable[[Photo], object] = lambda photo: None,
) -> Outcome:
    """Restores one photo. What goes wrong with it is part of the outcome, so that others go on.

    Args:
        progress: as for ``Deblurrer.restore``. was_read: shown the photo once it is in memory.
    """
    row = named(job)
    began = time.perf_counter()
    outcome = Outcome(row)
    try:
        with _alone(job, options) as mine:
            if mine:
                outcome = _restore(job, options, device, progress, was_read)
                row |= outcome.row
                outcome = replace(outcome, row=row)
            else:
                row["skipped"] = True
    except (DeblurError, MemoryError, OSError, ValueError, RuntimeError) as caught:
        error = failure(caught, job.source)
        row["error"] = str(error)
        outcome = Outcome(row, error.hint, error.exit_code, isinstance(error, OutputLostError))
    row["seconds"] = round(time.perf_counter() - began, 3)
    return outcome


def is_finished(job: Job, options: Options, network: str, weights: str, precision: str) -> bool:
    """Whether a photo's output, and its maps if they are wanted, were made of it with the same options and weights.

    The output itself tells: its metadata say how it was made, and of what. That is compared where the photo came to
    this disk later, or seems to: cards are written by cameras in other time zones, and copying a file may touch it. (A
    BMP file has no metadata: if the photo came earlier, it is taken for finished.)
    """
    from deblurcli.photo.formats.table import FORMATS, format_for

    try:
        source = job.source.stat()
        # When this machine last wrote to the photo: cameras may be in another time zone.
        written = source.st_ctime if os.name == "posix" else source.st_mtime
        newer = job.target.stat().st_mtime >= written
        if options.maps and not _maps_in(options.maps_folder(job)).issuperset(options.maps):
            return False
        if "exif" not in FORMATS[format_for(job.target, options.format)].holds:
            return newer
        record = record_of(job.target)
        if record is None or record.settings != options.sum(job, network, weights, precision):
            return False
        return newer or record.source == sum_of(job.source)
    except (OSError, PhotoError):
        return False


def _maps_in(folder: Path) -> set[str]:
    """Names of the maps that were exported to a folder."""
    try:
        rows = json.loads((folder / "maps.json").read_text(encoding="utf-8"))["maps"]
        return {row["name"] for row in rows}
    except (OSError, ValueError, LookupError, TypeError):
        return set()


@contextmanager
def _alone(job: Job, options: Options) -> Iterator[bool]:
    """Whether a photo is this run's to restore: of several that go on with one folder, each takes what no other has."""
    from deblurcli.photo.atomic import claimed

    if options.finished_by is None or is_remote(job.target):
        yield True
        return
    make_folder(job)
    with claimed(job.target) as mine:
        yield mine and not is_finished(job, options, *options.finished_by)


def _restore(
    job: Job, options: Options, device: Device, progress: Progress | None, was_read: Callable[[Photo], object]
) -> Outcome:
    """The rest of the row, and what there is to see."""
    from deblurcli.look.picture import write_comparison
    from deblurcli.look.sheet import look_at
    from deblurcli.look.words import remark
    from deblurcli.photo.atomic import scratch_folder
    from deblurcli.photo.decode import MAX_PIXELS, read_photo
    from deblurcli.photo.encode import write_photo

    check_place(job)
    check_existing(job, options.overwrite)
    with ExitStack() as stack:
        source = stack.enter_context(fetched(job.source))
        limit = options.max_pixels or MAX_PIXELS
        photo = read_photo(source, max_pixels=limit, raw=options.raw, strict=options.strict)
        was_read(photo)
        region = _region(job, options, photo)
        maps = stack.enter_context(ExitStack())
        maps_folder = files = None
        if options.maps:
            from deblurcli.maps.export import new_folder

            maps_folder = maps.enter_context(new_folder(options.maps_folder(job)))
            # Maps are files from the start: of a 24 megapixel photo there would be gigabytes in memory.
            files = maps.enter_context(scratch_folder(maps_folder))
        deblurrer, result = device.restore(
            photo,
            amount=options.amount,
            careful=options.careful,
            even_out=options.even_out,
            tile=options.tile,
            scales=options.scales,
            depth=options.depth,
            maps=options.maps,
            maps_scale=options.maps_scale,
            maps_folder=files,
            progress=progress,
            transfer=options.transfer,
            keep_bokeh=options.keep_bokeh,
            keep_focus=options.keep_focus,
            mask=options.mask and options.mask.values,
            region=region,
        )
        if result.failed:
            raise PhotoError(
                job.source,
                "could not be restored: the network's result was unusable in every part of it",
                "Try other weights, another --device, or --precision fp32.",
            )
        row = _about(deblurrer, options, photo, result)
        everywhere = options.mask is None and options.region is None
        row["remark"] = remark(photo.pixels, result.photo.pixels, options.amount, result.kept, everywhere)
        said = _description(deblurrer, job, options, result, source)
        if options.comparison:
            title = f"{job.source.name}   {deblurrer}   amount {options.amount:g}"
            shown = {"description": said, "overwrite": options.overwrite}
            write_comparison(options.comparison, photo, result.photo, title, **shown)
            row["comparison"] = str(options.comparison)
        if maps_folder:
            _export(maps_folder, deblurrer, photo, result, row)
            row["maps"] = str(options.maps_folder(job))
        maps.close()  # before the photo, which tells that all is done: a run may be killed in between
        make_folder(job)
        with published(job.target, options.overwrite) as target:
            lost = write_photo(
                target,
                result.photo,
                format=options.format,
                depth=options.depth,
                quality=options.quality,
                description=said,
                overwrite=options.overwrite,
                strip=options.strip,
            )
            row["sha256"] = sha256(target)
        row["warnings"] = [*photo.warnings, *result.warnings, *lost]
        return Outcome(row, look=look_at(photo, result.photo) if options.sheet else None)


def _region(job: Job, options: Options, photo: Photo) -> Region | None:
    """The part of the photo that is to be restored, in its pixels."""
    try:
        return options.region and options.region.region(*photo.pixels.shape[:2])
    except UsageError as error:
        raise PhotoError(job.source, str(error), error.hint) from error


def _about(deblurrer: Deblurrer, options: Options, photo: Photo, result: Restoration) -> dict[str, Any]:
    backend = deblurrer.backend
    height, width = photo.pixels.shape[:2]
    return {
        "network": backend.spec.name,
        "weights": deblurrer.weights,
        "backend": backend.name,
        "device": backend.device,
        "precision": backend.precision,
        "amount": options.amount,
        "careful": options.careful,
        "lean": round(result.lean, 2),
        "keep_bokeh": round(result.kept.bokeh_from, 2) or None,
        "bokeh": round(result.kept.bokeh, 4),
        "focus": round(result.kept.focus, 4),
        "mask": options.mask and options.mask.name,
        "region": options.region and options.region.text,
        "width": width,
        "height": height,
        "scales": result.scales,
        "tiles": result.tiles,
        "tile": list(result.tile_shape),
        "approximate": result.approximate,
        "tiles_repeated": result.repeated,
        "tiles_unrestored": result.unrestored,
    }


def _export(folder: Path, deblurrer: Deblurrer, photo: Photo, result: Restoration, row: dict[str, Any]) -> None:
    from deblurcli.maps.export import export_maps
    from deblurcli.weights.store import calibration

    backend = deblurrer.backend
    about = {**row, "calibration": calibration(backend.spec.name, deblurrer.weights)}
    specs = tuple(m for m in backend.spec.maps if m.name in result.maps)
    export_maps(folder, result.maps, specs, backend.kernels(), photo, result.photo, about, result.coarse)


def _description(deblurrer: Deblurrer, job: Job, options: Options, result: Restoration, source: Path) -> str:
    """What was done to a photo, for its metadata. EXIF text is ASCII. ``source`` is its file on this machine."""
    backend = deblurrer.backend
    text = f"deblur {__version__}: {str(deblurrer).replace(' · ', ', ')}, amount {options.amount:g}"
    if options.careful != "auto":
        text += ", careful" if options.careful else ", not careful"
    if result.lean:
        text += f", blur evened out by {result.lean:+.2f}"
    if result.kept.bokeh_from:
        text += f", bokeh kept from {result.kept.bokeh_from:.3g} px"
    if options.mask:
        text += f", mask {options.mask.sum}"
    if options.region:
        text += f", region {options.region.text}"
    if result.scales > 1:
        text += f", {result.scales} scales"
    if result.photo.format == "raw":
        text += f", raw look {options.raw.look if options.raw else 'camera'}"
    if result.approximate:
        text += f", approximate: in {result.tiles} tiles"
    settings = options.sum(job, backend.spec.name, deblurrer.weights, backend.precision)
    return f"{text}, settings {settings}, source {sum_of(source)}"
