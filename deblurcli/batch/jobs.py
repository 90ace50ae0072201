"""Where each photo's result goes, settled before any work is done."""

from __future__ import annotations

import os
import string
import unicodedata
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path

from deblurcli.batch.inputs import Source
from deblurcli.batch.record import record_of, sum_of
from deblurcli.batch.storage import fetched, is_remote, place
from deblurcli.errors import OutputLostError, PhotoError, UsageError

FIELDS = ("stem", "suffix", "network", "tag", "date")
BESIDE = "{stem}-deblurred"
EXISTS = "exists already"
REPLACE = "--overwrite replaces what is there; --skip-existing leaves what was finished with the same options."


@dataclass(frozen=True)
class Job:
    """One photo and where its result goes.

    Attributes:
        source, target: files.
        tree: the folder that the source's place in the tree of outputs counts from; None for the one it lies in.
        root: the output folder that ``target`` lies below; None if it goes to one that is there.
        disk: number of the file system ``root`` was on when the run began; 0 if that is not to be checked.
    """

    source: Path
    target: Path
    tree: Path | None = None
    root: Path | None = None
    disk: int = 0

    @property
    def listed(self) -> str:
        """The photo as a list names it, so that it finds its place in the tree of outputs again."""
        return str(Source(self.source, self.tree or self.source.parent))


@dataclass(frozen=True)
class Names:
    """How results are called.

    Attributes:
        template: with ``FIELDS`` in braces; the result's suffix comes after it, while ``{suffix}`` is the photo's,
            without its dot. A slash begins a subfolder.
        network, tag: what stands for the fields of these names. ``{date}`` is the day the photo was taken, as its EXIF
            block or else its file says: a run that is taken up again another day finds the same names.
    """

    template: str
    network: str = ""
    tag: str = ""

    def __post_init__(self) -> None:
        try:
            used = [field[1:] for field in string.Formatter().parse(self.template) if field[1] is not None]
        except ValueError as error:
            raise UsageError(f"the template '{self.template}' cannot be understood ({error})") from error
        for name, form, how in used:
            if name not in FIELDS or form or how:
                raise UsageError(
                    f"the template '{self.template}' has an unknown field: {{{name}}}",
                    f"The fields are {', '.join(f'{{{field}}}' for field in FIELDS)}.",
                )
        path = Path(self.template)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise UsageError(f"the template '{self.template}' leads outside the output folder")

    def of(self, source: Path) -> Path:
        """The name, without suffix, for a photo."""
        day = date_taken(source).isoformat() if "{date}" in self.template else ""
        suffix = source.suffix.removeprefix(".")
        return Path(self.template.format(stem=source.stem, suffix=suffix, network=self.network, tag=self.tag, date=day))


def date_taken(path: Path) -> date:
    """The day a photo was taken as its EXIF block says, or else that of its file; today if there is no file."""
    from deblurcli.photo.decode import read_exif
    from deblurcli.photo.metadata import time_taken

    try:
        with fetched(path) as local:
            exif = read_exif(local)
        return date(*map(int, time_taken(exif or b"")[:10].split(":")))
    except Exception:  # whatever is wrong with the file, restoring it will tell
        try:
            return date.fromtimestamp(path.stat().st_mtime)
        except OSError:
            return date.today()


def plan_jobs(
    sources: list[Source],
    named: str | None,
    *,
    single: bool,
    names: Names | None = None,
    format: str | None = None,
    left_out: list[str] | None = None,
) -> list[Job]:
    """Pairs every photo with its output.

    A single file may go to a file; several files or a folder go to a folder, below which their tree is kept. Without
    an output a result lies beside its photo as ``NAME-deblurred``. Photos that are results of others among them, and
    say so, are left out.

    Args:
        named: the output as typed: a slash at its end means a folder, which a ``Path`` would forget.
        single: one file was named, and neither a folder, pattern nor list.
        names: how results in folders are called; None for the photo's own name, or ``BESIDE`` it.
        left_out: where it is said, for people, which photos are left out.

    Raises:
        UsageError: the output does not suit the inputs, is one of them, or is the same for two of them.
    """
    from deblurcli.photo.formats.table import WRITABLE_SUFFIXES, format_for

    output = None if named is None else place(named)
    if single and output is not None and not (output.is_dir() or str(named).endswith(("/", os.sep))):
        if names is not None:
            raise UsageError(
                f"{output}: the output has a name already, which --suffix and --template would change",
                "Name a folder with -o.",
            )
        try:
            format_for(output, format)
        except UsageError:
            for source in sources:
                if not is_remote(source.path) and not exists(source.path):  # which matters more
                    raise PhotoError(source.path, "there is no such file") from None
            raise
        to_make = None if is_remote(output) or output.parent.is_dir() else output.parent
        jobs = [Job(source.path, output, root=to_make) for source in sources]
    else:
        if output is not None and output.suffix.lower() in WRITABLE_SUFFIXES and not output.is_dir():
            raise UsageError(f"{output}: several photos cannot go to one file", "Name a folder with -o.")
        names = names or Names(BESIDE if output is None else "{stem}")
        jobs = [Job(s.path, _target(s, output, names, format), s.root, output) for s in sources]
        own = _own_results(jobs)
        jobs = [job for job in jobs if job.source not in own]
        if left_out is not None:
            left_out += [f"{result}: left out, because deblur made it from {source}" for result, source in own.items()]
    check_jobs(jobs)
    return jobs


def _own_results(jobs: list[Job]) -> dict[Path, Path]:
    """Photos that an earlier run made of others among them, as they themselves record, and what they were made of."""
    if len(jobs) < 2:
        return {}
    targets = {real_path(job.target): job.source for job in jobs}
    looked_at = [job.source for job in jobs if not is_remote(job.source) or real_path(job.source) in targets]
    records = {path: record for path in looked_at if (record := record_of(path))}
    if not records:
        return {}
    # Those by other names, or in other folders, tell by the sum of what they were made of.
    sums = {sum_of(path): path for path in looked_at if path.is_file()}
    made = {path: sums[record.source] for path, record in records.items() if record.source in sums}
    return made | {path: targets[real_path(path)] for path in records if real_path(path) in targets}


def _target(source: Source, output: Path | None, names: Names, format: str | None) -> Path:
    from deblurcli.photo.formats.table import suffix_for

    folder = source.path.parent
    # As text: folders and outputs may lie in different kinds of storage.
    named = (folder if output is None else output / str(folder.relative_to(source.root))) / str(names.of(source.path))
    return named.with_name(named.name + suffix_for(source.path, format))


def check_jobs(jobs: list[Job]) -> None:
    """Raises UsageError if a target is one of the originals, or the same as another."""
    sources = {real_path(job.source) for job in jobs}
    same: dict[Path, bool] = {}  # whether a folder takes names that differ in case alone for the same
    taken: dict[str, Path] = {}
    for job in jobs:
        target = real_path(job.target)
        if target in sources or _is_same_file(job.target, job.source):
            raise UsageError(f"{job.target}: is an original, which is never overwritten", "Name another output.")
        folder = target.parent
        if folder not in same:
            same[folder] = not is_remote(folder) and ignores_case(folder)
        key = unicodedata.normalize("NFC", str(target)).casefold() if same[folder] else str(target)
        if key in taken:
            raise UsageError(
                f"{job.source} and {taken[key]} would both be written to {job.target}",
                _how_to_tell_apart(job.source, taken[key]),
            )
        taken[key] = job.source


def _how_to_tell_apart(one: Path, other: Path) -> str:
    if one.suffix != other.suffix:
        return "Tell them apart with --template '{stem}-{suffix}'."
    return "Restore them separately, or name their folder and --recursive, which keeps its tree."


def _is_same_file(one: Path, other: Path) -> bool:
    """Whether two names, such as links, are of one file."""
    local = not is_remote(one) and not is_remote(other)
    return local and exists(one) and exists(other) and one.samefile(other)


def check_original(path: Path, option: str, *photos: Path) -> None:
    """Raises UsageError if what ``option`` names is one of the photos."""
    if any(real_path(path) == real_path(photo) or _is_same_file(path, photo) for photo in photos):
        raise UsageError(f"{path}: is an original, which is never overwritten", f"Name another file with {option}.")


def check_place(job: Job) -> None:
    """Whether a result goes where it was meant to: a link in the output tree, or beside a photo, may lead elsewhere.

    The output folder itself, and the one file that was named as output, may be links.

    Raises:
        PhotoError: it would be written outside.
    """
    base = job.root or (job.source.parent if job.tree else None)
    if base is not None and not is_remote(base) and not real_path(job.target).is_relative_to(real_path(base)):
        raise PhotoError(
            job.target,
            "leads outside the output folder, through a link",
            "Remove the link, or name its target with -o.",
        )


def real_path(path: Path) -> Path:
    """``Path.resolve``, of links in a circle, too."""
    return path.resolve() if is_remote(path) else Path(os.path.realpath(path))


def exists(path: Path) -> bool:
    """``Path.exists``, of names that no file can have, too."""
    try:
        return path.exists()
    except OSError:
        return False


def ignores_case(folder: Path) -> bool:
    """Whether a folder, which need not exist yet, lies where names that differ in case alone are the same."""
    for there in (folder, *folder.parents):
        other = there.with_name(there.name.swapcase())
        if other.name != there.name and exists(there):
            return exists(other) and other.samefile(there)
    return False


def shard(jobs: list[Job], part: int, parts: int) -> list[Job]:
    """Part 1 … ``parts`` of all jobs. Neighbours, which are often alike in size, go to different parts."""
    return list(islice(jobs, part - 1, None, parts))


def prepared(jobs: list[Job], *folders: Path | None) -> list[Job]:
    """The jobs with their output folder made, and what a run that was killed left in it, or in other folders, removed.

    Raises:
        PhotoError: the output folder cannot be made.
    """
    from deblurcli.photo.atomic import remove_abandoned

    for root in {job.root for job in jobs if job.root and not is_remote(job.root)}:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PhotoError(root, f"cannot be created ({error.strerror})", "Choose another output folder.") from error
    for folder in {job.target.parent for job in jobs if not is_remote(job.target)} | {f for f in folders if f}:
        remove_abandoned(folder)
    return [replace(job, disk=job.root.stat().st_dev) if job.root and not is_remote(job.root) else job for job in jobs]


def make_folder(job: Job) -> None:
    """Makes the folder that a job's target lies in, but never the output folder itself once more.

    A disk that was unplugged or unmounted takes the output folder with it. Were it made again, the results would fill
    another disk.

    Raises:
        OutputLostError: the output folder is gone. PhotoError: a folder below it cannot be made.
    """
    if job.root is None or is_remote(job.root):
        return
    try:
        if not job.root.is_dir() or (job.disk and job.root.stat().st_dev != job.disk):
            raise OutputLostError(job.root, "the output folder is no longer there", "Was its disk removed?")
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotoError(
            job.target.parent, f"cannot be created ({error.strerror})", "Choose another output folder."
        ) from error


def check_existing(job: Job, overwrite: bool, hint: str = REPLACE) -> None:
    """Raises PhotoError if the output exists and may not be replaced."""
    if exists(job.target) and not overwrite:
        raise PhotoError(job.target, EXISTS, hint)
