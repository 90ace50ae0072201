"""Thin shapes to print or to cut out: lines of text in many fonts; branches and wires."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deblurcli.photo.transfer import to_float

SCALE = 2  # shapes are drawn this many times too large and averaged down, as a sensor's pixels do

# What is set on pages: letters as often as English has them, capitals, figures, programs.
ALPHABETS = (
    "      eeeeettttaaaooiinnsshhrrddlucmwfgypbvk" * 3 + "ETAISWMB.,-",
    "    EEETTAAOINSHRDLUCMWFGYPBVKXQZJ",
    "00112233456789     .,:%$/+-",
    "    abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_=+-*/()[]{}<>.,;:!?#&@",
)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform between those of ``low`` and ``high``."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


@lru_cache
def _fonts() -> tuple[Path | None, ...]:
    """Fonts that come with the dependencies: DejaVu and STIX, regular to bold; None is Pillow's own."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = [p for p in folder.glob("*.ttf") if p.name.startswith(("DejaVuS", "STIXG")) and "Display" not in p.name]
    return (*sorted(found), None)


@lru_cache(maxsize=256)
def _font(path: Path | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)


def text(size: int, rng: np.random.Generator, smallest: float, largest: float) -> NDArray[np.float32]:
    """Paragraphs of random words, letters ``smallest`` to ``largest`` px high, seen at a slight slant: (size, size)."""
    side = SCALE * size
    page = Image.new("L", (side, side))
    draw, y = ImageDraw.Draw(page), 0.0
    while y < side:
        height = SCALE * log_uniform(rng, smallest, largest)
        font = _font(_fonts()[rng.integers(len(_fonts()))], round(height))
        letters, indent = list(ALPHABETS[rng.integers(len(ALPHABETS))]), rng.uniform(0, 0.1) * side
        for _ in range(rng.integers(1, 7)):
            line = "".join(rng.choice(letters, int(1.8 * side / height)))
            draw.text((indent, y), line.strip() or "0", 255, font)
            y += height * 1.25
        y += height * rng.uniform(0, 1)
    turn = rng.normal(0, 0.05) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
    middle = np.array([[1, 0, side / 2], [0, 1, side / 2], [0, 0, 1]])
    slant = rng.normal(0, 0.1 / side, 2)
    seen = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [*slant, 1]])
    seen = middle @ seen @ np.linalg.inv(middle)
    coefficients = (seen / seen[2, 2]).ravel()[:8].tolist()
    page = page.transform(page.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    return to_float(np.asarray(page.reduce(SCALE)))


def strokes(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Branches that fork and taper, or wires that do neither, from the border inwards: (size, size)."""
    side = SCALE * size
    canvas = Image.new("L", (side, side))
    draw = ImageDraw.Draw(canvas)
    wobble, forks, taper = (0.2, 0.08, 0.985) if rng.random() < 0.6 else (0.02, 0.0, 1.0)
    waiting = []
    for _ in range(rng.integers(1, 6)):
        where, width = rng.uniform(0, 2 * np.pi), SCALE * log_uniform(rng, 1.5, 0.04 * size)
        start = side / 2 + np.array([np.cos(where), np.sin(where)]) * side * 0.7
        waiting.append((start.clip(0, side), where + np.pi + rng.normal(0, 0.4), width))
    step = side / 40
    while waiting:
        at, heading, width = waiting.pop()
        while width > 0.8 * SCALE and (at >= 0).all() and (at <= side).all():
            to = at + step * np.array([np.cos(heading), np.sin(heading)])
            draw.line((*at, *to), 255, round(width))
            draw.circle(tuple(to), width / 2 - 0.5, 255)  # rounds the joint
            if rng.random() < forks and len(waiting) < 40:
                waiting.append((to, heading + rng.choice((-1, 1)) * rng.uniform(0.4, 1.0), 0.65 * width))
            at, heading, width = to, heading + rng.normal(0, wobble), width * taper
    return to_float(np.asarray(canvas.reduce(SCALE)))
