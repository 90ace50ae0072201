"""``deblur doctor``: what is installed here, what of it works, and what to do about the rest."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import click

from deblurcli import __version__
from deblurcli.cli.defaults import places, read_settings
from deblurcli.cli.messages import table_console
from deblurcli.cli.restore import restore
from deblurcli.errors import NO_RUNTIME, NOTHING_DONE, DeblurError, UsageError, WeightsError, installs

if TYPE_CHECKING:
    from deblurcli.arrays import Picture

NEEDED = ("numpy", "pillow", "tifffile", "imagecodecs", "safetensors")
OPTIONAL = {"torch": "other networks, training, evaluation", "onnx": "exporting", "onnxscript": "exporting"}
EXTRAS = {"torch": "torch", "onnx": "export", "onnxscript": "export"}
# Formats that need a package of their own: (package, what adds it).
READERS = {"camera raw": ("rawpy", "pip install rawpy"), "HEIC (iPhones)": ("pillow-heif", installs("heif"))}
PRESENT, ABSENT, BROKEN = "yes", "no", "broken"


class Finding(NamedTuple):
    """``state`` is one of the three above; only what is broken makes the command fail."""

    what: str
    state: str
    details: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON line per finding.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look at this installation: versions, devices, memory, weights, and whether a blurred picture gets sharper.

    \b
    deblur doctor
    deblur doctor --json

    Exit code 1 means that something is broken.
    """
    from rich.table import Table
    from rich.text import Text

    findings = []
    table = Table("what", "", "details", box=None)
    colours = {PRESENT: "green", ABSENT: "", BROKEN: "bold red"}
    for finding in look():
        findings.append(finding)
        table.add_row(finding.what, finding.state, Text(finding.details), style=colours[finding.state])
        if as_json:
            print(json.dumps(finding._asdict()))
    if not as_json:
        table_console().print(table)
    if any(finding.state == BROKEN for finding in findings):
        ctx.exit(NOTHING_DONE)


def look() -> Iterator[Finding]:
    """All there is to find, from what is installed to what works."""
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()} {platform.machine()}"
    yield Finding("deblur", PRESENT, f"{__version__}; {system}")
    yield from _packages()
    yield _settings()
    yield _memory()
    yield from _weights()
    yield from _runs()


def _packages() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    for name in (*NEEDED, *OPTIONAL):
        try:
            yield Finding(name, PRESENT, version(name))
        except PackageNotFoundError:
            if name in OPTIONAL:
                yield Finding(name, ABSENT, f"for {OPTIONAL[name]}: {installs(EXTRAS[name])}")
            else:
                yield Finding(name, BROKEN, f"not installed: pip install {name}")
    yield _onnx_runtime()
    for what, (name, adds) in READERS.items():
        try:
            yield Finding(what, PRESENT, f"can be read, by {name} {version(name)}")
        except PackageNotFoundError:
            yield Finding(what, ABSENT, f"cannot be read. To add that: {adds}")


def _onnx_runtime() -> Finding:
    """Several packages bring the module of this name; where there are two, one has replaced the other's files."""
    from importlib.metadata import packages_distributions, version

    found = {name: version(name) for name in packages_distributions().get("onnxruntime", ())}
    if not found:
        missing = Finding("onnxruntime", BROKEN, f"{NO_RUNTIME}: {installs('cpu')}")
        return missing._replace(state=ABSENT, details=installs("cpu")) if find_spec("torch") else missing
    names = " and ".join(f"{name} {number}" for name, number in found.items())
    if len(found) == 1:
        ((name, number),) = found.items()
        return Finding(name, PRESENT, number)
    from deblurcli.backends.onnx_runtime import package_name

    there = f"{names} are installed, into the same place; what runs is {package_name}"
    return Finding("onnxruntime", PRESENT, f"{there}. To change that, uninstall both, then install one")


def _settings() -> Finding:
    """Which files of defaults count."""
    users, folders = places()
    try:
        found = read_settings(restore, click.Context(restore))
    except UsageError as error:
        return Finding(folders.name, BROKEN, f"{error}. {error.hint}")
    if not found:
        return Finding(
            folders.name,
            ABSENT,
            f"you have no defaults of your own. They would be in {users}, or in the current folder",
        )
    told = (f"{file.path}: {', '.join((*file.options, *map('profile {}'.format, file.profiles)))}" for file in found)
    return Finding(folders.name, PRESENT, "; ".join(told))


def _memory() -> Finding:
    from deblurcli.backends.memory import free_memory

    return Finding("memory", PRESENT, f"{free_memory() / 1e9:.1f} GB free, {os.cpu_count()} processors")


def _weights() -> Iterator[Finding]:
    from deblurcli.weights.store import cache_folder, catalog, published

    for release in catalog():
        name = f"weights {release.network} {release.tag}"
        try:
            release.verify()
            yield Finding(name, PRESENT, str(release.path))
        except DeblurError as error:
            yield Finding(name, BROKEN, f"{error}. {error.hint}")
    fetched = ", ".join(row.name for row in published() if row.is_fetched)
    try:
        folder = cache_folder()
    except WeightsError as error:
        yield Finding("cache", ABSENT, f"{error}. {error.hint}")
        return
    try:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK):
            raise PermissionError
        yield Finding("cache", PRESENT, f"{folder}: {size / 1e6:.1f} MB; fetched: {fetched or 'none'}")
    except OSError:
        yield Finding("cache", ABSENT, f"{folder} cannot be written; set DEBLUR_WEIGHTS to a folder that can")


def _runs() -> Iterator[Finding]:
    """Whether a blurred picture gets sharper, on every runtime and device that says it is there."""
    sharp, blurred = _pictures()
    for device in _onnx_devices():
        yield _run("onnx", device, sharp, blurred)
    if find_spec("torch"):
        for device in _torch_devices():
            yield _run("torch", device, sharp, blurred)


def _onnx_devices() -> list[str]:
    try:
        from deblurcli.backends.onnx_backend import PROVIDERS
        from deblurcli.backends.onnx_runtime import onnxruntime
    except ImportError:
        return []  # found missing before
    return [device for device, provider in PROVIDERS.items() if provider in onnxruntime.get_available_providers()]


def _torch_devices() -> list[str]:
    import torch

    found = ["cpu", *(f"cuda:{nth}" for nth in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def _run(backend: str, device: str, sharp: Picture, blurred: Picture) -> Finding:
    from deblurcli.loading import load

    what = f"{backend} on {device}"
    try:
        deblurrer = load(backend=backend, device=device)
        began = time.perf_counter()
        restored = deblurrer(blurred, even_out=False, keep_bokeh="off", keep_focus=False)
    except (DeblurError, RuntimeError, ImportError) as error:
        # A package may know a device that the machine does not have; the processor is always there.
        return Finding(what, BROKEN if device == "cpu" else ABSENT, str(error))
    seconds = time.perf_counter() - began
    before, after = (float(((picture - sharp) ** 2).mean()) for picture in (blurred, restored))
    gain = 10 * math.log10(before / after)
    details = f"a blurred picture came {gain:.1f} dB nearer to the sharp one; {seconds:.1f} s, the first run included"
    return Finding(what, PRESENT if gain > 0.5 else BROKEN, details)


def _pictures() -> tuple[Picture, Picture]:
    """Rectangles in pale colours, and the same out of focus by a radius of 2 px: (256, 256, 3) each."""
    import numpy as np

    draw = np.random.default_rng(0)
    sharp = np.full((256, 256, 3), 0.5, np.float32)
    for top, left, height, width in draw.integers(4, 224, (60, 4)):
        sharp[top : top + height // 4, left : left + width // 4] = draw.uniform(0.2, 0.8) + draw.uniform(-0.1, 0.1, 3)
    row, column = np.mgrid[-128:128, -128:128]
    disc = np.fft.fft2(np.fft.ifftshift(np.clip(2.5 - np.hypot(row, column), 0, 1)))[..., None]
    blurred = np.fft.ifft2(np.fft.fft2(sharp, axes=(0, 1)) * disc / disc[0, 0], axes=(0, 1)).real
    return sharp, blurred.astype(np.float32)
