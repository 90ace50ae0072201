"""The contact sheet of ``--compare``: what is on it, that it outlives interruptions, and how it looks in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browsing import Visit, browser

import deblurcli
from deblurcli.cli import main
from deblurcli.look.sheet import CROP, MARK, Sheet, look_at
from deblurcli.photo.photo import Photo

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture
RNG = np.random.default_rng(0)
NOISE = Photo(RNG.integers(0, 256, (700, 900, 3), dtype=np.uint8))


def deblur(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(a) for a in arguments])
    return int(exit.value.code or 0)


def shown(page: Path) -> dict[str, str]:
    """Photos on the page, by the names of their results."""
    lines = (line for line in page.read_text().splitlines() if line.startswith("<article"))
    return {found[1]: line for line in lines if (found := re.search('data-output="([^"]*)"', line))}


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = tmp_path / "shots"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "b & <c>.png", "sub/d.png"):
        deblurcli.write_photo(folder / name, Photo(RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)))
    (folder / "bad.jpg").write_text("no photo")
    return folder


def test_all_photos_of_a_run_are_on_it(shots: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert deblur(shots, "-o", out, "-m", "tiny", "--recursive", "--compare", "--jobs", 2) == 3
    photos = shown(out / "index.html")
    assert photos.keys() == {"a.png", "b &amp; &lt;c&gt;.png", "sub/d.png", "bad.jpg"}
    assert 'href="b%20%26%20%3Cc%3E.png"' in photos["b &amp; &lt;c&gt;.png"]
    assert "is not a photo" in photos["bad.jpg"] and 'class="failed"' in photos["bad.jpg"]


def test_it_grows_from_run_to_run(shots: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    how = ("-o", out, "-m", "tiny", "--compare", "--skip-existing")
    assert deblur(shots / "a.png", shots / "bad.jpg", *how) == 3
    first = shown(out / "index.html")
    with (out / "index.html").open("ab") as page:  # a run that was killed
        page.write(b'\n<article class="" data-output="b')
    deblurcli.write_photo(shots / "bad.jpg", NOISE)
    assert deblur(shots, *how) == 0
    second = shown(out / "index.html")
    assert second.keys() == {"a.png", "b &amp; &lt;c&gt;.png", "bad.jpg"}
    assert second["a.png"] == first["a.png"]
    assert "is not a photo" not in second["bad.jpg"]
    (out / "a.png").unlink()
    assert (
        deblur(shots / "bad.jpg", "-o", f"{out}/", "-m", "tiny", f"--compare={out / 'index.html'}", "--overwrite") == 0
    )
    assert shown(out / "index.html").keys() == {"b &amp; &lt;c&gt;.png", "bad.jpg"}


def test_photos_are_there_as_soon_as_they_are_done(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path / "it" / "index.html", [], overwrite=False)
    row = {"input": "in/a.png", "output": str(tmp_path / "it" / "a.png"), "width": 900, "height": 700}
    assert MARK in sheet.path.read_text() and not shown(sheet.path)
    sheet.add(row, look_at(NOISE, NOISE))
    assert shown(sheet.path).keys() == {"a.png"}


def test_pages_of_others_are_left_alone(shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("mine")
    assert deblur(shots, "-o", out, "-m", "tiny", "--compare") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "index.html").read_text() == "mine" and list(out.iterdir()) == [out / "index.html"]
    assert deblur(shots / "a.png", "-o", f"{out}/", "-m", "tiny", f"--compare={tmp_path / 'other.html'}") == 0
    assert 'href="out/a.png"' in (tmp_path / "other.html").read_text()


def test_two_thousand_photos_stay_below_a_hundred_megabytes(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path / "index.html", [], overwrite=False)
    before = sheet.path.stat().st_size
    row = {
        "input": "a.png",
        "output": str(tmp_path / "a.png"),
        "width": 900,
        "height": 700,
        "warnings": ["w" * 300] * 3,
    }
    sheet.add(row, look_at(NOISE, Photo(255 - NOISE.pixels)))  # nothing is harder to compress
    assert before + 2000 * (sheet.path.stat().st_size - before) < 100_000_000


# ---- in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty photos: dark ones that became light in the middle, the last with a remark, a warning and an error."""
    folder = tmp_path_factory.mktemp("sheet")
    sheet = Sheet(folder / "index.html", [], overwrite=False)
    before = np.full((600, 800, 3), 40, np.uint8)
    after = before.copy()
    after[150:450, 200:600] = 200
    look = look_at(Photo(before), Photo(after))
    for number in range(30):
        row = {"input": f"{number}.png", "output": str(folder / f"{number}.png"), "width": 800, "height": 600}
        row |= {27: {"remark": "hardly changed"}, 28: {"warnings": ["odd"]}, 29: {"error": "29.png: bad"}}.get(
            number, {}
        )
        sheet.add(row, None if "error" in row else look)
    return sheet.path


@pytest.fixture
def visit(browser: Browser, page: Path) -> Iterator[Visit]:
    visit = Visit(browser, page)
    yield visit
    assert visit.complaints == []
    # Pictures lie in the page; nothing comes from elsewhere.
    assert [url for url in visit.requests if not url.startswith("data:")] == [page.as_uri()]
    visit.context.close()


def colours(visit: Visit, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What is seen of the first photo, well left and well right of its middle."""
    visit.settle()
    visit.page.locator(".stage").first.screenshot(path=path)
    seen = deblurcli.read_photo(path).pixels
    return seen[CROP[0] // 2, CROP[1] // 4], seen[CROP[0] // 2, CROP[1] * 3 // 4]


def test_slider_and_hold(visit: Visit, tmp_path: Path) -> None:
    def look() -> list[float]:
        return [round(float(colour.mean()), -1) for colour in colours(visit, tmp_path / "it.png")]

    assert look() == pytest.approx([40, 200], abs=10)
    slider = visit.page.locator(".stage .split").first
    slider.fill("1000")
    assert look() == pytest.approx([40, 40], abs=10)
    slider.fill("0")
    assert look() == pytest.approx([200, 200], abs=10)
    visit.page.locator(".stage").first.hover(position={"x": 100, "y": 100})
    visit.page.mouse.down()
    assert look() == pytest.approx([40, 40], abs=10)
    visit.page.mouse.up()
    assert look() == pytest.approx([200, 200], abs=10)
    visit.screenshot("sheet")


def test_only_what_is_near_is_loaded(visit: Visit) -> None:
    loaded = "[...document.querySelectorAll('article')].map((photo) => photo.querySelectorAll('img').length)"
    first = visit.page.evaluate(loaded)
    assert first[0] == 3 and first[25] == 0
    visit.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    visit.settle()
    last = visit.page.evaluate(loaded)
    assert last[0] == 0 and last[28] == 3


def test_photos_can_be_chosen(visit: Visit) -> None:
    assert visit.page.inner_text("#count") == "30 photos · 1 failed · 1 with a warning · 1 hardly changed"
    for kind, name in (("failed", "29.png"), ("warned", "28.png"), ("remarked", "27.png")):
        visit.page.select_option("#show", kind)
        # What is off the screen is not laid out at once, and has no inner text until then.
        assert visit.page.locator("article:visible h2").all_text_contents() == [name]
    visit.page.select_option("#show", "")
    assert visit.page.locator("article:visible").count() == 30


def test_phone(browser: Browser, page: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    visit = Visit(browser, page, **phone)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.screenshot("sheet-phone")
    assert visit.complaints == []
    visit.context.close()
