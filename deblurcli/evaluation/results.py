"""Measurements as files: what was measured, by which command, on which machine, with which versions."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deblurcli import __version__


def environment() -> dict[str, Any]:
    """Machine, threads and versions, for printing beside a figure."""
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "deblur": __version__,
        **{name: _version(name) for name in ("torch", "numpy", "pillow", "tifffile", "imagecodecs")},
    }


def write_results(path: Path, command: str, content: dict[str, Any]) -> None:
    """Writes ``content`` as JSON, with the command and the environment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = {"command": command, "environment": environment(), **content}
    path.write_text(json.dumps(row, indent=1, ensure_ascii=False) + "\n")


def readme_table(folder: Path) -> str:
    """The README's figures as Markdown, from the files in ``results/``."""

    def load(name: str) -> dict[str, Any]:
        return json.loads((folder / f"{name}.json").read_text())

    synthetic, real, sharp = (load(name)["summary"] for name in ("synthetic", "real", "sharp"))
    seams, memory, speed = load("seams"), load("memory"), load("speed")
    radii = [name for name in synthetic if name.startswith("gain R=")]
    where = speed["environment"]

    def gain(summary: dict[str, float]) -> str:
        worse = f"{summary['made worse']:.0%} made worse, the worst by {min(summary['worst'], 0):.2f} dB"
        return f"**{summary['gain']:+.2f} dB** ± {summary['±']:.2f}; {worse}"

    lines = [
        f"`{speed['network']}`:",
        "",
        "| what | result |",
        "|---|---|",
        f"| 24 sharp photos, blurred by a radius of 1 to 8 px: change of PSNR | {gain(synthetic)} |",
        f"| {len(load('real')['rows'])} real photos, partly out of focus, against focus stacks | {gain(real)} |",
        f"| photos in focus: PSNR of what comes back | {sharp['psnr']:.1f} dB; worst {sharp['worst']:.1f} |",
        f"| tiles of {seams['tile']} px against none: difference at most, and on average | "
        f"{seams['summary']['largest']:.2f} and {seams['summary']['mean']:.4f} of 255 |",
        f"| a {memory['width'] * memory['height'] / 1e6:.0f} megapixel 16-bit photo: largest memory | "
        f"{memory['peak MB'] / 1000:.2f} GB |",
        f"| speed, program start included | {speed['seconds per megapixel']:.2f} s per megapixel on {where['threads']} "
        f"threads of an {where['processor']} that convolves at {speed['calibration GFLOP/s']:.0f} GFLOP/s |",
        "",
        "| blur radius, px | " + " | ".join(name.removeprefix("gain R=") for name in radii) + " |",
        "|---|" + "---|" * len(radii),
        "| change of PSNR, dB | " + " | ".join(f"{synthetic[name]:+.2f}" for name in radii) + " |",
        "",
        "± is half the 95 % bootstrap interval. Every figure is in `results/`, with the command that made it.",
    ]
    return "\n".join(lines)


def command_line() -> str:
    """The command being run, as it can be typed again."""
    import shlex

    return shlex.join(["deblur", *sys.argv[1:]])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
