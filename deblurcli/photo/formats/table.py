"""The formats that can be written, what each can hold, and which one a path or a wish means."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from deblurcli.errors import UsageError
from deblurcli.photo.formats.sniff import RAW_SUFFIXES


@dataclass(frozen=True)
class Format:
    """What a file format can hold: bits per channel, pixels along a side, and what is beside the colours."""

    title: str
    suffixes: tuple[str, ...]
    depths: tuple[int, ...]
    largest: int
    holds: frozenset[str]


_COMMON = frozenset({"alpha", "icc", "exif", "xmp"})
FORMATS = {
    "jpeg": Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        (8,),
        65500,
        frozenset({"gray", "icc", "exif", "xmp", "xmp_extension", "iptc", "comment", "gain_map"}),
    ),
    "png": Format("PNG", (".png",), (8, 16), 1_000_000, _COMMON | {"gray", "cicp", "iptc", "comment", "texts"}),
    "tiff": Format("TIFF", (".tif", ".tiff"), (8, 16, 32), 2**31 - 1, _COMMON | {"gray", "iptc"}),
    "webp": Format("WebP", (".webp",), (8,), 16383, _COMMON),
    "avif": Format("AVIF", (".avif",), (8, 10), 65536, _COMMON | {"gray", "cicp"}),
    "jxl": Format("JPEG XL", (".jxl",), (8, 16, 32), 2**30, _COMMON | {"gray"}),
    "bmp": Format("BMP", (".bmp", ".dib"), (8,), 2**31 - 1, frozenset({"gray"})),
}
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
        raise UsageError(f"unknown format {format!r}", f"Known are {', '.join(FORMATS)}.")
    suffix = Path(str(path)).suffix
    if suffix.lower() in _BY_SUFFIX:
        return _BY_SUFFIX[suffix.lower()]
    what = f"no format has the suffix {suffix!r}" if suffix else "the name has no suffix to tell the format by"
    raise UsageError(f"{path}: {what}", f"Known are {' '.join(_BY_SUFFIX)}; or name one with --format.")


def suffix_for(source: str | PathLike[str], format: str | None = None) -> str:
    """The suffix of what becomes of a photo: that of the format asked for, or its own; .tif for raw, else .png."""
    suffix = Path(str(source)).suffix
    if format is None:
        if suffix.lower() in WRITABLE_SUFFIXES:
            return suffix
        return ".tif" if suffix.lower() in RAW_SUFFIXES else ".png"
    return FORMATS[format_for(suffix, format)].suffixes[0]
