"""Coefficient maps → a folder of numbers and pictures."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Maps
from deblurcli.errors import PhotoError
from deblurcli.maps.pictures import draw_map, draw_overview
from deblurcli.networks.spec import MapSpec
from deblurcli.photo.atomic import scratch_folder
from deblurcli.photo.photo import Photo

FAST = {"level": 1}  # of zlib; more work makes files smaller by a hundredth
PICTURE = 1_200_000  # bytes, usual


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``folder``, a folder of maps or nothing yet, when the with-block ends.

    Whatever ends the block early removes it and leaves ``folder`` as it was.

    Raises:
        PhotoError: it cannot be written, or there is something else in its place.
    """
    if folder.exists() and not (folder / "maps.json").is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise PhotoError(
            folder, "exists already and is not a folder of maps", "Move it away, or choose another --maps-dir."
        )
    try:
        with scratch_folder(folder.parent) as partial:
            yield partial
            if folder.exists():
                shutil.rmtree(folder)
            partial.rename(folder)
    except OSError as error:
        raise PhotoError(folder, f"cannot be written ({error.strerror})", "Choose another --maps-dir.") from error


def export_maps(
    folder: Path,
    maps: Maps,
    specs: tuple[MapSpec, ...],
    kernels: dict[str, NDArray[np.float32]],
    before: Photo,
    after: Photo,
    settings: dict[str, Any],
    coarse: Sequence[Maps] = (),
) -> None:
    """Fills a folder with what the network chose at each pixel of a photo, and of its halved copies.

    * ``maps.npz``: each map under its name, (C, h, w), float16, or float32 where there is one plane or one value for
      the whole photo; and the network's fixed ``kernels`` under theirs, float32. Maps of the copies at 1/2, 1/4 … are
      called ``NAME_2``, ``NAME_4`` … there; of these, there are no pictures.
    * ``maps.json``: ``settings``, and of each map what it is, its unit and range, what its planes stand for, and the
      scale of the copy.
    * ``NAME.png``: each map with its colour bar; maps of one plane also as ``NAME.tif``, float32.
    * ``overview.png``: the photo before and after, and all its maps on one sheet.

    Args:
        maps: name → (C, h, w); h and w may be a fraction of the photo's. A plane at a time is in memory.
        specs: rows in the table of networks, of those to be exported.
        kernels: as ``Backend.kernels`` gives them.
        settings: what to say about how they came about, JSON values.
        coarse: maps of the copies at 1/2, 1/4 …, as ``maps``.
    """
    every = [(m.halved(n), found[m.name], n) for n, found in enumerate((maps, *coarse)) for m in specs]
    rows = [_about(spec, planes, before, halved) for spec, planes, halved in every]
    about = {**settings, "maps": rows, "kernels": {name: list(kernel.shape) for name, kernel in kernels.items()}}
    (folder / "maps.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    local = [spec for spec in specs if not spec.per_photo]
    with ThreadPoolExecutor() as pool:  # which compresses, while pictures are drawn
        numbers = {spec.name: planes for spec, planes, _ in every}
        files = [pool.submit(write_npz, folder / "maps.npz", numbers, kernels)]
        single = [spec.name for spec in local if spec.channels == 1]
        files += [pool.submit(_write_tiff, folder / f"{name}.tif", maps[name][0]) for name in single]
        for spec in local:
            draw_map(folder / f"{spec.name}.png", maps[spec.name], spec)
        draw_overview(folder / "overview.png", maps, specs, before, after)
        for file in files:
            file.result()


def expected_size(specs: Sequence[MapSpec], height: int, width: int, scales: int, block: int) -> int:
    """About how many bytes ``export_maps`` writes: compressed, numbers take 0.5 to 0.7 of their size.

    Args:
        height, width: of the photo, px. scales: at how many sizes it is restored.
        block: side of the blocks that maps of many planes are averaged over, px.
    """
    size = 0.0
    for spec in specs:
        for pixels in (0 if spec.per_photo else height * width / 4**level for level in range(scales)):
            size += pixels * 4 if spec.channels == 1 else min(pixels, height * width / block**2) * spec.channels * 2
        if spec.channels == 1 and not spec.per_photo:
            size += height * width * 4  # once more, as TIFF
    return round(0.6 * size) + PICTURE * (len(specs) + 1)


def write_npz(path: Path, maps: Maps, kernels: dict[str, NDArray[np.float32]]) -> None:
    """The numbers as ``numpy.load`` reads them (see ``export_maps``), written a plane at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, planes in {**maps, **kernels}.items():
            many = name in maps and len(planes) > 1 and planes[0].size > 1
            dtype = np.dtype(np.float16 if many else np.float32)
            header = {"descr": dtype.str, "fortran_order": False, "shape": planes.shape}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for plane in planes:
                    file.write(np.ascontiguousarray(plane, dtype).data)


def _about(spec: MapSpec, planes: NDArray[np.float32], photo: Photo, halved: int) -> dict[str, Any]:
    """A map's entry in ``maps.json``."""
    part = 2**halved
    block = 0 if spec.per_photo else -(-ceil(photo.pixels.shape[0] / part) // planes.shape[1])
    of = f" of the photo at 1/{part}" if halved else ""
    return {
        "name": spec.name,
        "symbol": spec.symbol,
        "unit": spec.unit,
        "range": spec.range,
        "meaning": spec.meaning,
        "shape": planes.shape,
        "planes": spec.labels,
        "scale": 1 / part,
        "each value is": "of the whole photo" if spec.per_photo else f"the mean of {block} × {block} px" + of,
    }


def _write_tiff(path: Path, plane: NDArray[np.float32]) -> None:
    import tifffile

    tifffile.imwrite(path, np.ascontiguousarray(plane), compression="zlib", compressionargs=FAST, predictor=3)
