"""``deblur inspect``: a photo, what the network made of it and why, as one HTML file that needs no network."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from io import BytesIO
from math import ceil, isqrt, sqrt
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deblurcli import __version__
from deblurcli.arrays import Maps
from deblurcli.maps.block_means import BlockMeans
from deblurcli.maps.kernels import Mixture
from deblurcli.maps.pictures import colour_map
from deblurcli.networks.spec import MapSpec, NetworkSpec
from deblurcli.photo.atomic import replacing
from deblurcli.photo.colour import eight_bits
from deblurcli.photo.photo import Photo
from deblurcli.tiling import Region

LARGEST_PAGE = 15_000_000  # bytes
COEFFICIENTS = 2_500_000  # numbers in the maps of many planes, two bytes each
PLANE = 400_000  # numbers in a map of one plane
TILE = 1024  # px; browsers decode only the tiles in sight
OVERVIEW = 2048  # px; photos no larger are one piece
QUALITIES = (92, 86, 78, 66, 50, 30)  # of WebP; the first that fits


def page_scale(height: int, width: int, specs: tuple[MapSpec, ...], scales: int = 1) -> int:
    """Side of the blocks, px, that the page keeps maps of many planes in: a power of two, 1 for small photos.

    Args:
        scales: how many copies there are, at 1, 1/2, 1/4 …; their blocks are as large in the photo, or a pixel.
    """
    numbers = height * width * sum(spec.channels for spec in specs if spec.channels > 1 and not spec.per_photo)
    scale = 1
    while sum(numbers / max(scale, 2**halved) ** 2 for halved in range(scales)) > COEFFICIENTS:
        scale *= 2
    return scale


def write_page(
    path: str | PathLike[str],
    before: Photo,
    after: Photo,
    maps: Maps,
    spec: NetworkSpec,
    kernels: dict[str, NDArray[np.float32]],
    title: str,
    settings: dict[str, str],
    *,
    coarse: Sequence[Maps] = (),
    start: Region | None = None,
    overwrite: bool = True,
) -> None:
    """Writes the page; it appears whole or not at all.

    Photos are in it at full resolution, the best WebP that keeps the page below ``LARGEST_PAGE``.

    Args:
        before, after: of the same size.
        maps: name → (C, h, w); those of many planes averaged over blocks of ``page_scale``.
        spec: of the network. kernels: as ``Backend.kernels`` gives them.
        title: of the page. settings: what came about how, for people.
        start: where the page opens; None for the middle.
        coarse: maps of the copies at 1/2, 1/4 …, as ``maps``; those that are no lengths are in the page.

    Raises:
        PhotoError: the file cannot be written.
    """
    import jinja2

    height, width = before.pixels.shape[:2]
    mixture = Mixture.of(kernels)
    # What P2IKT predicts for a photo is kernels, row by row, and looked at as such.
    predicted = {
        f"predicted for the {of}": kernel.reshape(3, *2 * [isqrt(len(m.columns))])
        for m in spec.maps
        if m.name == "kernel"
        for of, kernel in zip(("photo", "result at 1/2"), np.split(maps[m.name], 2), strict=True)
    }
    begin = start or Region(0, 0, height, width)
    content: dict[str, Any] = {
        "file": title,
        "name": Path(title).stem,
        "start": [begin.top + begin.height // 2, begin.left + begin.width // 2],
        "width": width,
        "height": height,
        "maps": [
            _map(m, found[m.name], ceil(height / 2**halved), halved)
            for halved, found in enumerate((maps, *coarse))
            for m in spec.maps
            if not m.per_photo and (halved == 0 or m.unit == "1")
        ],
        "constants": [_constant(m, maps[m.name]) for m in spec.maps if m.per_photo and m.name != "kernel"],
        "mixture": mixture and {"atoms": [v.tolist() for v in mixture.atoms], "weights": mixture.weights.tolist()},
        "dictionary": [_drawn(name, kernel) for name, kernel in {**kernels, **predicted}.items() if kernel.ndim == 3],
        "colours": {name: _colours(name) for name in {colour_map(m) for m in spec.maps} | {"RdBu_r", "viridis"}},
        "tile": TILE,
    }
    room = LARGEST_PAGE - len(json.dumps(content)) - 100_000
    content["photos"] = _photos(before, after, room)
    templates = jinja2.Environment(loader=jinja2.PackageLoader("deblurcli.maps"), autoescape=True)
    page = templates.get_template("page.html").render(
        title=title,
        network=spec,
        settings={**settings, "program": f"deblur {__version__}"},
        # In a script element nothing but "<" could end it.
        content=json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),
    )
    with replacing(path, overwrite=overwrite) as file:
        file.write(page.encode())


def _map(spec: MapSpec, planes: NDArray[np.float32], height: int, halved: int) -> dict[str, Any]:
    """A map as the page reads it: float16, as in ``maps.npz``, the high bytes first, then the low ones, in gzip.

    Args:
        height: of the copy that was ``halved`` so many times.
    """
    scale = -(-height // planes.shape[1])
    if spec.channels == 1:
        step = max(1, round(sqrt(planes.size * 4**halved / PLANE)))
        _, rows, columns = planes.shape
        means = BlockMeans(1, rows, columns, step)
        means.add(Region(0, 0, rows, columns), np.moveaxis(planes, 0, -1))
        planes, scale = means.means(), step
    raw = np.ascontiguousarray(planes, "<f2").view(np.uint8).reshape(-1, 2)
    return {
        **_about(spec, halved),
        "scale": scale,
        "height": planes.shape[1],
        "width": planes.shape[2],
        "colours": spec.colours,
        "logarithmic": spec.logarithmic,
        "palette": colour_map(spec),
        "data": _text(gzip.compress(raw[:, ::-1].T.tobytes(), 6)),
    }


def _about(spec: MapSpec, halved: int = 0) -> dict[str, Any]:
    names = ("name", "symbol", "unit", "meaning", "range", "rows", "columns")
    of_copy = spec.halved(halved)
    return {"original": spec.name, "halved": halved, **{name: getattr(of_copy, name) for name in names}}


def _constant(spec: MapSpec, values: NDArray[np.float32]) -> dict[str, Any]:
    return {**_about(spec), "colours": spec.colours, "logarithmic": False, "values": values.ravel().tolist()}


def _drawn(name: str, kernels: NDArray[np.float32]) -> dict[str, Any]:
    what, _, size = name.partition("_")
    title = f"{what}, {size} × {size} px" if size.isdecimal() else name.replace("_", " ").replace("gauss", "Gauss")
    return {"title": title, "kernels": kernels.tolist()}


def _photos(before: Photo, after: Photo, room: int) -> dict[str, Any]:
    """Both photos as levels, the smaller first: {"scale", "tiles"}, a tile being WebP in base64, row by row.

    Args:
        room: bytes of text they may take; if the lowest quality takes more, they do.
    """
    codes = [eight_bits(photo.pixels) for photo in (before, after)]
    found: list[Any] = []
    for quality in QUALITIES:
        found = [_levels(pixels, before.icc, quality) for pixels in codes]
        if sum(len(tile) for levels in found for level in levels for tile in level["tiles"]) <= room:
            break
    return dict(zip(("before", "after"), found, strict=True))


def _levels(pixels: NDArray[np.uint8], icc: bytes | None, quality: int) -> list[dict[str, Any]]:
    height, width = pixels.shape[:2]
    step = -(-max(height, width) // OVERVIEW)
    whole = Image.fromarray(pixels)
    small = whole.reduce(step) if step > 1 else whole
    levels = [{"scale": step, "side": max(small.size), "tiles": [webp(small, icc, quality)]}]
    if step > 1:
        corners = [(left, top) for top in range(0, height, TILE) for left in range(0, width, TILE)]
        boxes = [(left, top, min(left + TILE, width), min(top + TILE, height)) for left, top in corners]
        levels.append({"scale": 1, "side": TILE, "tiles": [webp(whole.crop(box), icc, quality) for box in boxes]})
    return levels


def webp(image: Image.Image, icc: bytes | None, quality: int) -> str:
    """A picture as pages hold it: WebP in base64."""
    file = BytesIO()
    image.save(file, "WEBP", quality=quality, icc_profile=icc if icc and icc[16:20] == b"RGB " else b"")
    return _text(file.getvalue())


def _colours(name: str) -> str:
    """256 colours, RGB bytes."""
    from matplotlib import colormaps

    return _text((colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
