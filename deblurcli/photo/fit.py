"""What of a photo's metadata goes into a file: what its format holds, and what people want in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, TypeAlias

from deblurcli.photo import metadata
from deblurcli.photo.formats.shape import Format
from deblurcli.photo.limits import MAX_NAMES
from deblurcli.photo.photo import TITLES, Part, Photo, was_dropped

Strip: TypeAlias = Literal["gps", "all"]


def stripped(photo: Photo, strip: Strip | None) -> Photo:
    """The photo without GPS coordinates, or without all that describes it; its colour profile and resolution stay.

    Coordinates inside maker notes, which are secrets of their makers, are not found; "all" drops them, too.
    """
    if strip == "all":
        return replace(photo, exif=None, xmp=None, xmp_extension=None, iptc=None, comment=None, texts=())
    if strip is None:
        return photo
    try:
        exif = photo.exif and metadata.without_gps(photo.exif)
    except metadata.DAMAGED:
        exif = None
    extension = photo.xmp_extension
    return replace(
        photo,
        exif=exif,
        xmp=photo.xmp and metadata.xmp_without_gps(photo.xmp),
        xmp_extension=None if extension and b"GPS" in extension else extension,
        texts=tuple((keyword, text) for keyword, text in photo.texts if "GPS" not in keyword),
    )


def fit(photo: Photo, known: Format, description: str | None) -> tuple[Photo, list[str]]:
    """The photo with the metadata that the format can hold, the description among them, and what that cost."""
    warnings: list[str] = []
    photo = _with_notes(photo, known, description, warnings)
    photo = _within_limits(photo, known, description, warnings)
    icc = photo.icc
    if icc and icc[16:20] == b"GRAY" and "icc" in known.holds and "gray" not in known.holds:
        photo = replace(photo, icc=None)
        warnings.append(f"The colour profile was dropped: it is for grayscale, which {known.title} does not have.")
    lost: list[Part] = []
    for part in known.cannot_carry:
        content = getattr(photo, part)
        if content is not None and len(content):
            lost.append(part)
    if lost:
        names = ", ".join(_title(photo, part) for part in lost)
        warnings.append(f"{known.title} cannot hold these, so they were dropped: {names}.")
    if "gain_map" in lost and photo.xmp:
        photo = replace(photo, xmp=metadata.xmp_without_item(photo.xmp, "GainMap"))
    return replace(photo, **{part: () if part == "texts" else None for part in lost}), warnings


def _with_notes(photo: Photo, known: Format, description: str | None, warnings: list[str]) -> Photo:
    """The photo with what was done to it, and its resolution, where these go into the EXIF data."""
    exif = photo.exif
    try:
        if description and "exif" in known.holds:
            exif = metadata.with_software(exif, description)
        if photo.dpi and known.resolution_in_exif and (exif is None or metadata.resolution(exif) is None):
            exif = metadata.with_resolution(exif, photo.dpi)
    except metadata.DAMAGED:
        exif = metadata.with_software(None, description) if description else None
        warnings.append("The EXIF data are damaged and were dropped.")
    texts = photo.texts
    if description and "texts" in known.holds:
        texts = (("Software", description), *(text for text in texts if text[0] != "Software"))
    return replace(photo, exif=exif, texts=texts)


def _within_limits(photo: Photo, known: Format, description: str | None, warnings: list[str]) -> Photo:
    for part, limit in known.limits.items():
        if len(getattr(photo, part) or b"") > limit:
            smaller = metadata.with_software(None, description) if part == "exif" and description else None
            photo = replace(photo, **{part: smaller})
            warnings.append(f"{was_dropped(part)}: too large for {known.title}.")
    return photo


def _title(photo: Photo, part: Part) -> str:
    """The name of a part; texts also say which they are."""
    if part != "texts":
        return TITLES[part]
    names = [keyword for keyword, _ in photo.texts]
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{TITLES[part]} ({', '.join(names[:MAX_NAMES])}{more})"
