"""Puts a photo and its restored version side by side, with an enlarged detail below.

python examples/before_after.py BEFORE AFTER -o OUT.png [--crop X,Y,WIDTH,HEIGHT]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom

PANEL = 900  # largest width of one of the two columns, px
ZOOM = 2.5
DIVIDER = 4


def crop_box(text: str) -> Box:
    """ "x,y,width,height" → box."""
    x, y, width, height = (int(part) for part in text.split(","))
    return x, y, x + width, y + height


def most_different(before: Image.Image, after: Image.Image, width: int, height: int) -> Box:
    """The box of this size in which the two pictures differ most."""
    difference = np.abs(np.asarray(before, np.float64) - np.asarray(after, np.float64)).sum(2)
    # Summed twice over, any box's total is four look-ups.
    total = np.pad(difference, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    boxes = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = (int(i) for i in np.unravel_index(boxes.argmax(), boxes.shape))
    return left, top, left + width, top + height


def compare(before: Image.Image, after: Image.Image, box: Box | None = None) -> Image.Image:
    """Two columns, before and after; in the upper row the whole photos, in the lower one ``box`` of each, enlarged."""
    width = min(before.width, PANEL)
    height = round(before.height * width / before.width)
    left, top, right, bottom = box or most_different(before, after, round(width / ZOOM), round(height / ZOOM / 1.5))
    detail_height = round((bottom - top) * width / (right - left))
    sheet = Image.new("RGB", (2 * width + DIVIDER, height + DIVIDER + detail_height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(14, width // 32))
    scale = width / before.width
    for x, label, photo in ((0, "before", before), (width + DIVIDER, "after", after)):
        sheet.paste(photo.resize((width, height), Image.Resampling.LANCZOS), (x, 0))
        detail = photo.crop((left, top, right, bottom)).resize((width, detail_height), Image.Resampling.BICUBIC)
        sheet.paste(detail, (x, height + DIVIDER))
        draw.rectangle((x + left * scale, top * scale, x + right * scale, bottom * scale), outline="white", width=2)
        draw.text((x + 10, 6), label, "white", font, stroke_width=2, stroke_fill="black")
    return sheet


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--crop", type=crop_box, help="x,y,width,height; default: where the two differ most")
    options = parser.parse_args()
    photos = [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in (options.before, options.after)]
    if photos[0].size != photos[1].size:
        parser.error("the two photos differ in size")
    compare(photos[0], photos[1], options.crop).save(options.output)
