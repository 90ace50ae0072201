"""Where, and how strongly: wanted bokeh stays, masks and regions hold, and no more is computed than that takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from test_restore import Brighter

import deblurcli
from deblurcli.arrays import Picture
from deblurcli.backends.backend import Answer, Wanted
from deblurcli.cli import main
from deblurcli.errors import PhotoError, UsageError
from deblurcli.focus import Area, Where, in_blocks, read_mask, spread
from deblurcli.networks.spec import network_spec
from deblurcli.photo.photo import Photo
from deblurcli.restore import Deblurrer
from deblurcli.tiling import Plan, Region

RNG = np.random.default_rng(0)
TEXTURE = (0.3 + 0.4 * RNG.random((192, 256, 1)) * np.ones(3)).astype(np.float32)


class Knowing(Brighter):
    """A backend that adds 0.1, and says which blur radius there is: that of a value of blue, times 100 px."""

    def __init__(self, spec: str = "tiny") -> None:
        super().__init__()
        self.spec, self.pixels, self.asked = network_spec(spec), 0, set[str]()

    def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
        self.pixels += picture[..., 0].size
        names = [] if isinstance(maps, bool) else maps
        self.asked.update(names)
        planes = {name: picture[None, ..., 2] * np.float32(100) for name in names}
        return Answer(picture + np.float32(0.1), planes)


def told(radius: NDArray[np.floating] | float) -> Photo:
    """A photo of detail everywhere, whose blue says how wide the blur is, (192, 256)."""
    picture = TEXTURE.copy()
    picture[..., 2] = np.float32(radius) / 100
    return Photo(picture)


def change(photo: Photo, **how: Any) -> NDArray[np.float32]:
    """How much of the change of 0.1 there is in each pixel; what is in focus changes, too, unless asked otherwise."""
    result = Deblurrer(Knowing(), "none").restore(photo, scales=1, **{"keep_focus": False, **how})
    return (result.photo.pixels - photo.pixels)[..., 0] * 10


def halves(left: float, right: float) -> NDArray[np.float64]:
    radius = np.full((192, 256), left)
    radius[:, 128:] = right
    return radius


# ---- focus --------------------------------------------------------------------------------------------------------


def test_what_is_in_focus_stays_as_it_is() -> None:
    """Even where the camera draws a little softly, if the rest is much softer."""
    photo = told(halves(0.9, 5))
    result = Deblurrer(Knowing(), "none").restore(photo, scales=1)
    np.testing.assert_array_equal(result.photo.pixels[:, :96], photo.pixels[:, :96])
    np.testing.assert_allclose(result.photo.pixels[:, 160:] - photo.pixels[:, 160:], 0.1, atol=1e-5)
    assert result.kept.focus == pytest.approx(0.5, abs=0.03) and result.kept.bokeh == 0


@pytest.mark.parametrize(
    "radius",
    [
        pytest.param(np.full((192, 256), 0.9), id="equally soft"),
        pytest.param(halves(0.9, 1.3), id="nearly so"),
        pytest.param(halves(0.2, 1.1), id="nearly sharp"),
        pytest.param(halves(2.1, 5.9), id="the sharpest parts are out of focus, too"),
    ],
)
def test_a_photo_without_focus_is_restored_everywhere(radius: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(change(told(radius), keep_focus=True), 1, atol=1e-4)


def test_beside_what_is_as_sharp_as_can_be_slight_blur_is_blur() -> None:
    done = change(told(halves(0, 0.9)), keep_focus=True)
    np.testing.assert_allclose(done[:, 144:], 1, atol=1e-4)


def test_whoever_says_where_has_what_is_in_focus_restored_unless_asked_for() -> None:
    photo, left = told(halves(0.9, 5)), Region(0, 0, 192, 128)
    assert change(photo, keep_focus=None)[:, :96].max() == 0
    for how in ({"region": left}, {"mask": np.full((1, 1), 255, np.uint8)}, {"keep_bokeh": 8.0}):
        assert change(photo, keep_focus=None, **how)[:, :96].min() == pytest.approx(1, abs=1e-4)
        assert change(photo, keep_focus=True, **how)[:, :48].max() == 0


def test_focus_is_kept_by_who_knows() -> None:
    photo = told(halves(0.9, 5))
    assert Deblurrer(Knowing("gkmnet"), "none").restore(photo).kept.focus == 0
    with pytest.raises(UsageError, match="gkmnet does not say how wide the blur is, so that --keep-focus"):
        Deblurrer(Knowing("gkmnet"), "none").restore(photo, keep_focus=True)


# ---- bokeh --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"keep_bokeh": "auto"}, {"keep_bokeh": 6.0}])
def test_wide_blur_beside_what_is_in_focus_stays_as_it_is(how: dict[str, Any]) -> None:
    photo = told(halves(1, 20))
    result = Deblurrer(Knowing(), "none").restore(photo, scales=1, keep_focus=False, **how)
    done = (result.photo.pixels - photo.pixels)[..., 0] * 10
    np.testing.assert_allclose(done[:, :112], 1, atol=1e-4)
    np.testing.assert_array_equal(result.photo.pixels[:, 144:], photo.pixels[:, 144:])
    assert (np.diff(done.mean(axis=0)) < 0.01).all()  # one fades into the other
    assert result.kept.bokeh_from == 6 and result.kept.bokeh == pytest.approx(0.5, abs=0.03)


def test_strict_leaves_alone_what_is_a_little_softer_than_the_subject() -> None:
    done = change(told(halves(0.2, 2)), keep_bokeh="strict")
    np.testing.assert_allclose(done[:, :112], 1, atol=1e-4)
    np.testing.assert_array_equal(done[:, 144:], 0)


@pytest.mark.parametrize("radius", [np.full((192, 256), 2.0), halves(1, 2)])
def test_strict_restores_a_photo_that_is_a_little_out_of_focus_all_over(radius: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(change(told(radius), keep_bokeh="strict"), 1, atol=1e-4)


@pytest.mark.parametrize("radius", [halves(1, 5), halves(1, 5.9), np.full((192, 256), 20.0)])
def test_missed_focus_is_restored_in_full(radius: NDArray[np.float64]) -> None:
    """Blur below the limit, and blur of any width where nothing is in focus."""
    np.testing.assert_allclose(change(told(radius)), 1, atol=1e-4)


def test_large_photos_may_be_blurred_wider_and_strict_leaves_more_alone() -> None:
    """1 % of the longer side is missed focus; 0.15 % is softer than what is in focus."""
    radius = np.full((1536, 2048), 1.0)
    radius[:, 1024:] = 12
    photo = Photo(np.tile(TEXTURE, (8, 8, 1)))
    photo.pixels[..., 2] = np.float32(radius) / 100
    assert change(photo)[:, 1300:].min() == pytest.approx(1, abs=1e-3)
    assert change(photo, keep_bokeh="strict")[:, 1300:].max() == 0


def test_off_restores_everything_and_asks_for_no_map() -> None:
    backend = Knowing()
    photo = told(halves(1, 20))
    result = Deblurrer(backend, "none").restore(photo, scales=1, keep_bokeh="off", keep_focus=False)
    np.testing.assert_allclose(result.photo.pixels - photo.pixels, 0.1, atol=1e-5)
    assert not backend.asked and not result.kept.bokeh_from and not result.maps
    Deblurrer(backend, "none").restore(photo, scales=1)
    assert backend.asked == {"blur_radius"}


def test_larger_photos_have_a_higher_limit() -> None:
    photo = told(halves(1, 20))
    wide = Photo(np.repeat(np.repeat(photo.pixels, 4, 0), 16, 1))  # 4096 px
    result = Deblurrer(Knowing(), "none").restore(wide, scales=1)
    assert result.kept.bokeh_from == pytest.approx(0.01 * 4096)


def test_a_limit_of_ones_own_is_taken_at_its_word() -> None:
    np.testing.assert_array_equal(change(told(20.0), keep_bokeh=5.0), 0)
    np.testing.assert_allclose(change(told(20.0), keep_bokeh=25.0), 1, atol=1e-4)


def test_holes_where_there_is_no_detail_are_filled() -> None:
    """The network knows nothing of flat parts: those of a background go with it, those of a subject with that."""
    values = np.zeros((96, 128), np.float32)
    values[:, 64:] = 1
    light = np.empty((96, 128, 3), np.float32)
    light[:, :64], light[:, 64:] = (0.2, 0.2, 0.5), (0.6, 0.5, 0.1)
    weights = np.full((96, 128), 0.5, np.float32)
    for left, wrong in ((20, 1.0), (84, 0.0)):
        values[36:60, left : left + 24], weights[36:60, left : left + 24] = wrong, 0
    whole = spread(values, light, weights, 12)
    assert whole[:, :62].max() < 0.1 and whole[:, 66:].min() > 0.9  # and the edge is where the colours change


def test_maps_on_request_change_nothing() -> None:
    """With them there is a radius for each pixel, else for each block."""
    photo = told(halves(1, 20))
    deblurrer = deblurcli.load("tiny", backend="torch", device="cpu")
    alone = deblurrer.restore(photo, keep_bokeh=0.5).photo.pixels
    with_maps = deblurrer.restore(photo, keep_bokeh=0.5, maps=True).photo.pixels
    np.testing.assert_allclose(alone, with_maps, atol=1e-5)
    plane = RNG.random((101, 64), np.float32)
    np.testing.assert_allclose(in_blocks(plane[..., None], 2, np.copy)[3, 5], plane[6:8, 10:12].mean(), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_not_a_code_changes_in_kept_bokeh(dtype: type) -> None:
    codes = (told(halves(1, 20)).pixels * np.iinfo(dtype).max).astype(dtype)
    result = Deblurrer(Knowing(), "none").restore(Photo(codes), scales=1, depth=16)
    expected = codes[:, 150:].astype(np.uint32) * (65535 // np.iinfo(dtype).max)
    np.testing.assert_array_equal(result.photo.pixels[:, 150:], expected)


def test_a_network_without_the_map_says_so_and_by_default_restores_everything() -> None:
    photo = told(halves(1, 20))
    with pytest.raises(UsageError, match="how wide the blur is"):
        Deblurrer(Knowing("gkmnet"), "none").restore(photo, keep_bokeh=6.0)
    result = Deblurrer(Knowing("gkmnet"), "none").restore(photo)
    np.testing.assert_allclose(result.photo.pixels - photo.pixels, 0.1, atol=1e-5)
    with pytest.raises(UsageError, match="above 0"):
        change(photo, keep_bokeh=0.0)


def test_both_runtimes_keep_the_same() -> None:
    small = np.kron(RNG.random((12, 16, 3), np.float32), np.ones((8, 8, 1), np.float32))
    found = [
        deblurcli.load("iniknet-fast", backend=name, device="cpu")(small, keep_bokeh=1.0) for name in ("torch", "onnx")
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_what_is_infinite_stays_so() -> None:
    photo = told(halves(1, 20))
    photo.pixels[10, 200] = np.inf
    assert np.isinf(Deblurrer(Knowing(), "none").restore(photo, scales=1, keep_bokeh=6.0).photo.pixels[10, 200]).all()


def test_amounts_above_one_exaggerate() -> None:
    np.testing.assert_allclose(change(told(1.0), amount=1.5), 1.5, atol=1e-4)
    with pytest.raises(UsageError, match=r"between 0 and 1\.5"):
        change(told(1.0), amount=1.6)


# ---- mask and region ----------------------------------------------------------------------------------------------


def test_a_mask_of_any_size_says_how_much() -> None:
    mask = np.zeros((3, 4), np.uint8)
    mask[1:, 2:] = 255
    done = change(told(1.0), mask=mask)
    np.testing.assert_allclose(done[112:, 176:], 1, atol=1e-4)
    np.testing.assert_array_equal(done[:32], 0)
    np.testing.assert_array_equal(done[:, :96], 0)
    np.testing.assert_allclose(done[64, 200], 0.5, atol=0.02)  # between the middles of its pixels
    exact = np.repeat(np.arange(192, dtype=np.uint8)[:, None], 256, 1)
    np.testing.assert_allclose(change(told(1.0), mask=exact), exact / 255, atol=1e-4)


def test_a_region_has_a_soft_border_inside_and_none_at_the_end_of_the_photo() -> None:
    done = change(told(1.0), region=Region(64, 0, 128, 100))
    np.testing.assert_array_equal(done[:64], 0)
    np.testing.assert_array_equal(done[:, 100:], 0)
    np.testing.assert_allclose(done[80:, :84], 1, atol=1e-4)
    assert 0 < done[150, 99] < 0.1 < done[150, 92] < 0.9


def test_where_multiplies() -> None:
    photo = told(halves(1, 20))
    how = {"mask": np.full((5, 5), 128, np.uint8), "region": Region(0, 100, 192, 156)}
    product = change(photo, mask=how["mask"]) * change(photo, region=how["region"]) * change(photo, keep_bokeh=6.0)
    np.testing.assert_allclose(change(photo, **how, keep_bokeh=6.0), product, atol=1e-3)
    assert change(photo, **how)[:, 150:].min() > 0.4  # said where, wide blur is not left out unless that is said, too


@pytest.mark.parametrize("depth", [32, 8])
def test_only_tiles_that_are_needed_are_computed_and_nothing_else_comes_of_them(depth: Any) -> None:
    deblurrer = deblurcli.load("tiny", backend="torch", device="cpu")
    calls: list[tuple[int, ...]] = []
    run = deblurrer.backend.run
    deblurrer.backend.run = lambda picture, *rest: (calls.append(picture.shape), run(picture, *rest))[1]  # type: ignore[method-assign]
    photo = Photo(RNG.integers(0, 256, (900, 1200, 3), np.uint8))
    region = Region(300, 500, 120, 90)
    whole = deblurrer.restore(photo, scales=3, depth=depth, tile=192, keep_bokeh="off").photo.pixels
    pixels, calls[:] = sum(h * w for h, w, _ in calls), []
    part = deblurrer.restore(photo, scales=3, depth=depth, region=region)
    assert sum(h * w for h, w, _ in calls) < pixels / 5
    inner = Region(320, 520, 80, 50).slices
    np.testing.assert_allclose(part.photo.pixels[inner], whole[inner], atol=1e-4 if depth == 32 else 1)
    outside = part.photo.picture.copy()
    outside[region.slices] = photo.picture[region.slices]
    np.testing.assert_array_equal(outside, photo.picture)


def test_a_plan_for_a_part_covers_it_at_every_size() -> None:
    plan = Plan(1000, 1500, 256, halo=48, multiple_of=16, min_size=32, wanted=Region(400, 1490, 30, 10))
    while min(plan.height, plan.width) > 100:
        assert plan.wanted and plan.covered.intersection(plan.wanted) == plan.wanted
        coarse = plan.halved
        for tile in plan.tiles:
            seen = tile.input.halved.intersection(coarse.photo)
            assert coarse.covered.intersection(seen) == seen
        plan = coarse


@pytest.mark.parametrize("region", [Region(0, 0, 193, 10), Region(-1, 0, 10, 10), Region(0, 0, 0, 10)])
def test_regions_beyond_the_photo_are_refused(region: Region) -> None:
    with pytest.raises(UsageError, match="256 × 192 px"):
        change(told(1.0), region=region)


def test_mask_and_region_that_have_nothing_in_common_are_refused() -> None:
    mask = np.zeros((4, 4), np.uint8)
    mask[0, 0] = 255
    with pytest.raises(UsageError, match="black all over the region"):
        change(told(1.0), mask=mask, region=Region(100, 100, 50, 50))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (65, 1)])
def test_photos_of_any_size(shape: tuple[int, int]) -> None:
    photo = Photo(RNG.random((*shape, 3), np.float32))
    backend = Knowing()
    kept = Deblurrer(backend, "none").restore(photo, keep_bokeh=1e-3).photo.pixels
    np.testing.assert_array_equal(kept, photo.pixels)
    mask = np.full((3, 3), 255, np.uint8)
    whole = Deblurrer(backend, "none").restore(photo, mask=mask, region=Region(0, 0, *shape), keep_bokeh=1e3)
    np.testing.assert_allclose(whole.photo.pixels - photo.pixels, 0.1, atol=1e-5)


def test_areas_are_pixels_or_percent() -> None:
    assert Area("10,20,30,40").region(100, 200) == Region(20, 10, 40, 30)
    assert Area("25%, 50%, 50%,50%").region(100, 200) == Region(50, 50, 50, 100)
    assert Area("10%,0,90%,33.3%").region(101, 70) == Region(0, 7, 34, 63)
    for wrong in ("", "1,2,3", "1,2,3,4,5", "a,2,3,4", "1,2,0,4", "-1,2,3,4", "1,2,3,4px"):
        with pytest.raises(UsageError, match="is not a region"):
            Area(wrong)


def test_masks_from_files(tmp_path: Path) -> None:
    gray = np.arange(0, 200, dtype=np.uint8).reshape(10, 20)
    clear = np.full((10, 20), 255, np.uint8)
    for name, alpha, expected in (("a", clear, gray), ("b", 255 - gray, 255 - gray)):
        Image.fromarray(np.dstack([gray, gray, gray, alpha])).save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png").values, expected)
    Image.new("L", (9, 9)).save(tmp_path / "black.png")
    with pytest.raises(UsageError, match="black everywhere"):
        read_mask(tmp_path / "black.png")
    with pytest.raises(PhotoError):
        read_mask(tmp_path / "none.png")
    assert Where(100, 200, mask=gray).stretched is False and Where(100, 100, mask=gray).stretched


# ---- the command --------------------------------------------------------------------------------------------------


def deblur(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "-m", "tiny"])
    return int(ended.value.code or 0)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(RNG.integers(0, 256, (80, 120, 3), np.uint8)).save(path)
    return path


def test_it_is_recorded_and_done_again_when_it_changes(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask, out = photo.with_name("mask.png"), photo.with_name("out.png")
    Image.new("L", (12, 8), 255).save(mask)

    def run(*arguments: object) -> dict[str, Any]:
        assert deblur(photo, "-o", out, "--json", "--skip-existing", "--overwrite", *arguments) == 0
        return json.loads(capsys.readouterr().out)

    row = run("--mask", mask, "--region", "50%,0,50%,80", "--keep-bokeh", 3, "--careful")
    assert (row["mask"], row["region"], row["keep_bokeh"], row["careful"]) == ("mask.png", "50%,0,50%,80", 3, True)
    software = str(Image.open(out).getexif()[0x131])
    assert ", careful, bokeh kept from 3 px, mask " in software and ", region 50%,0,50%,80," in software
    np.testing.assert_array_equal(np.asarray(Image.open(out))[:, :60], np.asarray(Image.open(photo))[:, :60])
    assert run("--mask", mask, "--region", "50%,0,50%,80", "--keep-bokeh", 3, "--careful")["skipped"]
    assert "skipped" not in run("--mask", mask, "--region", "50%,0,50%,80", "--keep-bokeh", 4)
    assert "skipped" not in run("--mask", mask)
    Image.new("L", (12, 8), 200).save(mask)
    assert "skipped" not in run("--mask", mask)
    Image.new("L", (8, 8), 200).save(mask)
    assert "stretched" in run("--mask", mask)["warnings"][0]
    assert run("--keep-bokeh", "off")["keep_bokeh"] is None
    assert 1 <= run("--keep-bokeh")["keep_bokeh"] < 6
    assert deblur("--keep-bokeh", photo, "-o", out, "--overwrite") == 0  # what follows is no value


def test_one_photo_is_too_small_for_a_region_and_the_others_are_restored(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (70, 70)).save(photo.with_name("small.png"))
    assert deblur(photo.parent, "-o", photo.parent / "out", "--region", "60,0,50,50") == 3
    assert "small.png: the region of 50 × 50 px at 60,0 does not lie within" in capsys.readouterr().err
    assert (photo.parent / "out" / "photo.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask", "none.png"], "none.png: there is no such file"),
        (["--region", "1,2,3"], "four numbers are needed"),
        (["--keep-bokeh", "3px"], "must be a number of pixels such as 4, or auto"),
        (["--keep-bokeh", "-1"], "must be a number of pixels such as 4, or auto"),
        (["--amount", "2"], "1.5"),
    ],
)
def test_what_cannot_work_is_wrong_usage(
    photo: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deblur(photo, "-o", photo.with_name("out.png"), *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not photo.with_name("out.png").exists()


def test_a_region_is_that_of_the_photo_as_displayed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned to the right
    Image.fromarray(RNG.integers(0, 256, (80, 120, 3), np.uint8)).save(tmp_path / "p.png", exif=exif)
    assert deblur(tmp_path / "p.png", "-o", tmp_path / "out.png", "--region", "0,0,80,40") == 0
    before = deblurcli.read_photo(tmp_path / "p.png").pixels
    after = deblurcli.read_photo(tmp_path / "out.png").pixels
    assert before.shape == (120, 80, 3) and (after[:30] != before[:30]).any()
    np.testing.assert_array_equal(after[40:], before[40:])
