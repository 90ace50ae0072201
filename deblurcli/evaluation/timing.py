"""Seconds and memory of the command itself, measured from outside, next to what the machine can do."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deblurcli.errors import DeblurError, WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import network_spec
from deblurcli.photo.encode import write_photo
from deblurcli.photo.photo import Photo
from deblurcli.weights.checkpoint import Header, save_checkpoint
from deblurcli.weights.store import find

if TYPE_CHECKING:
    import torch


def calibration(device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> float:
    """What a device can do: GFLOP/s (two per multiply-add) of a 3×3 convolution 64 → 64, channels-last.

    A seconds-per-megapixel figure means something on another machine only beside this one.

    Args:
        dtype: of weights and pictures; None for float32.
    """
    import torch

    from deblurcli.networks.blocks import channels_last

    device = torch.device(device)
    # One picture is over before a GPU has its hands full.
    count = 1 if device.type == "cpu" else 32
    convolution = channels_last(torch.nn.Conv2d(64, 64, 3, padding=1).to(device, dtype))
    x = torch.randn(count, 64, 512, 512, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    seconds = []
    with torch.inference_mode():
        for _ in range(9):
            began = time.perf_counter()
            convolution(x)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - began)
    return 2 * count * 512 * 512 * 64 * 64 * 9 / statistics.median(seconds) / 1e9


@dataclass(frozen=True)
class Case:
    """What is measured: a network on a photo.

    Attributes:
        network: name in the table. weights: tag or file; None for its default ones, or, where it has none here,
            untrained ones, which take as long.
        megapixels: size of the photo, 3:2. depth: 8 or 16 bits per channel.
        options: further ones of ``deblur restore``.
    """

    network: str
    weights: str | None
    megapixels: float
    depth: int
    options: tuple[str, ...] = ()


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Restores a photo of noise and edges ``repeats`` times, each in a process of its own.

    Returns:
        What ran, and of that: ``seconds`` of each whole command, program start included, and ``restoring``, those of
        reading, restoring and writing the photo; of ``restoring`` the median per megapixel and the share of what the
        machine convolves at; the largest memory of a process.

    Raises:
        WeightsError: there are no such weights. DeblurError: a run failed.
    """
    height = round((case.megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    seconds, restoring, peaks = [], [], []
    row: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.tif", Path(folder) / "out.tif"
        _write_photo(source, height, width, case.depth)
        weights = case.weights or _untrained(case.network, Path(folder))
        command = [sys.executable, "-m", "deblurcli", str(source), "-o", str(target), "--overwrite", "--json"]
        command += ["--network", case.network, *(["--weights", weights] if weights else []), *case.options]
        rate = calibration()
        for _ in range(repeats):
            began = time.perf_counter()
            row, peak = _run(command)
            seconds.append(round(time.perf_counter() - began, 2))
            restoring.append(row["seconds"])
            peaks.append(peak)
    per_megapixel = statistics.median(restoring) / (height * width / 1e6)
    return {
        **{name: row[name] for name in ("network", "weights", "backend", "device", "precision", "tiles", "tile")},
        "width": width,
        "height": height,
        "depth": case.depth,
        "seconds": seconds,
        "restoring": restoring,
        "seconds per megapixel": round(per_megapixel, 3),
        "GFLOP/s": round(2 * network_spec(case.network).cost / per_megapixel, 1),
        "calibration GFLOP/s": round(rate, 1),
        "peak MB": max(peaks),
    }


def _run(command: list[str]) -> tuple[dict[str, Any], int]:
    """What the command says of its one photo, and the largest memory it had, MB."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # as ``Popen.wait`` would have set it
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise DeblurError(f"a run failed: {errors.read().strip() or out.read().strip()}")
        return json.loads(out.read()), round(usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))


def _untrained(network: str, folder: Path) -> str | None:
    """A file of untrained weights for a network that has no others here; None for one that has."""
    if network_spec(network).untrained:
        return None
    try:
        find(network)
    except WeightsError:
        path = folder / "untrained.safetensors"
        save_checkpoint(path, build_network(network).state_dict(), Header(network, "untrained"))
        return str(path)
    return None


def markdown(rows: list[dict[str, Any]]) -> str:
    """What ``measure`` returned, as a table; "in all" are the seconds of the whole command, program start included."""
    lines = [
        "| network | runs on | megapixels | tiles | s per megapixel | spread | of calibration | peak GB | in all, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        size = row["width"] * row["height"] / 1e6
        spread = (max(row["restoring"]) - min(row["restoring"])) / statistics.median(row["restoring"])
        runs = " · ".join((row["backend"], row["device"], row["precision"]))
        cells = (
            row["network"],
            runs,
            f"{size:.1f}, {row['depth']} bit",
            str(row["tiles"]),
            f"{row['seconds per megapixel']:.2f}",
            f"{spread:.0%}",
            f"{row['GFLOP/s'] / row['calibration GFLOP/s']:.0%}",
            f"{row['peak MB'] / 1000:.2f}",
            f"{statistics.median(row['seconds']):.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _write_photo(path: Path, height: int, width: int, depth: int) -> None:
    dtype = np.uint16 if depth == 16 else np.uint8
    block = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (256, 256, 3), dtype=dtype, endpoint=True)
    tiles = np.tile(block, (height // 256 + 1, width // 256 + 1, 1))
    write_photo(path, Photo(tiles[:height, :width]))
