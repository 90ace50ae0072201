"""Blur that is brighter on one side: what is known of it, how it is evened out, how it is found."""

from __future__ import annotations

import json
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from untrained_networks import untrained

import deblurcli
from deblurcli import lopsided as module
from deblurcli.arrays import Picture
from deblurcli.batch.one_photo import Options
from deblurcli.cli import main
from deblurcli.evaluation.drawn import dead_leaves
from deblurcli.evaluation.metrics import psnr
from deblurcli.lopsided import AROUND, LEAN, SIDE, Lopsided, lopsided
from deblurcli.photo.encode import write_photo
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_float
from deblurcli.restore import Deblurrer
from deblurcli.tiling import Region, mirrored

RNG = np.random.default_rng(0)
LEAVES = dead_leaves(1)  # (512, 768, 3), in focus
WHOLE = Region(0, 0, *LEAVES.shape[:2])


def disc(radius: float, down: float, across: float) -> NDArray[np.float64]:
    """A disc of brightness 1 + a · u / R, drawn in eighths of a pixel, with an odd side."""
    n, fine = 2 * int(radius) + 5, 8
    at = (np.arange(n * fine) + 0.5) / fine - n / 2
    y, x = np.meshgrid(at, at, indexing="ij")
    bright = (np.hypot(y, x) < radius) * (1 + (down * y + across * x) / radius)
    return bright.reshape(n, fine, n, fine).mean(axis=(1, 3)) / (bright.sum() / fine**2)


def convolved(plane: NDArray[Any], kernel: NDArray[Any]) -> NDArray[np.float64]:
    reach = kernel.shape[0] // 2
    wide = np.pad(plane, reach + 8, mode="reflect")
    spread = np.zeros(wide.shape)
    spread[: kernel.shape[0], : kernel.shape[1]] = kernel
    spread = np.roll(spread, (-reach, -reach), (0, 1))
    out = np.fft.irfft2(np.fft.rfft2(wide) * np.fft.rfft2(spread), wide.shape)
    return out[reach + 8 :, reach + 8 :][: plane.shape[0], : plane.shape[1]]


def photographed(picture: Picture, radius: float, lean: float) -> Picture:
    """Blurred all over by a disc whose brightness is ``lean`` times as far from even as it is from the middle."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    down, across = ((at - (n - 1) / 2) / (max(height, width) / 2) * lean for at, n in ((y, height), (x, width)))
    even = disc(radius, 0, 0)
    parts = [(1.0, even), (down, disc(radius, 1, 0) - even), (across, disc(radius, 0, 1) - even)]
    planes = [sum(a * convolved(picture[..., k], kernel) for a, kernel in parts) for k in range(3)]
    return np.stack(planes, axis=2).clip(0, 1).astype(np.float32)


def cut_from(picture: Picture) -> module.Cut:
    return lambda part: mirrored(picture, part)


@pytest.fixture(scope="module")
def default() -> Deblurrer:
    return deblurcli.load(device="cpu")


# ---- how it is evened out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("radius", "down", "across"), [(3.0, 0.0, 0.7), (6.3, -0.5, 0.3), (12.0, 0.4, 0.8)])
def test_what_is_left_is_the_same_on_all_sides(radius: float, down: float, across: float) -> None:
    n = SIDE + 2 * AROUND
    kernel = disc(radius, down, across)
    middle = kernel.shape[0] // 2
    at = np.arange(kernel.shape[0]) - middle
    centre = (kernel * at[:, None]).sum(), (kernel * at).sum()
    # Its centre of weight is moved away from the bright side by a quarter of the radius, as the formula has it.
    np.testing.assert_allclose(centre, (radius * down / 4, radius * across / 4), atol=0.02)
    spread = np.zeros((n, n))
    spread[: len(at), : len(at)] = kernel
    fy, fx = np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)
    there = np.exp(2j * np.pi * (fy * (middle + centre[0]) + fx * (middle + centre[1])))
    transfer = np.fft.rfft2(spread) * there
    left = transfer * (1 + module._evening(radius, down, across))
    known = np.abs(transfer) > 3 * module.EPSILON
    assert known.mean() > 0.005
    assert np.abs(transfer.imag[known]).max() > 0.05
    assert np.abs(left.imag[known]).max() < 0.3 * np.abs(transfer.imag[known]).max()
    np.testing.assert_allclose(left.real[known], transfer.real[known], atol=0.03)
    assert (np.abs(1 + module._evening(radius, down, across)) < 1.02).all(), "noise would become stronger"


def test_a_point_of_light_becomes_round() -> None:
    # On the left of a photo whose blur is brighter towards the middle.
    photo = np.zeros((256, 1024, 3), np.float32)
    photo[128, 100] = 50
    seen = photographed(photo, 6, -0.9)[..., 0]
    radius = np.full((256, 1024), 6, np.float32)
    even = seen + Lopsided(256, 1024, -0.9, radius).change(cut_from(seen[..., None]), Region(0, 0, 256, 1024), 0)

    def odd(plane: NDArray[Any]) -> float:
        """How much of the spot is not the same on both sides, wherever its middle is."""
        transfer = np.fft.fft2(plane[96:161, 68:133])
        middles = 100 - 68 + np.linspace(-4, 4, 161)
        phase = np.exp(2j * np.pi * np.fft.fftfreq(65)[None, :, None] * middles)
        down = np.exp(2j * np.pi * np.fft.fftfreq(65) * 32)[:, None, None]
        odd = np.square((transfer[..., None] * down * phase).imag).sum(axis=(0, 1)).min()
        return float(odd / np.square(np.abs(transfer)).sum())

    assert odd(seen) > 3 * odd(even)
    assert even.sum() == pytest.approx(seen.sum(), rel=0.01)


def test_a_change_is_the_same_whatever_it_is_asked_for_with() -> None:
    radius = np.full((256, 384), 5, np.float32)
    uneven = Lopsided(512, 768, LEAN, radius)
    whole = uneven.change(cut_from(LEAVES), WHOLE, 0)
    assert np.abs(whole).max() > 0.02
    for part in (Region(0, 0, 96, 70), Region(131, 257, 200, 331), Region(400, 600, 112, 168)):
        np.testing.assert_array_equal(uneven.change(cut_from(LEAVES), part, 0), whole[part.slices])


@pytest.mark.parametrize(("radius", "lean"), [(0.3, LEAN), (25.0, LEAN), (5.0, 0.01)])
def test_nothing_is_changed_that_makes_no_difference(radius: float, lean: float) -> None:
    uneven = Lopsided(512, 768, lean, np.full((512, 768), radius, np.float32))
    assert not uneven.change(cut_from(LEAVES), WHOLE, 0).any()


def test_the_middle_of_a_photo_is_even() -> None:
    uneven = Lopsided(2048, 2048, LEAN, np.full((512, 512), 5, np.float32))
    flat = RNG.random((2048, 2048, 1), np.float32)
    middle, side = (
        np.abs(uneven.change(cut_from(flat), part, 0)).mean()
        for part in (Region(1008, 1008, 32, 32), Region(1008, 1984, 32, 32))
    )
    assert middle < 0.1 * side


# ---- how it is found -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [4.0, 6.0])
def test_a_photo_tells_which_way_its_blur_leans(default: Deblurrer, radius: float) -> None:
    for lean in (-0.8, 0.0, 0.8):
        blurred = np.rint(photographed(LEAVES, radius, lean) * 255).astype(np.uint8)
        how: dict[str, Any] = {"keep_bokeh": "off", "careful": False}
        found = default.restore(Photo(blurred), **how)
        assert np.sign(found.lean) == np.sign(lean)
        as_it_is = default.restore(Photo(blurred), even_out=False, **how)
        assert as_it_is.lean == 0
        before, after = (psnr(to_float(p.photo.pixels), LEAVES) for p in (as_it_is, found))
        assert after > before + 0.03 if lean else after == before


def test_what_is_in_focus_or_tiny_or_narrow_is_not_tried(default: Deblurrer, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    monkeypatch.setattr(module, "_fineness", lambda pictures: tried.append(pictures) or 0.0)
    uneven = photographed(LEAVES, 6, LEAN)
    strip = np.ascontiguousarray(np.concatenate([uneven[:100]] * 2, axis=1))
    for picture in (LEAVES, uneven[:200, :200], strip, strip[:1], np.full((512, 768, 3), 0.5, np.float32)):
        assert default.restore(Photo(picture), careful=False).lean == 0
    assert not tried


def test_networks_that_cannot_tell_ask_the_default_one() -> None:
    picture = np.ascontiguousarray(LEAVES[:256, :384])
    blurred = Photo(photographed(picture, 5, -0.9))
    deblurrer = deblurcli.load("iniknet", device="cpu")
    as_it_is, found = (deblurrer.restore(blurred, scales=1, even_out=on) for on in (False, True))
    assert found.lean < 0 == as_it_is.lean
    assert psnr(found.photo.picture, picture) > psnr(as_it_is.photo.picture, picture) + 0.03


def test_what_papers_published_restores_photos_as_they_are() -> None:
    deblurrer, blurred = untrained("iniknet"), Photo(photographed(LEAVES, 6, LEAN)[:256, :256])
    once, again = (deblurrer.restore(blurred, scales=1, even_out=on) for on in (True, False))
    assert once.lean == 0
    np.testing.assert_array_equal(once.photo.pixels, again.photo.pixels)


def test_a_guide_is_not_loaded_for_tiny_photos() -> None:
    loaded: list[int] = []
    guide = untrained("iniknet-fast")
    deblurrer = Deblurrer(untrained("gkmnet").backend, "random", guide=lambda: loaded.append(1) or guide)
    for side, times in ((128, 0), (256, 1), (256, 1)):
        deblurrer.restore(Photo(np.ascontiguousarray(LEAVES[:side, :side])), scales=1)
        assert len(loaded) == times


@pytest.mark.parametrize(("radius", "level"), [(4.0, 0), (12.0, 1), (40.0, 3)])
def test_it_is_looked_for_where_it_is_seen_best(radius: float, level: int) -> None:
    """In the copy that has blur of middling width, and of that where there is blurred detail far from the middle."""
    shapes = [(2048, 3072), (1024, 1536), (512, 768), (256, 384)]
    detailed = np.full((1024, 1536, 3), 0.5, np.float32)
    detailed[:, 1100:] = RNG.random((1024, 436, 3), np.float32)
    tried: list[tuple[int, Region]] = []

    def copy(at: int) -> module.Cut:
        def cut(part: Region) -> Picture:
            tried.append((at, part))
            return mirrored(detailed, part) if at == 1 else RNG.random((*part.shape, 3), np.float32)

        return cut

    def restored(picture: Picture) -> tuple[Picture, NDArray[np.float32]]:
        return picture, np.full(picture.shape[:2], radius / 2, np.float32)

    lopsided([(*shape, copy(at)) for at, shape in enumerate(shapes)], restored)
    looked = [(at, part) for at, part in tried[1:] if part.shape == (384, 384) or part.shape == shapes[at]]
    assert {at for at, _ in looked} == {level}
    if level < 3:
        assert len({part for _, part in looked}) == 3
        height, width = shapes[level]
        for _, part in looked:
            assert part.right > 0.7 * width
            assert hypot(part.top + 192 - height / 2, part.left + 192 - width / 2) > width / 6


@pytest.mark.parametrize(("radius", "looks"), [(1.0, [3]), (8.0, [3, 2]), (30.0, [3])])
def test_of_a_large_photo_a_small_copy_tells_if_it_can(radius: float, looks: list[int]) -> None:
    shapes = [(4096 >> level, 6144 >> level) for level in range(5)]
    whole: list[int] = []

    def copy(at: int) -> module.Cut:
        def cut(part: Region) -> Picture:
            whole.extend([at] if part.shape == shapes[at] else [])
            return RNG.random((*part.shape, 3), np.float32)

        return cut

    def restored(picture: Picture) -> tuple[Picture, NDArray[np.float32]]:
        return picture, np.full(picture.shape[:2], radius / 2 ** whole[-1], np.float32)

    lopsided([(*shape, copy(at)) for at, shape in enumerate(shapes)], restored)
    assert whole == looks


# ---- where it is used ----------------------------------------------------------------------------------------------


def test_tiles_and_parts_are_as_even_as_the_whole(default: Deblurrer) -> None:
    photo = Photo(photographed(LEAVES, 5, -0.8))
    how: dict[str, Any] = {"keep_bokeh": "off", "keep_focus": False}
    whole = default.restore(photo, tile="none", **how)
    tiled = default.restore(photo, tile=320, **how)
    assert whole.lean == tiled.lean < 0
    assert np.abs(whole.photo.pixels - tiled.photo.pixels).max() < 3 / 255
    region = Region(200, 600, 128, 160)
    (part,) = default.parts(photo, [region], **how)
    difference = np.abs(part.after - whole.photo.pixels[region.slices])
    assert difference.max() < 6 / 255 and difference.mean() < 0.1 / 255
    (uneven,) = default.parts(photo, [region], even_out=False, **how)
    assert np.abs(uneven.after - part.after).max() > 10 / 255


def test_half_of_the_effect_is_half_of_it(default: Deblurrer) -> None:
    photo = Photo(photographed(LEAVES, 5, -0.8))
    half, full = (default.restore(photo, amount=a, keep_bokeh="off", careful=False).photo.pixels for a in (0.5, 1.0))
    np.testing.assert_allclose(half - photo.pixels, (full - photo.pixels) / 2, atol=1e-6)


def test_it_is_said_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "phone.png"
    write_photo(source, Photo(np.rint(photographed(LEAVES, 6, -0.8) * 255).astype(np.uint8)))

    def run(name: str, *options: str) -> str:
        with pytest.raises(SystemExit) as exit:
            main([str(source), "-o", str(tmp_path / name), *options])
        assert not exit.value.code
        told = capsys.readouterr()
        return told.out + told.err

    assert json.loads(run("even.png", "--json"))["lean"] < 0
    assert json.loads(run("as-it-is.png", "--json", "--no-even-out"))["lean"] == 0
    assert "lopsided blur evened out" in run("even.png", "--overwrite", "-v")
    assert "evened" not in run("as-it-is.png", "--overwrite", "--no-even-out", "-v")
    assert (tmp_path / "even.png").read_bytes() != (tmp_path / "as-it-is.png").read_bytes()
    assert b"blur evened out by -0." in (tmp_path / "even.png").read_bytes()
    assert Options().even_out
