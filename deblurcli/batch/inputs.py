"""From what was typed to photos: files, folders, patterns and lists."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deblurcli.batch.storage import MARK as STORAGE_MARK
from deblurcli.batch.storage import is_remote, place
from deblurcli.errors import DeblurError, PhotoError
from deblurcli.photo.sniff import RAW_SUFFIXES, looks_like_photo

Twins = Literal["raw", "developed", "both"]
MARK = "/./"
"""In a path, what the part after it is a tree below: ``shots/./day two/b.jpg``, as rsync has it."""


@dataclass(frozen=True)
class Source:
    """A photo, and the folder that its place in the tree of outputs counts from."""

    path: Path
    root: Path

    @classmethod
    def named(cls, text: str) -> Source:
        """A photo as it was typed, or written with ``str``."""
        root, mark, below = text.rpartition(MARK)
        if mark:
            return cls(place(root or "/") / below, place(root or "/"))
        return cls(place(text), place(text).parent)

    def __str__(self) -> str:
        return (
            str(self.path) if self.root == self.path.parent else f"{self.root}{MARK}{self.path.relative_to(self.root)}"
        )


@dataclass
class Found:
    """Photos, in the order in which they were named; what could not be searched; what was left out, for people."""

    sources: list[Source] = field(default_factory=list)
    errors: list[DeblurError] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find_photos(
    arguments: tuple[str, ...], *, recursive: bool = False, twins: Twins = "both", skip: Path | None = None
) -> Found:
    """All photos that arguments mean.

    Args:
        arguments: files, folders, patterns like ``*.jpg`` (where the shell left them), and lists: ``@FILE``, or ``@-``
            for standard input, with one of the former per line, or separated by zero bytes.
        recursive: look into folders' folders. Those that are links are not followed: they may lead anywhere.
        twins: which of a raw file and a developed picture that share folder and stem, as cameras write them, is meant.
            Files named one by one are never left out.
        skip: a folder that is not looked into: outputs are no inputs.

    Raises:
        PhotoError: a list cannot be read.
    """
    found = Found()
    for argument in _unlisted(arguments):
        try:
            path = place(argument)
            if path.is_dir():
                photos = _remote(path, recursive) if is_remote(path) else _walk(found, path, recursive, skip)
                kept = _one_of_twins(photos, twins, found.left_out)
                if not kept and not found.errors:
                    hint = "" if recursive else "--recursive looks into its subfolders, if there are any."
                    raise PhotoError(path, "no photos in this folder", hint)
                found.sources += [Source(photo, path) for photo in sorted(kept)]
            elif _is_pattern(argument) and not path.exists():
                files = sorted(match for match in _matches(argument) if match.is_file())
                if not files:
                    raise PhotoError(path, "nothing fits this pattern")
                found.sources += [Source(file, file.parent) for file in files]
            else:
                found.sources.append(Source.named(argument))
        except DeblurError as error:
            found.errors.append(error)
    found.sources = list({source.path: source for source in found.sources}.values())  # named twice, restored once
    return found


def _unlisted(arguments: tuple[str, ...]) -> Iterator[str]:
    """The arguments, lists replaced by what is in them."""
    for argument in arguments:
        if argument.startswith("@") and not os.path.lexists(argument):
            yield from read_list(argument[1:])
        else:
            yield argument


def read_list(name: str) -> list[str]:
    """The names in a list, in any encoding; "-" is standard input.

    Raises:
        PhotoError: it cannot be read.
    """
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise PhotoError(name, f"this list cannot be read ({error.strerror})") from error
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


def write_list(names: list[str]) -> bytes:
    """What ``read_list`` reads: a name per line, or, where a name has line ends itself, zero bytes between."""
    encoded = [os.fsencode(name) for name in names]
    end = b"\0" if any(len(name.splitlines()) > 1 or name.endswith((b"\n", b"\r")) for name in encoded) else b"\n"
    return b"".join(name + end for name in encoded)


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _matches(pattern: str) -> Iterator[Path]:
    parts = pattern.split("/") if STORAGE_MARK in pattern else Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if _is_pattern(part))
    start = place("/".join(parts[:first])) if STORAGE_MARK in pattern else Path(*parts[:first])
    return start.glob("/".join(parts[first:]))


def _walk(found: Found, folder: Path, recursive: bool, skip: Path | None) -> list[Path]:
    """The photos of a folder; what else there was to say goes to ``found``."""
    photos: list[Path] = []
    skipped = skip.resolve() if skip else None

    def unreadable(error: OSError) -> None:
        found.errors.append(PhotoError(error.filename, f"this folder cannot be read ({error.strerror})"))

    for name, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(name)
        photos += [here / file for file in files if looks_like_photo(file) and _is_there(here / file)]
        links = [name for name in folders if (here / name).is_symlink()]
        # Hidden folders hold what programs keep for themselves: thumbnails, trash, our unfinished work.
        folders[:] = [
            name
            for name in folders
            if name not in links and not name.startswith(".") and (here / name).resolve() != skipped
        ]
        if not recursive:
            break
        found.left_out += [f"{here / name}: is a link to a folder, which is not followed" for name in links]
    return photos


def _remote(folder: Path, recursive: bool) -> list[Path]:
    return [
        path for path in folder.glob("**/*" if recursive else "*") if looks_like_photo(path.name) and path.is_file()
    ]


def _is_there(path: Path) -> bool:
    """Files, and links whatever they lead to: that they lead nowhere is for the run to tell."""
    return path.is_symlink() or path.is_file()


def _one_of_twins(photos: list[Path], twins: Twins, left_out: list[str]) -> list[Path]:
    if twins == "both":
        return photos
    stems: dict[tuple[Path, str], list[Path]] = {}
    for photo in photos:
        stems.setdefault((photo.parent, photo.stem.casefold()), []).append(photo)
    kept: list[Path] = []
    for group in stems.values():
        raw = [path for path in group if path.suffix.lower() in RAW_SUFFIXES]
        chosen = raw if twins == "raw" else [path for path in group if path not in raw]
        if raw and len(raw) < len(group):
            left_out += [f"{path}: left out for {chosen[0].name}" for path in group if path not in chosen]
            kept += chosen
        else:
            kept += group
    return kept
