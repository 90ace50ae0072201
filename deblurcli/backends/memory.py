"""How much memory networks take, how much there is for them, and what becomes of it when they free it."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from deblurcli.networks.spec import NetworkSpec

# Measured peak of a float32 run without maps, per pixel of the tile; halves and maps are covered. Freed memory that is
# kept (results/networks.json) comes on top; budgets leave room for it.
BYTES_PER_PIXEL = {
    "iniknet": 1050.0,  # 950 measured; smaller tiles keep 24 megapixels of 16 bit below 1.6 GB
    "iniknet-fast": 420.0,
    "ggkmnet": 1100.0,
    "ggkmnet-large": 1100.0,
    "gkmnet": 1900.0,
    "p2ikt": 2900.0,
    "kpac-2": 1200.0,
    "kpac-3": 1100.0,
    "tiny": 400.0,
}
CPU_BUDGET = 850 * 2**20
KEPT = 2**30
"""Bytes that the program may take, between photos, before it gives back what is free of them."""

RESIDENT = Path("/proc/self/statm")
SYSTEM, CONTAINER = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def cpu_budget(spec: NetworkSpec) -> int:
    """Bytes that a tile may take on a CPU: a fixed sum that keeps the program small.

    But half of what is free for networks that look at the whole picture: tiles cost them exactness, or further passes
    and wide halos.
    """
    return max(CPU_BUDGET, free_memory() // 2) if spec.looks_everywhere else CPU_BUDGET


def bytes_per_pixel(table: Mapping[str, float], spec: NetworkSpec, maps: bool) -> float:
    """What a tile takes per pixel of its input: measured, as ``table`` has it by network, or a cautious guess."""
    planes = sum(m.channels for m in spec.maps if (maps or m.across_scales) and not m.per_photo)
    return table.get(spec.name, 4000.0) + 16 * planes


def free_memory() -> int:
    """Bytes that can be had without crowding others out: what Linux says is available, less if a container has less.

    Elsewhere half of what the machine has, and 0 where it does not even say that.
    """
    free = [_table(SYSTEM).get("MemAvailable", 0) * 1024] if SYSTEM.exists() else []
    try:
        limit, used = (int((CONTAINER / name).read_text()) for name in ("memory.max", "memory.current"))
        # Files that were read stay in memory only as long as nobody else needs it.
        free.append(max(limit - used + _table(CONTAINER / "memory.stat").get("inactive_file", 0), 0))
    except (OSError, ValueError):  # no container, or one without a limit
        pass
    if free:
        return min(free)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 0


def largest_memory(process: int) -> int | None:
    """The most bytes that a running process has had; None where the system does not say.

    ``ru_maxrss`` is no answer on Linux: it begins with what the process that started it has ever had.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    said = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(said[0]) * 1024 if said else None


def keep_freed_memory() -> bool:
    """Makes glibc keep what tensors free for the next ones. True if it does.

    By default it takes every large tensor from the system and gives it back, so that each is mapped anew, page by page:
    a third of the time of a large network on a CPU.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, mmap_max = -1, -4  # from malloc.h
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, 2**31 - 1))


def share_freed_memory() -> None:
    """Makes all threads share what glibc keeps, which would else keep for each what it once needed.

    To be called before there are any.
    """
    if platform.libc_ver()[0] == "glibc":
        arena_max = -8  # from malloc.h
        ctypes.CDLL(None).mallopt(arena_max, 1)


def release_freed_memory() -> None:
    """Gives back what ``keep_freed_memory`` kept, if it became much: in turn with other sizes it falls into pieces."""
    if platform.libc_ver()[0] == "glibc" and RESIDENT.exists():
        pages = int(RESIDENT.read_text().split()[1])
        if pages * os.sysconf("SC_PAGE_SIZE") > KEPT:
            ctypes.CDLL(None).malloc_trim(0)


def _table(path: Path) -> dict[str, int]:
    """Lines like ``MemAvailable:  123 kB`` or ``inactive_file 123`` → name → number."""
    words = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in words}
