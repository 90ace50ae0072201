"""The command, end to end with the tiny network: what users type, what they see, and the exit code they get."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from bayer import patches, write_dng
from conftest import PATIENCE
from PIL import Image

from deblurcli import read_photo, write_photo
from deblurcli.cli import main
from deblurcli.photo.decode import read_software
from deblurcli.photo.photo import Photo

RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)


def run(*arguments: object) -> int:
    """Runs ``deblur`` in this process with the tiny network and returns its exit code."""
    with pytest.raises(SystemExit) as exit:
        main([str(a) for a in arguments])
    return int(exit.value.code or 0)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(CODES).save(path)
    return path


def deblur(*arguments: object) -> int:
    return run(*arguments, "-m", "tiny", "--device", "cpu")


def test_restores_a_photo(photo: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    assert deblur(photo, "-o", tmp_path / "out.png") == 0
    restored = read_photo(tmp_path / "out.png").pixels
    assert restored.shape == CODES.shape
    assert restored.dtype == np.uint8
    assert (restored != CODES).any()
    assert photo.read_bytes() == before


def test_amount_zero_returns_the_decoded_pixels(photo: Path, tmp_path: Path) -> None:
    assert deblur(photo, "-o", tmp_path / "out.png", "--amount", 0) == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "out.png").pixels, CODES)


def test_amount_blends(photo: Path, tmp_path: Path) -> None:
    assert deblur(photo, "-o", tmp_path / "full.tif", "--depth", 32) == 0
    assert deblur(photo, "-o", tmp_path / "half.tif", "--depth", 32, "--amount", 0.5) == 0
    full, half = (read_photo(tmp_path / f"{name}.tif").pixels for name in ("full", "half"))
    np.testing.assert_allclose(half, (CODES / 255 + full) / 2, atol=1e-6)


def test_more_depth_means_more_values(photo: Path, tmp_path: Path) -> None:
    assert deblur(photo, "-o", tmp_path / "out.png", "--depth", 16) == 0
    assert np.unique(read_photo(tmp_path / "out.png").pixels % 257).size > 100


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    codes = RNG.integers(0, 65536, (40, 40, 3), dtype=np.uint16)
    write_photo(tmp_path / "in.tif", Photo(codes))
    assert deblur(tmp_path / "in.tif", "-o", tmp_path / "out.png") == 0
    out = read_photo(tmp_path / "out.png").pixels
    assert out.dtype == np.uint16
    assert np.unique(out % 257).size > 100  # real 16-bit values, not 8-bit ones stretched


def test_gray_stays_gray(tmp_path: Path) -> None:
    Image.fromarray(CODES[..., 0]).save(tmp_path / "in.png")
    assert deblur(tmp_path / "in.png", "-o", tmp_path / "out.png") == 0
    assert Image.open(tmp_path / "out.png").mode == "L"


def test_alpha_is_untouched(tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, (40, 56), dtype=np.uint8)
    Image.fromarray(np.dstack([CODES, alpha])).save(tmp_path / "in.png")
    assert deblur(tmp_path / "in.png", "-o", tmp_path / "out.png") == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png"))[..., 3], alpha)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (33, 7), (64, 64)])
def test_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / "in.png")
    assert deblur(tmp_path / "in.png", "-o", tmp_path / "out.png") == 0
    assert read_photo(tmp_path / "out.png").pixels.shape[:2] == size


def test_tiles_do_not_show(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(CODES).resize((400, 300), Image.Resampling.BICUBIC))
    Image.fromarray(smooth).save(tmp_path / "in.png")
    assert deblur(tmp_path / "in.png", "-o", tmp_path / "whole.png", "--tile", "none") == 0
    assert deblur(tmp_path / "in.png", "-o", tmp_path / "tiles.png", "--tile", 160) == 0
    whole, tiles = (read_photo(tmp_path / f"{n}.png").pixels.astype(int) for n in ("whole", "tiles"))
    assert np.abs(whole - tiles).max() <= 1


def test_the_output_says_what_was_done(photo: Path, tmp_path: Path) -> None:
    assert deblur(photo, "-o", tmp_path / "out.jpg", "--amount", 0.7) == 0
    said = (tmp_path / "out.jpg").read_bytes()
    for word in (b"deblur", b"tiny", b"0.7"):
        assert word in said


def test_export_maps(photo: Path, tmp_path: Path) -> None:
    assert deblur(photo, "-o", tmp_path / "out.png", "--export-maps") == 0
    folder = tmp_path / "out.maps"
    with np.load(folder / "maps.npz") as maps:
        assert {name: maps[name].shape for name in maps} == {
            "mu": (3, 10, 14),
            "omega": (2, 10, 14),
            "defocus_size": (1, 40, 56),
            "defocus_spread": (1, 40, 56),
            "coarse_trust": (1, 40, 56),
            "chroma": (1, 40, 56),
            "blur_radius": (1, 40, 56),
            "atoms_3": (2, 3, 3),
            "atoms_5": (2, 5, 5),
        }
        np.testing.assert_allclose(maps["mu"].sum(0), 1, atol=0.01)
    about = json.loads((folder / "maps.json").read_text())
    assert {row["name"]: row["unit"] for row in about["maps"]}["blur_radius"] == "px"
    for name in ("mu", "omega", "defocus_size", "defocus_spread", "blur_radius", "overview"):
        assert Image.open(folder / f"{name}.png").width > 200
    assert deblur(photo, "-o", tmp_path / "b.png", "--export-maps", "--maps-dir", tmp_path / "m") == 0
    assert (tmp_path / "m/b.maps/blur_radius.tif").is_file()


def test_maps_that_are_named(photo: Path, tmp_path: Path) -> None:
    assert deblur(photo, "-o", tmp_path / "out.png", "--maps", "defocus, mu") == 0
    folder = tmp_path / "out.maps"
    with np.load(folder / "maps.npz") as maps:
        assert set(maps) == {"mu", "defocus_size", "defocus_spread", "atoms_3", "atoms_5"}
    names = ("mu", "defocus_size", "defocus_spread", "overview")
    assert {file.name for file in folder.glob("*.png")} == {f"{name}.png" for name in names}
    assert [row["name"] for row in json.loads((folder / "maps.json").read_text())["maps"]] == list(names[:3])


@pytest.mark.parametrize("names", ["depth", "mu,", "", "mu,Omega"])
def test_maps_that_there_are_not(photo: Path, tmp_path: Path, names: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur(photo, "-o", tmp_path / "out.png", "--maps", names) == 2
    assert "mu, omega, defocus_size, defocus_spread, coarse_trust, chroma, blur_radius" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_size_of_large_maps_is_said_first(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules["deblurcli.cli.restore"], "WORTH_SAYING", 1e6)
    assert deblur(photo, "-o", tmp_path / "out.png", "-v", "--export-maps") == 0
    assert re.search(r"maps will take about \d+ MB; --maps exports only", capsys.readouterr().err)
    assert deblur(photo, "-o", tmp_path / "b.png", "-v") == 0
    assert "MB" not in capsys.readouterr().err


def test_raw_look_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dng(tmp_path / "a.dng", patches())
    command = (tmp_path / "a.dng", "-o", tmp_path / "a.tif", "--skip-existing")
    assert deblur(*command) == deblur(*command) == 0
    assert "raw look camera" in read_software(tmp_path / "a.tif")
    assert deblur(*command, "--raw-look", "neutral") == 1  # another look, another file
    assert "exists already" in capsys.readouterr().err


def test_json_line(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur(photo, "-o", tmp_path / "out.png", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["network"], row["device"], row["tiles"]) == ("tiny", "cpu", 1)
    assert "error" not in row


def test_folder_keeps_its_tree(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "shots" / "day two").mkdir(parents=True)
    for name in ("a.png", "day two/b.png"):
        (tmp_path / "shots" / name).write_bytes(photo.read_bytes())
    assert deblur(tmp_path / "shots", "-o", tmp_path / "sharp", "--recursive") == 0
    assert (tmp_path / "sharp/a.png").is_file()
    assert (tmp_path / "sharp/day two/b.png").is_file()


def test_a_slash_means_a_folder(photo: Path, tmp_path: Path) -> None:
    assert deblur(photo, "-o", f"{tmp_path}/sharp/") == 0
    assert (tmp_path / "sharp/photo.png").is_file()


def test_no_output_means_beside(photo: Path) -> None:
    assert deblur(photo) == 0
    assert photo.with_name("photo-deblurred.png").is_file()


def test_two_photos_cannot_become_one(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(CODES).save(tmp_path / "photo.jpg")
    assert deblur(photo, tmp_path / "photo.jpg", "-o", tmp_path / "sharp", "--format", "png") == 2
    assert "both" in capsys.readouterr().err
    assert deblur(photo, tmp_path / "photo.jpg", "-o", tmp_path / "one.png") == 2


def test_one_bad_file_does_not_stop_the_others(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no photo")
    assert deblur(bad, photo, "-o", tmp_path / "sharp", "--json") == 3
    assert (tmp_path / "sharp/photo.png").is_file()
    assert not (tmp_path / "sharp/bad.png").exists()
    captured = capsys.readouterr()
    assert "bad.png" in captured.err
    assert ["error" in json.loads(line) for line in captured.out.splitlines()] == [True, False]


def test_existing_outputs(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.png"
    out.write_bytes(b"mine")
    assert deblur(photo, "-o", out) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert deblur(photo, "-o", out, "--skip-existing") == 1  # not what this command makes
    assert out.read_bytes() == b"mine"
    assert deblur(photo, "-o", out, "--overwrite") == 0
    assert read_photo(out).pixels.shape == CODES.shape


def _truncated(path: Path) -> None:
    whole = path.with_name("whole.jpg")
    Image.fromarray(CODES).save(whole)
    path.write_bytes(whole.read_bytes()[:-400])


def _black_and_white(path: Path) -> None:
    Image.fromarray(CODES).convert("1").save(path)


BROKEN = {
    "missing": ("gone.jpg", lambda path: None, "no such file"),
    "empty": ("empty.jpg", lambda path: path.write_bytes(b""), "empty"),
    "text": ("notes.jpg", lambda path: path.write_text("Dear diary,\n" * 20), "not a photo"),
    "truncated": ("cut.jpg", _truncated, "cut short"),
    "black and white": ("fax.png", _black_and_white, "1 bit"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_unreadable_input(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, make, words = BROKEN[case]
    make(tmp_path / name)
    assert deblur(tmp_path / name, "-o", tmp_path / "out.png") == 1
    said = capsys.readouterr().err
    assert name in said
    assert words in said
    assert not (tmp_path / "out.png").exists()


def test_decompression_bomb(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur(photo, "-o", tmp_path / "out.png", "--max-pixels", 100) == 1
    assert "--max-pixels" in capsys.readouterr().err


def test_folder_without_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert deblur(tmp_path / "empty", "-o", tmp_path / "out") == 1
    assert "no photos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "{tmp}/out.xyz"], ".xyz"),
        (["-o", "{photo}", "--overwrite"], "original"),
        (["-o", "{tmp}/out.jpg", "--depth", "16"], "16"),
        (["-o", "{tmp}/out.png", "--tile", "40"], "smallest"),
        (["-o", "{tmp}/out.png", "--tile", "big"], "big"),
        (["-o", "{tmp}/out.png", "--amount", "2"], "amount"),
        (["-o", "{tmp}/out.png", "--device", "gpu"], "gpu"),
        (["-o", "{tmp}/out.png", "--nonsense"], "nonsense"),
        (["-o", "{tmp}/out.png", "-m", "iniknetfast"], "iniknetfast"),
        ([], ""),
    ],
)
def test_wrong_usage(
    arguments: list[str], words: str, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [a.format(tmp=tmp_path, photo=photo) for a in arguments]
    command = ["restore"] if not filled else [str(photo), "-m", "tiny", *filled]
    assert run(*command) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.glob("out.*"))


def test_a_device_that_is_not_there(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photo, "-o", tmp_path / "out.png", "-m", "tiny", "--device", "cuda:97") == 1
    assert "cuda:97" in capsys.readouterr().err


def test_a_network_without_weights(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused with all ways to get some; nothing is made up."""
    for network, ways in {"gkmnet": ("fetch", "import", "train", "--weights"), "ggkmnet-large": ("train",)}.items():
        assert run(photo, "-o", tmp_path / "out.png", "-m", network) == 1
        said = capsys.readouterr().err
        assert "no trained weights" in said and all(way in said for way in ways)
        assert ("fetch" in said) == ("fetch" in ways)
    assert not (tmp_path / "out.png").exists()


def test_weights_of_another_network(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from deblurcli.networks.build import build_network
    from deblurcli.weights.checkpoint import Header, save_checkpoint

    file = tmp_path / "mine.safetensors"
    save_checkpoint(file, build_network("tiny").state_dict(), Header("tiny", "mine"))
    assert run(photo, "-o", tmp_path / "a.png", "-m", "iniknet-fast", "--weights", file) == 1
    assert "'tiny'" in capsys.readouterr().err
    save_checkpoint(file, build_network("tiny").state_dict(), Header("iniknet-fast", "mine"))
    assert run(photo, "-o", tmp_path / "b.png", "--weights", file) == 1
    assert "does not fit" in capsys.readouterr().err
    file.write_bytes(b"nonsense")
    assert run(photo, "-o", tmp_path / "c.png", "--weights", file) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert deblur(photo, "-o", folder / "out.png") == 1
    assert "locked" in capsys.readouterr().err


def test_missing_output_folders_are_made(photo: Path, tmp_path: Path) -> None:
    assert deblur(photo, "-o", tmp_path / "new" / "er" / "out.png") == 0
    assert (tmp_path / "new" / "er" / "out.png").is_file()
    assert deblur(photo, "-o", tmp_path / "wrong" / "out.nonsense") == 2
    assert not (tmp_path / "wrong").exists()


def test_output_folder_that_cannot_be_made(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert deblur(photo, photo.parent / "gone.png", "-o", tmp_path / "file" / "sharp") == 1
    assert "file" in capsys.readouterr().err


def test_disk_full(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    assert deblur(photo, "-o", "/dev/full", "--format", "png", "--overwrite") == 1
    assert capsys.readouterr().err


def test_interrupt_leaves_no_output(tmp_path: Path) -> None:
    big = tmp_path / "big.png"
    Image.fromarray(np.zeros((1500, 1500, 3), np.uint8)).save(big)
    command = [sys.executable, "-m", "deblurcli", str(big), "-o", str(tmp_path / "out.png"), "-m", "tiny"]
    process = subprocess.Popen([*command, "--tile", "160"], stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert [p.name for p in tmp_path.iterdir()] == ["big.png"]


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["restore"],
        ["weights"],
        ["weights", "list"],
        ["weights", "fetch"],
        ["weights", "import"],
        ["train"],
        ["evaluate"],
    ],
)
def test_help_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command, "--help") == 0
    assert "deblur " in capsys.readouterr().out


def test_weights_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("weights", "list") == 0
    assert "iniknet-fast" in capsys.readouterr().out
    assert run("weights", "verify") == 0
