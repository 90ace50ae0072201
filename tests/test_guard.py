"""Tiles that cannot be right: what counts as such, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import uniform_filter
from test_restore import Brighter

from deblurcli import loading, write_photo
from deblurcli.arrays import Picture
from deblurcli.backends.backend import Answer, Wanted
from deblurcli.cli import main
from deblurcli.guard import is_sound
from deblurcli.loading import load
from deblurcli.patterns import keep_patterns
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_float
from deblurcli.restore import Deblurrer


def scene(seed: int = 0, side: int = 64) -> Picture:
    """Something with contrast at all sizes."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 226, (8, 8, 3), dtype=np.uint8)).resize((side, side))
    return (np.asarray(coarse, np.float32) / 255 + 0.05 * rng.random((side, side, 3))).astype(np.float32)


BROKEN: dict[str, Callable[[Picture], Any]] = {
    "not a number": lambda p: np.where(np.arange(p.size).reshape(p.shape) == 7, np.nan, p),
    "infinite": lambda p: np.where(p > 0.5, np.inf, p),
    "black": np.zeros_like,
    "gray": lambda p: np.full_like(p, p.mean()),
    "another tile's": lambda p: scene(1, len(p)),
    "noise": lambda p: np.random.default_rng(2).random(p.shape, np.float32),
    "burnt out": lambda p: p * 5,
    "inverted": lambda p: 1 - p,
    "one colour gone": lambda p: p * np.array([1, 0, 1]),
    "garbage here and there": lambda p: p + 1e4 * (np.random.default_rng(3).random(p.shape) > 0.999),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_right(case: str) -> None:
    picture = scene()
    assert not is_sound(picture, np.asarray(BROKEN[case](picture), np.float32))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_tiles_are_sound(value: float) -> None:
    flat = np.full((64, 64, 3), value, np.float32)
    assert is_sound(flat, flat)
    assert is_sound(flat + np.float32(0.01) * scene(), flat)  # noise that is gone
    assert not is_sound(flat, np.full_like(flat, abs(value - 0.3)))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 1), st.sampled_from([0, 1, 2, 4, 8]))
def test_the_network_is_sound_on_whatever_is_blurred(seed: int, contrast: float, blur: int) -> None:
    noise = np.random.default_rng(seed).random((96, 96, 3), np.float32)
    blurred = np.stack([uniform_filter(noise[..., colour], blur) for colour in range(3)], axis=-1)
    picture = np.asarray(contrast * blurred, np.float32)
    assert is_sound(picture, NETWORK(picture))


NETWORK = load("iniknet-fast", device="cpu")


class Overflowing(Brighter):
    """Breaks tiles that begin with a bright pixel."""

    def run(self, picture: Picture, maps: Wanted = False, statistics: Any = ()) -> Any:
        restored, planes, _ = super().run(picture, maps, statistics)
        if picture[0, 0, 0] > 0.9:
            return Answer(restored * np.nan, {name: plane * np.nan for name, plane in planes.items()})
        return Answer(restored - np.float32(0.06), planes)


def restored(in_full: bool) -> tuple[Photo, Any]:
    photo = Photo(np.clip(scene(side=400), 0, 0.8))
    photo.pixels[0, 0] = 1
    deblurrer = Deblurrer(Overflowing(), "none", Brighter if in_full else None)
    return photo, deblurrer.restore(photo, tile=160, maps=True)


def test_tiles_are_computed_again_in_full_precision() -> None:
    photo, result = restored(in_full=True)
    assert (result.repeated, result.unrestored) == (1, 0)
    assert "1 of" in result.warnings[0] and "half precision" in result.warnings[0]
    change = result.photo.pixels - photo.pixels
    np.testing.assert_allclose(change[:40, :40], 0.1, atol=1e-6)
    np.testing.assert_allclose(change[-40:, -40:], 0.04, atol=1e-6)


def test_a_photo_without_a_sound_tile_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Brighter):
        def run(self, picture: Picture, maps: Wanted = False, statistics: Any = ()) -> Any:
            restored, planes, _ = super().run(picture, maps, statistics)
            return Answer(restored * np.nan, planes)

    write_photo(tmp_path / "in.png", Photo((scene(side=200) * 255).clip(0, 255).astype(np.uint8)))
    monkeypatch.setattr(loading, "load", lambda **chosen: Deblurrer(Broken(), "none"))
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), "--report", str(tmp_path / "failed.txt")])
    assert ended.value.code == 1
    assert "in.png: could not be restored" in capsys.readouterr().err
    assert (tmp_path / "failed.txt").read_text().strip() == str(tmp_path / "in.png")
    assert not (tmp_path / "out.png").exists()


def test_tiles_that_stay_broken_are_left_as_they_were() -> None:
    photo, result = restored(in_full=False)
    assert (result.repeated, result.unrestored) == (0, 1)
    assert "as they were" in result.warnings[0]
    change = result.photo.pixels - photo.pixels
    np.testing.assert_array_equal(change[:40, :40], 0)
    np.testing.assert_allclose(change[-40:, -40:], 0.04, atol=1e-6)
    assert all(np.isfinite(plane).all() for plane in result.maps.values())


def test_fine_patterns_come_back_as_they_were() -> None:
    codes = np.tile(np.resize(np.eye(3), (160, 3)) * 255, (160, 1, 1)).astype(np.uint8)
    result = Deblurrer(NETWORK.backend, "none").restore(Photo(codes))
    assert not result.failed
    np.testing.assert_array_equal(result.photo.pixels, codes)
    assert "fine patterns" in result.warnings[0]


def test_only_what_is_lost_is_put_back() -> None:
    before = scene(side=256)
    after = before.copy()
    after[:, 128:] = before[:, 128:].mean(axis=1, keepdims=True) * 0.2 + before[:, 128:] * 0.8  # a little is lost
    assert keep_patterns(before, after.copy(), to_float) == 0
    stripes = before + np.where(np.arange(256) % 2, 0.2, -0.2).astype(np.float32)[:, None]
    after = np.concatenate([stripes[:, :128], before[:, 128:]], axis=1)
    assert 0.4 < keep_patterns(stripes, after, to_float) < 0.6
    np.testing.assert_allclose(after[:, 160:], stripes[:, 160:], atol=1e-6)
    np.testing.assert_array_equal(after[:, :96], stripes[:, :96])
