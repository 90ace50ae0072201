"""Names and kinds of files that a folder may hold: each gets an error of its own, and nothing outside is touched."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from seeds import RGB, png
from test_cli import deblur

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these names nor these files")

PHOTO = png(RGB)


@pytest.fixture(autouse=True)
def nothing_hangs() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError("this hangs")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """A folder with one good photo."""
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "good.png").write_bytes(PHOTO)
    return tmp_path / "shots"


def outputs(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


# ---- what is no file ------------------------------------------------------------------------------------------------


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # their paths are short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


ODD = {
    "fifo": (os.mkfifo, "is not a regular file"),
    "socket": (make_socket, "is not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
    "terminal": (lambda path: path.symlink_to("/dev/tty"), "is not a regular file"),
    "nowhere": (lambda path: path.symlink_to("nowhere"), "there is no such file"),
    "cycle": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "link to a fifo": (lambda path: (os.mkfifo(path.parent / "pipe"), path.symlink_to("pipe")), "not a regular file"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("options", [[], ["--template", "{date}-{stem}"], ["--skip-existing"]])
def test_what_is_no_file_is_refused_at_once(
    kind: str, options: list[str], shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = ODD[kind]
    make(shots / "odd.png")
    out = f"{tmp_path / 'out'}/"
    assert deblur(shots / "odd.png", "-o", out, *options) == 1
    said = capsys.readouterr().err
    assert "odd.png" in said and words in said and "Traceback" not in said
    # Among others it does not stop them.
    assert deblur(shots / "odd.png", shots / "good.png", "-o", out, *options) == 3
    assert len(outputs(tmp_path / "out")) == 1


@pytest.mark.parametrize("kind", ODD)
def test_folders_that_hold_them(kind: str, shots: Path, tmp_path: Path) -> None:
    make, _ = ODD[kind]
    make(shots / "odd.png")
    assert deblur(shots, "-o", tmp_path / "out", "--recursive") in (0, 3)
    assert outputs(tmp_path / "out") == {"good.png"}


def test_a_folder_with_the_name_of_a_photo(shots: Path, tmp_path: Path) -> None:
    (shots / "folder.png").mkdir()
    (shots / "folder.png" / "inside.png").write_bytes(PHOTO)
    assert deblur(shots, "-o", tmp_path / "out", "--recursive") == 0
    assert outputs(tmp_path / "out") == {"good.png", "folder.png/inside.png"}


@pytest.mark.parametrize("kind", ["fifo", "socket"])
@pytest.mark.parametrize("options", [["--overwrite"], ["--skip-existing"], ["--skip-existing", "--overwrite"]])
def test_outputs_that_are_no_files(kind: str, options: list[str], shots: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ODD[kind][0](tmp_path / "out" / "good.png")
    assert deblur(shots / "good.png", "-o", tmp_path / "out", *options) == 1
    assert not stat.S_ISREG((tmp_path / "out" / "good.png").stat().st_mode)


def test_what_looks_abandoned_but_is_a_pipe(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / ".deblur-0123456789ab.part")
    assert deblur(shots, "-o", tmp_path / "out") == 0


# ---- links ----------------------------------------------------------------------------------------------------------


def test_links_to_folders_are_not_followed(shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.png").write_bytes(PHOTO)
    (shots / "away").symlink_to(tmp_path / "private")
    (shots / "round").symlink_to(shots)
    assert deblur(shots, "-o", tmp_path / "out", "--recursive", "-v") == 0
    assert outputs(tmp_path / "out") == {"good.png"}
    said = capsys.readouterr().err
    assert "away: is a link to a folder, which is not followed" in said and "round: is a link" in said


@pytest.mark.parametrize("link", ["file", "new file", "folder"])
def test_links_out_of_the_output_folder_are_not_written_through(
    link: str, shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shots / "day").mkdir()
    (shots / "day" / "one.png").write_bytes(PHOTO)
    private, out = tmp_path / "private", tmp_path / "out"
    private.mkdir()
    if link == "folder":
        out.mkdir()
        (out / "day").symlink_to(private)
    else:
        (out / "day").mkdir(parents=True)
        (out / "day" / "one.png").symlink_to(private / "one.png")
        if link == "file":
            (private / "one.png").write_bytes(b"precious")
    before = {path.name: path.read_bytes() for path in private.iterdir()}
    assert deblur(shots, "-o", out, "--recursive", "--overwrite", "--export-maps") == 3
    assert {path.name: path.read_bytes() for path in private.iterdir()} == before
    assert "leads outside the output folder" in " ".join(capsys.readouterr().err.split())
    assert (out / "good.png").is_file()


def test_links_beside_photos_are_not_written_through(shots: Path, tmp_path: Path) -> None:
    (shots / "good-deblurred.png").symlink_to(tmp_path / "elsewhere.png")
    assert deblur(shots / "good.png") == 1
    assert not (tmp_path / "elsewhere.png").exists()


def test_an_output_folder_may_be_a_link(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    assert deblur(shots, "-o", tmp_path / "out") == 0
    assert outputs(tmp_path / "disk") == {"good.png"}


def test_an_output_file_that_was_named_may_be_a_link(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("real.png")
    assert deblur(shots / "good.png", "-o", tmp_path / "link.png") == 0
    assert (tmp_path / "real.png").is_file() and (tmp_path / "link.png").is_symlink()


# ---- names ----------------------------------------------------------------------------------------------------------

NAMES = [
    b"two\nlines.png",
    b"\x1b]0;gotcha\x07\x1b[2J.png",
    b"r\rerased.png",
    b"\xff\xfe\x80.png",
    "\u202egnp.exe.png".encode(),
    "\u2028.png".encode(),
    b"[bold red]x[bold].png",
    b"{stem}%s%n.png",
    b"-o.png",
    b"@list.png",
    b" .png",
    b"'\"$(touch x)`;&.png",
    b"*?[a].png",
    b"n" * 251 + b".png",
    "ß".encode() * 125 + b".png",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name(name: bytes, shots: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = b"bad" + name[-200:]  # leaves room, and puts a letter first
    (shots / os.fsdecode(name)).write_bytes(PHOTO)
    (shots / os.fsdecode(bad)).write_bytes(b"no photo")
    (shots / "good.png").unlink()
    assert deblur(shots, "-o", tmp_path / "out", "--json", "-v") == 3
    captured = capfd.readouterr()
    assert outputs(tmp_path / "out") == {os.fsdecode(name)}
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert {os.fsencode(Path(row["input"]).name) for row in rows} == {name, bad}
    assert captured.out.isascii()  # so that it is UTF-8 whatever the name
    assert not set(captured.err) & {"\x1b", "\x07", "\r", "\u202e", "\u2028"}
    assert "two\\nlines" in captured.err if b"\n" in name else True


@pytest.mark.parametrize("name", NAMES[:6], ids=range(6))
def test_any_name_in_a_plan(name: bytes, shots: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (shots / "good.png").rename(shots / os.fsdecode(name))
    assert deblur(shots, "-o", tmp_path / "out", "--dry-run") == 0
    assert len((said := capfd.readouterr().out).split("\n")) == 2
    assert not set(said) & {"\x1b", "\x07", "\r", "\u202e", "\u2028"}


def test_names_that_become_too_long(shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = shots / ("n" * 251 + ".png")
    long.write_bytes(PHOTO)
    assert deblur(long) == 1
    assert deblur(long, "-o", f"{tmp_path / 'out'}/", "--export-maps") == 1
    said = capsys.readouterr().err
    assert said.lower().count("name too long") == 2 and "Traceback" not in said
    assert outputs(shots) == {"good.png", long.name}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_what_must_not_be_read_or_written(shots: Path, tmp_path: Path) -> None:
    (shots / "good.png").chmod(0)
    assert deblur(shots / "good.png", "-o", tmp_path / "out.png") == 1
    (shots / "good.png").chmod(0o400)
    (tmp_path / "locked").mkdir(0o500)
    assert deblur(shots / "good.png", "-o", tmp_path / "locked") == 1
