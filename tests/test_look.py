"""Looking at what is done: parts of a photo as the whole has them, places that tell something, pictures and words."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import deblurcli
from deblurcli import restore as restore_module
from deblurcli.cli import main
from deblurcli.evaluation.drawn import dead_leaves
from deblurcli.focus import Kept
from deblurcli.look.picture import CROP, GAP, write_comparison
from deblurcli.look.places import largest_change, telling_places
from deblurcli.look.words import noise_of, remark
from deblurcli.lopsided import CROP as SQUARE
from deblurcli.lopsided import CROPS, SMALL
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_codes
from deblurcli.restore import Deblurrer
from deblurcli.tiling import Region

RNG = np.random.default_rng(0)
LEAVES = to_codes(dead_leaves(1), np.uint8)  # (512, 768, 3), in focus


def deblur(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(a) for a in arguments])
    return int(exit.value.code or 0)


def blurred(pixels: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def noisy(pixels: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    return (pixels + RNG.normal(0, sigma, pixels.shape)).round().clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def default() -> Deblurrer:
    return deblurcli.load(device="cpu")


@pytest.fixture(scope="module")
def soft() -> Photo:
    """Out of focus on the right, more and more so, and large enough for several scales; its sides are odd."""
    wide = np.concatenate([LEAVES, blurred(LEAVES, 2), blurred(LEAVES, 5)], axis=1)[:, 301:1402]
    return Photo(np.concatenate([wide[100:], wide])[:529])


# ---- parts of a photo ----------------------------------------------------------------------------------------------

REGIONS = [Region(0, 0, 96, 160), Region(200, 700, 112, 128), Region(421, 1005, 84, 96)]


def test_parts_are_what_the_whole_has_there(default: Deblurrer, soft: Photo) -> None:
    whole = default.restore(soft, maps=True, keep_bokeh="off")
    assert whole.scales == 3
    for region, part in zip(REGIONS, default.parts(soft, REGIONS, keep_bokeh="off"), strict=True):
        assert part.region == region
        np.testing.assert_array_equal(part.before, soft.pixels[region.slices])
        difference = np.abs(part.after.astype(int) - whole.photo.pixels[region.slices])
        assert difference.max() <= 6 and difference.mean() < 0.1
        assert part.radius is not None
        assert np.abs(part.radius - whole.maps["blur_radius"][0][region.slices]).mean() < 0.1
    assert np.abs(whole.photo.pixels.astype(int) - soft.pixels).max() > 60


def test_parts_differ_in_nothing_but_how_far_they_look(
    default: Deblurrer, soft: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = default.backend.spec
    assert isinstance(spec.context, int)
    monkeypatch.setattr(restore_module, "GLANCE", math.ceil(spec.context / 16) * 16 / spec.halo)
    whole = default.restore(soft, tile="none", amount=0.7, scales=2, keep_bokeh="off")
    for part in default.parts(soft, REGIONS, amount=0.7, scales=2, keep_bokeh="off"):
        np.testing.assert_allclose(part.after, whole.photo.pixels[part.region.slices], atol=1)


def test_parts_keep_the_bokeh_that_the_whole_keeps(default: Deblurrer) -> None:
    # More than what is looked at as a whole; in focus on the left, far out of it on the right.
    photo = Photo(np.concatenate([LEAVES, LEAVES[::-1], *[blurred(LEAVES, 9)] * 2], axis=1))
    regions = [Region(200, 300, 96, 128), Region(200, 2300, 160, 160), Region(0, 1500, 96, 96)]
    whole = default.restore(photo, keep_bokeh=9.0)
    assert 0.3 < whole.kept.bokeh < 0.7
    parts = default.parts(photo, regions, keep_bokeh=9.0)
    for part in parts:
        difference = np.abs(part.after.astype(int) - whole.photo.pixels[part.region.slices])
        assert difference.mean() < 1
    assert np.abs(parts[1].after.astype(int) - parts[1].before).mean() < 0.3
    (restored,) = default.parts(photo, regions[1:2], keep_bokeh="off")
    assert np.abs(restored.after.astype(int) - restored.before).mean() > 2


def test_parts_keep_the_focus_that_the_whole_keeps(default: Deblurrer) -> None:
    # Too large for slight blur to be seen in the copy that tells wide blur.
    photo = Photo(np.concatenate([*[blurred(LEAVES, 0.6)] * 2, *[blurred(LEAVES, 5)] * 2], axis=1))
    regions = [Region(208, 304, 96, 128), Region(208, 2304, 160, 160)]
    whole = default.restore(photo)
    assert 0.3 < whole.kept.focus < 0.7
    focus, soft = default.parts(photo, regions)
    for part in (focus, soft):
        difference = np.abs(part.after.astype(int) - whole.photo.pixels[part.region.slices])
        assert difference.mean() < 1
    assert np.abs(focus.after.astype(int) - focus.before).mean() < 0.3
    assert np.abs(soft.after.astype(int) - soft.before).mean() > 2


@pytest.mark.parametrize("kind", ["gray", "16 bit", "linear"])
def test_parts_of_other_photos(default: Deblurrer, soft: Photo, kind: str) -> None:
    pixels = soft.pixels[:200, 500:800]
    photo = {
        "gray": Photo(np.repeat(pixels[..., 1:2], 3, axis=2), gray=True),
        "16 bit": Photo(pixels.astype(np.uint16) * 257),
        "linear": Photo(pixels),
    }[kind]
    how: dict[str, Any] = {"keep_bokeh": "off", "transfer": "linear" if kind == "linear" else "auto"}
    (part,) = default.parts(photo, [Region(48, 96, 80, 112)], **how)
    whole = default.restore(photo, **how).photo.pixels[part.region.slices]
    assert part.after.dtype == photo.pixels.dtype
    largest = 6 * np.iinfo(whole.dtype).max / 255
    np.testing.assert_allclose(part.after.astype(int), whole, atol=largest * (3 if kind == "linear" else 1))


def test_no_more_is_computed_than_parts_take(default: Deblurrer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    run = default.backend.run

    def watched(picture: NDArray[np.float32], *more: Any) -> Any:
        seen.append(picture[..., 0].size)
        return run(picture, *more)

    monkeypatch.setattr(default.backend, "run", watched)
    large = Photo(np.tile(LEAVES, (4, 4, 1)))
    default.parts(large, [Region(1008, 1504, 64, 64)], even_out=False)
    assert (alone := sum(seen)) < large.pixels.size / 3 / 5
    seen.clear()
    default.parts(large, [Region(1008, 1504, 64, 64)])
    assert sum(seen) - alone < 1.5 * (SMALL + 2 * CROPS * SQUARE**2)


# ---- places --------------------------------------------------------------------------------------------------------


def test_places_tell_soft_from_sharp() -> None:
    photo = np.concatenate([LEAVES, blurred(LEAVES, 3), np.full_like(LEAVES, 90)], axis=1)
    places = dict(telling_places(photo))
    assert list(places) == ["a soft part", "a larger part", "the sharpest part"]
    assert places["the sharpest part"].right <= 768 + 16
    for name in ("a soft part", "a larger part"):
        assert places[name].left >= 768 - 16 and places[name].right <= 2 * 768 + 16
    regions = list(places.values())
    assert not any(0 not in a.intersection(b).shape for a in regions for b in regions if a is not b)


@pytest.mark.parametrize("shape", [(1, 1), (20, 300), (40, 500), (210, 245), (333, 777)])
def test_places_lie_in_photos_of_any_size(shape: tuple[int, int]) -> None:
    photo = RNG.integers(0, 256, (*shape, 3), dtype=np.uint8)
    places = telling_places(photo)
    assert places
    for _, region in places:
        assert region.intersection(Region(0, 0, *shape)) == region and 0 not in region.shape
    after = photo.copy()
    region = largest_change(photo, after, (64, 64))
    assert region.intersection(Region(0, 0, *shape)) == region and 0 not in region.shape


def test_largest_change_is_found_whatever_the_depth() -> None:
    before = RNG.integers(0, 256, (400, 600, 3), dtype=np.uint8)
    after = before.astype(np.uint16) * 257
    after[208:272, 400:464] = 30000
    assert largest_change(before, after, (64, 64)) == Region(208, 400, 64, 64)


# ---- words ---------------------------------------------------------------------------------------------------------


def test_little_change_has_a_reason() -> None:
    same = {"focus": LEAVES, "noisy": noisy(blurred(LEAVES, 3), 15), "blurred": blurred(LEAVES, 25)}
    said = {kind: remark(pixels, pixels, 1.0) for kind, pixels in same.items()}
    assert said == {
        "focus": "hardly changed: the photo is in focus",
        "noisy": "hardly changed: too noisy to tell blur from grain",
        "blurred": "hardly changed: blurred more than can be undone",
    }


def test_nothing_is_said_of_clear_changes_and_of_what_nobody_can_tell() -> None:
    after = LEAVES.copy()
    after[:100] //= 2
    assert remark(LEAVES, after, 1.0) == ""
    assert remark(LEAVES, LEAVES, 0.0) == ""
    flat = np.full((300, 300, 3), 128, np.uint8)
    assert remark(flat, flat, 1.0) == ""
    tiny = LEAVES[:10, :10]
    assert remark(tiny, tiny, 1.0) == ""
    # Little change because little was asked for.
    slightly = LEAVES.copy()
    slightly[:, ::2] = np.minimum(LEAVES[:, ::2], 254) + np.uint8(1)
    assert remark(LEAVES, slightly, 1.0) != "" == remark(LEAVES, slightly, 0.2)


def test_a_soft_background_is_the_reason_only_where_it_is_most_of_the_photo() -> None:
    left = "the soft background was left alone (--keep-bokeh off restores it)"
    assert remark(LEAVES, LEAVES, 1.0, Kept(bokeh=0.6)) == f"hardly changed: {left}"
    assert remark(LEAVES, LEAVES, 1.0, Kept(bokeh=0.07)) == f"hardly changed: the photo is in focus; {left}"
    assert remark(LEAVES, LEAVES, 1.0, Kept(bokeh=0.01)) == "hardly changed: the photo is in focus"
    kept = remark(LEAVES, LEAVES, 1.0, Kept(focus=0.6))
    assert kept.startswith("hardly changed: most of the photo is in focus") and "--no-keep-focus" in kept
    # A small part that is in focus is what was not left alone.
    photo = np.concatenate([LEAVES[:, :160], blurred(LEAVES, 25)[:, 160:480]], axis=1)
    after = photo.copy()
    after[:, :160:2] = np.minimum(after[:, :160:2], 254) + np.uint8(1)
    assert remark(photo, after, 1.0, Kept(bokeh=0.4)) == f"hardly changed: the photo is in focus; {left}"


def test_nothing_at_all_in_the_part_that_was_chosen() -> None:
    assert remark(LEAVES, LEAVES, 1.0, everywhere=False) == (
        "nothing changed: the part you chose has nothing to sharpen"
    )
    same = LEAVES.astype(np.uint16) * 257
    assert "--keep-bokeh leaves it alone" in remark(LEAVES, same, 1.0, Kept(bokeh=0.2), everywhere=False)
    same[-1, 3] += 300  # in the last row, which places to look at leave out
    assert remark(LEAVES, same, 1.0, Kept(bokeh=0.2), everywhere=False) == ""


def test_grain_is_measured() -> None:
    for sigma in (4, 12):
        assert noise_of(noisy(np.full((320, 480, 3), 120, np.uint8), sigma)) * 255 == pytest.approx(sigma, rel=0.3)
    assert noise_of(LEAVES) * 255 < 2


# ---- pictures ------------------------------------------------------------------------------------------------------


def test_comparison_shows_both(tmp_path: Path) -> None:
    before = np.full((900, 1440, 3), 60, np.uint8)
    after = before.copy()
    after[400:800, 800:1400] = 200
    write_comparison(tmp_path / "it.png", Photo(before), Photo(after), "it")
    sheet = np.asarray(Image.open(tmp_path / "it.png"))
    crop = sheet[-GAP - 40 : -GAP - 20]  # of the lower pair
    left, right = crop[:, GAP + 20 : GAP + 40], crop[:, CROP[1] + 2 * GAP + 20 : CROP[1] + 2 * GAP + 40]
    assert (left == 60).all() and (right == 200).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (700, 3), (2000, 300)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_comparison_of_any_photo(shape: tuple[int, int], dtype: type, tmp_path: Path) -> None:
    photo = Photo(np.ones((*shape, 3), dtype), icc=b"no profile")
    write_comparison(tmp_path / "it.png", photo, photo, "a title that is longer than the picture is wide")
    assert max(Image.open(tmp_path / "it.png").size) < 3000


# ---- deblur preview ------------------------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    deblurcli.write_photo(folder / "it.png", Photo(LEAVES[:300, :400]))
    return folder / "it.png"


def test_preview_leaves_the_photos_folder_alone(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DISPLAY", ":0")  # but standard output is no terminal
    monkeypatch.setattr("click.launch", lambda *_: pytest.fail("a viewer was opened"))
    for _ in range(2):
        assert deblur("preview", photo, "-m", "tiny") == 0
    written = Path(capsys.readouterr().out.splitlines()[-1])
    assert written.is_file() and (tmp_path in written.parents or written.parent.name == "deblur")
    assert list(photo.parent.iterdir()) == [photo]
    assert Image.open(written).width > 2 * 208


def test_preview_opens_a_viewer_on_screens(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert deblur("preview", photo, "-m", "tiny", "-o", tmp_path / "a.png") == 0
    assert deblur("preview", photo, "-m", "tiny", "-o", tmp_path / "b.png", "--no-open") == 0
    assert opened == [str(tmp_path / "a.png")]


def test_preview_with_wrong_usage(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur("preview", photo, "-m", "tiny", "-o", tmp_path / "it.html") == 2
    (tmp_path / "there.png").write_text("mine")
    assert deblur("preview", photo, "-m", "tiny", "-o", tmp_path / "there.png") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "there.png").read_text() == "mine"
    assert deblur("preview", tmp_path / "gone.png", "-m", "tiny") == 1


# ---- --compare of one photo, and what a run says --------------------------------------------------------------------


def test_compare_takes_no_photo_for_its_file(photo: Path, tmp_path: Path) -> None:
    assert deblur("--compare", photo, "-o", tmp_path / "out.png", "-m", "tiny") == 0
    assert deblurcli.read_photo(tmp_path / "out.before-after.png").pixels.shape[1] > 400
    assert (tmp_path / "out.png").is_file()
    assert deblur(photo, "-o", tmp_path / "second.png", "-m", "tiny", f"--compare={tmp_path / 'look.jpg'}") == 0
    assert (tmp_path / "look.jpg").is_file()


def test_compare_replaces_nothing_unasked(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.before-after.png").write_text("mine")
    assert deblur(photo, "-o", tmp_path / "out.png", "-m", "tiny", "--compare") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()
    assert (tmp_path / "out.before-after.png").read_text() == "mine"
    assert deblur(photo, "-o", tmp_path / "out.png", "-m", "tiny", "--compare", "--overwrite") == 0
    assert deblur(photo, "-o", "-", "-m", "tiny", "--compare") == 2
    second = photo.with_name("second.png")
    second.write_bytes(photo.read_bytes())
    assert deblur(photo, second, "-o", tmp_path, "-m", "tiny", "--compare=one.png") == 2
    assert deblur(photo, second, "-m", "tiny", "--compare") == 2


def test_pictures_to_look_at_are_no_photos_of_the_next_run(photo: Path) -> None:
    assert deblur(photo, "-m", "tiny", "--compare") == 0
    made = {path.name for path in photo.parent.iterdir()}
    assert made == {"it.png", "it-deblurred.png", "it-deblurred.before-after.png"}
    assert deblur(photo.parent, "-o", photo.parent / "out", "-m", "tiny") == 0
    assert [path.name for path in (photo.parent / "out").iterdir()] == ["it.png"]


def test_a_run_says_why_little_was_done(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur(photo, "-o", tmp_path / "out.png", "--device", "cpu", "--json", "-v") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["remark"] == "hardly changed: the photo is in focus"
    assert told.err.count("hardly changed: the photo is in focus") == 1
    how = ("--device", "cpu", "--region", "10%,10%,20%,20%", "--json")
    assert deblur(photo, "-o", tmp_path / "part.png", *how) == 0
    assert json.loads(capsys.readouterr().out)["remark"] == ""
    pixels = blurred(LEAVES[:300, :400], 2)
    deblurcli.write_photo(photo, replace(Photo(pixels)))
    assert deblur(photo, "-o", tmp_path / "other.png", "--device", "cpu", "--json", "-v") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["remark"] == ""
    assert "hardly" not in told.err
