"""Which photos to restore and where each result goes, settled before any work is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deblurcli.errors import DeblurError, PhotoError, UsageError


@dataclass(frozen=True)
class Job:
    """One photo and where its result goes."""

    source: Path
    target: Path


def plan_jobs(inputs: tuple[Path, ...], named: str | None, recursive: bool, format: str | None) -> list[Job]:
    """Pairs every photo with its output.

    A single file may go to a file; several files or a folder go to a folder. Without an output a result lies
    beside its photo as ``NAME-deblurred``.

    Args:
        named: the output as typed: a slash at its end means a folder, which a ``Path`` would forget.

    Raises:
        UsageError: the output does not suit the inputs, is one of them, or is the same for two of them.
        PhotoError: a folder holds no photo.
    """
    from deblurcli.photo.encode import format_for

    output = None if named is None else Path(named)
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if single and output is not None and not (output.is_dir() or str(named).endswith(("/", os.sep))):
        format_for(output, format)
        if not output.parent.is_dir():
            raise PhotoError(output.parent, "no such folder", "Make it first, or name another output.")
        jobs = [Job(inputs[0], output)]
    else:
        if output is None and any(path.is_dir() for path in inputs):
            raise UsageError("a folder needs an output folder", "Name one with -o.")
        if output is not None and output.suffix and not output.is_dir() and _known_suffix(output):
            raise UsageError(f"{output}: several photos cannot go to one file", "Name a folder with -o.")
        jobs = [
            Job(source, _target(source, root, output, format))
            for path in inputs
            for source, root in photos_in(path, recursive)
        ]
    check_jobs(jobs)
    return jobs


def _known_suffix(path: Path) -> bool:
    from deblurcli.photo.encode import WRITABLE_SUFFIXES

    return path.suffix.lower() in WRITABLE_SUFFIXES


def photos_in(path: Path, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """The photos meant by one argument, each with the folder its output path is relative to."""
    from deblurcli.photo.decode import looks_like_photo

    if not path.is_dir():
        yield path, path.parent
        return
    try:
        candidates = path.rglob("*") if recursive else path.iterdir()
        found = sorted(p for p in candidates if p.is_file() and looks_like_photo(p))
    except OSError as error:
        raise PhotoError(path, f"cannot be read ({error.strerror})") from error
    if not found:
        deeper = not recursive and any(p.is_dir() for p in path.iterdir())
        raise PhotoError(path, "no photos in this folder", "--recursive looks into its subfolders." if deeper else "")
    yield from ((photo, path) for photo in found)


def _target(source: Path, root: Path, output: Path | None, format: str | None) -> Path:
    from deblurcli.photo.encode import FORMATS, WRITABLE_SUFFIXES

    suffix = source.suffix if source.suffix.lower() in WRITABLE_SUFFIXES else ".png"
    if format:
        suffix = FORMATS[format].suffixes[0]
    if output is None:
        return source.with_name(f"{source.stem}-deblurred{suffix}")
    return output / source.relative_to(root).with_suffix(suffix)


def check_jobs(jobs: list[Job]) -> None:
    """Raises UsageError if a target is one of the originals, or the same as another."""
    sources = {job.source.resolve() for job in jobs}
    taken: dict[Path, Path] = {}
    for job in jobs:
        target = job.target.resolve()
        if target in sources or (job.target.exists() and job.source.exists() and job.target.samefile(job.source)):
            raise UsageError(f"{job.target}: is an original, which is never overwritten", "Name another output.")
        if target in taken:
            raise UsageError(
                f"{job.source} and {taken[target]} would both be written to {job.target}", "Restore them separately."
            )
        taken[target] = job.source


def check_existing(job: Job, overwrite: bool) -> None:
    """Raises PhotoError if the output exists and may not be replaced."""
    if job.target.exists() and not overwrite:
        raise PhotoError(job.target, "exists already", "--overwrite replaces it, --skip-existing leaves it.")


def failure(error: BaseException, job: Job) -> DeblurError:
    """Any failure of one photo as an error that names it."""
    if isinstance(error, DeblurError):
        return error
    if isinstance(error, MemoryError):
        return PhotoError(job.source, "not enough memory", "Use a smaller --tile, or close other programs.")
    return PhotoError(job.source, f"{type(error).__name__}: {error}", "This is a bug in deblur; please report it.")
