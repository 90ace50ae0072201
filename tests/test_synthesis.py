"""Synthesis: what physics says must hold."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear
from deblurcli.synthesis.pairs import SynthesisConfig, draw_pairs
from deblurcli.synthesis.psf import Lens, psf
from deblurcli.synthesis.scene import Layer, RadiusPrior, Scene, blur, blur_by_field, random_mattes, render
from deblurcli.synthesis.sensor import expose, jpeg, quantise

PHOTOS = torch.randint(0, 256, (4, 3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def lenses(count: int, seed: int = 0, shares: tuple[float, float, float] = (1, 1, 1)) -> Lens:
    return Lens.random(count, shares, torch.Generator().manual_seed(seed))


@given(radius=st.floats(0, 12), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_psf_sums_to_one_and_is_centred(radius: float, seed: int) -> None:
    kernel = psf(torch.tensor([radius]), lenses(1, seed), 51)[0]
    assert kernel.min() >= 0
    assert abs(float(kernel.sum()) - 1) < 1e-5
    axis = torch.arange(51.0) - 25
    assert abs(float((kernel.sum(0) * axis).sum())) < 0.15
    assert abs(float((kernel.sum(1) * axis).sum())) < 0.15


@pytest.mark.parametrize("family", [0, 1, 2])
def test_psf_grows_with_the_radius_as_a_disc_does(family: int) -> None:
    """The second moment of a disc is R²/4 along each axis; the other families are scaled to match."""
    shares = tuple(float(i == family) for i in range(3))
    axis = torch.arange(51.0) - 25
    for radius in (2.0, 4.0, 8.0):
        kernels = psf(torch.full((20,), radius), lenses(20, shares=shares), 51)  # type: ignore[arg-type]
        moment = (kernels.sum(1) * axis**2).sum(1).mean()
        assert 0.8 < float(moment) / (radius**2 / 4) < 1.4


def test_zero_radius_is_the_identity() -> None:
    picture = torch.rand(2, 3, 48, 48)
    torch.testing.assert_close(blur(picture, torch.zeros(2), lenses(2)), picture, atol=1e-5, rtol=0)


def test_blur_preserves_light() -> None:
    picture = torch.rand(3, 3, 64, 64)
    blurred = blur(picture, torch.tensor([1.0, 3.0, 7.0]), lenses(3))
    torch.testing.assert_close(blurred.mean((2, 3)), picture.mean((2, 3)), atol=1e-5, rtol=0)


def test_a_constant_field_is_plain_blur() -> None:
    picture, lens = torch.rand(2, 3, 64, 64), lenses(2)
    field = torch.full((2, 1, 64, 64), 3.0)
    plain = blur(picture, torch.tensor([3.0, 3.0]), lens)
    torch.testing.assert_close(blur_by_field(picture, field, lens), plain, atol=1e-4, rtol=0)


def test_a_smooth_field_preserves_light_and_agrees_where_it_equals_a_copy() -> None:
    picture, lens = torch.rand(1, 3, 64, 64), lenses(1)
    field = torch.linspace(1, 6, 64).expand(1, 1, 64, 64)
    blurred = blur_by_field(picture, field, lens)
    for column, radius in ((0, 1.0), (63, 6.0)):
        plain = blur(picture, torch.tensor([radius]), lens)
        torch.testing.assert_close(blurred[..., column], plain[..., column], atol=1e-4, rtol=0)
    torch.testing.assert_close(blur_by_field(torch.ones(1, 3, 64, 64), field, lens), torch.ones(1, 3, 64, 64))


def test_nothing_shines_through_an_opaque_layer_nor_is_its_edge_dark() -> None:
    """White in front of white is white, however blurred: colour and matte are blurred alike."""
    white = torch.ones(1, 3, 96, 96)
    matte = random_mattes(1, 96, torch.Generator().manual_seed(3))
    layer = Layer(torch.tensor([0]), white, matte, torch.tensor([5.0]))
    field = torch.full((1, 1, 96, 96), 2.0)
    blurred, sharp, radius = render(Scene(white, field, (layer,)), lenses(1))
    torch.testing.assert_close(blurred, white, atol=1e-4, rtol=0)
    torch.testing.assert_close(sharp, white)
    assert set(radius.unique().tolist()) == {2.0, 5.0}


def test_an_occluder_in_front_hides_what_is_behind() -> None:
    layer = Layer(torch.tensor([0]), torch.ones(1, 3, 64, 64), torch.ones(1, 1, 64, 64), torch.tensor([4.0]))
    scene = Scene(torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64), (layer,))
    torch.testing.assert_close(render(scene, lenses(1))[0], torch.ones(1, 3, 64, 64), atol=1e-4, rtol=0)


def test_same_seed_same_pairs() -> None:
    one, other, third = (
        draw_pairs(PHOTOS, 4, 48, SynthesisConfig(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one.blurred, other.blurred)
    assert torch.equal(one.radius, other.radius)
    assert not torch.equal(one.blurred, third.blurred)


def test_pairs_are_pictures() -> None:
    pairs = draw_pairs(PHOTOS, 8, 48, SynthesisConfig(), torch.Generator().manual_seed(0))
    for picture in (pairs.blurred, pairs.sharp):
        assert picture.shape == (8, 3, 48, 48)
        assert 0 <= picture.min() <= picture.max() <= 1
    torch.testing.assert_close(pairs.blurred * 255, (pairs.blurred * 255).round(), atol=1e-3, rtol=0)
    assert pairs.radius.max() <= 10


def test_identity_pairs_differ_by_noise_only() -> None:
    config = SynthesisConfig(identity_share=1.0, largest_shot=2e-6, jpeg_share=0.0)
    pairs = draw_pairs(PHOTOS, 4, 48, config, torch.Generator().manual_seed(0))
    assert pairs.radius.max() == 0
    assert (pairs.blurred - pairs.sharp).abs().mean() < 0.01


def test_radius_prior_is_log_uniform() -> None:
    radii = RadiusPrior(sharp=0.25, smallest=0.5, largest=8).draw(20_000, torch.Generator().manual_seed(0))
    assert abs(float((radii == 0).float().mean()) - 0.25) < 0.02
    blurred = radii[radii > 0]
    assert 0.5 <= blurred.min() <= blurred.max() <= 8
    assert abs(float((blurred < 2).float().mean()) - 0.5) < 0.02


def test_noise_has_the_variance_it_should() -> None:
    level = torch.full((1, 3, 256, 256), 0.5)
    noisy = expose(level, torch.tensor([1e-3]), torch.tensor([1e-4]), torch.Generator().manual_seed(0))
    assert abs(float((noisy - level).var()) / (0.5e-3 + 1e-4) - 1) < 0.03


def test_jpeg_is_like_the_real_one() -> None:
    """The same loss as Pillow's encoder makes, within a decibel, and less of it at higher quality."""
    import io

    import numpy as np
    from PIL import Image

    from deblurcli.evaluation.metrics import psnr

    smooth = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 12), (96, 96), mode="bicubic").clamp(0, 1)
    picture = quantise(smooth)
    before = picture[0].permute(1, 2, 0).numpy()
    losses = []
    for quality in (70, 95):
        ours = jpeg(picture, torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray((before * 255).round().astype(np.uint8)).save(file, "JPEG", quality=quality, subsampling=2)
        theirs = (np.asarray(Image.open(file)) / 255).astype(np.float32)
        assert abs(psnr(ours, before) - psnr(theirs, before)) < 1
        losses.append(psnr(ours, before))
    assert losses[1] > losses[0] + 2


def test_transfer_curve_there_and_back() -> None:
    values = torch.linspace(0, 1, 1001)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-5, rtol=0)
    assert abs(float(srgb_to_linear(torch.tensor(0.5))) - 0.21404) < 1e-4
