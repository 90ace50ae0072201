"""The command's options on how photos are read, and on what is written beside their pixels."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import pytest
from bayer import patches, write_dng
from PIL import Image
from test_cli import deblur
from test_photo_formats import several
from test_photo_metadata import camera_exif, picture, tags

from deblurcli.cli.options import photo_options
from deblurcli.cli.restore import restore
from deblurcli.photo.decode import read_photo
from deblurcli.photo.formats.raw import HIGHLIGHTS, WHITE_BALANCES, RawSettings
from deblurcli.photo.profiles import SPACES, icc_profile


def test_the_choices_are_those_of_the_library() -> None:
    options = photo_options(lambda: None).__click_params__
    choices = {option.name: tuple(getattr(option.type, "choices", ())) for option in options}
    assert set(choices["raw_space"]) == SPACES.keys()
    assert (choices["raw_white_balance"], choices["raw_highlights"]) == (WHITE_BALANCES, HIGHLIGHTS)
    defaults = {option.name: option.get_default(click.Context(restore)) for option in options}
    assert RawSettings(**{f.name: defaults[f"raw_{f.name}"] for f in fields(RawSettings)}) == RawSettings()


def test_a_raw_file_becomes_a_tiff(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", patches() * 0.5)
    assert deblur(tmp_path / "a.dng") == 0
    plain = read_photo(tmp_path / "a-deblurred.tif")
    assert (plain.depth, plain.icc) == (16, icc_profile("srgb"))
    out = tmp_path / "b.png"
    assert deblur(tmp_path / "a.dng", "-o", out, "--raw-space", "prophoto", "--raw-exposure", "1", "--raw-half") == 0
    other = read_photo(out)
    assert (other.icc, other.pixels.shape) == (icc_profile("prophoto"), (32, 48, 3))


def test_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    several(tmp_path / "a.tif")
    assert deblur(tmp_path / "a.tif", "-o", tmp_path / "b.tif", "--strict") == 1
    assert "2 pages" in capsys.readouterr().err
    assert deblur(tmp_path / "a.tif", "-o", tmp_path / "b.tif") == 0


def test_strip(tmp_path: Path) -> None:
    Image.fromarray(picture(64, 64)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + camera_exif())
    for strip, left in (("gps", {0x8769}), ("all", set())):
        out = tmp_path / f"{strip}.jpg"
        assert deblur(tmp_path / "a.jpg", "-o", out, "--strip", strip) == 0
        assert {tag[0] for tag in tags(read_photo(out).exif) if isinstance(tag, tuple)} == left


def test_transfer_changes_what_comes_out(tmp_path: Path) -> None:
    Image.fromarray(picture(64, 64)).save(tmp_path / "a.png")
    for curve in ("srgb", "linear", "auto"):
        assert deblur(tmp_path / "a.png", "-o", tmp_path / f"{curve}.png", "--transfer", curve) == 0
    srgb, linear, auto = (read_photo(tmp_path / f"{c}.png").pixels for c in ("srgb", "linear", "auto"))
    np.testing.assert_array_equal(srgb, auto)
    assert np.abs(srgb.astype(int) - linear).max() > 0
