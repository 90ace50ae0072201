"""Synthesis: what physics says must hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear
from deblurcli.synthesis.crops import Pictures, random_crops, sharpness
from deblurcli.synthesis.pairs import SynthesisConfig, draw_pairs
from deblurcli.synthesis.psf import Lens, LensPrior, psf
from deblurcli.synthesis.scene import Layer, RadiusPrior, Scene, blur, blur_by_field, random_mattes, render
from deblurcli.synthesis.sensor import develop, expose, jpeg, quantise, sharpen, undevelop


def photos(tiles: torch.Tensor, in_focus: bool = False) -> Pictures:
    return Pictures.mixed((tiles, 1.0, in_focus))


TILES = torch.randint(0, 256, (4, 3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
PHOTOS = photos(TILES)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

EVENLY = LensPrior(1, 1, 1, 1, 1)


def lenses(count: int, seed: int = 0, prior: LensPrior = EVENLY) -> Lens:
    return prior.draw(count, torch.Generator().manual_seed(seed))


def only(family: str) -> LensPrior:
    return LensPrior(**dict.fromkeys(LensPrior.__dataclass_fields__, 0.0) | {family: 1.0})


FAMILIES = list(LensPrior.__dataclass_fields__)
AXIS = torch.arange(51.0) - 25


@given(radius=st.floats(-12, 12), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_psf_sums_to_one_and_is_centred(radius: float, seed: int) -> None:
    kernel = psf(torch.tensor([radius]), lenses(1, seed), 51)[0]
    assert kernel.min() >= 0
    torch.testing.assert_close(kernel.sum((1, 2)), torch.ones(3))
    for axis in (1, 2):
        assert ((kernel.sum(axis) * AXIS).sum(1).abs() < 0.15).all()


@pytest.mark.parametrize("family", ["disc", "polygon", "gaussian"])
def test_psf_grows_with_the_radius_as_a_disc_does(family: str) -> None:
    """The second moment of a disc is R²/4 along each axis; those of polygons and Gaussians are scaled to match."""
    for radius in (2.0, 4.0, 8.0):
        kernels = psf(torch.full((20,), radius), lenses(20, prior=only(family)), 51)[:, 1]
        moment = (kernels.sum(1) * AXIS**2).sum(1).mean()
        assert 0.75 < float(moment) / (radius**2 / 4) < 1.4


@pytest.mark.parametrize("family", FAMILIES)
def test_families_have_the_shape_they_are_named_after(family: str) -> None:
    lens = lenses(40, prior=only(family))
    kernel = psf(torch.full((40,), 8.0), lens, 51)[:, 1]
    area = (kernel > kernel.amax((1, 2), keepdim=True) / 4).float().sum((1, 2)).mean() / (torch.pi * 8**2)
    low, high = {"cats_eye": (0.4, 0.85), "gaussian": (0.2, 0.8), "donut": (0.6, 1.1)}.get(family, (0.85, 1.2))
    assert low < float(area) < high


def test_spherical_aberration_and_outline_turn_over_beyond_focus() -> None:
    lens = lenses(20, prior=only("disc"))
    before, beyond = (psf(torch.full((20,), side * 8.0), lens, 51)[:, 1] for side in (1, -1))
    rim = [kernel[:, 25, 31] + kernel[:, 25, 19] > 2 * kernel[:, 25, 25] for kernel in (before, beyond)]
    assert (rim[0] != rim[1]).float().mean() > 0.9
    pentagon = lenses(20, prior=only("polygon"))
    flat = replace(pentagon, rim=torch.ones(20), stretch=torch.zeros(20))
    before, beyond = (psf(torch.full((20,), side * 8.0), flat, 51) for side in (1, -1))
    torch.testing.assert_close(before, beyond.flip(2, 3), atol=1e-5, rtol=0)


def test_red_is_blurred_wider_than_blue_where_the_lens_says_so() -> None:
    lens = replace(Lens.discs(1), chroma=torch.tensor([0.05]))
    red, green, blue = (psf(torch.tensor([8.0]), lens, 51)[0].sum(1) * AXIS**2).sum(1).tolist()
    assert red > green > blue


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


def test_rendering_reads_nothing_back_from_the_device() -> None:
    """The meta device knows shapes alone: whoever asks for a value, and would make a GPU wait, is refused."""
    meta = torch.device("meta")
    picture, matte = torch.empty(2, 3, 64, 64, device=meta), torch.empty(1, 1, 64, 64, device=meta)
    layer = Layer(torch.tensor([1]), picture[:1], matte, torch.tensor([-3.0]))
    scene = Scene(picture, torch.linspace(1, 6, 64).expand(2, 1, 64, 64), (layer,))
    blurred, sharp, radius = render(scene, lenses(2).to(meta))
    assert blurred.device == sharp.device == radius.device == meta
    assert blurred.shape == sharp.shape == (2, 3, 64, 64)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_same_seed_same_pairs(device: str) -> None:
    pictures = photos(TILES.to(device))
    one, other, third = (
        draw_pairs(pictures, 4, 48, SynthesisConfig(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one.blurred, other.blurred)
    assert torch.equal(one.radius, other.radius)
    assert not torch.equal(one.blurred, third.blurred)


def test_soft_crops_are_drawn_again() -> None:
    noise = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    blurred = blur(noise, torch.tensor([3.0]), Lens.discs(1))
    tiles = (torch.cat([noise, blurred]) * 255).to(torch.uint8)

    def share_of_soft(softest: float, in_focus: bool = False) -> float:
        generator = torch.Generator().manual_seed(0)
        crops = random_crops(photos(tiles, in_focus), 64, 32, generator, halved=0, softest=softest)
        return float((sharpness(crops) < 1).float().mean())

    # Noise has 4, blurred noise a half.
    assert abs(share_of_soft(0) - 1 / 2) < 0.15
    assert share_of_soft(1) < 0.15  # four tries each: 1/16
    assert abs(share_of_soft(1, in_focus=True) - 1 / 2) < 0.15


def test_pictures_are_drawn_in_their_shares() -> None:
    black, white = torch.zeros(9, 3, 64, 64, dtype=torch.uint8), torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    pictures = Pictures.mixed((black, 0.6, False), (white, 0.2, True), (white[:0], 0.2, True))
    crops = random_crops(pictures, 400, 32, torch.Generator().manual_seed(0), softest=0.0)
    assert abs(float(crops.mean()) - 1 / 4) < 0.06


def test_grain_is_coarser_and_as_strong() -> None:
    """Most of what coarser noise loses between neighbours is colour."""
    flat, variance = torch.full((2, 3, 256, 256), 0.5), torch.full((2,), 1e-3)
    grain = (torch.tensor([0.0, 0.6]), torch.tensor([0.0, 2.0]))
    noise = expose(flat, variance, variance, torch.Generator().manual_seed(0), grain) - flat
    plain = expose(flat, variance, variance, torch.Generator().manual_seed(0)) - flat
    torch.testing.assert_close(noise[0], plain[0], atol=1e-5, rtol=0)
    assert abs(float(noise[1].std() / plain[1].std()) - 1) < 0.05
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean((1, 2, 3)) / noise.square().mean((1, 2, 3))
    assert neighbours[0].abs() < 0.02 < 0.5 < neighbours[1]


def test_pairs_are_pictures() -> None:
    pairs = draw_pairs(PHOTOS, 8, 48, SynthesisConfig(), torch.Generator().manual_seed(0))
    for picture in (pairs.blurred, pairs.sharp):
        assert picture.shape == (8, 3, 48, 48)
        assert 0 <= picture.min() <= picture.max() <= 1
    torch.testing.assert_close(pairs.blurred * 255, (pairs.blurred * 255).round(), atol=1e-3, rtol=0)
    assert 0 <= pairs.radius.min() <= pairs.radius.max() <= 16


def test_identity_pairs_differ_by_noise_only() -> None:
    config = SynthesisConfig(identity_share=1.0, largest_shot=2e-6, jpeg_share=0.0)
    pairs = draw_pairs(PHOTOS, 4, 48, config, torch.Generator().manual_seed(0))
    assert pairs.radius.max() == 0
    assert (pairs.blurred - pairs.sharp).abs().mean() < 0.01


def test_enlarged_photos_are_soft_and_so_is_what_is_to_come_out() -> None:
    plain = SynthesisConfig(
        radius=RadiusPrior(0, 3.9, 4), layer_shares=(1.0,), flat_share=1.0, identity_share=0.0, sharpened_share=0.0
    )
    enlarged = replace(plain, enlarged_share=1.0, enlarged=2.0)
    before, after = (draw_pairs(PHOTOS, 8, 48, c, torch.Generator().manual_seed(0)) for c in (plain, enlarged))
    for picture in (after.blurred, after.sharp):
        assert picture.shape == (8, 3, 48, 48)
        assert 0 <= picture.min() <= picture.max() <= 1
    assert 1.05 < float(after.radius.mean() / before.radius.mean()) <= 2.01
    assert float(sharpness(after.sharp).median()) < 0.7 * float(sharpness(before.sharp).median())

    in_focus = replace(enlarged, identity_share=1.0, largest_shot=2e-6, jpeg_share=0.0)
    pairs = draw_pairs(PHOTOS, 4, 48, in_focus, torch.Generator().manual_seed(0))
    assert (pairs.blurred - pairs.sharp).abs().mean() < 0.01


def test_radius_prior_is_log_uniform() -> None:
    radii = RadiusPrior(sharp=0.25, smallest=0.5, largest=8).draw(20_000, torch.Generator().manual_seed(0))
    assert abs(float((radii == 0).float().mean()) - 0.25) < 0.02
    blurred = radii[radii != 0].abs()
    assert abs(float((radii > 0).float().mean()) - 0.375) < 0.02
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


def test_any_tone_curve_there_and_back() -> None:
    picture, tone = torch.rand(3, 3, 8, 8), torch.tensor([0.8, 1.0, 1.3])
    torch.testing.assert_close(develop(undevelop(picture, tone), tone), picture, atol=1e-4, rtol=0)


def test_sharpening_steepens_edges_and_leaves_flat_areas() -> None:
    step = torch.full((1, 3, 32, 32), 0.3)
    step[..., 16:] = 0.7
    sharpened = sharpen(step, torch.tensor([1.0]), torch.tensor([0.5]))
    torch.testing.assert_close(sharpened[..., :8], step[..., :8])
    assert sharpened[..., 15].mean() < 0.29
    assert sharpened[..., 16].mean() > 0.71
    torch.testing.assert_close(sharpen(step, torch.tensor([1.0]), torch.tensor([0.0])), step)


def test_clipped_highlights_bloom() -> None:
    """A lamp brighter than white spreads into a disc that is still white; a mere white spot becomes grey."""
    photo = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    photo[..., 60:68, 60:68] = 255
    brightest = []
    for highlight in (0.0, 4.0, 30.0):
        config = SynthesisConfig(
            radius=RadiusPrior(0, 7.9, 8),
            lens=only("disc"),
            flat_share=1.0,
            layer_shares=(1.0,),
            identity_share=0.0,
            highlight_share=1.0,
            highlight=highlight,
            tone_share=0.0,
            software_share=0.0,
            largest_shot=2e-6,
            sharpened_share=0.0,
            jpeg_share=0.0,
        )
        pairs = [draw_pairs(photos(photo), 8, 64, config, torch.Generator().manual_seed(seed)) for seed in range(4)]
        brightest.append(torch.cat([p.blurred for p in pairs]).mean())
    assert brightest[2] > 1.5 * brightest[1] > 1.5 * 1.5 * brightest[0] > 0


def test_a_field_through_focus_is_sharp_where_it_is_in_focus() -> None:
    picture, lens = torch.rand(1, 3, 64, 64), lenses(1)
    field = torch.linspace(-6, 6, 65)[:64].expand(1, 1, 64, 64)
    blurred = blur_by_field(picture, field, lens)
    error = (blurred - picture).abs().mean((0, 1, 2))
    assert error[32] < 0.1 * error[:16].mean()
