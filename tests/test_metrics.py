"""Every measure agrees with someone else's definition."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deblurcli.arrays import Picture
from deblurcli.evaluation.metrics import compare, lpips, mae, psnr, rounded, ssim

RNG = np.random.default_rng(0)


def pair(noise: float) -> tuple[Picture, Picture]:
    """A smooth picture and the same with noise, both multiples of 1/255."""
    y, x = np.mgrid[:40, :56]
    smooth = 0.5 + 0.4 * np.sin(np.stack([x / 5, y / 7, (x + y) / 9], axis=2))
    return rounded(smooth.astype(np.float32)), rounded((smooth + RNG.normal(0, noise, smooth.shape)).astype(np.float32))


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
def test_scikit_image_says_the_same(noise: float) -> None:
    a, b = pair(noise)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4)
    theirs = structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
    )
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-6)


def test_mae_is_the_mean_of_absolute_differences() -> None:
    gray = np.full((4, 6, 3), 100 / 255, np.float32)
    other = gray.copy()
    other[0, :, 0] += 30 / 255  # 6 of 72 values
    other[1, 0, 1] -= 12 / 255  # 1 of 72
    assert mae(gray, other) == pytest.approx((6 * 30 + 12) / 72 / 255, rel=1e-5)


def test_equal_pictures() -> None:
    a, _ = pair(0.1)
    assert (psnr(a, a), mae(a, a)) == (99.0, 0.0)
    assert ssim(a, a) == pytest.approx(1.0, abs=1e-12)


def test_values_are_rounded_to_8_bits_first() -> None:
    a, b = pair(0.1)
    assert compare({"x": a + np.float32(0.4 / 255)}, b) == compare({"x": a}, b)


def test_psnr_of_a_part() -> None:
    a, b = pair(0.1)
    where = np.zeros(a.shape[:2], bool)
    where[5:20, 7:30] = True
    assert psnr(a, b, where) == pytest.approx(psnr(a[5:20, 7:30], b[5:20, 7:30]), abs=1e-9)


def test_lpips_is_measured_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair(0.1)
    seen: list[torch.Tensor] = []

    class LPIPS:
        def __init__(self, net: str, verbose: bool) -> None:
            assert (net, verbose) == ("alex", False)

        def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            seen.extend((x, y))
            return (x - y).abs().mean().view(1, 1, 1, 1)

    package = ModuleType("lpips")
    package.__dict__["LPIPS"] = LPIPS
    monkeypatch.setitem(sys.modules, "lpips", package)
    lpips.cache_clear()
    try:
        assert compare({"x": a}, b)["lpips"]["x"] == pytest.approx(2 * mae(a, b), rel=1e-5)
        assert seen[0].shape == (1, 3, 40, 56)
        assert seen[0].min() < -0.5 and seen[0].max() > 0.5  # its range is [−1, 1]
        monkeypatch.setitem(sys.modules, "lpips", None)
        lpips.cache_clear()
        assert lpips() == "the package lpips is not installed"
        assert set(compare({"x": a}, b)) == {"psnr", "ssim", "mae"}
    finally:
        lpips.cache_clear()
