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
