"""Suites say what they should about networks and pictures we know."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deblurcli.arrays import Picture
from deblurcli.cli.evaluate import SUITES as NAMES
from deblurcli.errors import DeblurError, UsageError
from deblurcli.evaluation import edge, maps, photos, synthetic, text, wide
from deblurcli.evaluation.baselines import richardson_lucy, unsharp, wiener
from deblurcli.evaluation.bench import MARGIN, Bench, Blurred, blur_evenly, defocus
from deblurcli.evaluation.drawn import FONTS, dead_leaves, drawn_pictures, page
from deblurcli.evaluation.metrics import psnr
from deblurcli.evaluation.results import results_tables, write_report
from deblurcli.evaluation.rows import Row, Values, gain_summary, means
from deblurcli.evaluation.sheet import choose, detail, write_sheet
from deblurcli.evaluation.suites import SUITES, Report, run_suites
from deblurcli.evaluation.timing import Case, markdown, measure
from deblurcli.evaluation.validation import CROP, LENSES, validation_cases
from deblurcli.evaluation.validation import MARGIN as VALIDATION_MARGIN
from deblurcli.loading import load
from deblurcli.synthesis.psf import Lens

ROOT = Path(__file__).parents[1]
LEAVES = dead_leaves(7)


class Idle(Bench):
    """A bench whose network leaves pictures as they are."""

    def restore(self, picture: Picture, tile: object = "auto", keep_bokeh: object = "off") -> Picture:
        return picture


@pytest.fixture(scope="module")
def sharp_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    codes = (LEAVES * 255).round().astype(np.uint8)
    Image.fromarray(codes).save(folder / "a.png")
    Image.fromarray(codes[::-1].transpose(1, 0, 2)).save(folder / "b.png")
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs whose photo is blurred in its right half only."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, seed in (("x_1", 1), ("x_2", 2), ("y_1", 3)):
        case = blurred(dead_leaves(seed)[:200, :300], 3.0)
        half = case.sharp.copy()
        half[:, half.shape[1] // 2 :] = case.blurred[:, half.shape[1] // 2 :]
        for kind, picture in (("sharp", case.sharp), ("blur", half)):
            Image.fromarray((picture * 255).round().astype(np.uint8)).save(folder / f"{name}_{kind}.png")
    return folder


@pytest.fixture
def tiny() -> Bench:
    return Bench(load("tiny", device="cpu"))


def blurred(picture: Picture, radius: float, noise: float = 0.0) -> Blurred:
    return defocus(picture, radius, Lens.discs(1), noise, torch.Generator().manual_seed(0))


# ---- what is measured ---------------------------------------------------------------------------------------------


def test_validation_is_the_same_every_time(sharp_photos: Path) -> None:
    one, other = validation_cases(sharp_photos), validation_cases(sharp_photos)
    assert len(one) == 14
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.blurred, b.blurred)
    in_focus = [case for case in one if case.radius == 0]
    assert all(psnr(case.blurred, case.sharp) > 60 for case in in_focus)
    blurrier = [psnr(case.blurred, case.sharp) for case in one if case.name == "a" and case.radius >= 1]
    assert blurrier == sorted(blurrier, reverse=True)


@pytest.mark.parametrize(("height", "width"), [(512, 768), (768, 512), (3000, 4000)])
def test_tests_look_where_validation_does_not(height: int, width: int) -> None:
    seen = np.zeros((height, width), int)
    for seed in range(40):
        place = synthetic.away_from_the_middle(height, width, torch.Generator().manual_seed(seed))
        assert place is not None
        assert seen[place].shape == (synthetic.SIDE + 2 * MARGIN,) * 2
        seen[place] += 1
    top, left = ((side - CROP) // 2 - VALIDATION_MARGIN for side in (height, width))
    side = CROP + 2 * VALIDATION_MARGIN
    assert seen[top : top + side, left : left + side].sum() == 0
    ends = (seen[:, : width // 2], seen[:, width // 2 :]) if width > height else np.split(seen, 2)
    assert all(end.any() for end in ends)


def test_small_photos_have_no_part_for_tests(tmp_path: Path, tiny: Bench) -> None:
    assert synthetic.away_from_the_middle(512, 767, torch.Generator()) is None
    Image.new("RGB", (400, 300)).save(tmp_path / "small.png")
    with pytest.raises(UsageError, match="no photo is large enough"):
        run_suites(("synthetic",), Bench(tiny.deblurrer, tmp_path))


def test_cases_are_the_same_every_time_and_differ_in_noise_alone(sharp_photos: Path, tiny: Bench) -> None:
    bench = Bench(tiny.deblurrer, sharp_photos)
    settings = [(2.0, 1.5), (2.0, 4.0)]
    (*_, one), (*_, louder), *_ = synthetic.cases(bench, settings)
    (*_, again), *_ = synthetic.cases(bench, settings)
    (*_, other), *_ = synthetic.cases(bench, settings, draw=1)
    np.testing.assert_array_equal(one.blurred, again.blurred)
    np.testing.assert_array_equal(one.sharp, louder.sharp)
    np.testing.assert_array_equal(one.kernel, other.kernel)
    assert (one.blurred - other.blurred).std() * 255 == pytest.approx(1.5 * 2**0.5, rel=0.1)


def test_drawn_pictures_are_large_enough_and_always_the_same() -> None:
    one, other = drawn_pictures(), drawn_pictures()
    assert len({name for name, _ in one}) == 4
    for (_, a), (_, b) in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert synthetic.away_from_the_middle(a.shape[0], a.shape[1], torch.Generator()) is not None
        assert a.min() >= 0 and a.max() <= 1 and a.std() > 0.1


def test_what_is_out_of_focus_is_found() -> None:
    case = blurred(LEAVES[:200, :300], 3.0, noise=1.0)
    half = case.sharp.copy()
    half[:, half.shape[1] // 2 :] = case.blurred[:, half.shape[1] // 2 :]
    mask = photos.out_of_focus(half, case.sharp)
    edges = np.hypot(*np.gradient(case.sharp.mean(axis=2))) > 0.1
    middle = half.shape[1] // 2
    # A window's width away from where sharp and blurred meet.
    assert mask[:, middle + 12 :][edges[:, middle + 12 :]].mean() > 0.95
    assert mask[:, : middle - 12].mean() == 0
    assert not photos.out_of_focus(case.sharp, case.sharp).any()


# ---- wide blur ----------------------------------------------------------------------------------------------------


@pytest.fixture
def many_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For small mosaics: photos as large as a part, upright, too small, as large as a mosaic, larger than a part."""
    monkeypatch.setattr(wide, "PART", (60, 80))
    monkeypatch.setattr(wide, "GRID", (2, 2))
    monkeypatch.setattr(wide, "REACH", 10)
    monkeypatch.setattr(wide, "RADII", (2.0, 4.0))
    folder = tmp_path / "photos"
    folder.mkdir()
    codes = (LEAVES * 255).round().astype(np.uint8)
    sizes = {"a": (60, 80), "b": (80, 60), "c": (59, 200), "d": (120, 160), "e": (64, 90)}
    for number, (name, (height, width)) in enumerate(sizes.items()):
        top = 70 * number
        Image.fromarray(codes[top : top + height, top : top + width]).save(folder / f"{name}.png")
    return folder


def test_small_photos_become_one_large_picture(many_photos: Path, tiny: Bench) -> None:
    bench = Bench(tiny.deblurrer, many_photos)
    sharp = dict(bench.sharp_pictures())
    alone, together = wide.mosaics(bench)
    assert (alone.name, together.name) == ("d", "a, b, e")
    np.testing.assert_array_equal(alone.picture, sharp["d"])
    parts = {"a": sharp["a"], "b": np.rot90(sharp["b"]), "e": sharp["e"][2:62, 5:85]}
    for name, place in together.photos:
        np.testing.assert_array_equal(together.picture[place], parts[name][10:-10, 10:-10])
    assert together.picture.shape == (120, 160, 3)
    np.testing.assert_array_equal(together.picture[60:, 80:], sharp["a"][:, ::-1])


def test_wide_blur(many_photos: Path, tiny: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    restored: list[tuple[int, ...]] = []

    class Watched(Idle):
        def restore(self, picture: Picture, tile: object = "auto", keep_bokeh: object = "off") -> Picture:
            restored.append(picture.shape)
            return picture

    bench = Watched(tiny.deblurrer, many_photos, baselines=True)
    report = run_suites(("wide",), bench)
    assert restored == [(120, 160, 3)] * 4  # whole pictures
    rows = [(r.labels["photo"], r.labels["radius"]) for r in report.rows["wide"]]
    assert rows == [("d", 2), ("d", 4), *((name, radius) for radius in (2, 4) for name in "abe")]
    summary = report.summaries()["wide"]
    assert {"gain", "±", "worst", "made worse", "psnr", "gain R=2", "gain R=4"} <= summary.keys()
    assert summary["gain R=2"]["deblur"] == 0 and list(summary["gain"]) == ["input", "deblur", "unsharp"]
    assert all(r.values["psnr"]["input"] < 40 for r in report.rows["wide"])
    monkeypatch.setattr(wide, "MOST", 1)
    again = run_suites(("wide",), bench).rows["wide"]
    assert again == report.rows["wide"][:2]

    for name in "abde":
        (many_photos / f"{name}.png").unlink()
    with pytest.raises(UsageError, match=r"'wide' cannot run: .* has no photo of 80 × 60 px or more"):
        run_suites(("wide",), bench)


def test_nothing_blurs_into_a_photo_from_beside_it(monkeypatch: pytest.MonkeyPatch, tiny: Bench) -> None:
    monkeypatch.setattr(wide, "PART", (200, 240))
    monkeypatch.setattr(wide, "GRID", (1, 2))

    def seen(beside: float, lens: Lens) -> Picture:
        pictures = [("photo", LEAVES[:200, :240]), ("beside", np.full((200, 240, 3), beside, np.float32))]
        monkeypatch.setattr(Bench, "sharp_pictures", lambda bench: iter(pictures))
        (mosaic,) = wide.mosaics(tiny)
        (_, place), _ = mosaic.photos
        blurred = blur_evenly(mosaic.picture, max(wide.RADII), lens, 0.0, torch.Generator())
        assert blurred.shape == mosaic.picture.shape == (200, 480, 3)
        return blurred[place]

    for seed in range(8):  # lenses of all kinds
        lens = LENSES.draw(1, torch.Generator().manual_seed(seed))
        beside_black, beside_white = (seen(level, lens) for level in (0.0, 1.0))
        assert np.abs(beside_black - beside_white).max() <= 1.01 / 255
        assert beside_black.std() > 0.01


def test_a_tilted_plane_goes_from_sharp_to_soft() -> None:
    blurred, radius = maps.tilted(LEAVES, torch.Generator().manual_seed(0))
    assert (radius.min(), radius.max()) == pytest.approx(maps.PLANE)
    steps = [np.diff(radius, axis=axis) for axis in (0, 1)]
    assert all(step.min() == pytest.approx(step.max(), abs=1e-3) for step in steps)
    gradient = np.hypot(*np.gradient(blurred.mean(axis=2)))
    bands = [gradient[(low < radius) & (radius < high)].mean() for low, high in ((1, 6), (6, 15), (15, 40))]
    assert bands == sorted(bands, reverse=True) and bands[0] > 2 * bands[2]


def test_planes_are_summed_up_by_themselves() -> None:
    def made(kind: str, truth: np.ndarray, **labels: object) -> Row:
        pixels = np.stack([truth, 1 + 2 * truth])
        values = {"Spearman": {"defocus_size": 1.0}, "median": {"defocus_size": float(np.median(pixels[1]))}}
        return Row({"photo": "a", "kind": kind, **labels}, values, pixels=pixels)

    usual = [made("even", np.full(9, radius), radius=radius) for radius in (1.0, 4.0)]
    usual.append(made("scene", np.arange(1.0, 9)))
    plane = made("plane", np.linspace(*maps.PLANE, 500))
    before, after = maps.maps_summary(usual), maps.maps_summary([*usual, plane])
    assert {measure: after[measure] for measure in before} == before
    assert after["Spearman within a plane, 1 to 40 px"] == {"defocus_size": 1.0}
    for radius in maps.WIDE_RADII:
        assert after[f"median on planes R={radius:g}"]["defocus_size"] == pytest.approx(1 + 2 * radius, rel=0.02)
    assert after["error on planes, px"]["defocus_size"] == pytest.approx(0, abs=1e-6)


# ---- edges --------------------------------------------------------------------------------------------------------


def test_mtf50_of_a_disc() -> None:
    # The MTF of a disc of radius R is 2·J₁(x)/x with x = 2πRf; it is a half at x = 2.2150.
    for radius in (3.0, 5.0):
        picture = edge.slanted_edge(0.3, 0.7, edge.SIDE + 2 * MARGIN)
        assert edge.mtf50(blurred(picture, radius).blurred) == pytest.approx(2.215 / (2 * np.pi * radius), rel=0.04)


def test_mtf50_of_a_sharp_edge() -> None:
    # A pixel's own aperture, the box that also softens the drawn edge, and binning into quarters of a pixel.
    assert 0.5 < edge.mtf50(edge.slanted_edge(0.1, 0.9, edge.SIDE)) < 0.62


@pytest.mark.parametrize("extra", [0.0, 0.06])
def test_overshoot(extra: float) -> None:
    picture = edge.slanted_edge(0.3, 0.7, edge.SIDE)
    distance = edge.distances(edge.SIDE)
    picture[(distance > 1) & (distance < 3)] += np.float32(extra)
    assert edge.overshoot(picture, 0.3, 0.7) == pytest.approx(extra / 0.4 * 100, abs=1e-3)


# ---- text ---------------------------------------------------------------------------------------------------------


def test_edits() -> None:
    assert text.edits("kitten", "sitting") == 3
    assert text.edits("", "abc") == text.edits("abc", "") == 3
    assert text.edits("same", "same") == 0


def test_accuracy() -> None:
    assert text.accuracy("a  b\nc ", "a b c") == 1
    assert text.accuracy("abxd", "abcd") == 0.75
    assert text.accuracy("something else, much longer", "ab") == 0


def test_legible_radius() -> None:
    assert text.legible_radius({0.0: 1.0, 2.0: 0.9, 4.0: 0.5}) == pytest.approx(3.0)
    assert text.legible_radius({0.0: 1.0, 2.0: 0.9}) == 2.0
    assert text.legible_radius({0.0: 0.2, 2.0: 0.1}) == 0.0


@pytest.mark.skipif(not shutil.which("tesseract"), reason="tesseract is not installed")
def test_print_is_read_until_it_is_blurred() -> None:
    picture, truth = page(FONTS[0], rows=3)
    picture = np.pad(picture, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    sharp, soft = (text.accuracy(text.read(blurred(picture, radius).blurred), truth) for radius in (0.0, 8.0))
    assert sharp > 0.98
    assert soft < 0.6


# ---- baselines ----------------------------------------------------------------------------------------------------


def test_oracles_undo_blur() -> None:
    case = blurred(LEAVES[:200, :300], 2.0, noise=0.5)
    before = psnr(case.blurred, case.sharp)
    assert psnr(richardson_lucy(case), case.sharp) > before + 3
    assert psnr(wiener(case), case.sharp) > before + 3


def test_unsharp_masking_makes_edges_steeper() -> None:
    case = blurred(LEAVES[:200, :300], 1.0)
    steepness = [np.abs(np.diff(picture, axis=1)).max() for picture in (case.blurred, unsharp(case.blurred))]
    assert steepness[1] > 1.2 * steepness[0]


# ---- suites and what they sum up to -------------------------------------------------------------------------------


def row(photo: str, gain: float, **labels: object) -> Row:
    return Row({"photo": photo, **labels}, {"psnr": {"input": 20.0, "deblur": 20.0 + gain}})


def test_gain_summary() -> None:
    rows = [row("a", 1.0), row("b", 2.0), row("c", -0.5), row("d", 1.5)]
    summary = gain_summary(rows)
    assert summary["gain"] == {"input": 0.0, "deblur": 1.0}
    assert summary["worst"] == {"deblur": -0.5}
    assert summary["made worse"] == {"deblur": 0.25}
    assert 0.5 < summary["±"]["deblur"] < 1.3  # 1.96 standard errors are 1.1 here
    assert gain_summary([]) == means([], "psnr") == {}


def test_rows_of_one_photo_are_no_independent_evidence() -> None:
    once = [row("a", 1.0), row("b", 2.0), row("c", -0.5)]
    assert gain_summary(once * 20)["±"] == gain_summary(once)["±"]


def test_a_network_that_does_nothing(sharp_photos: Path, pairs: Path, tiny: Bench, tmp_path: Path) -> None:
    bench = Idle(tiny.deblurrer, sharp_photos, pairs)
    report = run_suites(("synthetic", "real", "sharp", "noise", "edge"), bench)
    summaries = report.summaries()
    assert len(report.rows["synthetic"]) == 2 * 16
    assert summaries["synthetic"]["gain"] == {"input": 0.0, "deblur": 0.0}
    assert {f"gain R={radius:g}" for radius in synthetic.RADII} <= summaries["synthetic"].keys()
    assert {"gain noise=0.5", "gain noise=1.5", "gain noise=4"} <= summaries["synthetic"].keys()
    assert [r.labels["group"] for r in report.rows["real"]] == ["x", "x", "y"]
    assert summaries["real"]["psnr"]["input"] == summaries["real"]["psnr"]["deblur"]
    in_focus = [r.values["psnr in focus"]["input"] for r in report.rows["real"]]
    assert min(in_focus) > max(r.values["psnr out of focus"]["input"] for r in report.rows["real"]) + 5
    assert summaries["sharp"]["psnr"]["deblur"] == summaries["sharp"]["again"]["deblur"] == 99
    assert summaries["noise"]["noise gain, flat, noise=5"]["deblur"] == pytest.approx(1)
    assert summaries["noise"]["noise gain, textured, noise=5"]["deblur"] == pytest.approx(1)
    soft = [summaries["edge"][f"MTF50 high contrast R={radius:g}"]["input"] for radius in edge.RADII]
    assert soft == sorted(soft, reverse=True)

    write_sheet(tmp_path / "sheet.png", report.rows)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > sheet.width
    with pytest.raises(UsageError, match="nothing to show"):
        write_sheet(tmp_path / "none.png", {"edge": report.rows["edge"]})


def pair_row(photo: str, group: str, gain: float, out_of_focus: float | None = None) -> Row:
    values = {"psnr": gain} | ({} if out_of_focus is None else {"psnr out of focus": out_of_focus})
    return Row({"photo": photo, "group": group}, {m: {"input": 20.0, "deblur": 20 + v} for m, v in values.items()})


PAIRS = [pair_row("a", "lytro", 1, 3), pair_row("b", "lytro", -1), pair_row("c", "pixel4", 2), pair_row("d", "tsai", 4)]


def test_groups_of_pairs_are_summed_up_each() -> None:
    summary = photos.real_summary(PAIRS)
    deblur = {measure: values["deblur"] for measure, values in summary.items()}
    assert (deblur["gain"], deblur["gain lytro"], deblur["gain pixel4"], deblur["gain tsai"]) == (1.5, 0, 2, 4)
    assert (deblur["worst lytro"], deblur["made worse lytro"], deblur["worst pixel4"]) == (-1, 0.5, 2)
    assert deblur["gain out of focus"] == deblur["gain out of focus lytro"] == 3
    assert "gain out of focus pixel4" not in summary
    assert "gain lytro" not in photos.real_summary(PAIRS[:2])


def test_baselines_stand_beside_the_network(sharp_photos: Path, tiny: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "RADII", (2.0,))
    monkeypatch.setattr(synthetic, "OTHER_NOISE", ())
    report = run_suites(("synthetic",), Idle(tiny.deblurrer, sharp_photos, baselines=True))
    gain = report.summaries()["synthetic"]["gain R=2"]
    assert list(gain) == ["input", "deblur", "unsharp", "RL oracle", "Wiener oracle"]
    assert gain["RL oracle"] > 1 and gain["Wiener oracle"] > 1


def test_seams(tiny: Bench, sharp_photos: Path) -> None:
    seams = run_suites(("seams",), Bench(tiny.deblurrer, sharp_photos)).summaries()["seams"]
    assert 0 <= seams["mean"]["deblur"] <= seams["largest"]["deblur"] < 1


def test_all_that_can_run_and_what_cannot(tiny: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def fake(name: str) -> Callable[[Bench], Iterator[Row]]:
        return lambda bench: iter(ran.append(name) or [])

    for name, suite in SUITES.items():
        monkeypatch.setitem(SUITES, name, replace(suite, rows=fake(name)))
    monkeypatch.setattr(shutil, "which", lambda program: None)
    report = run_suites(("all",), tiny)
    assert ran == ["synthetic", "wide", "sharp", "noise", "edge", "maps", "seams"]
    assert list(report.rows) == [
        "synthetic (drawn)",
        "wide (drawn)",
        "sharp (drawn)",
        "noise (drawn)",
        "edge",
        "maps (drawn)",
        "seams (drawn)",
    ]
    assert "--pairs" in report.skipped["real"]
    assert "tesseract" in report.skipped["text"]
    for name in ("real", "text"):
        with pytest.raises(UsageError, match=f"'{name}' cannot run"):
            run_suites((name,), tiny)


def test_wrong_usage(tiny: Bench, tmp_path: Path) -> None:
    assert tuple(SUITES) == NAMES
    with pytest.raises(UsageError, match="no suite is called 'nonsense'"):
        run_suites(("nonsense",), tiny)
    with pytest.raises(UsageError, match="no such folder"):
        Bench(tiny.deblurrer, pairs=tmp_path / "missing")
    with pytest.raises(UsageError, match="no photos here"):
        Bench(tiny.deblurrer, photos=tmp_path)
    with pytest.raises(UsageError, match="no pairs here"):
        run_suites(("real",), Bench(tiny.deblurrer, pairs=tmp_path))


# ---- files --------------------------------------------------------------------------------------------------------


def test_a_sheet_shows_worst_median_and_best() -> None:
    chosen = choose([row(str(n), n / 10) for n in range(40)])
    assert [(word, r.labels["photo"]) for word, r in chosen] == [
        *(("worst", n) for n in "012"),
        *(("median", n) for n in ("18", "19", "20")),
        *(("best", n) for n in ("37", "38", "39")),
    ]
    assert [r.labels["photo"] for _, r in choose([row("b", 1.0), row("a", -1.0)])] == ["a", "b"]


def test_a_sheet_shows_where_blur_is() -> None:
    sharp, soft = np.zeros((2, 300, 400, 3), np.float32)
    sharp[200:220, 300:320] = 1
    shown = detail(soft, soft, sharp)
    assert shown.reference.sum() == sharp.sum()
    assert not np.shares_memory(shown.reference, sharp)
    assert shown.reference.shape == (160, 160, 3)


def test_report_file(tmp_path: Path) -> None:
    report = Report({"synthetic (drawn)": [row("a", 1 / 3, radius=2.0, noise=1.5)]}, {"real": "no folder"})
    write_report(
        tmp_path / "r.json", "deblur evaluate", "a network", report, {"photos": Path("/x/valid"), "pairs": None}
    )
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["command"] == "deblur evaluate"
    assert {"processor", "torch", "scikit-image", "commit"} <= content["environment"].keys()
    assert (content["photos"], content["pairs"], content["skipped"]) == ("valid", None, {"real": "no folder"})
    suite = content["suites"]["synthetic (drawn)"]
    assert suite["summary"]["gain"] == {"input": 0.0, "deblur": 0.3333}
    assert suite["rows"] == [
        {"photo": "a", "radius": 2.0, "noise": 1.5, "psnr": {"input": 20.0, "deblur": 20.3333}},
    ]


def test_the_tables_tell_of_what_was_measured(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results", tmp_path, dirs_exist_ok=True)
    # What the project's own results hold is tested with the README; here it makes room.
    for path in tmp_path.glob("*.json"):
        content = json.loads(path.read_text())
        for name in ("edge", "noise", "text"):
            content.get("suites", {}).pop(name, None)
        path.write_text(json.dumps(content))
    before = results_tables(tmp_path).splitlines()
    rows = [
        Row({"photo": name, "radius": radius}, {"accuracy": {"input": float(radius < 2), "deblur": float(radius < 4)}})
        for name in FONTS
        for radius in text.RADII
    ]
    write_report(tmp_path / "text.json", "deblur evaluate", "a network", Report({"text": rows}), {})
    (added,) = [line for line in results_tables(tmp_path).splitlines() if line not in before]
    assert added.endswith("before and after | 0.6 → 3.3 px |")


def test_the_tables_tell_of_wide_blur(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results", tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*.json"):
        content = json.loads(path.read_text())
        content.get("suites", {}).pop("wide", None)
        path.write_text(json.dumps(content))
    before = results_tables(tmp_path).splitlines()
    rows = [row("a", 1.0, radius=10.0), row("a", -0.5, radius=40.0)]
    write_report(tmp_path / "wide.json", "deblur evaluate", "a network", Report({"wide": rows}), {})
    (added,) = [line for line in results_tables(tmp_path).splitlines() if line not in before]
    assert added.startswith("| wide blur, radius 10 to 40 px")
    assert added.endswith("**+0.25 dB** ± 0.00; 50% made worse, the worst by -0.50 dB |")


def test_the_tables_have_a_row_for_each_set_of_pairs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results", tmp_path, dirs_exist_ok=True)
    quality = json.loads((tmp_path / "quality.json").read_text())

    def lines(summary: Values) -> list[str]:
        quality["suites"]["real"]["summary"] = summary
        (tmp_path / "quality.json").write_text(json.dumps(quality))
        return results_tables(tmp_path).splitlines()

    without = lines(photos.real_summary(PAIRS[:2]))
    phone, camera = [line for line in lines(photos.real_summary(PAIRS)) if "… of them" in line]
    assert not [line for line in without if "… of them" in line]
    assert "Pixel 4" in phone and phone.endswith("**+2.00 dB** ± 0.00; 0% made worse, the worst by 0.00 dB |")
    assert "Lytro" in camera and camera.endswith("50% made worse, the worst by -1.00 dB; out of focus +3.00 dB |")


def test_two_truths_are_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_report(
            tmp_path / f"{name}.json", "", "", Report({"synthetic": [row("a", 1.0, radius=2.0, noise=1.5)]}), {}
        )
    for name in ("speed", "networks", "runtimes", "large", "iniknet", "maps", "preview"):
        shutil.copy(ROOT / "results" / f"{name}.json", tmp_path)
    with pytest.raises(ValueError, match="synthetic is in another file, too"):
        results_tables(tmp_path)


def test_command(tmp_path: Path, pairs: Path) -> None:
    options = ["--suite", "edge", "--suite", "real", "--pairs", str(pairs), "-m", "tiny", "--device", "cpu"]
    files = ["-o", "r.json", "--sheet", "s.png"]
    command = [sys.executable, "-m", "deblurcli", "evaluate", *options, *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "MTF50 high contrast R=2" in done.stdout and "made worse in focus" in done.stdout
    assert "skipped LPIPS: " in done.stdout
    assert list(json.loads((tmp_path / "r.json").read_text())["suites"]) == ["real", "edge"]
    assert (tmp_path / "s.png").is_file()


def test_benchmark(tmp_path: Path) -> None:
    options = ["-m", "tiny", "--megapixels", "0.02", "--megapixels", "0.03", "--repeats", "1", "--device", "cpu"]
    command = [sys.executable, "-m", "deblurcli", "benchmark", *options, "-o", "b.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "b.json").read_text())
    assert [row["width"] * row["height"] for row in content["rows"]] == pytest.approx([20_000, 30_000], rel=0.02)
    for row in content["rows"]:
        (whole,), (restoring,) = row["seconds"], row["restoring"]
        assert 0 < restoring < whole and row["peak MB"] > 100
        assert row["seconds per megapixel"] == pytest.approx(restoring / (row["width"] * row["height"] / 1e6), rel=1e-3)
    assert done.stdout.strip() == markdown(content["rows"])


def test_benchmark_compares(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deblurcli", "benchmark", "-m", "tiny", "--megapixels", "0.02", "--repeats", "1"]
    command += ["--device", "cpu", "--backend", "onnx", "--backend", "torch", "--precision", "fp32", "-o", "b.json"]
    command += ["--precision", "bf16"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "left out: a run failed: error: ONNX Runtime does not compute in bf16" in done.stderr
    first, second, third = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert [row["backend"] for row in (first, second, third)] == ["onnx", "torch", "torch"]
    assert "mean difference" not in first
    assert second["mean difference"] < 1e-2 < third["largest difference"] < 4
    assert "differs from the first" in done.stdout


def test_benchmark_of_maps(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deblurcli", "benchmark", "-m", "tiny", "--megapixels", "0.02", "--repeats", "1"]
    command += ["--device", "cpu", "--maps", "none", "--maps", "mu", "--maps", "all", "-o", "b.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    without, some, every = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert "maps" not in without and [some["maps"], every["maps"]] == ["mu", "all"]
    assert 0 < some["maps MB"] < every["maps MB"]
    assert every["largest difference"] == 0 < without["processor"][0]
    assert "MB of maps" in done.stdout


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how much memory another one had")
def test_memory_of_a_benchmark_is_that_of_what_it_runs() -> None:
    large = np.ones(2_500_000_000, np.uint8)  # which this process has had from now on
    del large
    row, _ = measure(Case("tiny", None, 0.01, 8, ("--device", "cpu")), repeats=1)
    assert 50 < row["peak MB"] < 1500


def test_benchmark_of_previews(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deblurcli", "benchmark", "--preview", "-m", "tiny", "--megapixels", "0.02"]
    command += ["--repeats", "2", "--device", "cpu", "--backend", "torch", "-o", "b.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert row["command"] == "preview" and len(row["seconds"]) == 2 and min(row["seconds"]) > 0 < row["peak MB"]
    assert "| tiny | --backend torch" in done.stdout
    refused = subprocess.run([*command, "--maps", "mu"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2 and "neither maps nor tiles" in refused.stderr


def test_benchmark_without_weights() -> None:
    row, _ = measure(Case("kpac-2", None, 0.01, 8, ("--device", "cpu")), repeats=1)
    assert (row["network"], row["weights"]) == ("kpac-2", "untrained")
    with pytest.raises(DeblurError, match=r"a run failed: .*no such weights file"):
        measure(Case("tiny", "nowhere.safetensors", 0.01, 8), repeats=1)
