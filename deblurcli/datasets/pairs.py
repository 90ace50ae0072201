"""Folders of blurred photos and their sharp references, as lists of pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from deblurcli.arrays import Picture
from deblurcli.datasets.layouts import LAYOUTS, crop
from deblurcli.datasets.photos import photos_below
from deblurcli.errors import PhotoError, UsageError
from deblurcli.photo.decode import read_photo

# Names of folders, without capitals, hyphens and underscores.
BLURRED = {"source", "input", "inputs", "blur", "blurred", "blurry", "defocus", "defocused"}
SHARP = {"target", "gt", "groundtruth", "sharp", "reference", "allinfocus", "aif"}
# Where several places hold such folders. Unverified: DPDD has the pictures that users see in test_c, and the halves of
# their dual pixels elsewhere.
PREFERRED = {"test", "test_c"}
EXPECTED = (
    "Expected NAME_blur.* beside NAME_sharp.*, folders of such, or two folders called like source and target, "
    "input and gt, or blur and sharp."
)


@dataclass(frozen=True)
class Pair:
    """A blurred photo and what it should look like.

    Attributes:
        name: different for each pair of a folder.
        blurred, sharp: the files; ``sharp`` is None where there is no reference.
        group: what belongs together and is not independent of each other: what precedes the first "_" of a name
            (suffixes), the set (see ``find_pairs``), the scene (slices), or all of a folder.
    """

    name: str
    blurred: Path
    sharp: Path | None
    group: str

    def read(self, protocol: str = "whole") -> tuple[Picture, Picture]:
        """Both pictures, (H, W, 3) float32 in [0, 1], cropped as ``layouts.CROPS`` says.

        Raises:
            UsageError: there is no reference. PhotoError: a file cannot be read, or the sizes differ.
        """
        if self.sharp is None:
            raise UsageError(f"{self.blurred}: has no sharp reference", "Only pairs can be compared.")
        blurred, sharp = read_photo(self.blurred).picture, read_photo(self.sharp).picture
        if blurred.shape != sharp.shape:
            sizes = " and ".join(f"{p.shape[1]} × {p.shape[0]} px" for p in (blurred, sharp))
            raise PhotoError(self.blurred, f"differs in size from its reference {self.sharp.name}: {sizes}")
        return crop(blurred, protocol), crop(sharp, protocol)


def find_pairs(folder: Path, layout: str = "auto") -> list[Pair]:
    """All pairs below ``folder``, in order of their names.

    Where pairs by suffix lie not in ``folder`` but in folders in it, each of these is a set: its name is the group of
    its pairs, unless several beginnings of names divide it, none of them one pair's alone. Folders without pairs are
    passed over.

    Args:
        folder: the data set or a folder in it. Where several folders hold pairs, ``test`` and ``test_c`` go first.
        layout: a key of ``LAYOUTS``, or "auto" to go by the names of files and folders. "auto" never pairs files by
            their order alone and never takes photos that have no reference.

    Raises:
        UsageError: there is no such folder or layout, or the files do not fit it.
    """
    if layout not in ("auto", *LAYOUTS):
        raise UsageError(f"no layout is called '{layout}'", f"There are: auto, {', '.join(LAYOUTS)}.")
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", "Name the folder that holds the pairs.")
    pairing = LAYOUTS[layout].pairing if layout != "auto" else None
    if pairing == "alone":
        pairs = [Pair(name, path, None, folder.name) for name, path in _by_name(photos_below(folder), folder).items()]
    elif pairing == "suffixes" or (pairing is None and (_ending(folder, "_blur") or _sets(folder))):
        pairs = _by_suffix(folder) or [pair for each in _sets(folder) for pair in _of_set(each)]
    else:
        blurred, sharp = _two_folders(folder)
        pairs = _by_folder(blurred, sharp, slices=pairing in (None, "slices"), in_order=pairing == "folders")
    if not pairs:
        raise _not_found(folder)
    return pairs


def _ending(folder: Path, suffix: str) -> dict[str, Path]:
    """Photos directly in ``folder`` whose name ends with ``suffix``, by what precedes it."""
    files = (path for path in photos_below(folder) if path.parent == folder and path.stem.endswith(suffix))
    return _by_name(files, folder, lambda name: name.removesuffix(suffix))


def _by_suffix(folder: Path) -> list[Pair]:
    blurred, sharp = _ending(folder, "_blur"), _ending(folder, "_sharp")
    for name in blurred.keys() - sharp.keys():
        raise UsageError(f"{blurred[name]}: has no reference", f"Expected {name}_sharp.* beside it.")
    return [Pair(name, path, sharp[name], name.split("_")[0]) for name, path in blurred.items()]


def _sets(folder: Path) -> list[Path]:
    inside = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    return [entry for entry in inside if _ending(entry, "_blur") and _ending(entry, "_sharp")]


def _of_set(folder: Path) -> list[Pair]:
    """The pairs of a set, named as seen from above it."""
    pairs = _by_suffix(folder)
    sizes = Counter(pair.group for pair in pairs)
    divided = len(sizes) > 1 and min(sizes.values()) > 1
    return [replace(p, name=f"{folder.name}/{p.name}", group=p.group if divided else folder.name) for p in pairs]


def _by_folder(blurred_folder: Path, sharp_folder: Path, slices: bool, in_order: bool) -> list[Pair]:
    blurred, sharp = (_by_name(photos_below(f), f) for f in (blurred_folder, sharp_folder))
    group = blurred_folder.parent.name
    if in_order and len(blurred) == len(sharp) and not blurred.keys() & sharp.keys():
        rows = zip(blurred.items(), sharp.values(), strict=True)
        return [Pair(name, path, reference, group) for (name, path), reference in rows]
    if blurred.keys() <= sharp.keys():
        return [Pair(name, path, sharp[name], group) for name, path in blurred.items()]
    scenes = {name: _scene(name, sharp) if slices else name for name in blurred}
    for name, scene in scenes.items():
        if scene not in sharp:
            raise UsageError(
                f"{blurred[name]}: has no reference among the {len(sharp)} photos in {sharp_folder}",
                "Files of a pair have the same name. If they only come in the same order, name the layout.",
            )
    return [Pair(name, path, sharp[scenes[name]], scenes[name]) for name, path in blurred.items()]


def _scene(name: str, scenes: Container[str]) -> str:
    """ "bridge_03", "bridge-3" and "bridge/3" belong to "bridge" if that is a scene and they are not."""
    while name not in scenes and (end := max(name.rfind(mark) for mark in "/_-")) > 0:
        name = name[:end]
    return name


def _two_folders(folder: Path) -> tuple[Path, Path]:
    """The folders of blurred photos and of references: in ``folder`` itself, or one or two folders deeper."""
    for level in ([folder], folder.glob("*"), folder.glob("*/*")):
        places = sorted(place for place in level if place.is_dir())
        found = [both for place in places for both in product(_called(place, BLURRED), _called(place, SHARP))]
        preferred = [both for both in found if both[0].parent.name in PREFERRED]
        match preferred or found:
            case []:
                continue
            case [both]:
                return both
            case several:
                names = "; ".join(" and ".join(str(part.relative_to(folder)) for part in both) for both in several)
                raise UsageError(f"{folder}: more than one pair of folders: {names}", "Name a folder that holds one.")
    raise _not_found(folder)


def _called(place: Path, names: set[str]) -> list[Path]:
    entries = (entry for entry in sorted(place.iterdir()) if entry.is_dir())
    return [entry for entry in entries if entry.name.lower().replace("_", "").replace("-", "") in names]


def _by_name(files: Iterable[Path], folder: Path, short: Callable[[str], str] = str) -> dict[str, Path]:
    """Files by their path below ``folder``, without the suffix.

    Raises:
        UsageError: two files differ only in their suffix.
    """
    named: dict[str, Path] = {}
    for path in files:
        name = short(path.relative_to(folder).with_suffix("").as_posix())
        if name in named:
            raise UsageError(f"{path}: there is also {named[name].name}", "Keep one of them.")
        named[name] = path
    return named


def _not_found(folder: Path) -> UsageError:
    inside = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    folders = f"folders: {', '.join(inside[:6])}{' …' if inside[6:] else ''}" if inside else "no folders"
    return UsageError(f"{folder}: no pairs here, but {len(photos_below(folder))} photos and {folders}", EXPECTED)
