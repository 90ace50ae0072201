"""A contact sheet: the worst, the middle and the best of each suite, to be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from deblurcli.arrays import Picture
from deblurcli.errors import PhotoError, UsageError
from deblurcli.evaluation.drawn import font
from deblurcli.evaluation.rows import Row, Shown
from deblurcli.photo.transfer import to_codes

EACH = 3  # rows from the worst, the middle and the best
CROP, ZOOM = 160, 2  # px of a picture, and how much they are enlarged
CAPTION, GAP = 24, 6  # px


def choose(rows: list[Row]) -> list[tuple[str, Row]]:
    """The worst, the median and the best rows by gain, from worst to best and none twice, each with that word."""
    ranked = sorted(rows, key=Row.gain)
    if len(ranked) <= 3 * EACH:
        return [("", row) for row in ranked]
    middle = (len(ranked) - EACH) // 2
    starts = {"worst": 0, "median": middle, "best": len(ranked) - EACH}
    return [(word, row) for word, start in starts.items() for row in ranked[start : start + EACH]]


def write_sheet(path: Path, suites: dict[str, list[Row]]) -> None:
    """Writes a PNG: a line for each chosen row, what ``detail`` kept of it, with its gain below.

    Raises:
        UsageError: no suite has pictures to show. PhotoError: the file cannot be written.
    """
    lines = [
        (f"{word} {name}: {describe(row)}".strip(), row.shown)
        for name, rows in suites.items()
        for word, row in choose([row for row in rows if row.shown])
        if row.shown
    ]
    if not lines:
        raise UsageError("there is nothing to show on a sheet", "The suites 'synthetic' and 'real' have pictures.")
    side = CROP * ZOOM
    sheet = Image.new("RGB", (3 * side + 4 * GAP, len(lines) * (side + CAPTION + GAP) + CAPTION), "white")
    draw, face = ImageDraw.Draw(sheet), font("DejaVuSans", 15)
    for column, name in enumerate(Shown._fields):
        draw.text((GAP + column * (side + GAP), 2), name, "black", face)
    for number, (caption, pictures) in enumerate(lines):
        top = CAPTION + number * (side + CAPTION + GAP)
        for column, picture in enumerate(pictures):
            tile = Image.fromarray(to_codes(picture, np.uint8))
            tile = tile.resize((tile.width * ZOOM, tile.height * ZOOM), Image.Resampling.NEAREST)
            sheet.paste(tile, (GAP + column * (side + GAP), top))
        draw.text((GAP, top + side + 2), caption, "black", face)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, "png")
    except OSError as error:
        raise PhotoError(path, f"cannot be written ({error.strerror})", "Choose another --sheet.") from error


def describe(row: Row) -> str:
    """For example "kodim03, radius 3, noise 1.5: +1.98 dB (28.13 → 30.11)"."""
    photo, *others = (str(v) if k == "photo" else f"{k} {v:.3g}" for k, v in row.labels.items() if k != "group")
    before, after = row.values["psnr"]["input"], row.values["psnr"]["deblur"]
    return f"{', '.join([photo, *others])}: {row.gain():+.2f} dB ({before:.2f} → {after:.2f})"


def detail(blurred: Picture, restored: Picture, reference: Picture) -> Shown:
    """The square, ``CROP`` px a side, in which the photo and its reference differ most, of all three pictures.

    It is a copy: of the thousands of pictures of a data set nothing else is to stay in memory.
    """
    height, width = blurred.shape[:2]
    rows, columns = min(CROP, height), min(CROP, width)
    difference = np.abs(blurred - reference).sum(axis=2, dtype=np.float64)
    # Summed twice over, any square's total is four look-ups.
    total = np.pad(difference, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    squares = total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]
    top, left = (int(i) for i in np.unravel_index(squares.argmax(), squares.shape))
    place = slice(top, top + rows), slice(left, left + columns)
    return Shown(*(picture[place].copy() for picture in (blurred, restored, reference)))
