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
from typing import Any

import numpy as np
import torch

from deblurcli.arrays import Pixels
from deblurcli.backends.memory import largest_memory
from deblurcli.errors import WRONG_USAGE, DeblurError, UsageError, WeightsError
from deblurcli.networks.blocks import channels_last, resize
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import network_spec
from deblurcli.photo.decode import read_photo
from deblurcli.photo.encode import write_photo
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_codes, to_float
from deblurcli.weights.checkpoint import Header, save_checkpoint
from deblurcli.weights.store import find

QUALITY = 89  # of JPEG files: colours at half the size, and half a megabyte for each megapixel, as cameras write them


def calibration(device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> float:
    """What a device can do: GFLOP/s (two per multiply-add) of a 3×3 convolution 64 → 64, channels-last.

    A seconds-per-megapixel figure means something on another machine only beside this one.

    Args:
        dtype: of weights and pictures; None for float32.
    """
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
        maps: "none", "all", or the names of those that are exported, with commas.
    """

    network: str
    weights: str | None
    megapixels: float
    depth: int
    options: tuple[str, ...] = ()
    maps: str = "none"


def measure(case: Case, repeats: int, other: Pixels | None = None) -> tuple[dict[str, Any], Pixels]:
    """Restores a blurred photo ``repeats`` times, each in a process of its own.

    Args:
        other: pixels of the same photo, restored in another way.

    Returns:
        What ran, and of that: ``seconds`` of each whole command, program start included; ``processor``, those of all
        cores together; ``restoring``, those of reading, restoring and writing the photo, the median of that per
        megapixel, and its share of what the machine convolves at; the largest memory of a process; how large exported
        maps are; the mean and the largest difference from ``other``, in 1/255. And the restored pixels.

    Raises:
        WeightsError: there are no such weights. UsageError: this cannot be combined. DeblurError: a run failed.
    """
    height = round((case.megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    seconds, restoring, processor, peaks = [], [], [], []
    row: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.tif", Path(folder) / "out.tif"
        weights = case.weights or _untrained(case.network, Path(folder))
        command = [sys.executable, "-m", "deblurcli", str(source), "-o", str(target), "--overwrite", "--json"]
        command += ["--network", case.network, *(["--weights", weights] if weights else []), *case.options]
        command += {"none": [], "all": ["--export-maps"]}.get(case.maps, ["--maps", case.maps])
        _write_photo(source, 64, 96, case.depth)
        _run(command)  # what is made on first use is there from now on
        _write_photo(source, height, width, case.depth)
        rate = calibration()
        for _ in range(repeats):
            began = time.perf_counter()
            said, usage, peak = _run(command)
            row = json.loads(said)
            seconds.append(round(time.perf_counter() - began, 2))
            restoring.append(row["seconds"])
            processor.append(round(usage.ru_utime + usage.ru_stime, 2))
            peaks.append(round(peak))
        size_of_maps = sum(file.stat().st_size for file in (Path(folder) / "out.maps").glob("*"))
        pixels = read_photo(target).pixels
    per_megapixel = statistics.median(restoring) / (height * width / 1e6)
    measured = {
        **{name: row[name] for name in ("network", "weights", "backend", "device", "precision", "tiles", "tile")},
        "width": width,
        "height": height,
        "depth": case.depth,
        "seconds": seconds,
        "restoring": restoring,
        "processor": processor,
        "seconds per megapixel": round(per_megapixel, 3),
        "GFLOP/s": round(2 * network_spec(case.network).cost / per_megapixel, 1),
        "calibration GFLOP/s": round(rate, 1),
        "peak MB": max(peaks),
    }
    if case.maps != "none":
        measured |= {"maps": case.maps, "maps MB": round(size_of_maps / 1e6, 1)}
    if other is not None:
        difference = 255 * np.abs(to_float(pixels) - to_float(other))
        measured |= {"mean difference": float(difference.mean()), "largest difference": float(difference.max())}
    return measured, pixels


def measure_preview(case: Case, repeats: int) -> dict[str, Any]:
    """Makes the preview of a photo ``repeats`` times, each in a process of its own; photos of 8 bits are JPEG files.

    Returns:
        What ran, how large the photo's file is, ``seconds`` of each whole command, program start included,
        ``processor``, those of all cores together, and the largest memory of a process.

    Raises:
        WeightsError: there are no such weights. UsageError: this cannot be combined. DeblurError: a run failed.
    """
    height = round((case.megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    seconds, processor, peaks = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / ("in.jpg" if case.depth == 8 else "in.tif")
        weights = case.weights or _untrained(case.network, Path(folder))
        command = [sys.executable, "-m", "deblurcli", "preview", str(source), "-o", str(Path(folder) / "out.png")]
        command += ["--overwrite", "--no-open", "--network", case.network, *case.options]
        command += ["--weights", weights] if weights else []
        _write_photo(source, 64, 96, case.depth)
        _run(command)  # what is made on first use is there from now on
        _write_photo(source, height, width, case.depth)
        for _ in range(repeats):
            began = time.perf_counter()
            _, usage, peak = _run(command)
            seconds.append(round(time.perf_counter() - began, 2))
            processor.append(round(usage.ru_utime + usage.ru_stime, 2))
            peaks.append(round(peak))
        size = source.stat().st_size
    return {
        **{"command": "preview", "network": case.network, "options": " ".join(case.options)},
        **{"width": width, "height": height, "depth": case.depth, "file MB": round(size / 1e6, 1)},
        **{"seconds": seconds, "processor": processor, "peak MB": max(peaks)},
    }


def _run(command: list[str]) -> tuple[str, Any, float]:
    """What the command says, what it used (``resource.struct_rusage``), and its largest memory, MB."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors)
        peak: int | None = None
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            peak = largest_memory(process.pid) or peak
            time.sleep(0.02)
        _, status, usage = ended
        process.returncode = os.waitstatus_to_exitcode(status)  # as ``Popen.wait`` would have set it
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            kind = UsageError if process.returncode == WRONG_USAGE else DeblurError
            raise kind(f"a run failed: {errors.read().strip() or out.read().strip()}")
        peak = peak or usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return out.read(), usage, peak / 1e6


def _untrained(network: str, folder: Path) -> str | None:
    """A file of untrained weights for a network that has no others here; None for one that has."""
    if network_spec(network).untrained:
        return None
    try:
        find(network)
    except WeightsError:
        path = folder / "untrained.safetensors"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what is made of these weights and kept is made only once
            tensors = build_network(network).state_dict()
        save_checkpoint(path, tensors, Header(network, "untrained"))
        return str(path)
    return None


def runs_on(row: dict[str, Any]) -> str:
    """Runtime, device and precision of a row of ``measure``."""
    return " · ".join((row["backend"], row["device"], row["precision"]))


def markdown(rows: list[dict[str, Any]]) -> str:
    """What ``measure`` returned, as a table; "in all" are the seconds of the whole command, program start included."""
    headings = ["network", "runs on", "megapixels", "tiles", "s per megapixel", "spread", "of calibration", "peak GB"]
    headings.append("in all, s")
    compared = any("mean difference" in row for row in rows)
    mapped = any("maps" in row for row in rows)
    headings += ["maps", "MB of maps"] * mapped
    if compared:
        headings.append("differs from the first by, of 255: mean, most")
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in rows:
        size = row["width"] * row["height"] / 1e6
        rate = row["calibration GFLOP/s"]
        spread = (max(row["restoring"]) - min(row["restoring"])) / statistics.median(row["restoring"])
        cells = [
            row["network"],
            runs_on(row),
            f"{size:.1f}, {row['depth']} bit",
            str(row["tiles"]),
            f"{row['seconds per megapixel']:.2f}",
            f"{spread:.0%}",
            f"{row['GFLOP/s'] / rate:.0%} of {rate:.0f} GFLOP/s",
            f"{row['peak MB'] / 1000:.2f}",
            f"{statistics.median(row['seconds']):.1f}",
        ]
        if mapped:
            cells += [row.get("maps", ""), str(row.get("maps MB", ""))]
        if compared:
            differs = "mean difference" in row
            cells.append(f"{row['mean difference']:.3f}, {row['largest difference']:.2f}" if differs else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def markdown_of_previews(rows: list[dict[str, Any]]) -> str:
    """What ``measure_preview`` returned, as a table."""
    headings = ["network", "options", "megapixels", "MB of the file", "in all, s", "of all cores, s", "peak GB"]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for row in rows:
        seconds, processor = (statistics.median(row[kind]) for kind in ("seconds", "processor"))
        size = f"{row['width'] * row['height'] / 1e6:.1f}, {row['depth']} bit"
        peak = f"{row['peak MB'] / 1000:.2f}"
        cells = [row["network"], row["options"], size, str(row["file MB"]), f"{seconds:.1f}", f"{processor:.1f}", peak]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _write_photo(path: Path, height: int, width: int, depth: int) -> None:
    coarse = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    # Interpolated, as a network leaves alone what is sharp.
    block = resize(coarse, 4)[0].permute(1, 2, 0).numpy()
    codes = to_codes(block, np.uint16 if depth == 16 else np.uint8)
    tiles = np.tile(codes, (height // 256 + 1, width // 256 + 1, 1))
    write_photo(path, Photo(tiles[:height, :width]), quality=QUALITY)
