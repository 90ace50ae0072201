"""Coefficient maps as pictures: colours mean the same in every picture, and the bar beside them says what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Maps
from deblurcli.networks.spec import MapSpec
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_float

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure, SubFigure

SIDE = 1000  # px; larger planes are thinned out to be drawn
DPI = 110
FAST: Any = {"compress_level": 1}  # of PNG


def colour_map(spec: MapSpec) -> str:
    """Matplotlib's name of the map's colours, perceptually even: signed values diverge from white."""
    if spec.range[0] is None or spec.range[0] < 0:
        return "RdBu_r"
    return "magma" if spec.unit == "px" else "viridis"


def draw_map(path: Path, planes: NDArray[np.float32], spec: MapSpec) -> None:
    """Writes one PNG of all planes (C, h, w), laid out as the spec says, under one colour bar in the map's unit."""
    rows, columns = len(spec.rows), len(spec.columns)
    if rows == 1 and columns > 12:  # a long row is broken
        columns = 7 if columns % 7 == 0 else 11
        rows = -(-spec.channels // columns)
    width = 11.0 if columns == 1 else max(16.0, 1.3 * columns)
    shape = _aspect(*planes.shape[1:]) * (width - 2) / columns  # inches, of one plane
    figure = _figure(width, rows * (shape + 0.25) + 0.9)
    _grid(figure, planes, spec, rows, columns)
    figure.suptitle(f"{spec.symbol}   {spec.meaning}", fontsize=12, x=0.01, ha="left")
    _save(figure, path)


def draw_overview(path: Path, maps: Maps, specs: tuple[MapSpec, ...], before: Photo, after: Photo) -> None:
    """Writes one PNG: the photo before and after, its maps in px over it, and below them the maps of many planes.

    Args:
        maps: name → (C, h, w). specs: their rows in the table of networks.
    """
    local = [spec for spec in specs if not spec.per_photo]
    single, many = ([s for s in local if (s.channels == 1) == one] for one in (True, False))
    photos = {"before": _thinned(before.pixels), "after": _thinned(after.pixels)}
    aspect = _aspect(*before.pixels.shape[:2])
    across = 2 + len(single) if len(single) < 3 else 3
    down = -(-(2 + len(single)) // across)
    heights = [down * (13.5 / across * aspect + 0.4)]
    heights += [len(s.rows) * (14.5 / max(len(s.columns), 4) * aspect + 0.25) + 0.5 for s in many]
    figure = _figure(16, sum(heights))
    head, *others = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flat
    axes: list[Any] = list(head.subplots(down, across, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    for axis, (title, pixels) in zip(axes, photos.items(), strict=False):
        axis.imshow(pixels)
        axis.set_title(title, fontsize=10)
    gray = photos["before"].mean(axis=2)
    for axis, spec in zip(axes[2:], single, strict=False):
        axis.imshow(gray, cmap="gray", vmin=0, vmax=1)
        extent = (-0.5, gray.shape[1] - 0.5, gray.shape[0] - 0.5, -0.5)
        image = axis.imshow(_plane(maps[spec.name][0]), **_colours(spec), alpha=0.75, extent=extent)
        axis.set_title(f"{spec.name.replace('_', ' ')}, {spec.symbol}", fontsize=10)
        head.colorbar(image, ax=axis, label=_unit(spec), extend=_extend(spec), shrink=0.85, pad=0.02)
    for part, spec in zip(others, many, strict=True):
        _grid(part, maps[spec.name], spec, len(spec.rows), len(spec.columns))
        part.suptitle(f"{spec.symbol}   {spec.meaning}", fontsize=11, x=0.01, ha="left")
    _save(figure, path)


def _aspect(height: int, width: int) -> float:
    """Height over width of the room for a photo; strips of a few pixels get more than they fill."""
    return min(max(height / width, 0.2), 2.0)


def _figure(width: float, height: float) -> Figure:
    """A figure in inches that needs no display and leaves pyplot's state alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    """Draws a figure once. ``Figure.savefig`` would do it twice, for layouts that need that."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).print_png(path, pil_kwargs=FAST)


def _grid(figure: Figure | SubFigure, planes: NDArray[np.float32], spec: MapSpec, rows: int, columns: int) -> None:
    """All planes in a table with their names, and one colour bar.

    The table is one picture: axes of its own for each plane take Matplotlib longer to lay out than all else together.
    """
    whole = rows == len(spec.rows)  # the table is laid out as the spec has it, so names go to its edges
    cells = [_plane(plane, max(2 * SIDE // (columns + 1), 200)) for plane in planes]
    height, width = cells[0].shape
    gap = 0 if spec.channels == 1 else 1 + width // 40
    above = gap if whole else gap + width // 10  # room for a name
    table = np.full((rows * (height + above), columns * (width + gap)), np.nan, np.float32)
    axis = figure.subplots()
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        top, left = row * (height + above) + above, column * (width + gap)
        table[top : top + height, left : left + width] = cell
        if not whole:
            axis.text(left + width / 2, top - gap, spec.columns[number], fontsize=9, ha="center", va="bottom")
    image = axis.imshow(table, **_colours(spec))
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0, labelsize=9, labeltop=True, labelbottom=False)
    axis.set_xticks([], [])
    axis.set_yticks([], [])
    if whole:
        axis.set_xticks(width / 2 + (width + gap) * np.arange(columns), spec.columns)
        axis.set_yticks(above + height / 2 + (height + above) * np.arange(rows), spec.rows, rotation=90, va="center")
    figure.colorbar(image, ax=axis, label=_unit(spec), extend=_extend(spec), shrink=0.9, aspect=30, pad=0.01)


def _colours(spec: MapSpec) -> dict[str, Any]:
    return {"cmap": colour_map(spec), "norm": _norm(spec), "interpolation": "antialiased"}


def _norm(spec: MapSpec) -> Normalize:
    from matplotlib.colors import AsinhNorm, Normalize

    low, high = spec.colours
    return AsinhNorm(1, low, high) if spec.logarithmic else Normalize(low, high)


def _extend(spec: MapSpec) -> str:
    """Which ends of the colour bar are open, as values may lie beyond."""
    below, above = (end is None for end in spec.range)
    return "both" if below and above else "min" if below else "max" if above else "neither"


def _unit(spec: MapSpec) -> str:
    return spec.symbol if spec.unit == "1" else f"{spec.symbol}, {spec.unit}"


def _plane(plane: NDArray[np.float32], side: int = SIDE) -> NDArray[np.float32]:
    """What is drawn of (h, w) on ``side`` px: every pixel, or every n-th."""
    step = -(-max(plane.shape) // side)
    return np.asarray(plane[::step, ::step])


def _thinned(pixels: NDArray[Any]) -> NDArray[np.float32]:
    step = -(-max(pixels.shape) // SIDE)
    return np.clip(np.nan_to_num(to_float(pixels[::step, ::step])), 0, 1)
