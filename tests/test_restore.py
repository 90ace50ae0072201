"""The data flow: blending, floats beyond white, running out of memory, the Python interface."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import deblurcli
from deblurcli import careful
from deblurcli.arrays import Picture
from deblurcli.backends.backend import Answer, Wanted
from deblurcli.backends.torch_backend import choose_device
from deblurcli.errors import DeviceError, TileTooLargeError, UsageError, WeightsError
from deblurcli.networks.spec import network_spec
from deblurcli.photo.photo import Photo
from deblurcli.restore import Deblurrer

RNG = np.random.default_rng(0)


class Brighter:
    """A backend that adds 0.1, and runs out of memory above a tile size."""

    name, device, precision, at_once = "fake", "nowhere", "fp32", 1
    spec = network_spec("tiny")

    def __init__(self, largest: int = 10**9) -> None:
        self.largest, self.calls = largest, 0

    def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
        self.calls += 1
        if picture.shape[0] * picture.shape[1] > self.largest:
            raise TileTooLargeError("full")
        planes = {m.name: np.full((m.channels, *picture.shape[:2]), 7, np.float32) for m in self.spec.maps}
        return Answer(picture + np.float32(0.1), planes if maps else {})

    def statistic(self, picture: Picture, known: Sequence[NDArray[Any]] = ()) -> NDArray[Any]:
        raise AssertionError("this network takes no averages")

    def kernels(self) -> dict[str, NDArray[np.float32]]:
        return {}

    def memory_budget(self) -> int:
        return 10**9

    def bytes_per_pixel(self, maps: bool = False) -> float:
        return 100.0


def test_tiles_make_up_for_what_a_large_photo_takes() -> None:
    class Demanding(Brighter):
        def bytes_per_pixel(self, maps: bool = False) -> float:
            return 400.0

    def bytes_of_a_tile(height: int, width: int) -> float:
        tile_height, tile_width = Deblurrer(Demanding(), "none").plan(height, width).tile_shape
        return 400.0 * tile_height * tile_width

    assert 0.8e9 < bytes_of_a_tile(4000, 6000) <= 1e9
    assert 0.6e9 < bytes_of_a_tile(8000, 12500) <= 1e9 - 3 * 76e6
    assert 0.3e9 < bytes_of_a_tile(40000, 30000) <= 0.5e9  # never less than half


def test_picture_in_picture_out() -> None:
    picture = RNG.random((50, 70, 3), np.float32)
    restored, maps = Deblurrer(Brighter(), "none")(picture, maps=True)
    np.testing.assert_allclose(restored, picture + 0.1, atol=1e-6)
    assert {name: plane.shape for name, plane in maps.items()} == {
        "mu": (3, 50, 70),
        "omega": (2, 50, 70),
        "defocus_size": (1, 50, 70),
        "defocus_spread": (1, 50, 70),
        "coarse_trust": (1, 50, 70),
        "chroma": (1, 50, 70),
        "blur_radius": (1, 50, 70),
    }
    assert all((plane == 7).all() for plane in maps.values())


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 3), np.float32)]
)
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(UsageError):
        Deblurrer(Brighter(), "none")(wrong)


def test_values_beyond_white_are_kept() -> None:
    picture = np.full((40, 40, 3), 3.0, np.float32)
    picture[0, 0] = np.nan
    restored = Deblurrer(Brighter(), "none")(picture)
    np.testing.assert_allclose(restored[1:], 3.1, atol=1e-6)
    assert np.isnan(restored[0, 0]).all()
    assert np.isfinite(restored[0, 1:]).all()


class Slanting(Brighter):
    """Adds more to the right and to the bottom of what it is shown, whatever that is; 0.1 in the middle."""

    def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
        answer = super().run(picture, maps, statistics)
        height, width = picture.shape[:2]
        across, down = np.linspace(-0.03, 0.03, width), np.linspace(-0.05, 0.05, height)[:, None]
        slant = (across + down).astype(np.float32)
        planes = {name: plane * slant for name, plane in answer.maps.items()}
        return Answer(answer.restored + slant[..., None], planes, 0.5 + slant[::2, ::2])


def test_a_careful_look_is_the_mean_of_four() -> None:
    photo = Photo(RNG.random((48, 64, 3), np.float32))
    backend = Slanting()
    how = {"maps": True, "scales": 1, "keep_bokeh": "off", "keep_focus": False}
    once, carefully = (Deblurrer(backend, "none").restore(photo, careful=c, **how) for c in (False, True))
    assert backend.calls == 1 + 4
    change = carefully.photo.pixels - photo.pixels
    np.testing.assert_allclose(change, 0.1, atol=1e-5)  # what depends on the side it is seen from is gone
    assert np.ptp(once.photo.pixels - photo.pixels) > 0.15
    assert all(np.array_equal(once.maps[name], carefully.maps[name]) for name in once.maps)


def test_a_careful_look_is_as_sure_on_all_sides() -> None:
    class Halving(Slanting):
        """Adds half as much to the smaller copy, which counts by what is not trusted to the larger one."""

        def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
            answer = super().run(picture, maps, statistics)
            less = np.float32(0.05 if picture.shape[0] < 200 else 0)
            return answer._replace(restored=answer.restored - less)

    photo = Photo(RNG.random((256, 320, 3), np.float32))
    how = {"scales": 2, "keep_bokeh": "off", "keep_focus": False}
    once, carefully = (
        Deblurrer(Halving(), "none").restore(photo, careful=c, **how).photo.pixels - photo.pixels for c in (False, True)
    )
    np.testing.assert_allclose(carefully, 0.075, atol=1e-3)  # 0.1, and half of what the smaller copy has less
    assert np.ptp(once) > 0.1


def test_by_default_small_copies_are_looked_at_carefully(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = Photo(RNG.random((256, 320, 3), np.float32))
    backend = Slanting()
    how = {"scales": 2, "tile": "none", "even_out": False, "keep_bokeh": "off", "keep_focus": False}
    for side, looks in ((128, 1 + 1), (129, 1 + 4), (256, 1 + 4), (257, 4 + 4)):
        monkeypatch.setattr(careful, "LITTLE", side * (side - 1) * 5 / 4 * backend.spec.cost)
        before = backend.calls
        Deblurrer(backend, "none").restore(photo, **how)
        assert backend.calls - before == looks
        for asked, looks in ((True, 4 + 4), (False, 1 + 1)):
            before = backend.calls
            Deblurrer(backend, "none").restore(photo, careful=asked, **how)
            assert backend.calls - before == looks


@pytest.mark.parametrize("tile", ["none", 160])
def test_a_careful_photo_is_the_mean_of_its_mirrored_copies(tile: Any) -> None:
    deblurrer = deblurcli.load("tiny", backend="torch", device="cpu")
    pixels = RNG.random((192, 240, 3), np.float32)
    how = {"scales": 1, "tile": tile, "keep_bokeh": "off", "keep_focus": False}
    views = []
    for axes in ((), (0,), (1,), (0, 1)):
        seen = Photo(np.ascontiguousarray(np.flip(pixels, axes)))
        views.append(np.flip(deblurrer.restore(seen, **{**how, "tile": "none"}).photo.pixels, axes))
    found = deblurrer.restore(Photo(pixels), careful=True, **how).photo.pixels
    np.testing.assert_allclose(found, np.mean(views, axis=0), atol=1e-5)
    assert np.abs(found - views[0]).max() > 1e-4


@pytest.mark.parametrize("amount", [0.0, 0.25, 1.0])
def test_amount(amount: float) -> None:
    photo = Photo(RNG.integers(0, 200, (40, 40, 3), dtype=np.uint8))
    result = Deblurrer(Brighter(), "none").restore(photo, amount=amount).photo
    expected = np.rint(photo.pixels + amount * 25.5)
    assert np.abs(result.pixels - expected).max() <= (0 if amount == 0 else 1)


def test_out_of_memory_starts_again_with_smaller_tiles() -> None:
    backend = Brighter(largest=300 * 300)
    photo = Photo(RNG.integers(0, 200, (700, 500, 3), dtype=np.uint16))
    seen: list[tuple[int, int]] = []
    result = Deblurrer(backend, "none").restore(photo, progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_allclose(result.photo.pixels, photo.pixels + 0.1 * 65535, atol=1)
    assert max(result.tile_shape) <= 300
    assert result.tiles > 1
    assert seen[-1] == (result.tiles, result.tiles)


def test_memory_that_never_suffices_is_an_error() -> None:
    with pytest.raises(TileTooLargeError):
        Deblurrer(Brighter(largest=1), "none").restore(Photo(np.zeros((64, 64, 3), np.uint8)))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
def test_compiled_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    picture = np.random.default_rng(1).random((64, 80, 3), np.float32)
    plain, compiled = (deblurcli.load("tiny", device="cpu", compile=way) for way in (False, True))
    np.testing.assert_allclose(compiled(picture), plain(picture), atol=1e-5)
    with pytest.raises(UsageError, match="only PyTorch"):
        deblurcli.load("tiny", backend="onnx", compile=True)


def test_load_refuses_what_is_not_there() -> None:
    with pytest.raises(UsageError, match="resnet"):
        deblurcli.load("resnet")
    with pytest.raises(UsageError, match="tensorflow"):
        deblurcli.load("tiny", backend="tensorflow")
    with pytest.raises(DeviceError, match="cuda:42"):
        deblurcli.load("tiny", device="cuda:42")
    with pytest.raises(WeightsError):
        deblurcli.load("iniknet-fast", weights="no such tag")


def test_cpu_is_chosen_when_asked_for() -> None:
    assert str(choose_device("cpu")) == "cpu"


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_fp32_is_fp32_on_gpus(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert str(choose_device(device)) == "cuda:0"
    assert not torch.backends.cudnn.allow_tf32


def test_same_weights_same_result() -> None:
    picture = RNG.random((40, 40, 3), np.float32)
    one, other = (deblurcli.load("tiny", device="cpu")(picture) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one - picture).max() > 0.01


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_is_close(precision: str) -> None:
    picture = RNG.random((64, 64, 3), np.float32)
    full, low = (deblurcli.load("tiny", device="cpu", precision=p)(picture) for p in ("fp32", precision))
    assert np.abs(full - low).mean() < 0.5 / 255
    assert np.abs(full - low).max() < 4 / 255
