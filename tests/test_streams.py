"""No command hangs or ends in a traceback, whatever its streams, their encodings, the user and the packages."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PATIENCE
from forked import Done, Forked, Streams, forked
from seeds import RGB, png

from deblurcli.cli import main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell and /dev/full")

COMMANDS = {
    "help": "--help",
    "restore help": "restore --help",
    "weights list": "weights list",
    "weights info": "weights info iniknet-fast",
    "version": "--version",
    "recipes": "train --list",
    "plan": "a→b.png -o new.png --dry-run",
    "plan in json": "a→b.png -o new.png --dry-run --json",
    "wrong": "a→b.png --nonsense",
    "missing": "gone.png -o out.png",
}
ALL = [*COMMANDS, "photo"]
COMMANDS["photo"] = "a→b.png -o out.png -v --overwrite --backend onnx --device cpu"
FAILS = {"wrong": 2, "missing": 1}
PRINTS = COMMANDS.keys() - FAILS.keys() - {"photo"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    (folder / "a→b.png").write_bytes(png(RGB))
    return folder


@pytest.fixture(scope="module")
def commands(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    with forked(folder, tmp_path_factory.mktemp("said")) as running:
        yield running


def check(done: Done) -> Done:
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr, done.stderr.decode()
    return done


def shell(folder: Path, line: str) -> Done:
    """Runs ``deblur LINE`` in a shell, with pipes for the streams that the line leaves alone. A hang is an error."""
    command = ["sh", "-c", f"'{sys.executable}' -m deblurcli {line}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=PATIENCE, check=False)
    return check(Done(done.returncode, done.stdout, done.stderr))


@pytest.mark.parametrize("streams", [{2: None}, {2: "/dev/full"}, {0: None}, {0: None, 2: None}])
@pytest.mark.parametrize("command", ALL)
def test_commands_do_without_what_they_do_not_need(
    command: str, streams: Streams, folder: Path, commands: Forked
) -> None:
    (folder / "out.png").unlink(missing_ok=True)
    done = check(commands.run(COMMANDS[command], streams))
    assert done.returncode == FAILS.get(command, 0)
    assert bool(done.stdout) == (command in PRINTS)
    assert (folder / "out.png").exists() == (command == "photo")


@pytest.mark.parametrize(("target", "words"), [(None, b"is closed"), ("/dev/full", b"disk is full")])
@pytest.mark.parametrize("command", ALL)
def test_what_is_asked_for_and_cannot_be_said_is_an_error(
    command: str, target: str | None, words: bytes, commands: Forked
) -> None:
    done = check(commands.run(COMMANDS[command], {1: target}))
    if command in PRINTS:
        assert done.returncode == 1
        assert done.stderr.splitlines()[0].startswith(b"error: standard output: ") and words in done.stderr
        assert len(done.stderr.splitlines()) == 2
    else:
        assert done.returncode == FAILS.get(command, 0)


@pytest.mark.parametrize("streams", ["2>&-", "<&- 2>&-", ">&-"])
def test_a_shell_s_streams_are_no_others(streams: str, folder: Path) -> None:
    (folder / "out.png").unlink(missing_ok=True)
    assert shell(folder, f"{COMMANDS['photo']} {streams}").returncode == 0
    assert (folder / "out.png").exists()


def test_photos_through_pipes_that_are_closed_or_full(commands: Forked) -> None:
    cases: list[tuple[str, Streams]] = [
        ("- -o -", {0: "a→b.png", 1: "/dev/full"}),
        ("- -o -", {0: "a→b.png", 1: None}),
        ("- -o pipe.png", {0: None}),
    ]
    for line, streams in cases:
        done = check(commands.run(line, streams))
        assert done.returncode == 1
        assert done.stderr.startswith(b"error: standard "), done.stderr
    done = check(commands.run("- -o pipe.png", {0: "/dev/zero"}))  # which never ends
    assert (done.returncode, b"is not a photo" in done.stderr) == (1, True)
    done = check(commands.run("@- -o sharp/", {0: None}))
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, b"error: standard input: is closed")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
@pytest.mark.parametrize("command", ALL)
def test_any_encoding(command: str, encoding: str, commands: Forked) -> None:
    done = check(commands.run(COMMANDS[command], PYTHONIOENCODING=encoding))
    assert done.returncode == FAILS.get(command, 0), done.stderr
    done.stdout.decode(encoding)
    if command == "plan":
        assert done.stdout == b"a->b.png -> new.png\n"


def test_a_user_without_name_and_home(folder: Path) -> None:
    # As in containers: the user's number is in no list of users.
    script = (
        "import os, pwd, sys\n"
        "def unknown(uid): raise KeyError(f'getpwuid(): uid not found: {uid}')\n"
        "pwd.getpwuid = unknown\n"
        "for name in ('HOME', 'USER', 'LOGNAME', 'DEBLUR_WEIGHTS'): os.environ.pop(name, None)\n"
        "for name in [name for name in os.environ if name.startswith('XDG_')]: del os.environ[name]\n"
        "from deblurcli.cli import main; main(sys.argv[1:])"
    )
    for line in ("doctor", "weights list", "a→b.png -o home.png --overwrite"):
        command = [sys.executable, "-c", script, *line.split()]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    command = [sys.executable, "-c", script, "weights", "fetch", "iniknet.dpdd_paper"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no home folder" in done.stderr and "DEBLUR_WEIGHTS" in done.stderr


@pytest.mark.parametrize(
    ("place", "packages"),
    [
        ("s3://bucket/a.jpg", "s3fs"),
        ("gs://bucket/a.jpg", "gcsfs"),
        ("az://box/a.jpg", "adlfs"),
        ("hf://a/b/c.jpg", "huggingface_hub"),
        ("hdfs://box/a.jpg", "pyarrow"),
        ("https://example.org/a.jpg", "aiohttp"),
    ],
)
def test_storage_whose_package_is_missing(
    place: str, packages: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("upath", reason="the extra 'cluster' is not installed")
    monkeypatch.setitem(sys.modules, packages, None)
    for line in ([place, "-o", "out.jpg"], [str(folder / "a→b.png"), "-o", place]):
        with pytest.raises(SystemExit) as ended:
            main(line)
        assert ended.value.code == 1
        what, hint = capsys.readouterr().err.splitlines()
        assert what.startswith(f"error: {place}: needs Python packages") and packages in what
        assert packages in hint and ".[cluster]" in hint


@pytest.mark.parametrize("place", ["nonsense://a/b.jpg", "github://a/b.jpg", "data://"])
def test_storage_that_cannot_be_reached(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("upath", reason="the extra 'cluster' is not installed")
    with pytest.raises(SystemExit) as ended:
        main([place, "-o", "out.jpg"])
    assert ended.value.code == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_what_has_to_be_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["a.png", "-o", "b.png", "--export-maps", "--maps-dir", "s3://bucket/maps"])
    assert ended.value.code == 2
    assert "is not on this machine" in capsys.readouterr().err


def test_what_libraries_have_to_say_stays_with_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def talks() -> list[Any]:
        warnings.warn("a library is worried", stacklevel=1)
        logging.getLogger("library").warning("a library is worried")
        return []

    monkeypatch.setattr("deblurcli.weights.table.networks_in_order", talks)
    monkeypatch.setattr(sys, "warnoptions", [])
    with pytest.raises(SystemExit):
        main(["weights", "list"])
    assert "worried" not in capsys.readouterr().err


def test_what_nobody_thought_of_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from deblurcli.weights import table

    def broken() -> None:
        raise KeyError("nobody\nthought of it")

    monkeypatch.setattr(table, "networks_in_order", broken)
    with pytest.raises(SystemExit) as ended:
        main(["weights", "list"])
    assert ended.value.code == 1
    what, hint = capsys.readouterr().err.splitlines()
    assert what.startswith("error: KeyError: ")
    assert "report" in hint
    monkeypatch.setenv("DEBLUR_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main(["weights", "list"])
