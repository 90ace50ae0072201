"""Measures agree with others' definitions; suites say what they should about networks we know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from deblurcli.evaluation.evaluate import run_suite, summary
from deblurcli.evaluation.metrics import psnr
from deblurcli.evaluation.validation import validation_cases
from deblurcli.restore import load

RNG = np.random.default_rng(0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b"):
        small = Image.fromarray(RNG.integers(0, 256, (60, 60, 3), dtype=np.uint8))
        small.resize((300, 300), Image.Resampling.NEAREST).save(folder / f"{name}.png")
    return folder


def test_psnr_is_scikit_images() -> None:
    a, b = (RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(2))
    ours = psnr((a / 255).astype(np.float32), (b / 255).astype(np.float32))
    assert ours == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-4)
    assert psnr((a / 255).astype(np.float32), (a / 255).astype(np.float32)) == 99.0


def test_validation_is_the_same_every_time(photos: Path) -> None:
    one, other = validation_cases(photos), validation_cases(photos)
    assert len(one) == 14
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.blurred, b.blurred)
    in_focus = [case for case in one if case.radius == 0]
    assert all(psnr(case.blurred, case.sharp) > 60 for case in in_focus)
    blurrier = [psnr(case.blurred, case.sharp) for case in one if case.name == "a" and case.radius >= 1]
    assert blurrier == sorted(blurrier, reverse=True)


def test_suites(photos: Path, tmp_path: Path) -> None:
    tiny = load("tiny", device="cpu")
    synthetic = summary(run_suite("synthetic", tiny, photos))
    assert {"gain", "±", "worst", "made worse", "gain R=1", "gain R=8"} <= set(synthetic)
    sharp = summary(run_suite("sharp", tiny, photos))
    assert 5 < sharp["psnr"] < 99
    seams = summary(run_suite("seams", tiny, photos))
    assert seams["mean"] <= seams["largest"] < 1

    pairs = tmp_path / "pairs"
    pairs.mkdir()
    picture = Image.open(photos / "a.png")
    picture.save(pairs / "x_1_sharp.png")
    picture.resize((100, 100)).resize((300, 300)).save(pairs / "x_1_blur.png")
    real = run_suite("real", tiny, pairs)
    assert [(row["photo"], row["group"]) for row in real] == [("x_1", "x")]
    assert 5 < real[0]["before"] < 60
