"""Before | after as one picture, with a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deblurcli.look.places import largest_change
from deblurcli.photo.colour import eight_bits
from deblurcli.photo.encode import write_photo
from deblurcli.photo.photo import Photo

WHOLE = 720  # px, the longer side of a photo that is shown as a whole
CROP = (360, 540)  # height and width of what is shown 1:1 below it; of a photo that is small enough, a part, enlarged
CLOSER = {1: "where it changed most, pixel by pixel", 2: "where it changed most, twice as large"}
GAP, TEXT = 10, 15  # px
BACK, INK = (34, 34, 34), (236, 236, 236)


class Pair(NamedTuple):
    """Two pictures of one size, (h, w, 3) uint8, and what is said of them."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    caption: str


def write_comparison(
    path: Path, before: Photo, after: Photo, title: str, *, description: str = "", overwrite: bool = True
) -> None:
    """Writes a picture: both photos as a whole, and closer the place where they differ most.

    Args:
        before, after: of one size. description: for the Software field.

    Raises:
        PhotoError: it cannot be written.
    """
    zoom = 1 if max(before.pixels.shape) > WHOLE else 2
    region = largest_change(before.pixels, after.pixels, (CROP[0] // zoom, CROP[1] // zoom))
    whole = Pair(reduced(before.pixels, WHOLE), reduced(after.pixels, WHOLE), "the whole photo")
    closer = pair(before.pixels[region.slices], after.pixels[region.slices], CLOSER[zoom])
    pairs = [whole, Pair(_larger(closer.before, zoom), _larger(closer.after, zoom), closer.caption)]
    write_pairs(path, title, pairs, before.icc, description=description, overwrite=overwrite)


def pair(before: NDArray[Any], after: NDArray[Any], caption: str) -> Pair:
    """Of codes of whatever depth."""
    return Pair(eight_bits(before), eight_bits(after), caption)


def reduced(pixels: NDArray[Any], longest: int) -> NDArray[np.uint8]:
    """A photo (H, W, 3) of any depth so much smaller that no side is longer than this, px."""
    step = max(1, max(pixels.shape[:2]) // (4 * longest))  # of a large photo Pillow would make a copy
    image = Image.fromarray(np.ascontiguousarray(eight_bits(pixels[::step, ::step])))
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)


def _larger(pixels: NDArray[np.uint8], zoom: int) -> NDArray[np.uint8]:
    size = (pixels.shape[1] * zoom, pixels.shape[0] * zoom)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image if zoom == 1 else image.resize(size, Image.Resampling.BICUBIC))


def write_pairs(
    path: Path, title: str, pairs: list[Pair], icc: bytes | None, *, description: str = "", overwrite: bool = True
) -> None:
    """Writes a picture of pairs, before on the left and after on the right of each, as many in a row as the first has
    room for."""
    font = ImageFont.load_default(TEXT)
    line = TEXT + GAP
    sizes = [(2 * p.before.shape[1] + GAP // 2, p.before.shape[0] + line) for p in pairs]
    room = max(width for width, _ in sizes)
    places, left, top, below = [], 0, line, 0
    for width, height in sizes:
        if left and left + width > room + 2 * GAP:
            left, top, below = 0, top + below, 0
        places.append((left + GAP, top + GAP))
        left, below = left + width + GAP, max(below, height + GAP)
    across = max(x + width for (x, _), (width, _) in zip(places, sizes, strict=True)) + GAP
    said = [title, *(p.caption for p in pairs)]
    # Of a tiny photo the words are wider than the picture.
    across = max(across, *(round(font.getlength(text)) + 2 * GAP for text in said))
    sheet = Image.new("RGB", (across, top + below), BACK)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP // 2), title, INK, font)
    for p, (x, y) in zip(pairs, places, strict=True):
        height, width = p.before.shape[:2]
        draw.text((x, y), p.caption, INK, font)
        for at, word, pixels in ((x, "before", p.before), (x + width + GAP // 2, "after", p.after)):
            sheet.paste(Image.fromarray(np.ascontiguousarray(pixels)), (at, y + TEXT + GAP // 2))
            draw.text((at + 8, y + TEXT + GAP), word, INK, font, stroke_width=2, stroke_fill=BACK)
    colours = icc if icc and icc[16:20] == b"RGB " else None
    write_photo(path, Photo(np.asarray(sheet), icc=colours), description=description or None, overwrite=overwrite)
