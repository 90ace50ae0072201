"""``deblur integrate``: quoting, all files or none, nobody else's files, and that the scripts do what they say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from deblurcli.cli import main
from deblurcli.errors import PhotoError
from deblurcli.integrations import offers
from deblurcli.integrations.install import install
from deblurcli.integrations.offers import LINUX, MACOS, OFFERS, WINDOWS, Offer

ODD = """it's 100% "odd" $HOME `x` \\ ünï"""
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="these scripts are for Linux")


def deblur(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ODD
    folder.mkdir()
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """Starts deblur with the small network, from a path that needs quoting."""
    path = tmp_path / ODD / "bin" / "deblur"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m deblurcli -m tiny --device cpu "$@"\n')
    path.chmod(0o755)
    return [str(path)]


def photos(folder: Path) -> list[Path]:
    names = ("a.png", 'it\'s [1] $x "é".jpg')
    for name in names:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(folder / name)
    return [folder / name for name in names]


def file_of(name: str, home: Path, program: list[str], number: int = 0) -> tuple[Path, str]:
    offer = OFFERS[name]
    return offer.paths(home)[number], offer.contents(home, program)[number].decode()


# Text


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("system", [LINUX, MACOS, WINDOWS])
def test_everything_is_filled_in(name: str, system: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "this_system", lambda: system)
    offer = OFFERS[name]
    assert offer.system == system if system in offer.systems else offer.systems[0]
    for content in offer.contents(home, [sys.executable, "-m", "deblurcli"]):
        text = content.decode("utf-16" if content[:2] == b"\xff\xfe" else "utf-8")
        assert not re.search(r"@[A-Z]+@", text)
        assert offers.MARK in text
        assert ("\r\n" in text) == (offer.system == WINDOWS)
    assert "{" not in offer.todo(home)
    assert offer.tried


def test_desktop_file(home: Path, program: list[str]) -> None:
    path, text = file_of("digikam", home, program, 1)
    script = OFFERS["digikam"].paths(home)[0]
    (exec_line,) = re.findall("^Exec=(.*)$", text, re.MULTILINE)
    (quoted,) = re.findall(
        '^"(.*)" %F$', exec_line.replace("\\\\", "\\")
    )  # as of all strings there; then of double quotes
    assert re.sub(r"\\([\"`$\\])", r"\1", quoted).replace("%%", "%") == str(script)
    if validate := shutil.which("desktop-file-validate"):
        path.parent.mkdir(parents=True)
        path.write_text(text)
        done = subprocess.run([validate, path], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")


def test_lua_script(home: Path, program: list[str], tmp_path: Path) -> None:
    _, text = file_of("darktable", home, program)
    (literal,) = re.findall('^local DEBLUR = "(.*)"$', text, re.MULTILINE)
    assert shlex.split(re.sub(r"\\(.)", r"\1", literal)) == program
    if lua := shutil.which("lua5.4") or shutil.which("lua"):
        (tmp_path / "deblur.lua").write_text(text)
        assert subprocess.run([lua, "-e", f"assert(loadfile('{tmp_path}/deblur.lua'))"]).returncode == 0


def test_files_for_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "this_system", lambda: WINDOWS)
    for name in ("APPDATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    home, program = Path("C:\\Users/Ann O'Neil 100%"), ["C:\\My Tools\\deblur.exe"]
    script, registry = OFFERS["explorer"].contents(home, program)
    assert b'\r\n"C:\\My Tools\\deblur.exe" --format tiff --depth 16 -- %*\r\n' in script
    assert r'@="\"C:\\Users\\Ann O' r"'" r'Neil 100%\\AppData\\Local\\deblur\\edit.cmd\" \"%1\""' in registry.decode(
        "utf-16"
    )
    assert (
        b'"C:\\a%%b\\python.exe" -m "deblurcli"'
        in OFFERS["lightroom"].contents(home, ["C:\\a%b\\python.exe", "-m", "deblurcli"])[0]
    )


# Scripts


@LINUX_ONLY
@pytest.mark.parametrize("by", ["arguments", "Nautilus"])
def test_script(by: str, home: Path, program: list[str], tmp_path: Path) -> None:
    path, text = file_of("nautilus", home, program)
    install([path], [text.encode()])
    assert path.stat().st_mode & stat.S_IXUSR
    named = photos(home)
    before = [photo.read_bytes() for photo in named]
    if by == "Nautilus":  # which names them relative to a folder, too
        arguments: list[Path] = [Path(photo.name) for photo in named]
        environment = os.environ | {"NAUTILUS_SCRIPT_SELECTED_FILE_PATHS": "".join(f"{photo}\n" for photo in named)}
    else:
        arguments, environment = named, dict(os.environ)
    command = [path, *arguments]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for photo in named:
        assert tifffile.imread(photo.with_name(f"{photo.stem}-deblurred.tif")).dtype == np.uint16
    again = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode and "exists already" in again.stderr
    assert [photo.read_bytes() for photo in named] == before


@LINUX_ONLY
def test_script_shows_errors_in_a_window(home: Path, program: list[str], tmp_path: Path) -> None:
    path, text = file_of("nautilus", home, program)
    install([path], [text.encode()])
    zenity = tmp_path / "bin" / "zenity"
    zenity.parent.mkdir()
    zenity.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{shlex.quote(str(tmp_path / "shown"))}\n')
    zenity.chmod(0o755)
    environment = os.environ | {"DISPLAY": ":9", "PATH": f"{zenity.parent}:{os.environ['PATH']}"}
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    assert subprocess.run([path, tmp_path / "a.jpg"], env=environment, capture_output=True).returncode == 1
    assert "--error" in (tmp_path / "shown").read_text() and "a.jpg" in (tmp_path / "shown").read_text()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not here")
def test_script_is_sound(home: Path, program: list[str], tmp_path: Path) -> None:
    _, text = file_of("nautilus", home, program)
    (tmp_path / "a.sh").write_text(text)
    done = subprocess.run(["shellcheck", "--severity=warning", tmp_path / "a.sh"], capture_output=True, text=True)
    assert done.stdout == ""


# Installing


@LINUX_ONLY
@pytest.mark.parametrize("name", [name for name, offer in OFFERS.items() if LINUX in offer.systems and offer.templates])
def test_install(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur("integrate", name) == 0
    assert not (home / ".local").exists() and not (home / ".config").exists()
    assert f"deblur integrate {name} --install" in capsys.readouterr().out.splitlines()[-1]
    assert deblur("integrate", name, "--install") == 0
    paths = OFFERS[name].paths(home)
    assert all(str(path) in capsys.readouterr().out or path.is_file() for path in paths)
    assert deblur("integrate", name, "--install") == 0  # its own files may be replaced
    paths[-1].write_text("somebody else's")
    (paths[0] if len(paths) > 1 else home / "x").unlink(missing_ok=True)
    assert deblur("integrate", name, "--install") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert paths[-1].read_text() == "somebody else's"
    assert len(paths) == 1 or not paths[0].exists()
    assert deblur("integrate", name, "--install", "--overwrite") == 0
    assert offers.MARK in paths[-1].read_text()


def test_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_text(f"{offers.MARK} before")
    (tmp_path / "in the way").write_text("")
    paths = [tmp_path / "old", tmp_path / "new", tmp_path / "in the way" / "file"]
    with pytest.raises(PhotoError):
        install(paths, [b"1", b"2", b"3"])
    assert (tmp_path / "old").read_text() == f"{offers.MARK} before"
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("deblurcli.cli.integrate.this_system", lambda: LINUX, raising=False)
    assert deblur("integrate", "gimp", "--install") == 2
    assert "nothing to install" in capsys.readouterr().err
    assert deblur("integrate", "finder", "--install") == 2
    assert "macOS" in capsys.readouterr().err
    assert deblur("integrate", "paint") == 2


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur("integrate") == 0
    told = capsys.readouterr().out
    assert all(name in told for name in OFFERS)


def test_only_what_was_run_is_said_to_be_tried() -> None:
    untried = {name for name, offer in OFFERS.items() if offer.tried == offers.UNTRIED}
    assert untried == {"lightroom", "finder", "explorer"}
    assert isinstance(OFFERS["gimp"], Offer)
