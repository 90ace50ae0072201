"""Runs over many photos: what is found, where it goes, what is left, and what is told. With the tiny network."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PATIENCE
from PIL import Image

from deblurcli import read_photo
from deblurcli.batch import jobs as batch_jobs
from deblurcli.batch import pipeline
from deblurcli.batch.inputs import Source, find_photos, read_list, write_list
from deblurcli.batch.jobs import Names, plan_jobs
from deblurcli.batch.one_photo import Options
from deblurcli.batch.pipeline import Room, Stop, Worker, restore_all
from deblurcli.cli import log, main
from deblurcli.errors import OutputLostError, PhotoError, UsageError
from deblurcli.loading import load
from deblurcli.photo.atomic import remove_abandoned, replacing, scratch_folder

RNG = np.random.default_rng(0)
TREE = ("a.png", "b.jpg", "day two/c.png", "day two/deep/d.tif")


def run(*arguments: object) -> int:
    """Runs ``deblur`` in this process with the tiny network and returns its exit code."""
    with pytest.raises(SystemExit) as exit:
        main([*map(str, arguments), "-m", "tiny", "--device", "cpu"])
    return int(exit.value.code or 0)


def make_photo(path: Path, side: int = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (side, side + 16, 3), dtype=np.uint8)).save(path)
    return path


def files(folder: Path) -> list[str]:
    """What is there, hidden files and folders left out: they may go while we look."""
    found = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [str(Path(here, name).relative_to(folder)) for name in names if not name.startswith(".")]
    return sorted(found)


@pytest.fixture
def shots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in TREE:
        make_photo(tmp_path / "shots" / name)
    return tmp_path / "shots"


def found(*arguments: object, **how: Any) -> list[str]:
    return [str(source) for source in find_photos(tuple(map(str, arguments)), **how).sources]


# ---- what is found ------------------------------------------------------------------------------------------------


def test_folders_patterns_lists(shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("shots") == ["shots/a.png", "shots/b.jpg"]
    assert found("shots", recursive=True) == [
        "shots/a.png",
        "shots/b.jpg",
        "shots/./day two/c.png",
        "shots/./day two/deep/d.tif",
    ]
    assert found("shots/**/*.png") == ["shots/a.png", "shots/day two/c.png"]
    Path("list.txt").write_text("shots/b.jpg\n\nshots/day two\nshots/b.jpg\n")
    assert found("@list.txt") == ["shots/b.jpg", "shots/day two/c.png"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"shots/a.png\0shots/b.jpg\0")))
    assert found("@-") == ["shots/a.png", "shots/b.jpg"]
    Path("@odd.png").write_bytes(Path("shots/a.png").read_bytes())
    assert found("@odd.png") == ["@odd.png"]


def test_what_cannot_be_found_does_not_stop_the_rest(shots: Path) -> None:
    Path("empty").mkdir()
    result = find_photos(("empty", "*.gif", "shots/a.png"))
    assert [source.path.name for source in result.sources] == ["a.png"]
    assert [str(error) for error in result.errors] == [
        "empty: no photos in this folder",
        "*.gif: no file matches this pattern",
    ]
    with pytest.raises(PhotoError, match="list cannot be read"):
        find_photos(("@nowhere.txt",))


def test_linked_and_hidden_folders_are_not_entered(shots: Path) -> None:
    (shots / "loop").symlink_to(shots, target_is_directory=True)
    make_photo(shots / ".trash/x.png")
    result = find_photos(("shots",), recursive=True)
    assert [source.path.relative_to("shots") for source in result.sources] == [Path(name) for name in TREE]
    assert result.left_out == ["shots/loop: is a link to a folder, which is not followed"]


def test_outputs_are_not_found_as_inputs(shots: Path) -> None:
    make_photo(shots / "sharp/a.png")
    assert "shots/./sharp/a.png" not in found("shots", recursive=True, skip=Path("shots/sharp"))


def test_litter_is_passed_over(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    litter = ("@eaDir", "#recycle", "$RECYCLE.BIN", ".Trash-1000", "lost+found", "@__thumb", "day two/@eaDir", "sharp")
    for name in litter:
        make_photo(shots / name / "x.png")
    make_photo(shots / "a.maps/mu.png")
    (shots / "a.maps/maps.json").write_text("{}")
    photos = [f"shots/{name} → shots/sharp/{name}" for name in TREE]
    assert run("shots", "-o", "shots/sharp", "--recursive", "--dry-run", "-v") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == photos
    for name in (*litter, "a.maps"):
        assert f"shots/{name}: was passed over" in captured.err
    assert run("shots", "-o", "shots/sharp", "--recursive", "--dry-run") == 0
    assert "passed over" not in capsys.readouterr().err
    assert found("shots/**/*.png", skip=Path("shots/sharp")) == ["shots/a.png", "shots/day two/c.png"]
    assert found("shots/@eaDir") == ["shots/@eaDir/x.png"]  # who names it means it


def test_twins(shots: Path) -> None:
    for name in ("x.NEF", "x.JPG", "y.nef", "z.jpg"):
        (shots / "card").mkdir(exist_ok=True)
        (shots / "card" / name).write_bytes(b"")

    def kept(twins: Any) -> set[str]:
        names = {Path(name).name for name in found("shots/card", twins=twins)}
        return {name for name in names if name.lower().startswith("x")}

    if "x.NEF" not in {Path(name).name for name in found("shots/card")}:
        pytest.skip("raw files are not read yet")
    assert kept("both") == {"x.NEF", "x.JPG"}
    assert kept("raw") == {"x.NEF"}
    assert kept("developed") == {"x.JPG"}


@pytest.mark.parametrize("names", [["a.jpg", "tree/./sub/b.jpg"], ["new\nline.jpg", "b.jpg"], ["caf\udce9.jpg"], []])
def test_lists_keep_any_name(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "list").write_bytes(write_list(names))
    assert read_list(str(tmp_path / "list")) == names


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_in_any_encoding(shots: Path, encoding: str, end: str) -> None:
    names = ["shots/a.png", "shots/café.png", "shots/day two/c.png"]
    Path("list.txt").write_bytes((end.join(names) + end).encode(encoding))
    assert read_list("list.txt") == names
    Path("list.txt").write_bytes(end.join(names[:2]).encode(encoding))
    assert read_list("list.txt") == names[:2]
    Path("list.txt").write_bytes("\0".join([*names, ""]).encode(encoding))
    if encoding not in ("utf-16-le", "utf-16-be"):  # which without a mark are known by their zero bytes
        assert read_list("list.txt") == names


def test_a_list_names_no_more_than_it_says(shots: Path) -> None:
    make_photo(shots / "café.png")
    Path("list.txt").write_bytes("shots/café.png\r\n".encode("cp1252"))
    assert read_list("list.txt") == ["shots/café.png"]
    Path("list.txt").write_bytes(b"shots/a.png\n.\0\0\nshots/b.jpg\n")
    with pytest.raises(PhotoError, match="zero bytes"):
        find_photos(("@list.txt",))
    for names in (("写真" * 8 + ".jpg\r\n").encode("utf-32-le"), "a.jpg".encode("utf-32-le")):  # whose dots mean here
        Path("list.txt").write_bytes(names)
        with pytest.raises(PhotoError, match="zero bytes"):
            find_photos(("@list.txt",))
    Path("list.txt").write_bytes("shots/a.png\n".encode("utf-16")[:-1])
    with pytest.raises(PhotoError, match="damaged"):
        find_photos(("@list.txt",))


# ---- where it goes ------------------------------------------------------------------------------------------------


def test_the_mark_in_a_path_begins_its_tree(shots: Path) -> None:
    source = Source.named("shots/./day two/c.png")
    assert source == Source(Path("shots/day two/c.png"), Path("shots"))
    (job,) = plan_jobs([source], "sharp", single=False)
    assert job.target == Path("sharp/day two/c.png")
    assert job.listed == "shots/./day two/c.png"


def test_templates(shots: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2019:07:14 12:30:00"
    Image.open(shots / "b.jpg").save(shots / "b.jpg", exif=exif)
    os.utime(shots / "a.png", (0, 86400 * 365))
    assert run("shots", "-o", "sharp", "--template", "{date}/{stem}-{network}-{tag}") == 0
    assert files(Path("sharp")) == [
        f"{date.fromtimestamp(86400 * 365)}/a-tiny-random.png",
        "2019-07-14/b-tiny-random.jpg",
    ]
    assert run("shots/a.png", "--suffix=-{x}") == 0
    assert (shots / "a-{x}.png").is_file()


@pytest.mark.parametrize(
    "template", ["{stem.__class__}", "{nope}", "{stem!r}", "{stem", "../{stem}", "/{stem}", "{0}", ""]
)
def test_templates_that_make_no_sense(template: str) -> None:
    with pytest.raises(UsageError):
        Names(template)


def test_outputs_that_would_be_the_same(shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [Source.named(name) for name in ("one/A.png", "two/a.png")]
    assert len(plan_jobs(sources, "sharp", single=False)) == 2
    monkeypatch.setattr(batch_jobs, "ignores_case", lambda folder: True)
    with pytest.raises(UsageError, match="both be written"):
        plan_jobs(sources, "sharp", single=False)


def test_photos_of_one_stem(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_photo(shots / "a.webp")
    assert run("shots", "-o", "sharp", "--format", "png") == 2
    assert "--template '{stem}-{suffix}'" in capsys.readouterr().err
    assert run("shots", "-o", "sharp", "--format", "png", "--template", "{stem}-{suffix}") == 0
    assert files(Path("sharp")) == ["a-png.png", "a-webp.png", "b-jpg.png"]


def test_names_that_begin_with_a_dash(shots: Path) -> None:
    for name in ("-x.png", "-y.png"):
        make_photo(Path(name))
    with pytest.raises(SystemExit) as ended:
        main(["--", "-x.png"])
    assert not ended.value.code
    assert Path("-x-deblurred.png").is_file()
    with pytest.raises(SystemExit) as ended:
        main(["-m", "tiny", "-o", "y.png", "--", "-y.png"])
    assert not ended.value.code
    assert Path("y.png").is_file()


def test_shards_are_a_partition(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for part in (1, 2, 3):
        assert run("shots", "-o", "sharp", "--recursive", "--dry-run", "--shard", f"{part}/3") == 0
        shown.append(capsys.readouterr().out.splitlines())
    assert [len(lines) for lines in shown] == [2, 1, 1]
    assert sorted(line for lines in shown for line in lines) == sorted(f"shots/{name} → sharp/{name}" for name in TREE)
    assert not Path("sharp").exists()
    assert run("shots", "-o", "sharp", "--shard", "4/3") == 2


# ---- what is done, and left ---------------------------------------------------------------------------------------


def test_several_at_once_give_what_each_gives_alone(shots: Path) -> None:
    assert run("shots", "-o", "together", "--recursive", "--jobs", 4) == 0
    assert files(Path("together")) == sorted(TREE)
    for name in TREE:
        assert run(f"shots/{name}", "-o", "alone.png", "--overwrite") == 0
        expected = run(f"shots/{name}", "-o", f"alone{Path(name).suffix}", "--overwrite")
        assert expected == 0
        together, alone = (Path(p).read_bytes() for p in (f"together/{name}", f"alone{Path(name).suffix}"))
        assert together == alone


def test_several_devices_share_the_photos(shots: Path) -> None:
    workers = [Worker(partial(load, "tiny", device="cpu")) for _ in range(2)]
    jobs = plan_jobs(find_photos(("shots",), recursive=True).sources, "sharp", single=False)
    jobs = batch_jobs.prepared(jobs)
    done = [0.0]
    outcomes = list(restore_all(jobs, Options(), workers, at_once=3, stop=Stop(), watch=done.append))
    assert sorted(job.target for job, _ in outcomes) == sorted(Path("sharp") / name for name in TREE)
    assert not any("error" in outcome.row for _, outcome in outcomes)
    assert done[-1] == len(TREE)


def test_finished_photos_are_told_by_how_they_were_made(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("shots", "-o", "sharp", "--recursive", "--json", "-q")

    def plain(path: Path) -> int:
        Image.fromarray(RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(path, compress_level=0)
        return path.stat().st_size

    size = plain(shots / "a.png")

    def rows(*more: object, code: int = 0) -> dict[str, str]:
        assert run(*command, *more) == code
        lines = map(json.loads, capsys.readouterr().out.splitlines())
        return {Path(r["input"]).name: "skipped" if "skipped" in r else r.get("error", "restored") for r in lines}

    assert set(rows().values()) == {"restored"}
    assert set(rows("--skip-existing").values()) == {"skipped"}
    later = time.time() + 9 * 3600
    for name in TREE:
        os.utime(shots / name, (later, later))  # a card from another time zone
    assert set(rows("--skip-existing").values()) == {"skipped"}
    assert plain(shots / "a.png") == size  # was edited since, and its size stayed
    os.utime(shots / "a.png", (later, later))
    make_photo(shots / "b.jpg", 48)
    os.utime(shots / "b.jpg", (0, 0))
    Path("sharp/day two/c.png").write_bytes(b"something else")
    with_all = rows("--skip-existing", "--overwrite")
    assert with_all == {"a.png": "restored", "b.jpg": "restored", "c.png": "restored", "d.tif": "skipped"}
    assert set(rows("--skip-existing").values()) == {"skipped"}
    # Other options, another file.
    assert all("exists already" in why for why in rows("--skip-existing", "--amount", 0.5, code=1).values())
    assert set(rows("--skip-existing", "--overwrite", "--amount", 0.5).values()) == {"restored"}
    assert all("exists already" in why for why in rows("--skip-existing", "--careful", code=1).values())
    # Maps are part of it.
    command = ("shots/a.png", "-o", "sharp/a.png", "--json", "-q", "--amount", 0.5, "--skip-existing")
    assert set(rows().values()) == {"skipped"}
    assert set(rows("--overwrite", "--export-maps").values()) == {"restored"}
    assert set(rows("--export-maps").values()) == {"skipped"}
    assert set(rows("--overwrite", "--maps", "mu,blur").values()) == {"skipped"}
    shutil.rmtree("sharp/a.maps")
    assert set(rows("--overwrite", "--maps", "mu").values()) == {"restored"}
    assert set(rows("--maps", "mu").values()) == {"skipped"}
    assert set(rows("--overwrite", "--maps", "mu,blur").values()) == {"restored"}


def test_own_outputs_among_the_photos_are_left_out(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in shots.glob("*.*"):
        shutil.copy(file, file.name)
    assert run("a.png", "b.jpg", "--suffix=-x") == 0
    everything = ("a.png", "a-x.png", "b.jpg", "b-x.jpg", "--suffix=-x", "--skip-existing", "-v", "--json")
    before = Path("a-x.png").stat().st_mtime_ns
    assert run(*everything) == 0
    captured = capsys.readouterr()
    assert "a-x.png: left out, because deblur made it from a.png" in captured.err
    assert [json.loads(line)["skipped"] for line in captured.out.splitlines()] == [True, True]
    assert Path("a-x.png").stat().st_mtime_ns == before
    assert run("a-x.png", "-o", "twice.png") == 0  # who names it means it
    assert run("a.png", "a-x.png", "b-x.jpg", "--suffix=-y", "-v") == 0  # it goes by what they record, not by names
    assert files(Path())[:3] == ["a-x.png", "a-y.png", "a.png"]
    assert Path("b-x-y.jpg").is_file() and not Path("a-x-y.png").exists()  # what it was made of is not among them
    # A photo of somebody else's that is in the way is an original as ever.
    make_photo(Path("b-x.jpg"))
    assert run(*everything) == 2
    assert "is an original" in capsys.readouterr().err


def test_two_runs_share_the_work(slow_shots: Path) -> None:
    for number in range(4, 12):
        (slow_shots / f"{number}.png").unlink()
    command = ("shots", "-o", "sharp", "--tile", 160, "--skip-existing", "--json")
    with start(*command) as one, start(*command) as other:
        outs = [process.communicate(timeout=PATIENCE) for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), outs
    rows = [json.loads(line) for out, _ in outs for line in out.splitlines()]
    assert sorted(Path(row["input"]).name for row in rows if "skipped" not in row) == files(Path("shots"))
    assert files(Path("sharp")) == files(Path("shots"))
    assert not list(Path("sharp").glob(".*"))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("depth", [8, 16, 32])
def test_every_format_tells_that_it_is_finished(shots: Path, suffix: str, depth: int) -> None:
    command = ("shots/a.png", "-o", f"out{suffix}", "--depth", depth)
    os.utime(shots / "a.png", (later := time.time() + 9 * 3600, later))  # a card from another time zone
    if run(*command) == 2:
        pytest.skip("it cannot hold that depth")
    before = Path(f"out{suffix}").stat().st_mtime_ns
    assert run(*command, "--skip-existing") == 0
    assert Path(f"out{suffix}").stat().st_mtime_ns == before


def test_failures_are_listed_again_where_they_are_out_of_sight(
    shots: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (shots / "a.png").write_bytes(b"no photo")
    monkeypatch.setattr(log, "SCREEN", 1)
    assert run("shots", "-o", "sharp", "--recursive", "--jobs", 1) == 3
    assert capsys.readouterr().err.count("is not a photo") == 2


def test_failures_can_be_fed_back(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = (shots / "day two/c.png").read_bytes()
    (shots / "day two/c.png").write_bytes(good[:-100])
    assert run("shots", "-o", "sharp", "--recursive", "--report", "failed.txt", "--json") == 3
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert ["error" in row for row in rows].count(True) == 1
    assert {row["weights"] for row in rows} == {"random"}
    assert all(len(row["sha256"]) == 64 for row in rows if "error" not in row)
    assert captured.err.count("cut short") == 1
    assert Path("failed.txt").read_text() == "shots/./day two/c.png\n"
    (shots / "day two/c.png").write_bytes(good)
    assert run("@failed.txt", "-o", "sharp", "--report", "failed.txt") == 0
    assert files(Path("sharp")) == sorted(TREE)
    assert Path("failed.txt").read_text() == ""


def test_fail_fast(shots: Path) -> None:
    (shots / "a.png").write_bytes(b"")
    assert run("shots", "-o", "sharp", "--recursive", "--fail-fast", "--jobs", 1, "--report", "left.txt") == 1
    assert not files(Path("sharp"))
    assert len(read_list("left.txt")) == len(TREE)


def test_an_output_folder_that_goes_away_is_not_made_again(shots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job, *_) = batch_jobs.prepared(plan_jobs(find_photos(("shots",)).sources, "sharp", single=False))
    batch_jobs.make_folder(job)
    with pytest.raises(OutputLostError, match="no longer there"):
        batch_jobs.make_folder(batch_jobs.replace(job, disk=job.disk + 1))
    Path("sharp").rmdir()
    with pytest.raises(OutputLostError, match="no longer there"):
        batch_jobs.make_folder(job)
    assert not Path("sharp").exists()


def test_a_full_disk_ends_the_run(shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert run("shots", "-o", "sharp", "--recursive", "--jobs", 1) == 1
    assert not files(Path("sharp"))


# ---- ends that come early -----------------------------------------------------------------------------------------


def test_what_was_abandoned_is_removed_and_what_is_written_is_not(tmp_path: Path) -> None:
    left = tmp_path / ".deblur-0123456789ab.part"
    left.write_bytes(b"half a photo")
    (tmp_path / ".deblur-ba9876543210.part").mkdir()
    (tmp_path / ".deblur-ba9876543210.part/mu.npy").write_bytes(b"half a map")
    # Another program writes here.
    code = (
        "import sys; from pathlib import Path; from deblurcli.photo.atomic import *\n"
        "with replacing(sys.argv[1] + '/a') as f, scratch_folder(Path(sys.argv[1])):\n"
        "    print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with replacing(tmp_path / "b"), scratch_folder(tmp_path):
            assert sorted(remove_abandoned(tmp_path)) == sorted([left, tmp_path / ".deblur-ba9876543210.part"])
            assert len(list(tmp_path.iterdir())) == 4
        other.communicate(b"")
    assert files(tmp_path) == ["a", "b"]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deblurcli", *map(str, arguments), "-m", "tiny", "--device", "cpu", "-v"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def slow_shots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dozen photos, each of which takes about half a second."""
    monkeypatch.chdir(tmp_path)
    first = make_photo(tmp_path / "shots/0.png", 600)
    for number in range(1, 12):
        shutil.copy(first, tmp_path / f"shots/{number}.png")
    return tmp_path / "shots"


def test_ctrl_c_finishes_the_photos_in_work(slow_shots: Path) -> None:
    with start("shots", "-o", "sharp", "--tile", 160, "--report", "left.txt") as process:
        wait_for(lambda: Path("sharp").is_dir() and files(Path("sharp")))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "press Ctrl-C again" in said
    done = files(Path("sharp"))
    assert 1 <= len(done) < 12
    assert len(read_list("left.txt")) == 12 - len(done)
    assert all(read_photo(Path("sharp") / name).pixels.shape == (600, 616, 3) for name in done)
    assert run("shots", "-o", "sharp", "--skip-existing") == 0
    assert len(files(Path("sharp"))) == 12


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM]])
def test_ctrl_c_twice_gives_them_up(slow_shots: Path, signals: list[signal.Signals]) -> None:
    with start("shots", "-o", "sharp", "--tile", 160, "--export-maps", "--maps-dir", "maps") as process:
        wait_for(lambda: Path("maps").is_dir() and list(Path("maps").glob("*")))
        for number in signals:
            process.send_signal(number)
            time.sleep(0.2)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert all(read_photo(Path("sharp") / name).pixels.shape == (600, 616, 3) for name in files(Path("sharp")))
    assert not list(Path("maps").glob(".*"))


def test_killed_runs_leave_nothing_behind_the_next(slow_shots: Path) -> None:
    command = ("shots/[0-3].png", "-o", "sharp", "--skip-existing", "--export-maps")
    for wait in (0.0, 0.5):
        with start(*command, "--tile", 160) as process:
            before = len(files(Path("sharp"))) if Path("sharp").exists() else 0
            wait_for(lambda before=before: Path("sharp").is_dir() and len(files(Path("sharp"))) > before)
            time.sleep(wait)
            process.kill()
        for path in Path("sharp").glob("*.png"):
            assert read_photo(path).pixels.shape == (600, 616, 3)
    assert run(*command) == 0
    expected = sorted(f"{number}{end}" for number in range(4) for end in (".png", ".maps"))
    assert sorted(path.name for path in Path("sharp").iterdir()) == expected


# ---- pipes --------------------------------------------------------------------------------------------------------


def test_pipes(shots: Path) -> None:
    command = [sys.executable, "-m", "deblurcli", "-m", "tiny", "-"]
    piped = subprocess.run([*command, "-o", "-"], input=(shots / "b.jpg").read_bytes(), capture_output=True, check=True)
    assert Image.open(io.BytesIO(piped.stdout)).format == "JPEG"
    other = subprocess.run(
        [*command, "-o", "-", "--format", "png"], input=(shots / "b.jpg").read_bytes(), capture_output=True, check=True
    )
    assert Image.open(io.BytesIO(other.stdout)).format == "PNG"
    wrong = subprocess.run([*command, "-o", "-"], input=b"no photo", capture_output=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (1, b"")
    assert wrong.stderr.startswith(b"error: standard input: is not a photo")
    assert run("-", "shots/a.png", "-o", "sharp") == 2
    assert run("shots/a.png", "-o", "-", "--json") == 2


# ---- memory -------------------------------------------------------------------------------------------------------


def test_large_photos_are_in_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event, Thread

    monkeypatch.setattr(pipeline, "ROOM", 100)
    room, entered = Room(), Event()

    def second() -> None:
        with room.of_photo(1):
            entered.set()

    with room.of_photo(0) as was_read:
        was_read(150)
        thread = Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(10)
    thread.join()
