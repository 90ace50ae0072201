"""Coefficient maps → a folder of numbers and pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Maps
from deblurcli.errors import PhotoError
from deblurcli.networks.spec import MapSpec


def export_maps(folder: Path, maps: Maps, specs: tuple[MapSpec, ...], settings: dict[str, Any]) -> None:
    """Writes ``maps.npz`` (float16), ``maps.json`` (meaning and settings), and a picture of each map.

    Maps of one channel are also written as float TIFF, at their full precision. The folder appears whole or not at all;
    one that is there already is replaced.

    Args:
        maps: name → (C, h, w); h and w may be a fraction of the photo's.
        specs: their rows in the table of networks.
        settings: what to say about how they came about, JSON values.

    Raises:
        PhotoError: the folder cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        halves: dict[str, Any] = {name: plane.astype(np.float16) for name, plane in maps.items()}
        np.savez_compressed(partial / "maps.npz", **halves)
        rows = [{**vars(spec), "shape": maps[spec.name].shape} for spec in specs]
        (partial / "maps.json").write_text(json.dumps({**settings, "maps": rows}, indent=1, ensure_ascii=False) + "\n")
        for spec in specs:
            _draw(partial / f"{spec.name}.png", maps[spec.name], spec)
            if spec.channels == 1:
                _write_tiff(partial / f"{spec.name}.tif", maps[spec.name][0])
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise PhotoError(folder, f"cannot be written ({error.strerror})", "Choose another --maps-dir.") from error


def _write_tiff(path: Path, plane: NDArray[np.float32]) -> None:
    import tifffile

    tifffile.imwrite(path, plane, compression="zlib", predictor=3)


def _draw(path: Path, planes: NDArray[np.float32], spec: MapSpec) -> None:
    """One picture of all channels under one colour bar in the map's unit.

    The scale is the map's own range where it has one, else symmetric about zero (or from the range's one end) up to the
    99.5th percentile.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    low, high = spec.range
    extent = float(np.percentile(np.abs(planes), 99.5)) or 1.0
    signed = low is None
    low, high = (-extent if signed else low), (extent if high is None else high)
    shown = planes[:, :: max(1, planes.shape[1] // 1000), :: max(1, planes.shape[2] // 1000)]
    columns = min(len(shown), 4 if spec.channels % 5 else 5 if spec.channels < 20 else 10)
    rows = -(-len(shown) // columns)
    side = 9.0 if columns == 1 else 14.0 / columns
    size = (columns * side + 1.2, rows * side * shown.shape[1] / shown.shape[2] + 0.6)
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=size, layout="constrained")
    image = None
    for number, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if number < len(shown):
            image = axis.imshow(shown[number], vmin=low, vmax=high, cmap="RdBu_r" if signed else "viridis")
    figure.suptitle(f"{spec.symbol}: {spec.meaning}", fontsize=10)
    assert image is not None
    figure.colorbar(image, ax=axes, label="" if spec.unit == "1" else spec.unit, shrink=0.8)
    figure.savefig(path, dpi=100)
    plt.close(figure)
