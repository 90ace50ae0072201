"""The formats, what those that can be written hold, and which of these a path or a wish means."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from deblurcli.errors import UsageError, did_you_mean
from deblurcli.photo.formats import avif, bmp, heif, jp2, jpeg, jxl, png, raw, tiff, webp
from deblurcli.photo.formats.shape import Format, Readable, Writable
from deblurcli.photo.formats.sniff import RAW_SUFFIXES

WRITERS: dict[str, Writable] = {
    "jpeg": jpeg,
    "png": png,
    "tiff": tiff,
    "webp": webp,
    "avif": avif,
    "jxl": jxl,
    "bmp": bmp,
}
READERS: dict[str, Readable] = {**WRITERS, "jp2": jp2, "heif": heif, "raw": raw}
FORMATS: dict[str, Format] = {name: file.FORMAT for name, file in WRITERS.items()}
WRITABLE_SUFFIXES = frozenset(suffix for known in FORMATS.values() for suffix in known.suffixes)
_BY_SUFFIX = {suffix: name for name, known in FORMATS.items() for suffix in known.suffixes}


def format_for(path: str | PathLike[str], format: str | None = None) -> str:
    """The format to write: the one asked for ("jpeg", "jpg", "TIFF" …), or else the one of the path's suffix.

    Raises:
        UsageError: no such format can be written.
    """
    if format is not None:
        name = format.lower().removeprefix(".")
        if name in FORMATS or f".{name}" in _BY_SUFFIX:
            return _BY_SUFFIX.get(f".{name}", name)
        near = did_you_mean(name, [*FORMATS, *(suffix[1:] for suffix in _BY_SUFFIX)])
        hint = f"{near} There are: {', '.join(FORMATS)}.".lstrip()
        raise UsageError(f"{format!r} is not a format that can be written", hint)
    suffix = Path(str(path)).suffix
    if suffix.lower() in _BY_SUFFIX:
        return _BY_SUFFIX[suffix.lower()]
    what = f"no format has the suffix {suffix!r}" if suffix else "the name has no suffix to tell the format by"
    hint = f"Known are {' '.join(_BY_SUFFIX)}; or name one with --format."
    raise UsageError(f"{path}: {what}", hint if suffix else f"{hint} For a folder, write {path}/.")


def suffix_for(source: str | PathLike[str], format: str | None = None) -> str:
    """The suffix of what becomes of a photo: that of the format asked for, or its own; .tif for raw, else .png."""
    suffix = Path(str(source)).suffix
    if format is None:
        if suffix.lower() in WRITABLE_SUFFIXES:
            return suffix
        return ".tif" if suffix.lower() in RAW_SUFFIXES else ".png"
    return FORMATS[format_for(suffix, format)].suffixes[0]
