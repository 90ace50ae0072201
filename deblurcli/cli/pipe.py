"""Photos through pipes: ``deblur - -o -``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from deblurcli.errors import PhotoError, UsageError
from deblurcli.photo.formats.sniff import HEAD, identify

INPUT, OUTPUT = "standard input", "standard output"


@dataclass(frozen=True)
class Pipe:
    """What the command works on in place of "-".

    Attributes:
        photos, output: as typed, "-" replaced by files. folder: where these are; None if nothing goes through a pipe.
    """

    photos: tuple[str, ...]
    output: str | None
    folder: Path | None = None

    def words(self, text: str) -> str:
        """A message with the names that people know."""
        return text.replace(f"{self.folder}/", "") if self.folder else text


@contextmanager
def piped(photos: tuple[str, ...], output: str | None, format: str | None, as_json: bool) -> Iterator[Pipe]:
    """Takes a photo named "-" from standard input, and sends what becomes of it to standard output if that is "-".

    Raises:
        UsageError: more than one photo goes through a pipe, or it is not clear where to.
        PhotoError: nothing came in.
    """
    from deblurcli.photo.formats.table import suffix_for

    if "-" not in photos and output != "-":
        yield Pipe(photos, output)
        return
    (photo, *others) = photos
    if others:
        raise UsageError("only one photo can go through a pipe", "Name files, or a list of them: @- reads one.")
    if photo == "-" and sys.stdin.isatty():
        raise UsageError(
            "standard input is a terminal", "Send a photo through it: deblur - -o - < photo.jpg > sharp.jpg"
        )
    if output is None:
        raise UsageError("a photo from standard input needs an output", "Use -o FILE, or -o - for standard output.")
    if output == "-" and as_json:
        raise UsageError(
            "standard output cannot hold both the photo and JSON lines", "Leave out --json, or use -o FILE."
        )
    with TemporaryDirectory(prefix="deblur-") as name:
        folder = Path(name)
        source = Path(photo)
        if photo == "-":
            source = folder / INPUT
            head = sys.stdin.buffer.read(HEAD)
            identify(Path(INPUT), head)  # what is no photo may have no end
            with source.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(sys.stdin.buffer, file)
        target = output
        if output == "-":
            kind = _kind(source, INPUT if photo == "-" else photo)
            target = str(folder / f"{OUTPUT}{suffix_for('photo.' + kind, format)}")
        yield Pipe((str(source),), target, folder)
        if output == "-" and target and Path(target).is_file():
            with Path(target).open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _kind(path: Path, named: str) -> str:
    try:
        with path.open("rb") as file:
            return identify(Path(named), file.read(HEAD))
    except OSError as error:
        raise PhotoError(named, f"cannot be read ({error.strerror})") from error
