"""Long runs, on purpose disturbed: ``python tests/soak.py -o results/batch.json``. About twenty minutes on two cores.

* kills: a run over a folder is killed (SIGKILL) at random moments and begun again until all is done. What is there in
  the end must be, byte for byte, what an undisturbed run writes; no photo restored twice, nothing else left.
* soak: a run over hundreds of photos of all formats and sizes, every tenth of them broken, watched from outside: memory
  and open files must not grow with the number of photos.
* ray: a local cluster of two nodes; workers are killed, then a whole node. Nothing may be missing.
* overlap: the same folder with photos read and written one after the other, beside the restoring, and compiled as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from deblurcli import write_photo
from deblurcli.evaluation.results import environment
from deblurcli.photo.photo import Photo

Report = dict[str, Any]
FORMATS = ("jpg", "png", "tif", "webp", "bmp")
MEGABYTE = 2**20


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "deblurcli", *map(str, arguments)]


def run(*arguments: object, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, env=environ)


def write_shots(folder: Path, count: int, megapixels: tuple[float, float], broken: int = 0) -> int:
    """Photos of all formats in two levels of folders, sizes drawn between two; every ``broken``-th is cut short.

    Returns how many are broken.
    """
    rng = np.random.default_rng(0)
    bad = 0
    for number in range(count):
        path = folder / f"day {number % 7}" / f"{number:04}.{FORMATS[number % len(FORMATS)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = int((rng.uniform(*megapixels) * 1e6) ** 0.5)
        coarse = rng.random((side // 16 + 2, side // 12 + 2, 3))
        pixels = np.kron(coarse, np.ones((16, 16, 1)))[:side, : side * 4 // 3] * 255
        deep = path.suffix in (".png", ".tif") and number % 2
        codes = (pixels * 257).astype(np.uint16) if deep else pixels.astype(np.uint8)
        write_photo(path, Photo(codes))
        if broken and number % broken == 0:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
            bad += 1
    return bad


def sums(folder: Path) -> dict[str, str]:
    """Files → SHA-256; hidden ones, which may go while we look, left out."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in finished(folder)}


def finished(folder: Path) -> list[str]:
    return [
        str(Path(here, name).relative_to(folder))
        for here, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    ]


def litter(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


def kills(folder: Path, rounds: int) -> Report:
    write_shots(folder / "shots", 60, (0.02, 0.3))
    options = ("--recursive", "--skip-existing", "-m", "tiny", "--device", "cpu", "-q")
    began = time.monotonic()
    expected = run(folder / "shots", "-o", folder / "undisturbed", *options)
    whole = time.monotonic() - began
    assert expected.returncode == 0, expected.stderr
    rng = np.random.default_rng(1)
    report: Report = {
        "killed": 0,
        "runs over the folder": 0,
        "different": 0,
        "missing": 0,
        "restored twice": 0,
        "left": 0,
    }
    report["unfinished files when killed"] = 0
    while report["killed"] < rounds:
        shutil.rmtree(folder / "sharp", ignore_errors=True)
        report["runs over the folder"] += 1
        seen: dict[str, int] = {}
        code = None
        while code != 0:
            process = subprocess.Popen(
                command(folder / "shots", "-o", folder / "sharp", *options), stderr=subprocess.PIPE, text=True
            )
            try:
                wait = whole * (1.0 if report["killed"] >= rounds else rng.uniform(0.2, 0.5))
                _, said = process.communicate(timeout=None if report["killed"] >= rounds else wait)
                code = process.returncode
                assert code == 0, said
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                report["killed"] += 1
                if (folder / "sharp").exists():
                    report["unfinished files when killed"] += len(litter(folder / "sharp"))
            for name in finished(folder / "sharp"):
                changed = (folder / "sharp" / name).stat().st_mtime_ns
                report["restored twice"] += seen.setdefault(name, changed) != changed
        right, found = sums(folder / "undisturbed"), sums(folder / "sharp")
        report["missing"] += len(right.keys() - found.keys())
        report["left"] += len(found.keys() - right.keys()) + len(litter(folder / "sharp"))
        report["different"] += sum(found[name] != right[name] for name in right.keys() & found.keys())
    return {"photos": 60, **report}


def watch(process: subprocess.Popen[str], output: Path, count: int) -> Iterator[tuple[int, float, int]]:
    """While a process lives: outputs there are, its resident memory in MB, its open files."""
    proc = Path(f"/proc/{process.pid}")
    while process.poll() is None:
        try:
            status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
            files = len(list((proc / "fd").iterdir()))
            yield len(finished(output)), int(status["VmRSS"].split()[0]) * 1024 / MEGABYTE, files
        except (OSError, KeyError):
            return
        time.sleep(0.5)


def soak(folder: Path, count: int) -> Report:
    broken = write_shots(folder / "shots", count, (0.02, 0.5), broken=10)
    arguments = command(
        folder / "shots", "-o", folder / "sharp", "--recursive", "--json", "--report", folder / "failed"
    )
    with (folder / "rows").open("w") as rows, (folder / "said").open("w") as said:
        process = subprocess.Popen(arguments, stdout=rows, stderr=said, text=True)
        samples = list(watch(process, folder / "sharp", count))
        process.wait()
    told = [json.loads(line) for line in (folder / "rows").read_text().splitlines()]
    early = [s for s in samples if 0.1 * count <= s[0] < 0.3 * count]
    late = [s for s in samples if s[0] >= 0.7 * count]
    return {
        "photos": count,
        "broken": broken,
        "restored": len(sums(folder / "sharp")),
        "told to have failed": sum("error" in row for row in told),
        "listed to be fed back": len((folder / "failed").read_bytes().splitlines()),
        "exit code": process.returncode,
        "left": len(litter(folder / "sharp")),
        "MB, median: photos 10–30 %": round(median(s[1] for s in early)),
        "MB, median: photos 70–100 %": round(median(s[1] for s in late)),
        "MB, most": round(max(s[1] for s in samples)),
        "open files, most: photos 10–30 %": max(s[2] for s in early),
        "open files, most: photos 70–100 %": max(s[2] for s in late),
    }


def overlap(folder: Path, repeats: int) -> Report:
    """Seconds per run, in turns, of the folder one photo at a time, several, and compiled; program start included."""
    write_shots(folder / "shots", 12, (1.5, 1.5))
    ways = {"one at a time": ("--jobs", 1), "several in work": (), "several in work, compiled": ("--compile",)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(repeats + 1):
        for way, options in ways.items():
            shutil.rmtree(folder / "sharp", ignore_errors=True)
            began = time.monotonic()
            done = run(folder / "shots", "-o", folder / "sharp", "--recursive", "-q", "--backend", "torch", *options)
            assert done.returncode == 0, done.stderr
            if number:  # the first is for what is compiled once for a machine
                seconds[way].append(round(time.monotonic() - began, 1))
    middle = {way: median(taken) for way, taken in seconds.items()}
    first = middle["one at a time"]
    return {
        "photos": 12,
        "megapixels each": 2.0,
        "seconds": seconds,
        "median, of one at a time": {way: round(value / first, 3) for way, value in middle.items()},
    }


def processes(name: str) -> list[int]:
    """Process numbers of those whose title begins with ``name``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(name.encode()):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.05)


def cluster(folder: Path, count: int) -> Report:
    """Two nodes of one core each on this machine; SIGKILL for workers in turn, and for a node's daemon in the end.

    All four may strike the same photo, for which new processes take the longest.
    """
    from ray.cluster_utils import Cluster

    write_shots(folder / "shots", count, (0.05, 0.5))
    options = ("--recursive", "-m", "tiny", "--device", "cpu", "-q")
    # On one core, as each photo is there: sums are rounded otherwise by several threads.
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert run(folder / "shots", "-o", folder / "undisturbed", *options, environ=environ).returncode == 0
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    lost = nodes.add_node(num_cpus=1)
    killed = 0
    try:
        environ["RAY_ADDRESS"] = str(nodes.address)
        with (folder / "rows").open("w") as rows:
            arguments = command(folder / "shots", "-o", folder / "sharp", *options, "--cluster", "ray", "--json")
            process = subprocess.Popen(arguments, stdout=rows, stderr=subprocess.PIPE, text=True, env=environ)
        for part in (0.1, 0.3, 0.5):
            wait_for(lambda part=part: len(finished(folder / "sharp")) >= part * count and processes("ray::_restore"))
            os.kill(processes("ray::_restore")[0], signal.SIGKILL)
            killed += 1
        wait_for(lambda: len(finished(folder / "sharp")) >= 0.6 * count)
        nodes.remove_node(lost, allow_graceful=False)
        process.communicate(timeout=600)
    finally:
        nodes.shutdown()
    told = [json.loads(line) for line in (folder / "rows").read_text().splitlines()]
    print(*(row["error"] for row in told if "error" in row), sep="\n")  # seen where the test fails
    right, found = sums(folder / "undisturbed"), sums(folder / "sharp")
    return {
        "photos": count,
        "nodes": 2,
        "workers killed": killed,
        "nodes killed": 1,
        "exit code": process.returncode,
        "rows": len(told),
        "failed": sum("error" in row for row in told),
        "missing": len(right.keys() - found.keys()),
        "different": sum(found[name] != right[name] for name in right.keys() & found.keys()),
    }


PARTS: dict[str, Callable[[Path, int], Report]] = {"kills": kills, "soak": soak, "ray": cluster, "overlap": overlap}
SIZES = {"kills": 50, "soak": 300, "ray": 60, "overlap": 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file; parts that are not run are kept")
    parser.add_argument("--part", choices=PARTS, action="append", help="only these")
    parser.add_argument("--share", type=float, default=1.0, help="of the rounds and photos of a full run")
    arguments = parser.parse_args()
    result = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    result |= {"command": "python tests/soak.py -o results/batch.json", "environment": environment()}
    for name in arguments.part or PARTS:
        with TemporaryDirectory(prefix="soak-") as folder:
            result[name] = PARTS[name](Path(folder), max(round(SIZES[name] * arguments.share), 1))
        print(name, json.dumps(result[name], indent=1, ensure_ascii=False), flush=True)
        arguments.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
