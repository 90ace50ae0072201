"""GGKMNet: the Gaussians it mixes, the fixed point of its iteration, and its rows in the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import noise
from test_training import CPU, SMALL, run
from torch import Tensor

from deblurcli.errors import UsageError
from deblurcli.networks.build import build_network
from deblurcli.networks.ggkmnet import GROUPS, VARIANCES, GGKMNet, convolve, defocus_size, group_sigmas, step_gaussians
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import network_spec
from deblurcli.synthesis.pairs import Pairs
from deblurcli.training import loop
from deblurcli.training.config import LossConfig
from deblurcli.training.losses import total_loss
from deblurcli.weights.load import load_network

SPEC = network_spec("ggkmnet")


def randomised(**config: int | bool) -> GGKMNet:
    """A narrow network that has something to say: nothing in it is zero."""
    torch.manual_seed(0)
    network = GGKMNet(**{"width": 8} | config)  # type: ignore[arg-type]
    for parameter in network.parameters():
        if not parameter.any() or parameter is network.beta_unit.smooth.gates.weight:
            torch.nn.init.normal_(parameter, std=0.2)
    torch.nn.init.normal_(network.beta_unit.smooth.gates.bias, std=1.0)  # type: ignore[arg-type]
    return network.eval()


def composed(alpha: Tensor) -> list[Tensor]:
    """The g̃_p of one picture as kernels (S_p, S_p) of their own, by Eq. (16) with full convolutions. α: (P, Q)."""
    kernels = [torch.ones(1, 1, dtype=alpha.dtype)]
    for mixture in alpha[1:]:
        step = torch.zeros(3, 3, dtype=alpha.dtype)
        for weight, variance in zip(mixture, VARIANCES, strict=True):
            taps = torch.tensor([variance / 2, 1 - variance, variance / 2], dtype=alpha.dtype)
            step += weight * torch.outer(taps, taps)
        wider = F.conv2d(kernels[-1][None, None], step.flip(0, 1)[None, None], padding=2)
        kernels.append(wider[0, 0])
    return kernels


# ---- the Gaussians ------------------------------------------------------------------------------------------------


def test_each_step_mixes_gaussians() -> None:
    gaussians = step_gaussians()
    torch.testing.assert_close(gaussians.sum((1, 2)), torch.ones(len(VARIANCES)))
    for kernel, variance in zip(gaussians, VARIANCES, strict=True):
        # A Gaussian: every tap is the centre's times exp(−r² / 2σ²), with one σ for all.
        edge, corner = kernel[1, 2] / kernel[1, 1], kernel[2, 2] / kernel[1, 1]
        torch.testing.assert_close(corner, edge**2)
        assert float((kernel.sum(0) * torch.tensor([1.0, 0.0, 1.0])).sum()) == pytest.approx(variance)


def test_composed_kernels() -> None:
    alpha = noise(GROUPS, 4).double().mul(6).softmax(-1)
    kernels, sigmas = composed(alpha), group_sigmas(alpha)
    for p, kernel in enumerate(kernels):
        assert kernel.shape == (2 * p + 1, 2 * p + 1) and max(kernel.shape) <= 41
        assert float(kernel.sum()) == pytest.approx(1)
        for same in (kernel.flip(0), kernel.flip(1), kernel.T):
            torch.testing.assert_close(kernel, same)
        axis = torch.arange(-p, p + 1, dtype=torch.float64)
        assert float((kernel.sum(0) * axis**2).sum().sqrt()) == pytest.approx(float(sigmas[p]), abs=1e-9)


def test_iterated_convolution_equals_the_composed_kernel() -> None:
    """Also at the border, and with another kernel for each picture of a batch."""
    alpha = noise(2, GROUPS, 4).double().mul(6).softmax(-1)
    picture = noise(2, 6, 48, 64).double()
    steps = (alpha @ step_gaussians().double().flatten(1)).unflatten(-1, (3, 3))
    z = picture
    for p in range(1, GROUPS):
        z = convolve(z, steps[:, p])
        if p in (1, 5, GROUPS - 1):
            for one, mixture, result in zip(picture, alpha, z, strict=True):
                padded = F.pad(one[:, None], (p,) * 4, mode="reflect")
                expected = F.conv2d(padded, composed(mixture)[p][None, None])[:, 0]
                torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)  # Gaussians are float32


def test_small_scales_can_be_convolved() -> None:
    assert convolve(noise(1, 6, 8, 8), step_gaussians()[:1]).shape == (1, 6, 8, 8)


# ---- the fixed point ----------------------------------------------------------------------------------------------


def test_untrained_is_the_identity() -> None:
    x = noise(2, 3, 32, 64)
    assert torch.equal(GGKMNet()(x).picture, x)


def test_without_blur_the_photo_comes_back() -> None:
    network, x = randomised(), noise(1, 3, 64, 32)
    with torch.no_grad():
        assert (network(x).picture - x).abs().max() > 0.01
        gates = network.beta_unit.smooth.gates
        gates.weight[-GROUPS:] = 0
        gates.bias[-GROUPS:] = 0  # type: ignore[index]
        restored = network(x, maps=True)
    assert not restored.maps["beta"].any()
    assert torch.equal(restored.picture, x) and torch.equal(restored.maps["defocus_size"], torch.ones(1, 1, 64, 32))


def test_flat_areas_cannot_change() -> None:
    x = noise(1, 3, 1, 1).expand(1, 3, 64, 64).contiguous()
    with torch.no_grad():
        torch.testing.assert_close(randomised()(x).picture, x, atol=1e-5, rtol=0)


def test_equals_the_equation() -> None:
    """Eq. (14) with whole kernels, at the first scale, where x↑ is the picture itself."""
    network, x = randomised().double().train(), noise(1, 3, 96, 128).double()
    betas: list[Tensor] = []
    network.beta_unit.register_forward_hook(lambda _module, _inputs, output: betas.append(output[0]))
    with torch.no_grad():
        restored = network(x).coarse[-1]
        alpha = network.alpha(network.statistic(x, []).mean((2, 3), keepdim=True))[0, 0]
    y = F.interpolate(x, scale_factor=1 / 4, mode="bilinear")
    weights = network.sum.weight.view(3, GROUPS, 2, 3).sum(2)  # of x↑ and y, which are equal here
    padded = F.pad(y, (20,) * 4, mode="reflect")
    expected = y.clone()
    for p, kernel in enumerate(composed(alpha)):
        whole = F.pad(kernel, (20 - p,) * 4)
        z = F.conv2d(padded.transpose(0, 1), whole[None, None]).transpose(0, 1)
        expected += betas[0][:, p : p + 1] * torch.einsum("oc,bchw->bohw", weights[:, p], y - z)
    torch.testing.assert_close(restored, expected, atol=1e-6, rtol=0)  # Gaussians are float32
    assert (restored - y).abs().max() > 0.01


# ---- coefficients -------------------------------------------------------------------------------------------------


def test_coefficients_keep_their_ranges() -> None:
    network, x = randomised(), noise(2, 3, 64, 96)
    with torch.no_grad():
        alpha = network.alpha(network.statistic(x, []).mean((2, 3), keepdim=True))
        beta = network(x, maps=True).maps["beta"]
    assert alpha.shape == (2, 3, 21, 4) and alpha.min() > 0
    torch.testing.assert_close(alpha.sum(-1), torch.ones(2, 3, 21))
    assert (alpha[0] - alpha[1]).abs().max() > 1e-5  # it looks at the picture
    assert beta.shape == (2, 21, 64, 96)
    assert -1 <= beta.min() < -0.05 and 0.05 < beta.max() <= 1


def test_defocus_size() -> None:
    betas = [torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4)]
    sigmas = [torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]])]
    assert torch.equal(defocus_size(betas, sigmas), torch.ones(1, 1, 8, 8))
    betas[0][:, 1] = -1  # δ of size 1 and a kernel of size 5
    torch.testing.assert_close(defocus_size(betas, sigmas), torch.full((1, 1, 8, 8), 3.0))
    betas[1][:, 1] = 1  # and one of size 9
    torch.testing.assert_close(defocus_size(betas, sigmas), torch.full((1, 1, 8, 8), 5.0))


@pytest.mark.parametrize(("name", "published"), [("ggkmnet", 1.68e6), ("ggkmnet-large", 5.93e6)])
def test_parameter_count_is_the_papers(name: str, published: float) -> None:
    count = sum(parameter.numel() for parameter in build_network(name).parameters())
    assert count == network_spec(name).parameters == pytest.approx(published, rel=0.02)


# ---- as a network -------------------------------------------------------------------------------------------------


def test_batch_equals_singles() -> None:
    network, x = randomised(), noise(2, 3, 64, 96)
    with torch.no_grad():
        together = network(x, maps=True)
        for i, one in enumerate(x.split(1)):
            single = network(one, maps=True)
            torch.testing.assert_close(together.picture[i : i + 1], single.picture, atol=1e-5, rtol=0)
            torch.testing.assert_close(together.maps["beta"][i : i + 1], single.maps["beta"], atol=1e-5, rtol=0)


def test_sizes() -> None:
    network = randomised()
    with torch.no_grad():
        for height, width in ((32, 96), (32, 32), (96, 64)):
            assert network(noise(1, 3, height, width)).picture.shape == (1, 3, height, width)
        with pytest.raises(ValueError, match="multiples of 32, not 64 × 48"):
            network(noise(1, 3, 64, 48))


def test_autocast_keeps_the_picture_precise() -> None:
    network, x = randomised(), noise(1, 3, 64, 64)
    with torch.no_grad():
        full = network(x).picture
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x, maps=True)
    assert half.picture.dtype == half.maps["beta"].dtype == torch.float32
    assert (half.picture - full).abs().mean() < 0.5 / 255


def test_every_parameter_learns() -> None:
    network = randomised(reconstruction=True).train()
    restored = network(noise(2, 3, 64, 64))
    torch.stack([p.square().mean() for p in (restored.picture, *restored.coarse, *restored.reblurred)]).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_the_untrained_network_can_start() -> None:
    """Not a saddle: where everything begins as the identity, the coefficients still have a gradient."""
    network = GGKMNet(width=8).train()
    (network(noise(1, 3, 64, 64)).picture - noise(1, 3, 64, 64, seed=2)).square().mean().backward()
    gradient = network.beta_unit.smooth.gates.weight.grad
    assert gradient is not None and gradient[-GROUPS:].any()


# ---- what the table of networks declares --------------------------------------------------------------------------


def test_statistics_stand_for_the_whole_picture() -> None:
    network, x = randomised(), noise(2, 3, 64, 96)
    with torch.no_grad():
        statistic = network.statistic(x, [])
        assert SPEC.statistics == 1 and statistic.shape == (2, 3 * 32, 2, 3)
        average = statistic.mean((2, 3), keepdim=True)
        own, told = network(x), network(x, statistics=[average])
        torch.testing.assert_close(told.picture, own.picture, atol=1e-6, rtol=0)
        # and they are what is used: other averages, another picture
        assert (network(x, statistics=[average.flip(0) * 5]).picture - own.picture).abs().max() > 1e-5


@pytest.mark.parametrize("name", ["ggkmnet", "ggkmnet-large"])
def test_declared_context_is_how_far_it_looks(name: str) -> None:
    """NaN spreads to every pixel that looks at it, whatever the weights; with the statistic given, no farther."""
    spec = network_spec(name)
    network = build_network(name, {"width": 2}).eval()  # how far it looks does not depend on that
    assert isinstance(spec.context, int)
    centre = -(-spec.context // 32) * 32 + 32
    reach = 0
    for at in range(centre, centre + spec.multiple_of):
        if at % 4 in (0, 3):  # a quarter-size picture averages the inner two of four
            continue
        x = torch.full((1, 3, 32, 2 * centre), 0.5)
        x[..., at] = torch.nan
        with torch.no_grad():
            spread = network(x, statistics=[torch.zeros(1, 24, 1, 1)]).picture.isnan().any(1).any(1)[0].nonzero()
        reach = max(reach, at - int(spread.min()), int(spread.max()) - at)
    assert reach == spec.context


# ---- training -----------------------------------------------------------------------------------------------------


def test_self_reconstruction_is_for_training_only() -> None:
    plain, network, x = GGKMNet(width=8), GGKMNet(width=8, reconstruction=True), noise(1, 3, 64, 64)
    assert plain(x).reblurred == [] and network.eval()(x).reblurred == []
    restored = network.train()(x)
    assert [p.shape[-1] for p in restored.reblurred] == [64, 32, 16] == [64, *(p.shape[-1] for p in restored.coarse)]
    weights = LossConfig(error=0, frequency=0, reconstruction=2.0, coarse=0.5)
    pairs = Pairs(x, x, torch.zeros(1, 1, 64, 64))
    expected = sum(
        2.0 * 0.5**i * (p - F.interpolate(x, p.shape[-2:], mode="bilinear")).abs().mean()
        for i, p in enumerate(restored.reblurred)
    )
    torch.testing.assert_close(total_loss(restored, pairs, weights), expected)
    with pytest.raises(UsageError, match="reconstructs its input"):
        total_loss(Restored(x), pairs, weights)


def test_it_is_trained(tmp_path: Path) -> None:
    loss = LossConfig(coarse=0.5, ssim=0.1, reconstruction=0.1)
    recipe = replace(SMALL, network="ggkmnet", config={"width": 8, "reconstruction": True}, crop=64, batch=2, loss=loss)
    photos = (noise(2, 3, 96, 96) * 255).to(torch.uint8)
    state = run(recipe, photos, tmp_path, 4)
    before = loop.start(recipe, CPU).network.state_dict()
    assert all(not torch.equal(value, before[name]) for name, value in state.network.state_dict().items())
    network, _ = load_network(SPEC, str(tmp_path / "last.safetensors"))
    x = noise(1, 3, 64, 64)
    assert network.eval()(x).reblurred == []
    assert not torch.equal(network(x).picture, x)
