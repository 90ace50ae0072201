"""The contact sheet of a run: one page of all its photos, before and after, that grows by a photo at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from PIL import Image

from deblurcli.errors import PhotoError
from deblurcli.look.picture import reduced
from deblurcli.look.places import largest_change
from deblurcli.maps.page import webp
from deblurcli.photo.atomic import EXISTS, replacing
from deblurcli.photo.colour import eight_bits
from deblurcli.photo.photo import Photo
from deblurcli.tiling import Region

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = "deblur contact sheet"
CROP, THUMB = (320, 480), 160  # px: height and width of what is shown 1:1, longer side of the whole
SMALLER = (160, 240)  # px, of what is nothing but grain
LARGEST = 46_000  # characters of the pictures of a photo, so that those of 2,000 are less than 100 MB
QUALITIES = (86, 78, 66, 50, 30, 10)
_OUTPUT = re.compile(rb'<article [^>]*data-output="([^"]*)"')


@dataclass(frozen=True)
class Look:
    """A photo as the page shows it.

    Attributes:
        before, after: where it changed most, ``width`` × ``height`` px; thumb: the whole; all WebP in base64.
        box: where that is, left, top, width and height in % of the whole.
    """

    before: str
    after: str
    thumb: str
    width: int
    height: int
    box: tuple[float, float, float, float]


def look_at(before: Photo, after: Photo) -> Look:
    """A photo before and after, both of one size, in a few kilobytes."""
    thumb = webp(Image.fromarray(reduced(after.pixels, THUMB)), None, 66)
    look: Look | None = None
    for size in (CROP, SMALLER):
        region = largest_change(before.pixels, after.pixels, size)
        crops = [Image.fromarray(eight_bits(photo.pixels[region.slices])) for photo in (before, after)]
        for quality in QUALITIES:
            first, second = (webp(crop, before.icc, quality) for crop in crops)
            look = Look(first, second, thumb, region.width, region.height, _share(region, *before.pixels.shape[:2]))
            if len(first) + len(second) + len(thumb) <= LARGEST:
                return look
    assert look
    return look


def _share(region: Region, height: int, width: int) -> tuple[float, float, float, float]:
    """Left, top, width and height in %."""
    shares = region.left / width, region.top / height, region.width / width, region.height / height
    left, top, across, down = (round(100 * share, 2) for share in shares)
    return left, top, across, down


class Sheet:
    """The page, a file that is whole enough to be looked at at any time.

    Photos of an earlier run that are still there stay on it, unless they are made again.
    """

    def __init__(self, path: Path, again: Collection[Path], overwrite: bool) -> None:
        """``again``: outputs of this run; ``overwrite`` replaces a file that is none of these pages.

        Raises:
            PhotoError: the page cannot be written, or another file has its name.
        """
        self.path = path
        kept = self._kept({self._name(output) for output in again}, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(_templates().get_template("sheet.html").render(mark=MARK).encode() + b"\n")
            file.writelines(kept)

    def add(self, row: dict[str, Any], look: Look | None) -> None:
        """Adds a photo, as ``--json`` tells of it, with what there is to see.

        Raises:
            PhotoError: the page cannot be written any more.
        """
        output = Path(row["output"])
        kinds = {"failed": "error" in row, "warned": bool(row.get("warnings")), "remarked": bool(row.get("remark"))}
        text = (
            _templates()
            .get_template("sheet_photo.html")
            .render(
                kinds=[kind for kind, holds in kinds.items() if holds],
                output=self._name(output),
                name=Path(row["input"]).name,
                look=look,
                link="" if "error" in row else quote(self._name(output), safe="/:"),
                said="" if "error" in row else f"{output.name}: {row['width']} × {row['height']} px",
                remarks=[text for text in (row.get("remark"),) if text],
                warnings=row.get("warnings", ()),
                errors=[row["error"].removeprefix(f"{row['input']}: ")] if "error" in row else [],
            )
        )
        # A line each, by which the next run finds them. One that was cut off is passed over.
        line = b"\n" + text.replace("\r", " ").replace("\n", "").encode(errors="backslashreplace") + b"\n"
        try:
            with self.path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise PhotoError(self.path, f"cannot be written ({error.strerror})") from error

    def _name(self, output: Path) -> str:
        """An output as the page calls it: the way to it from here."""
        try:
            named = os.path.relpath(output, self.path.parent)
        except (TypeError, ValueError):  # elsewhere, or on another drive
            named = str(output)
        return named.replace(os.sep, "/").encode(errors="backslashreplace").decode()

    def _kept(self, again: set[str], overwrite: bool) -> list[bytes]:
        """Lines of the page that is there."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            if MARK.encode() not in file.read(100):
                if overwrite:
                    return []
                raise PhotoError(self.path, *EXISTS)
            lines = [(found[1], line) for line in file if (found := _OUTPUT.match(line)) and line.endswith(b"\n")]
        names = [(unescape(name.decode()), line) for name, line in lines if line.endswith(b"</article>\n")]
        return [line for name, line in names if name not in again and (self.path.parent / name).exists()]


@cache
def _templates() -> Environment:
    import jinja2

    return jinja2.Environment(loader=jinja2.PackageLoader("deblurcli.maps"), autoescape=True)
