"""Measurements as files: what was measured, by which command, on which machine, with which versions."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from deblurcli import __version__
from deblurcli.evaluation.compared import MEGAPIXELS, comparison
from deblurcli.evaluation.suites import Report
from deblurcli.evaluation.timing import markdown, markdown_of_previews, runs_on

LIBRARIES = ("torch", "onnxruntime", "numpy", "pillow", "tifffile", "imagecodecs", "scikit-image", "lpips")
# Sets of real pairs that have a row of their own.
SETS = {
    "pixel4": "a phone's (Pixel 4), green only",
    "pixel4_half": "the same at half size",
    "lytro": "a light-field camera's (Lytro)",
}


def environment() -> dict[str, Any]:
    """Machine, threads, versions and commit, for printing beside a figure; "absent" is what is not there."""
    import torch

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "deblur": __version__,
        "commit": _commit(),
        **{name: _version(name) for name in LIBRARIES},
    }


def write_results(path: Path, command: str, content: dict[str, Any]) -> None:
    """Writes ``content`` as JSON, with the command and the environment; floats to four places."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_json({"command": command, "environment": environment(), **content}) + "\n")


def write_report(path: Path, command: str, network: str, report: Report, folders: dict[str, Path | None]) -> None:
    """Writes what came of ``deblur evaluate``: summaries, rows, papers' scores, and what was skipped and why."""
    suites = {
        name: {"summary": summary, "rows": [row.labels | row.values for row in report.rows[name]]}
        for name, summary in report.summaries().items()
    }
    names = {name: folder.name if folder else None for name, folder in folders.items()}
    published = [vars(score) for score in report.published]
    content = {"network": network, **names, "suites": suites, "published": published, "skipped": report.skipped}
    write_results(path, command, content)


class Measured:
    """What lies in a folder of results, for tables."""

    def __init__(self, folder: Path) -> None:
        names = ("speed", "networks", "runtimes", "large", "iniknet", "maps", "preview")
        files = {name: json.loads((folder / f"{name}.json").read_text()) for name in names}
        self.rows: dict[str, list[dict[str, Any]]] = {name: file["rows"] for name, file in files.items()}
        (self.speed,) = self.rows["speed"]
        self.where = files["speed"]["environment"]
        self.suites = _suites(folder)
        compared = folder / "compared.json"
        self.compared = json.loads(compared.read_text())["compared"] if compared.is_file() else []
        self._network = json.loads((folder / "quality.json").read_text())["network"]

    @property
    def made_by(self) -> str:
        """Network and weights whose pictures were measured; how fast they are does not depend on the weights."""
        return f"`{' · '.join(self._network.split(' · ')[:2])}`"

    def has(self, suite: str, measure: str) -> bool:
        """Whether it was measured."""
        return measure in self.suites.get(suite, {"summary": {}})["summary"]

    def value(self, suite: str, measure: str, method: str = "deblur") -> float:
        """One number."""
        return self.suites[suite]["summary"][measure][method]

    def change(self, suite: str, measure: str, digits: int) -> str:
        """Before → after."""
        return " → ".join(f"{self.value(suite, measure, method):.{digits}f}" for method in ("input", "deblur"))

    def gain(self, suite: str, where: str = "") -> str:
        """Change of PSNR with its spread, how often it got worse, and by how much at worst."""
        worse = f"{self.value(suite, 'made worse' + where):.0%} made worse"
        lowest = f"the worst by {min(self.value(suite, 'worst' + where), 0):.2f} dB"
        mean = f"**{self.value(suite, 'gain' + where):+.2f} dB** ± {self.value(suite, '±' + where):.2f}"
        return f"{mean}; {worse}, {lowest}"


def summary_table(folder: Path) -> str:
    """What matters most, as Markdown, from the files in ``results/``."""
    measured = Measured(folder)
    value, speed = measured.value, measured.speed
    (large, *_) = measured.rows["large"]
    smallest, *_, largest = _radii(measured)
    return "\n".join(
        [
            f"| {measured.made_by} | |",
            "|---|---|",
            f"| real photos, where they are out of focus | **{value('real', 'gain out of focus'):+.1f} dB** "
            f"({value('real', 'made worse out of focus'):.0%} of the photos lost) |",
            f"| sharp photos, put out of focus by a radius of {smallest} to {largest} pixels | "
            f"**{value('synthetic', 'gain'):+.1f} dB** ({value('synthetic', 'made worse'):.0%} lost) |",
            f"| sharp photos: how near they come back | {value('sharp', 'psnr'):.0f} dB; the worst "
            f"{value('sharp', 'worst'):.0f} dB (from about 45 dB on, nobody sees a difference) |",
            *(
                f"| {row['width'] * row['height'] / 1e6:.0f} megapixels of {row['depth']} bit, on "
                f"{measured.where['threads']} processor cores | {median(row['seconds']):.0f} seconds, "
                f"{row['peak MB'] / 1000:.1f} GB of memory |"
                for row in (speed, large)
            ),
        ]
    )


def _radii(measured: Measured) -> list[str]:
    """The blur radii that were measured, without 0."""
    names = measured.suites["synthetic"]["summary"]
    return [name.removeprefix("gain R=") for name in names if name.startswith("gain R=") and name != "gain R=0"]


def results_tables(folder: Path) -> str:
    """All figures as Markdown, from the files in ``results/``."""
    measured = Measured(folder)
    where = measured.where
    value, change, gain, speed, suites = measured.value, measured.change, measured.gain, measured.speed, measured.suites

    def line(suite: str, measure: str, what: str, result: Callable[[], str]) -> list[str]:
        """A row of the table, if it has been measured."""
        return [f"| {what} | {result()} |"] if measured.has(suite, measure) else []

    def of_set(name: str) -> str:
        out = f"gain out of focus {name}"
        out = f"; out of focus {value('real', out):+.2f} dB" if measured.has("real", out) else ""
        return gain("real", f" {name}") + out

    radii = ["0", *_radii(measured)]
    photos = len({row["photo"] for row in suites["synthetic"]["rows"]})
    smallest, *_, largest = _radii(measured)
    lines = [
        f"{measured.made_by}:",
        "",
        "| what | result |",
        "|---|---|",
        f"| {photos} sharp photos, blurred by a radius of {smallest} to {largest} px: change of PSNR "
        f"| {gain('synthetic')} |",
        *line(
            "wide",
            "gain",
            "wide blur, radius 10 to 40 px, on pictures of 2 megapixels: change of PSNR",
            lambda: gain("wide"),
        ),
        f"| {len(suites['real']['rows'])} real photos, partly out of focus, against focus stacks | {gain('real')} |",
        *line("real", "gain out of focus", "… where they are out of focus", lambda: gain("real", " out of focus")),
        *line("real", "gain in focus", "… where they are in focus", lambda: gain("real", " in focus")),
        *(
            row
            for name, what in SETS.items()
            for row in line("real", f"worst {name}", f"… of them: {what}", lambda name=name: of_set(name))
        ),
        f"| photos in focus: PSNR of what comes back | {value('sharp', 'psnr'):.1f} dB; "
        f"worst {value('sharp', 'worst'):.1f} |",
        *line(
            "noise",
            "noise gain, flat, noise=5",
            "noise of σ = 5/255 on flat gray, and on photos blurred by 3 px: how much stronger it comes back",
            lambda: " and ".join(f"× {value('noise', f'noise gain, {w}, noise=5'):.2f}" for w in ("flat", "textured")),
        ),
        *line(
            "edge",
            "MTF50 high contrast R=3",
            "an edge blurred by 3 px: MTF50 before and after, in cycles per px",
            lambda: (
                f"{change('edge', 'MTF50 high contrast R=3', 2)}; "
                f"overshoot {value('edge', 'overshoot % high contrast R=3'):.0f}%"
            ),
        ),
        *line(
            "maps",
            "Spearman",
            "maps of blur radius and of defocus size: rank correlation with the true radius, where there is texture",
            lambda: " and ".join(f"{value('maps', 'Spearman', m):.2f}" for m in ("blur_radius", "defocus_size")),
        ),
        *line(
            "text",
            "legible up to R",
            "print, 20 px: the blur radius up to which Tesseract reads 70% of it, before and after",
            lambda: f"{change('text', 'legible up to R', 1)} px",
        ),
        f"| tiles of 256 px against none: difference at most, and on average | "
        f"{value('seams', 'largest'):.2f} and {value('seams', 'mean'):.4f} of 255 |",
        f"| speed, reading and writing included | {speed['seconds per megapixel']:.2f} s per megapixel "
        f"({runs_on(speed)}) on {where['threads']} threads of an {where['processor']} that convolves at "
        f"{speed['calibration GFLOP/s']:.0f} GFLOP/s |",
        "",
        "| blur radius, px | " + " | ".join(radii) + " |",
        "|---|" + "---|" * len(radii),
        "| change of PSNR, dB | " + " | ".join(f"{value('synthetic', f'gain R={r}'):+.2f}" for r in radii) + " |",
        "",
        *_compared(measured.compared),
        "All networks on the machine of the first table, each on a photo in one piece, restored once and as it is "
        "(`--no-careful --no-even-out`); those without weights are untrained, as time does not depend on them.",
        "",
        markdown(measured.rows["networks"]),
        "",
        "The default network in all runtimes and precisions, as above:",
        "",
        markdown(measured.rows["runtimes"]),
        "",
        "Large photos, in tiles; what tiles overlap by is computed twice:",
        "",
        markdown(measured.rows["large"] + measured.rows["iniknet"]),
        "",
        "Maps exported beside the photo, some of them and all:",
        "",
        markdown(measured.rows["maps"]),
        "",
        "A look before the whole is restored, `deblur preview`:",
        "",
        markdown_of_previews(measured.rows["preview"]),
        "",
        "± is half the 95 % bootstrap interval. Every figure is in `results/`, with the command that made it.",
    ]
    return "\n".join(lines)


def _compared(rows: list[dict[str, Any]]) -> list[str]:
    """The networks side by side, if there are two or more."""
    if len(rows) < 2:
        return []
    title = (
        "Networks with weights side by side, each with its own, restoring a photo once and as it is (`--no-careful "
        f"--no-even-out`); speed on a photo of {MEGAPIXELS:g} megapixel, on a processor that convolves at "
        f"{rows[0]['calibration GFLOP/s']:.0f} GFLOP/s:"
    )
    return [title, "", comparison(rows), ""]


def _suites(folder: Path) -> dict[str, Any]:
    """The suites in all files of a folder; one that is in two of them has two truths and is refused."""
    suites: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text()).get("suites", {})
        if twice := suites.keys() & found.keys():
            raise ValueError(f"{path}: {', '.join(sorted(twice))} is in another file, too")
        suites |= found
    return suites


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


def _commit() -> str:
    """The commit of the checkout that this program runs from, with "-dirty" if files differ from it."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or not shutil.which("git"):
        return "absent"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "absent"


def _json(value: Any, indent: str = "") -> str:
    """JSON with a line per entry, but rows (objects in a list) and objects of numbers on one line each."""

    def rounded(item: Any) -> Any:
        if isinstance(item, dict):
            return {name: rounded(v) for name, v in item.items()}
        return round(item, 4) if isinstance(item, float) else item

    deeper = indent + " "
    if isinstance(value, dict) and any(isinstance(v, dict | list | str) for v in value.values()):
        entries = [f"{json.dumps(name, ensure_ascii=False)}: {_json(v, deeper)}" for name, v in value.items()]
        return "{\n" + ",\n".join(deeper + entry for entry in entries) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        rows = (json.dumps(rounded(v), ensure_ascii=False) for v in value)
        return "[\n" + ",\n".join(deeper + row for row in rows) + f"\n{indent}]"
    return json.dumps(rounded(value), ensure_ascii=False)
