"""The page of ``deblur inspect`` in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from browsing import Visit, browser
from untrained_networks import untrained

import deblurcli
from deblurcli.cli import main
from deblurcli.look.places import largest_change
from deblurcli.maps import page as page_module
from deblurcli.maps.kernels import Mixture
from deblurcli.maps.page import page_scale, write_page
from deblurcli.networks.spec import DEFAULT_NETWORK, network_spec
from deblurcli.photo.photo import Photo
from deblurcli.tiling import Region

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture
RNG = np.random.default_rng(0)
HEIGHT, WIDTH, SCALE, SCALES = 300, 400, 4, 2


class Report(NamedTuple):
    """The default network's page of a photo, and the restored photo and maps to compare it with."""

    html: Path
    before: Photo
    after: Photo
    maps: dict[str, np.ndarray]


def deblur(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(a) for a in arguments])
    return int(exit.value.code or 0)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("report")
    photo = deblurcli.read_photo(Path(__file__).parents[1] / "examples/photo.jpg")
    crop = Photo(np.ascontiguousarray(photo.pixels[:HEIGHT, :WIDTH]))
    assert page_scale(HEIGHT, WIDTH, network_spec(DEFAULT_NETWORK).maps, SCALES) == SCALE
    deblurcli.write_photo(folder / "cat.png", crop)
    assert deblur("inspect", folder / "cat.png", "-o", folder / "cat.html", "--device", "cpu") == 0
    options = ("--export-maps", "--maps-scale", f"1/{SCALE}", "--device", "cpu")
    assert deblur(folder / "cat.png", "-o", folder / "out.png", *options) == 0
    with np.load(folder / "out.maps/maps.npz") as file:
        maps = dict(file)
    return Report(folder / "cat.html", crop, deblurcli.read_photo(folder / "out.png"), maps)


@pytest.fixture
def visit(browser: Browser, report: Report) -> Iterator[Visit]:
    visit = Visit(browser, report.html)
    yield visit
    assert visit.complaints == []
    assert visit.requests == [report.html.as_uri()]
    visit.context.close()


def widely_changed(report: Report) -> tuple[int, int]:
    """A pixel around which all of 5 × 5 px changed: WebP has colours at half the resolution."""
    changed = change_of(report)
    place = largest_change(report.before.pixels, report.after.pixels, (256, 256))
    row = place.top + place.height // 2
    changed[row - 20 : row + 20] = 0  # not under the mark of the pixel pointed at
    widely = np.lib.stride_tricks.sliding_window_view(changed, (5, 5)).min((2, 3))
    row, column = (int(i) + 2 for i in np.unravel_index(widely.argmax(), widely.shape))
    return row, column


def change_of(report: Report) -> np.ndarray:
    return np.abs(report.before.pixels.astype(int) - report.after.pixels).sum(2)


def test_slider_moves(visit: Visit, report: Report) -> None:
    changed, (row, column) = change_of(report), widely_changed(report)
    visit.page.click("[data-zoom=one]")
    seen = {}
    for value in (0, 1000):
        visit.split(value)
        seen[value] = visit.colour(row, column)
    assert np.abs(seen[1000] - report.before.pixels[row, column]).max() < 24  # WebP is lossy
    assert np.abs(seen[0] - report.after.pixels[row, column]).max() < 24
    assert np.abs(seen[0] - seen[1000]).sum() > changed[row, column] / 2 > 10

    visit.split(500)
    box = visit.page.locator("#stage").bounding_box()
    assert box
    handle = box["x"] + box["width"] / 2, box["y"] + box["height"] - 30
    visit.page.mouse.move(*handle)
    visit.page.mouse.down()
    visit.page.mouse.move(handle[0] + box["width"] / 4, handle[1], steps=5)
    visit.page.mouse.up()
    assert float(visit.page.input_value("#split")) == pytest.approx(750, abs=10)
    visit.screenshot("slider")


def test_hover_shows_the_kernel_of_the_maps(visit: Visit, report: Report) -> None:
    kernels = {name: array for name, array in report.maps.items() if name.startswith("atoms")}
    mixture = Mixture.of(kernels)
    assert mixture
    reach, drawn = mixture.reach(4, SCALES), 2 * mixture.reach(4) + 1
    # Of one plane, maps are floats in maps.npz, and half as long on the page, as all maps are there.
    names = ("mu", "omega", "coarse_trust")
    copies = [{n: report.maps[n + copy].astype(np.float16).astype(np.float32) for n in names} for copy in ("", "_2")]
    for row, column in ((150, 200), (101, 307), (222, 90)):
        visit.page.mouse.move(*visit.at(row, column))
        visit.settle()
        assert visit.page.inner_text("#place") == f"{column}, {row}"
        shown = visit.page.evaluate(f"inspect({row}, {column})")
        for name in ("mu", "omega"):
            np.testing.assert_array_equal(shown[name], report.maps[name][:, row // SCALE, column // SCALE])
            np.testing.assert_array_equal(
                shown[f"{name}_2"], report.maps[f"{name}_2"][:, row // SCALE, column // SCALE]
            )
        for name in ("defocus_size", "defocus_spread", "blur_radius"):
            expected = report.maps[name][0, row, column]
            assert shown[name] == [pytest.approx(expected, rel=1e-3, abs=1e-3)]
            written = Decimal(shown[name][0]).quantize(Decimal("0.01"), ROUND_HALF_UP)  # as JavaScript rounds
            assert f"{written} px" in visit.page.inner_text("#sizes")
        expected = mixture.kernel(copies, row, column, SCALE)
        np.testing.assert_allclose(np.reshape(shown["kernel"], expected.shape), expected, atol=1e-6)
        assert np.abs(expected).max() > 0.1
        assert visit.page.evaluate("[kernel.width, kernel.height]") == [drawn, drawn]
        assert f"of at most {len(expected)} × {len(expected)}" in visit.page.inner_text("#kernel-note")
        # The frequency response, against NumPy's.
        response = visit.page.evaluate(f"Array.from(response(partsAt({row}, {column})))")
        across = np.abs(
            np.exp(-2j * np.pi * np.outer(np.arange(33) / 64, np.arange(-reach, reach + 1))) @ expected.sum(0)
        )
        np.testing.assert_allclose(np.reshape(response, (65, 65))[32, 32:], across, atol=1e-6)
    assert visit.page.locator("#bars rect").count() == 56
    assert visit.page.locator(".atoms canvas").count() == 60
    visit.screenshot("hover")


IN_NODE = """
loading.then(() => process.stdout.write(JSON.stringify(process.argv.slice(2).map((place) => {
  const [row, column] = place.split(",").map(Number), parts = partsAt(row, column);
  const kernel = [...kernelAt(row, column)], gains = [...response(parts)];
  return { kernel, gains, sum: sumOf(parts), energy: energyOf(parts) };
}))));
"""


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_kernels_of_the_page(scales: int, tmp_path: Path) -> None:
    """The page's own code, without a browser: kernels are Python's, and what is said of them is true of all of them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node.js here")
    deblurrer = untrained("iniknet-fast")
    spec, kernels = deblurrer.backend.spec, deblurrer.backend.kernels()
    height, width, block = 2 ** (scales + 6) + 5, 2 ** (scales + 6) + 18, 2 if scales == 3 else 1
    photo = Photo(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))
    result = deblurrer.restore(photo, scales=scales, maps=True, maps_scale=block)
    html = tmp_path / "it.html"
    write_page(html, photo, result.photo, result.maps, spec, kernels, "it", {}, coarse=result.coarse)
    data, code = re.findall(r"<script[^>]*>(.*?)</script>", html.read_text(), re.DOTALL)[:2]
    (tmp_path / "it.js").write_text(
        f"const document = {{ getElementById: () => ({{ textContent: {json.dumps(data)} }}) }};"
    )
    with (tmp_path / "it.js").open("a") as file:
        file.write(code.replace('"use strict";', "") + IN_NODE)
    places = [(height // 2, width // 2), (height // 2 + 5, 31), (40, width // 2 - 3)]
    told = subprocess.run(
        [node, tmp_path / "it.js", *(f"{i},{j}" for i, j in places)], capture_output=True, text=True, check=True
    )
    mixture = Mixture.of(kernels)
    assert mixture
    reach = mixture.reach(4, scales)
    copies = [{n: m.astype(np.float16).astype(np.float32) for n, m in c.items()} for c in (result.maps, *result.coarse)]
    assert len(copies) == scales
    waves = np.exp(-2j * np.pi * np.outer(np.arange(-32, 33) / 64, np.arange(-reach, reach + 1)))
    for (row, column), found in zip(places, json.loads(told.stdout), strict=True):
        expected = mixture.kernel(copies, row, column, block)
        np.testing.assert_allclose(np.reshape(found["kernel"], expected.shape), expected, atol=1e-6)
        assert np.abs(expected).max() > 0.1
        assert found["sum"] == pytest.approx(expected.sum(), abs=1e-6)
        assert found["energy"] == pytest.approx((expected**2).sum(), abs=1e-6)
        gains = np.abs(waves @ expected @ waves.T)
        np.testing.assert_allclose(np.reshape(found["gains"], (65, 65)), gains, atol=1e-5)


def test_a_click_holds_the_pixel(visit: Visit) -> None:
    visit.page.mouse.click(*visit.at(100, 120))
    visit.page.mouse.move(*visit.at(200, 220))
    visit.settle()
    assert visit.page.inner_text("#place") == "120, 100"
    visit.page.mouse.click(*visit.at(200, 220))
    visit.settle()
    assert visit.page.inner_text("#place") == "220, 200"


def test_wheel_zooms_about_the_pointer_and_drag_pans(visit: Visit) -> None:
    place = visit.at(120, 250)
    visit.page.mouse.move(*place)
    before = visit.page.evaluate("view.scale")
    visit.page.mouse.wheel(0, -400)
    visit.settle()
    assert visit.page.evaluate("view.scale") > 1.5 * before
    assert visit.at(120, 250) == pytest.approx(place, abs=1.5)
    visit.page.mouse.down()
    visit.page.mouse.move(place[0] - 60, place[1] + 40, steps=4)
    visit.page.mouse.up()
    visit.settle()
    assert visit.at(120, 250) == pytest.approx((place[0] - 60, place[1] + 40), abs=8)
    visit.screenshot("zoomed")


def test_opens_at_one_to_one_where_most_changed(browser: Browser, tmp_path: Path) -> None:
    before = RNG.integers(60, 200, (1400, 2000, 3), dtype=np.uint8)
    after = before.copy()
    after[1000:1100, 1500:1600] += 50
    page_of(tmp_path / "it.html", Photo(before), Photo(after), start=Region(980, 1480, 140, 140))
    visit = Visit(browser, tmp_path / "it.html")
    assert visit.page.evaluate("[view.scale, view.x, view.y]") == [1, 1550, 1050]
    assert visit.page.inner_text("#place") == "1550, 1050"
    visit.context.close()


def test_held_down_the_photo_is_as_it_was(visit: Visit, report: Report) -> None:
    row, column = widely_changed(report)
    visit.split(0)
    after = visit.colour(row, column)
    visit.page.locator("#hold").hover()
    visit.page.mouse.down()
    visit.settle()
    before = visit.colour(row, column)
    assert np.abs(before - report.before.pixels[row, column]).max() < 24
    assert np.abs(before - after).sum() > 10
    visit.page.mouse.up()
    visit.settle()
    np.testing.assert_array_equal(visit.colour(row, column), after)
    visit.page.focus("#photo")
    visit.page.keyboard.down("b")
    visit.settle()
    np.testing.assert_array_equal(visit.colour(row, column), before)
    visit.page.keyboard.up("b")
    visit.settle()
    np.testing.assert_array_equal(visit.colour(row, column), after)


def test_amount_blends_and_is_saved(visit: Visit, report: Report, tmp_path: Path) -> None:
    row, column = widely_changed(report)
    seen = {}
    for value in (100, 50, 0):
        visit.page.evaluate(f"(() => {{ $('amount').value = {value}; $('amount').oninput(); }})()")
        visit.split(0)
        seen[value] = visit.colour(row, column).astype(float)
    np.testing.assert_allclose(seen[50], (seen[0] + seen[100]) / 2, atol=1.5)
    assert np.abs(seen[0] - report.before.pixels[row, column]).max() < 24
    visit.page.evaluate("(() => { $('amount').value = 50; $('amount').oninput(); })()")
    with visit.page.expect_download() as download:
        visit.page.click("#save")
    download.value.save_as(tmp_path / "saved.png")
    assert download.value.suggested_filename == "cat-deblurred-50.png"
    saved = deblurcli.read_photo(tmp_path / "saved.png")
    assert saved.pixels.shape == report.before.pixels.shape
    np.testing.assert_allclose(saved.pixels[row, column], seen[50], atol=2)
    assert "--amount 0.5" in visit.page.inner_text("#saved")


def test_blur_radius_is_first_in_the_menu(visit: Visit) -> None:
    names = visit.page.evaluate("[...$('overlay').options].map((o) => o.value)")
    assert names[:2] == ["", "blur_radius/0"]
    grouped = visit.page.evaluate("[...document.querySelectorAll('#overlay > optgroup')].map((g) => g.label)")
    assert len(grouped) == 2 * SCALES and all(g.startswith(("μ", "ω")) for g in grouped)


def test_overlay_has_the_maps_colours(visit: Visit, report: Report) -> None:
    from matplotlib import colormaps

    visit.page.select_option("#overlay", "blur_radius/0")
    visit.page.evaluate("(() => { $('opacity').value = 100; redraw(); })()")
    visit.settle()
    row, column = 60, 70
    share = min(float(report.maps["blur_radius"][0, row, column]) / 16, 1)
    np.testing.assert_allclose(visit.colour(row, column) / 255, colormaps["magma"](share)[:3], atol=0.04)
    assert "16.0 px" in visit.page.inner_text("#ticks")
    assert "Radius" in visit.page.inner_text("#meaning")
    visit.screenshot("overlay")
    for option in visit.page.locator("#overlay option").all():
        visit.page.select_option("#overlay", option.get_attribute("value"))


def test_keyboard(visit: Visit) -> None:
    visit.page.focus("#photo")
    column, row = map(int, visit.page.inner_text("#place").split(", "))
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowUp"):
        visit.page.keyboard.press(key)
    visit.settle()
    assert visit.page.inner_text("#place") == f"{column + 2}, {row - 9}"
    before = visit.page.evaluate("view.scale")
    visit.page.keyboard.press("+")
    visit.page.keyboard.press("[")
    assert visit.page.evaluate("view.scale") == pytest.approx(1.5 * before)
    assert visit.page.input_value("#split") == "480"
    reached = set()
    for _ in range(13):
        visit.page.keyboard.press("Tab")
        reached.add(visit.page.evaluate("document.activeElement.id || document.activeElement.dataset.zoom"))
    assert {"split", "overlay", "opacity", "in", "out", "fit", "one", "amount", "hold", "save"} <= reached
    visit.page.focus("#split")
    visit.page.keyboard.press("ArrowRight")
    assert visit.page.input_value("#split") == "481"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(browser: Browser, report: Report, scheme: Any) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    visit = Visit(browser, report.html, color_scheme=scheme, **phone)
    x, y = visit.at(80, 90)
    visit.page.touchscreen.tap(x, y)
    visit.settle()
    column, row = map(int, visit.page.inner_text("#place").split(", "))
    assert abs(row - 80) <= 1 and abs(column - 90) <= 1
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    for end in (0, 1000):  # the handle stays where fingers reach it
        visit.split(end)
        box = visit.page.locator("#split").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    back = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", back))) < 80) == (scheme == "dark")
    visit.screenshot(f"phone-{scheme}")
    assert visit.complaints == []
    visit.context.close()


def page_of(path: Path, before: Photo, after: Photo, **more: Any) -> None:
    """A page of the tiny network's, with maps that are all zero."""
    spec = network_spec("tiny")
    height, width = before.pixels.shape[:2]
    maps = {m.name: np.zeros((m.channels, height, width), np.float32) for m in spec.maps}
    kernels = {"atoms_3": np.zeros((2, 3, 3), np.float32), "atoms_5": np.zeros((2, 5, 5), np.float32)}
    write_page(path, before, after, maps, spec, kernels, "</script><b>odd & name", {"a": "<b>"}, **more)


def test_large_photos_stay_sharp(browser: Browser, tmp_path: Path) -> None:
    """Finer than what an overview could show: lines of one pixel, far from the corner, in a photo of several tiles."""
    lines = np.zeros((1500, 2600, 3), np.uint8)
    lines[::2] = 255
    page_of(tmp_path / "large.html", Photo(lines), Photo(255 - lines))
    visit = Visit(browser, tmp_path / "large.html")
    visit.page.evaluate("(() => { view.x = 2200; view.y = 1200; })()")
    visit.page.click("[data-zoom=one]")
    for value, white in ((1000, 0), (0, 1)):
        visit.split(value)
        visit.settle()
        rows = [visit.colour(1210 + row, 2300).mean() for row in range(6)]
        assert min(rows[white::2]) > 200 and max(rows[1 - white :: 2]) < 55
    assert visit.page.inner_text("h1") == "</script><b>odd & name"
    assert visit.complaints == []
    visit.context.close()


def test_pages_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Photo(RNG.integers(0, 256, (700, 900, 3), dtype=np.uint8))
    sizes = []
    for limit in (50_000_000, 1_200_000):
        monkeypatch.setattr(page_module, "LARGEST_PAGE", limit)
        page_of(tmp_path / "noise.html", noise, noise)
        sizes.append((tmp_path / "noise.html").stat().st_size)
    assert sizes[0] > 1_200_000 > sizes[1]


@pytest.mark.parametrize("name", ["iniknet", "ggkmnet", "gkmnet", "p2ikt", "kpac-2"])
def test_other_networks_show_what_they_have(browser: Browser, name: str, tmp_path: Path) -> None:
    deblurrer = untrained(name)
    spec = deblurrer.backend.spec
    photo = Photo(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    result = deblurrer.restore(photo, maps=True)
    write_page(tmp_path / "it.html", photo, result.photo, result.maps, spec, deblurrer.backend.kernels(), "it", {})
    visit = Visit(browser, tmp_path / "it.html")
    shown = visit.page.evaluate("inspect(20, 30)")
    for m in spec.maps:
        if not m.per_photo:
            np.testing.assert_allclose(shown[m.name], result.maps[m.name][:, 20, 30], rtol=1e-3, atol=1e-6)
    bars = sum(m.channels for m in spec.maps if m.channels > 1 and m.name != "kernel")
    drawn = sum(len(kernel) for kernel in deblurrer.backend.kernels().values() if kernel.ndim == 3)
    assert visit.page.locator(".atoms figure").count() == drawn + (6 if name == "p2ikt" else 0)
    assert visit.page.locator("rect").count() == bars
    assert visit.page.locator("#kernels").is_visible() == (name == "iniknet")
    visit.screenshot(name)
    assert visit.complaints == []
    visit.context.close()


def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "photo.png"
    deblurcli.write_photo(photo, Photo(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)))
    assert deblur("inspect", photo, "-o", tmp_path / "out.png", "-m", "tiny") == 2
    assert ".html" in capsys.readouterr().err
    (tmp_path / "there.html").write_text("mine")
    assert deblur("inspect", photo, "-o", tmp_path / "there.html", "-m", "tiny") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "there.html").read_text() == "mine"
    assert deblur("inspect", tmp_path / "gone.png", "-m", "tiny") == 1
    assert "gone.png" in capsys.readouterr().err
