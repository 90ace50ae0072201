"""Seconds and memory of the command itself, measured from outside, next to what the machine can do."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deblurcli.errors import DeblurError
from deblurcli.photo.encode import write_photo
from deblurcli.photo.photo import Photo

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


def measure(megapixels: float, depth: int, repeats: int, arguments: list[str]) -> dict[str, Any]:
    """Restores a photo of noise and edges ``repeats`` times, each in a process of its own.

    Args:
        megapixels: size of the photo, 3:2. depth: 8 or 16 bits, written as TIFF.
        arguments: further options of the command.

    Returns:
        Median and spread of the seconds, seconds per megapixel, and the peak memory of the largest process in MB.

    Raises:
        DeblurError: a run failed.
    """
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.tif", Path(folder) / "out.tif"
        _write_photo(source, height, width, depth)
        for _ in range(repeats):
            began = time.perf_counter()
            command = [sys.executable, "-m", "deblurcli", str(source), "-o", str(target), "--overwrite", *arguments]
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
            seconds.append(time.perf_counter() - began)
            if done.returncode:
                raise DeblurError(f"a run failed: {done.stderr.strip()}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "width": width,
        "height": height,
        "depth": depth,
        "seconds": [round(s, 2) for s in seconds],
        "median": round(statistics.median(seconds), 2),
        "seconds per megapixel": round(statistics.median(seconds) / (height * width / 1e6), 3),
        "peak MB": round(peak / (1e6 if sys.platform == "darwin" else 1e3)),
    }


def _write_photo(path: Path, height: int, width: int, depth: int) -> None:
    dtype = np.uint16 if depth == 16 else np.uint8
    block = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (256, 256, 3), dtype=dtype, endpoint=True)
    tiles = np.tile(block, (height // 256 + 1, width // 256 + 1, 1))
    write_photo(path, Photo(tiles[:height, :width]))
