"""Pictures drawn by the program, for suites that need none from elsewhere or were given none.

They stand in for photos so that every clone can be measured. They are easier than photos (hard edges, flat areas), so
results on them carry "drawn" in their name. Training draws pictures, too, but not with this code: these are to stay
the same for ever, and to be new to the networks.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deblurcli.arrays import Picture
from deblurcli.photo.transfer import to_float

FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono")
SIZE = (512, 768)  # height and width, px

PROSE = """A lens brings one distance to focus. Whatever lies nearer or farther is drawn as a small disc instead of a
point, and where many discs overlap, fine detail is lost. How large they are depends on the aperture and on how far
from the right distance things are. Someone who knows the disc can try to undo the blur, but noise sets a limit: what
the lens has dimmed below the noise cannot be brought back by any filter, however clever it may be. Quick brown foxes
jump over lazy dogs; boxers pack my liquor jugs with five dozen judges."""


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that every installation has, since matplotlib brings it. ``size`` is in px."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)


def page(font_name: str, size: int = 20, columns: int = 46, rows: int = 9) -> tuple[Picture, str]:
    """A page of black print on white, and what it says.

    Args:
        font_name: one of ``FONTS``. size: of the letters, px.
        columns: largest number of letters in a line. rows: number of lines.
    """
    text = "\n".join(textwrap.wrap(PROSE, columns)[:rows])
    face = font(font_name, size)
    border = 2 * size
    ruler = ImageDraw.Draw(Image.new("L", (1, 1)))
    *_, right, bottom = ruler.multiline_textbbox((border, border), text, face, spacing=size / 2)
    picture = Image.new("L", (round(right) + border, round(bottom) + border), 255)
    ImageDraw.Draw(picture).multiline_text((border, border), text, 0, face, spacing=size / 2)
    return to_float(np.asarray(picture.convert("RGB"))), text


def dead_leaves(seed: int) -> Picture:
    """Discs of all sizes that cover each other: the edges, sizes and occlusions of a natural scene. ``SIZE`` px.

    The density of radii falls with their cube, as in Lee, Mumford, Huang: Occlusion models for natural images
    (IJCV 2001); it makes the statistics the same at every scale.
    """
    rng = np.random.default_rng(seed)
    height, width = SIZE
    picture = np.full((height, width, 3), 0.5, np.float32)
    for _ in range(5000):
        radius = 3 / np.sqrt(rng.uniform((3 / 120) ** 2, 1))
        y, x = rng.uniform(-radius, height + radius), rng.uniform(-radius, width + radius)
        colour = np.clip(rng.uniform(0.05, 0.95) + rng.normal(0, 0.12, 3), 0, 1).astype(np.float32)
        top, left = max(int(y - radius - 1), 0), max(int(x - radius - 1), 0)
        leaf = picture[top : int(y + radius + 2), left : int(x + radius + 2)]
        rows, columns = np.ogrid[top : top + leaf.shape[0], left : left + leaf.shape[1]]
        inside = np.clip(radius - np.hypot(rows - y, columns - x) + 0.5, 0, 1).astype(np.float32)[..., None]
        leaf += inside * (colour - leaf)
    return picture


def drawn_pictures() -> list[tuple[str, Picture]]:
    """Three pictures of leaves and one of print, each (512, 768, 3), with their names."""
    print_, _ = page("DejaVuSerif", columns=60, rows=99)
    height, width = SIZE
    sheet = np.pad(print_, ((0, height), (0, width), (0, 0)), mode="edge")[:height, :width]
    return [*((f"leaves {n}", dead_leaves(n)) for n in (1, 2, 3)), ("print", sheet)]
