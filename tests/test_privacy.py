"""Nothing leaves the machine, and nothing appears in the user's home folder but what SECURITY.md names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_architecture import IMPORTS, MODULES

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "photo.jpg"
INSTALLED = Path(sys.executable).with_name("deblur")
FONTS = {".cache/matplotlib", ".config/matplotlib"}


def command() -> list[str]:
    """The installed command, or the module where only the source is on the path."""
    return [str(INSTALLED)] if INSTALLED.exists() else [sys.executable, "-m", "deblurcli"]


def at_home(tmp_path: Path, *arguments: object) -> set[str]:
    """What a command leaves in an empty home folder: files, and folders that hold none."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DEBLUR_", "ORT_"))
    }
    line = [*command(), *map(str, arguments)]
    done = subprocess.run(line, cwd=tmp_path, env=environment | {"HOME": str(home)}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() or not any(path.iterdir())}


@pytest.mark.skipif(sys.platform == "win32", reason="HOME is not where Windows has the home folder")
@pytest.mark.parametrize(
    "arguments", [(PHOTO, "-o", "sharp.jpg", "--backend", "onnx"), ("doctor",), ("weights", "list"), ("--help",)]
)
def test_nothing_appears_at_home(arguments: tuple[object, ...], tmp_path: Path) -> None:
    assert at_home(tmp_path, *arguments) == set()


def test_maps_leave_a_list_of_fonts_and_nothing_else(tmp_path: Path) -> None:
    left = at_home(tmp_path, PHOTO, "-o", "sharp.jpg", "--backend", "onnx", "--export-maps")
    assert {str(Path(*Path(name).parts[:2])) for name in left} <= FONTS


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_nothing_is_looked_up(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    line = ["strace", "-f", "-e", "trace=connect,sendto", "-o", str(calls), *command()]
    line += [str(PHOTO), "-o", str(tmp_path / "sharp.jpg"), "--backend", "onnx"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr:
        pytest.skip("strace may not watch here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sharp.jpg").is_file()
    assert "AF_INET" not in calls.read_text()


def test_onnx_runtime_is_imported_in_one_place() -> None:
    importers = {module for module in MODULES for i in IMPORTS[module] if i.target.partition(".")[0] == "onnxruntime"}
    assert importers == {"backends.onnx_runtime"}
