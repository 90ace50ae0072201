"""From what was typed to photos: files, folders, patterns and lists."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deblurcli.batch.storage import MARK as STORAGE_MARK
from deblurcli.batch.storage import is_folder, is_remote, place
from deblurcli.errors import DeblurError, PhotoError
from deblurcli.photo.formats.sniff import RAW_SUFFIXES, looks_like_photo

Twins = Literal["raw", "developed", "both"]
MARK = "/./"
"""In a path, what the part after it is a tree below: ``shots/./day two/b.jpg``, as rsync has it."""

LITTER = frozenset(
    {"@eadir", "@recycle", "@recently-snapshot", "@sharebin", "#recycle", "#snapshot", "$recycle.bin", "recycler"}
    | {"recycled", "lost+found", "system volume information", "network trash folder", "__macosx", "@__thumb", "@tmp"}
    | {"@appstore", "@sharesnap", "~snapshot", "temporary items", "thevolumesettingsfolder", "found.000", "found.001"}
)
"""Folders, in small letters, in which file servers and systems keep thumbnails and what was thrown away."""

_MARKS = {  # the longer first: one begins with another
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""What a text may begin with, and the encoding that it stands for."""


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
    """Photos, in the order in which they were named; what could not be searched; what was left out, for people.

    Attributes:
        passed_over: folders that hold no photos of anybody's: of those a file server makes thousands.
    """

    sources: list[Source] = field(default_factory=list)
    errors: list[DeblurError] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def find_photos(
    arguments: tuple[str, ...], *, recursive: bool = False, twins: Twins = "both", skip: Path | None = None
) -> Found:
    """All photos that arguments mean.

    Args:
        arguments: files, folders, patterns like ``*.jpg`` (where the shell left them), and lists: ``@FILE``, or ``@-``
            for standard input, with one of the former per line, or separated by zero bytes.
        recursive: look into folders' folders. Those that are links are not followed: they may lead anywhere. Hidden
            ones, ``LITTER``, and exported maps are passed over.
        twins: which of a raw file and a developed picture that share folder and stem, as cameras write them, is meant.
            Files named one by one are never left out.
        skip: a folder that is not looked into: outputs are no inputs.

    Raises:
        PhotoError: a list cannot be read.
    """
    found = Found()
    is_output = _is(skip)
    for argument in _unlisted(arguments):
        try:
            path = place(argument)
            if is_folder(path):
                photos = _remote(path, recursive) if is_remote(path) else _walk(found, path, recursive, is_output)
                kept = _one_of_twins(photos, twins, found.left_out)
                if not kept and not found.errors:
                    hint = "" if recursive else "--recursive looks into its subfolders, if there are any."
                    raise PhotoError(path, "no photos in this folder", hint)
                found.sources += [Source(photo, path) for photo in sorted(kept)]
            elif _is_pattern(argument) and not path.exists():
                files = sorted(match for match in _matches(argument, is_output) if match.is_file())
                if not files:
                    raise PhotoError(path, "no file matches this pattern")
                found.sources += [Source(file, file.parent) for file in files]
            elif not is_remote(path) and not os.path.lexists(path) and _is_folders_name(argument):
                raise PhotoError(argument, "there is no such file or folder")
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
    """The names in a list, one a line, or separated by zero bytes; "-" is standard input.

    What the list begins with tells its encoding (Windows likes UTF-16); without such a mark names are taken as they
    are, or else as Windows wrote them before.

    Raises:
        PhotoError: it cannot be read.
    """
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise PhotoError(name, f"this list cannot be read ({error.strerror})") from error
    try:
        text = _text(content)
    except UnicodeDecodeError as error:
        raise PhotoError(name, "this list is damaged: it is not in the encoding that it claims to be in") from error
    names = re.split("\0" if "\0" in text else r"[\r\n]+", text)
    # Names may hold line ends where each ends in a zero byte. Text of other encodings has letters without any between.
    whole = names[-1] == "" or not re.search(r"[\r\n]", text)
    if "\0" in text and not (whole and all(name.strip() for name in names[:-1])):
        raise PhotoError(name, "this list is not a text file: it has zero bytes in its lines", "Save it as UTF-8.")
    return [_named(name) for name in names if name.strip()]


def _text(content: bytes) -> str:
    """The text of a list: as its beginning says, or else UTF-16 if it looks like that, or else names as they are."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            text = content[len(mark) :]
            return os.fsdecode(text) if encoding == "utf-8" else text.decode(encoding)
    high_bytes = {"utf-16-le": content[1::2], "utf-16-be": content[::2]}
    for encoding, high in high_bytes.items():
        in_a_row = re.search(rb"\0[^\0]\0[^\0]\0", content)  # as in a suffix
        if len(content) % 2 == 0 and content.count(0) == high.count(0) and (in_a_row or high.count(0) > len(high) / 2):
            return content.decode(encoding)
    return os.fsdecode(content)


def _named(name: str) -> str:
    """A name as the file system has it; of one that is not UTF-8, as Windows may have written it, if that is there."""
    if not name.isprintable() and not os.path.lexists(name):
        with suppress(UnicodeError):
            if os.path.lexists(other := os.fsencode(name).decode("cp1252")):
                return other
    return name


def write_list(names: list[str]) -> bytes:
    """What ``read_list`` reads: a name per line, or, where a name has line ends itself, zero bytes between."""
    encoded = [os.fsencode(name) for name in names]
    end = b"\0" if any(len(name.splitlines()) > 1 or name.endswith((b"\n", b"\r")) for name in encoded) else b"\n"
    return b"".join(name + end for name in encoded)


def _is_folders_name(name: str) -> bool:
    return name.endswith(("/", os.sep)) or not Path(name).suffix


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _matches(pattern: str, is_output: Callable[[Path], bool]) -> Iterator[Path]:
    """What fits a pattern, but for what lies in folders that it did not name and that are passed over in a folder."""
    parts = pattern.split("/") if STORAGE_MARK in pattern else Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if _is_pattern(part))
    start = place("/".join(parts[:first])) if STORAGE_MARK in pattern else Path(*parts[:first])
    named = set(parts)
    for match in start.glob("/".join(parts[first:])):
        below = list(match.parents)[: len(match.parts) - len(start.parts) - 1]
        if not any(is_output(folder) or (folder.name not in named and _is_litter(folder)) for folder in below):
            yield match


def _is(folder: Path | None) -> Callable[[Path], bool]:
    """Whether a path is of this folder."""
    real = folder.resolve() if folder else None
    return lambda path: real is not None and not is_remote(path) and path.resolve() == real


def _is_litter(folder: Path) -> bool:
    """Whether a folder is kept by programs for themselves: thumbnails, trash, maps, our unfinished work."""
    name = folder.name.lower()
    return name.startswith(".") or name in LITTER or (name.endswith(".maps") and (folder / "maps.json").is_file())


def _walk(found: Found, folder: Path, recursive: bool, is_output: Callable[[Path], bool]) -> list[Path]:
    """The photos of a folder; what else there was to say goes to ``found``."""
    photos: list[Path] = []

    def unreadable(error: OSError) -> None:
        found.errors.append(PhotoError(error.filename, f"this folder cannot be read ({error.strerror})"))

    for name, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(name)
        photos += [here / file for file in files if looks_like_photo(file) and _is_there(here / file)]
        links = [name for name in folders if (here / name).is_symlink()]
        passed_over = [name for name in folders if _is_litter(here / name) or is_output(here / name)]
        folders[:] = [name for name in folders if name not in links and name not in passed_over]
        if not recursive:
            break
        found.passed_over += [str(here / name) for name in passed_over]
        found.left_out += [f"{here / name}: is a link to a folder, which is not followed" for name in links]
    return photos


def _remote(folder: Path, recursive: bool) -> list[Path]:
    def is_meant(path: Path) -> bool:
        below = list(path.parents)[: len(path.parts) - len(folder.parts) - 1]
        return looks_like_photo(path.name) and not any(map(_is_litter, below)) and path.is_file()

    return [path for path in folder.glob("**/*" if recursive else "*") if is_meant(path)]


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
            left_out += [f"{path}: left out in favour of {chosen[0].name}" for path in group if path not in chosen]
            kept += chosen
        else:
            kept += group
    return kept
