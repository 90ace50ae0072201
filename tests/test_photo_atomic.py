"""A photo is written whole or not at all, and what stood there before stays until it is."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblurcli.errors import PhotoError, UsageError
from deblurcli.photo import atomic
from deblurcli.photo.atomic import claimed, remove_abandoned, replacing
from deblurcli.photo.encode import write_photo
from deblurcli.photo.formats import tiff
from deblurcli.photo.formats.table import WRITERS, format_for
from deblurcli.photo.photo import Photo

PHOTO = Photo(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
SUFFIXES = ["jpg", "png", "tif", "webp", "bmp"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failure(path: Path, **options: Any) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        write_photo(path, PHOTO, **options)
    assert str(path) in str(caught.value)
    return caught.value


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_success_leaves_one_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")
    write_photo(path, PHOTO)
    assert contents(tmp_path).keys() == {path.name}
    assert path.stat().st_size > 500


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space"), KeyboardInterrupt(), ValueError("odd")])
def test_failure_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, old: bytes | None, problem: BaseException
) -> None:
    """The file is half written when it happens."""
    path = tmp_path / f"a.{suffix}"
    if old:
        path.write_bytes(old)
    before = contents(tmp_path)

    def after_a_start(file: Any, *_: Any, **__: Any) -> None:
        file.write(b"half a file")
        file.flush()
        assert len(contents(tmp_path)) == len(before) + 1
        raise problem

    monkeypatch.setattr(WRITERS[format_for(path)], "write", after_a_start)
    with pytest.raises(KeyboardInterrupt if isinstance(problem, KeyboardInterrupt) else PhotoError) as caught:
        write_photo(path, PHOTO)
    if isinstance(problem, OSError):
        assert "disk is full" in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_disk_full_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """Every byte that reaches the disk fails, wherever the encoder and the buffers let it out."""
    real_open = Path.open

    def on_a_full_disk(self: Path, mode: str = "r", *rest: Any) -> Any:
        if "x" not in mode:
            return real_open(self, mode, *rest)
        real_open(self, "xb").close()
        file = real_open(self, "r+b")
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, file.fileno())
        os.close(full)
        return file

    (tmp_path / f"a.{suffix}").write_bytes(b"old")
    monkeypatch.setattr(Path, "open", on_a_full_disk)
    error = failure(tmp_path / f"a.{suffix}")
    assert "disk is full" in str(error)
    assert error.hint
    monkeypatch.undo()
    assert contents(tmp_path) == {f"a.{suffix}": b"old"}


def test_failure_after_the_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: Any) -> None:
        raise OSError(errno.EDQUOT, "Quota exceeded")

    monkeypatch.setattr(tiff.metadata, "join_exif_and_tiff", no_space)
    assert "disk is full" in str(failure(tmp_path / "a.tif", description="deblur"))
    assert contents(tmp_path) == {}


def test_missing_folder(tmp_path: Path) -> None:
    error = failure(tmp_path / "nowhere" / "a.png")
    assert "folder does not exist" in str(error)
    assert "Create" in error.hint


def test_file_for_a_folder_and_folder_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "folder does not exist" in str(failure(tmp_path / "file" / "a.png"))
    (tmp_path / "a.png").mkdir()
    assert "is a folder" in str(failure(tmp_path / "a.png"))


def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert "not a regular file" in str(failure(tmp_path / "a.png"))
    assert stat.S_ISFIFO((tmp_path / "a.png").stat().st_mode)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "input/output"),
        (errno.ENAMETOOLONG, "name"),
    ],
)
def test_folders_that_do_not_take_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    def fail(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "open", fail)  # chmod would not stop a test that runs as root
    assert words in str(failure(tmp_path / "a.png"))


def test_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_photo(path, PHOTO, overwrite=False)
    first = contents(tmp_path)
    error = failure(path, overwrite=False)
    assert "exists already" in str(error)
    assert "--overwrite" in error.hint
    assert contents(tmp_path) == first


@pytest.mark.parametrize("links", [True, False])
def test_file_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", unsupported)
    path = tmp_path / "a"
    with replacing(path, overwrite=False) as file:
        file.write(b"ours")
    assert contents(tmp_path) == {"a": b"ours"}
    with pytest.raises(PhotoError, match="exists already"), replacing(tmp_path / "b", overwrite=False) as file:
        file.write(b"ours")
        (tmp_path / "b").write_bytes(b"theirs")
    assert contents(tmp_path) == {"a": b"ours", "b": b"theirs"}


def test_link_is_written_through_and_mode_is_kept(tmp_path: Path) -> None:
    (tmp_path / "target.png").write_bytes(b"old")
    (tmp_path / "target.png").chmod(0o600)
    (tmp_path / "link.png").symlink_to("target.png")
    write_photo(tmp_path / "link.png", PHOTO)
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "target.png").stat().st_size > 500
    assert stat.S_IMODE((tmp_path / "target.png").stat().st_mode) == 0o600


def test_new_files_have_the_usual_mode(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", PHOTO)
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_long_names_work(tmp_path: Path) -> None:
    write_photo(tmp_path / ("n" * 251 + ".png"), PHOTO)


def test_too_large_for_the_format(tmp_path: Path) -> None:
    long = Photo(np.zeros((1, 70_000, 3), np.uint8))
    for suffix in ("jpg", "webp"):
        with pytest.raises(PhotoError, match="70000 × 1") as caught:
            write_photo(tmp_path / f"a.{suffix}", long)
        assert "TIFF" in caught.value.hint
    write_photo(tmp_path / "a.png", long)


def test_wrong_usage_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_photo(tmp_path / "a.gif", PHOTO)
    assert contents(tmp_path) == {}


def test_every_message_has_words() -> None:
    assert all(words[0] and words[1] for words in atomic._WORDS.values())


def test_a_claim_is_for_one_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path / "a.png") as mine, claimed(tmp_path / "b.png") as other:
        assert mine and other
        with claimed(tmp_path / "a.png") as again:
            assert not again
        assert len(list(tmp_path.iterdir())) == 2
        assert not remove_abandoned(tmp_path)
    assert not list(tmp_path.iterdir())
