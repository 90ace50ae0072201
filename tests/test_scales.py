"""From coarse to fine: copies, how changes become one, and that tiles and sizes make no difference."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

import deblurcli
from deblurcli.arrays import Picture
from deblurcli.backends.backend import Answer, Wanted
from deblurcli.errors import UsageError
from deblurcli.loading import as_weights_want
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import network_spec
from deblurcli.photo.decode import read_photo, read_software
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_codes, to_float
from deblurcli.restore import Deblurrer
from deblurcli.scales import add_doubled, fused, fused_size, halved, mean_of_squares, scales_of
from deblurcli.training.scales import restored_at_scales
from tests.test_cli import run
from tests.test_restore import Brighter

RNG = np.random.default_rng(0)
TINY = network_spec("tiny")


def smooth(height: int, width: int) -> Picture:
    """A picture with detail at every scale."""
    layers = [np.kron(RNG.random((height // n + 1, width // n + 1, 3)), np.ones((n, n, 1))) for n in (1, 4, 16, 64)]
    return np.asarray(sum(layer[:height, :width] for layer in layers) / 4, np.float32)


def chw(picture: Picture) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def test_copies_are_means_and_the_last_row_is_mirrored() -> None:
    codes = RNG.integers(0, 256, (101, 64, 3)).astype(np.uint8)
    copy = halved(codes, to_float)
    assert copy.shape == (51, 32, 3) and copy.dtype == np.uint16
    means = to_float(codes)[:100].reshape(50, 2, 32, 2, 3).mean((1, 3))
    np.testing.assert_allclose(to_float(copy)[:50], means, atol=1 / 65535)
    last = to_float(codes)[[100, 99]].reshape(2, 32, 2, 3).mean((0, 2))
    np.testing.assert_allclose(to_float(copy)[50], last, atol=1 / 65535)


def test_copies_do_not_depend_on_how_many_rows_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = RNG.integers(0, 65536, (75, 41, 3)).astype(np.uint16)
    whole = halved(codes, to_float)
    monkeypatch.setattr("deblurcli.scales.BAND", 7)
    np.testing.assert_array_equal(halved(codes, to_float), whole)


def test_up_and_down_are_pytorchs() -> None:
    picture, half = RNG.random((14, 18, 3), np.float32), RNG.random((7, 9, 3), np.float32)
    np.testing.assert_allclose(chw(mean_of_squares(picture)), avg_pool2d(chw(picture), 2), atol=1e-6)
    doubled = interpolate(chw(half), scale_factor=2, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(chw(add_doubled(picture.copy(), half)), chw(picture) + doubled, atol=1e-6)


def test_trust_decides_what_is_taken_from_where() -> None:
    change, coarser = RNG.random((8, 8, 3), np.float32), RNG.random((4, 4, 3), np.float32)
    alone = fused(change.copy(), np.ones((4, 4), np.float32), coarser)
    np.testing.assert_array_equal(alone, change)
    np.testing.assert_array_equal(
        fused(change.copy(), None, coarser), fused(change.copy(), np.full((4, 4), 0.5), coarser)
    )
    flat = np.full((4, 4, 3), 0.25, np.float32)
    given = fused(np.zeros((8, 8, 3), np.float32), np.zeros((4, 4), np.float32), flat)
    np.testing.assert_allclose(given, 0.25, atol=1e-6)


def test_sizes_come_from_the_finest_copy_that_knows_them() -> None:
    own = np.full((8, 8), 3.0, np.float32)
    np.testing.assert_allclose(fused_size(own, np.full((4, 4), 1.0)), 3.0)
    np.testing.assert_allclose(fused_size(own, np.full((4, 4), 10.0)), 20.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "wanted", "count"),
    [(63, 500, "auto", 1), (500, 64, 9, 1), (128, 500, 9, 2), (4000, 6000, 9, 6), (4000, 6000, 3, 3)],
)
def test_there_are_as_many_scales_as_the_photo_has_room_for(height: int, width: int, wanted: Any, count: int) -> None:
    assert scales_of(height, width, TINY, wanted) == count


def test_auto_is_all_for_networks_made_for_it_and_one_for_others() -> None:
    assert scales_of(4000, 6000, network_spec("iniknet-fast")) == 5
    assert scales_of(4000, 6000, network_spec("kpac-3")) == 5
    assert scales_of(4000, 6000, network_spec("gkmnet")) == 1


def test_weights_from_papers_restore_at_one_size() -> None:
    """… as in the papers; ours of the same network do not."""
    spec = network_spec("kpac-3")
    assert scales_of(4000, 6000, as_weights_want(spec, "dpdd_paper")) == 1
    assert as_weights_want(spec, "synth_v1") == spec


def test_a_photo_is_what_training_computes() -> None:
    """NumPy, tile by tile, and PyTorch, with gradients, are two ways to the same picture."""
    deblurrer = deblurcli.load("tiny", backend="torch", device="cpu")
    network = deblurrer.backend._network  # type: ignore[attr-defined]
    trust = torch.linspace(0, 1, 48 * 64).view(1, 1, 48, 64)

    def trusting(x: torch.Tensor, maps: bool) -> Restored:
        result = network(x, maps=maps)
        result.trust = interpolate(trust, size=(x.shape[2] // 2, x.shape[3] // 2))
        return result

    class Trusting(Brighter):
        def run(self, picture: Picture, maps: Wanted = False, statistics: Any = ()) -> Answer:
            with torch.no_grad():
                result = trusting(chw(np.ascontiguousarray(picture)), bool(maps))
            assert result.trust is not None
            return Answer(result.picture[0].permute(1, 2, 0).numpy(), {}, result.trust[0, 0].numpy())

    picture = to_float(to_codes(smooth(192, 256), np.uint16))
    with torch.no_grad():
        expected = restored_at_scales(trusting, chw(picture), 2, maps=False)[0].picture
    found = Deblurrer(Trusting(), "none").restore(Photo(picture), scales=2, keep_bokeh="off", keep_focus=False)
    assert found.scales == 2
    # Changes pass from copy to copy in half precision.
    rounding = 2**-11 * float((expected - chw(picture)).abs().max())
    np.testing.assert_allclose(chw(to_float(found.photo.pixels)), expected, atol=rounding, rtol=0)
    alone = Deblurrer(Trusting(), "none").restore(Photo(picture), scales=1, keep_bokeh="off", keep_focus=False)
    assert np.abs(to_float(alone.photo.pixels) - to_float(found.photo.pixels)).max() > 1e-2


@pytest.mark.parametrize("size", [(300, 400), (257, 391), (301, 259)])
def test_tiles_do_not_show_at_any_scale(size: tuple[int, int]) -> None:
    deblurrer = deblurcli.load("tiny", backend="torch", device="cpu")
    photo = Photo(to_codes(smooth(*size), np.uint8))
    whole = deblurrer.restore(photo, scales=3, tile="none", depth=32)
    tiles = deblurrer.restore(photo, scales=3, tile=192, depth=32)
    assert (whole.scales, whole.tiles) == (3, 3) and tiles.tiles > 3
    assert np.abs(whole.photo.pixels - tiles.photo.pixels).max() <= 1 / 255
    assert whole.photo.pixels.shape == photo.pixels.shape


def test_maps_of_all_copies() -> None:
    deblurrer = deblurcli.load("tiny", backend="torch", device="cpu")
    result = deblurrer.restore(Photo(smooth(150, 201)), scales=2, maps=True)
    assert [maps["mu"].shape for maps in (result.maps, *result.coarse)] == [(3, 150, 201), (3, 75, 101)]
    fine = deblurrer.restore(Photo(smooth(150, 201)), scales=1, maps=True).maps
    assert fine.keys() == result.maps.keys() and not deblurrer.restore(Photo(smooth(150, 201)), scales=2).coarse


def test_a_broken_tile_stays_as_it_was_whatever_the_coarser_copies_say() -> None:
    class Broken(Brighter):
        def run(self, picture: Picture, maps: Wanted = False, statistics: Any = ()) -> Answer:
            answer = super().run(picture, maps, statistics)
            return answer if picture.shape[0] < 150 else Answer(answer.restored * np.nan, answer.maps)

    photo = Photo(smooth(200, 200))
    result = Deblurrer(Broken(), "none").restore(photo, scales=2)
    assert result.unrestored == 1
    np.testing.assert_array_equal(result.photo.pixels, photo.pixels)


def test_progress_counts_the_tiles_of_all_scales() -> None:
    seen: list[tuple[int, int]] = []
    result = Deblurrer(Brighter(), "none").restore(
        Photo(smooth(400, 500)), scales=3, tile=256, progress=lambda *numbers: seen.append(numbers)
    )
    assert list(dict.fromkeys(seen)) == [(done, result.tiles) for done in range(result.tiles + 1)]


def test_large_photos_at_one_size_get_a_hint_once() -> None:
    deblurrer = Deblurrer(Brighter(), "none")
    large, small = (Photo(np.zeros((130, side, 3), np.uint8)) for side in (1800, 1600))
    hints = [deblurrer.restore(photo).warnings for photo in (small, large, large)]
    assert [len(said) for said in hints] == [0, 1, 0] and "--scales 2" in hints[1][0]
    assert not Deblurrer(Brighter(), "none").restore(large, scales=1).warnings


def test_less_than_one_scale_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Deblurrer(Brighter(), "none").restore(Photo(smooth(64, 64)), scales=0)


def test_the_command_says_at_how_many_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    deblurcli.write_photo(source, Photo(to_codes(smooth(140, 140), np.uint8)))
    how = ["-m", "tiny", "--backend", "torch", "--device", "cpu", "--json"]
    assert run(source, "-o", target, *how, "--scales", "2") == 0
    assert json.loads(capsys.readouterr().out)["scales"] == 2
    assert re.search(r"2 scales, settings [0-9a-f]{8}", read_software(target))
    assert run(source, "-o", target, *how, "--scales", "0") == 2
    alone = tmp_path / "alone.png"
    assert run(source, "-o", alone, *how) == 0
    assert (read_photo(alone).pixels != read_photo(target).pixels).any()
