"""P2IKT equals its authors' network, and is what its row in the table of networks says."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import TOLERANCE, Golden, load_golden, noise
from torch import Tensor, nn
from untrained_networks import stirred

from deblurcli.errors import WeightsError
from deblurcli.networks.p2ikt import P2IKT, inverse_gaussians, mean_of_thirds
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import network_spec
from deblurcli.networks.strips import BetweenStrips, StripBlock, WithinStrips
from deblurcli.synthesis.pairs import Pairs
from deblurcli.training.config import LossConfig
from deblurcli.training.losses import total_loss
from deblurcli.weights.published.p2ikt import AUTHORS_KEYS, from_authors

SPEC = network_spec("p2ikt")


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("p2ikt")


@pytest.fixture(scope="module")
def authors(golden: Golden) -> P2IKT:
    """P2IKT with the golden weights."""
    network = P2IKT().eval()
    network.load_state_dict(from_authors(golden.weights))
    return network


@pytest.fixture
def tiny() -> P2IKT:
    torch.manual_seed(0)
    return stirred(P2IKT(kernel_width=8, width=4, deep=16, heads=2)).eval()


def golden_outputs(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Everything the golden file has, under its names."""
    with torch.no_grad():
        restored: Restored = network(x, coarse=True)
    half, quarter = restored.coarse
    kernels = network.get_buffer("deconvolve.bank.kernels").unsqueeze(1)
    pictures = {"output": restored.picture, "output_half": half, "output_quarter": quarter}
    return {**pictures, "inverse_gaussians": kernels}


# ---- equal to the authors' ----------------------------------------------------------------------------------------


def test_every_golden_array(authors: P2IKT, golden: Golden) -> None:
    """Within 2e-5 of what pictures span: with the golden weights these span up to 6.3, not 1."""
    ours = golden_outputs(authors, golden.input)
    assert ours.keys() == golden.expected.keys()
    for name, expected in golden.expected.items():
        span = float(expected.max() - expected.min()) if name.startswith("output") else 1.0
        torch.testing.assert_close(
            ours[name], expected, atol=TOLERANCE * span, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_only_rounding_is_left(authors: P2IKT, golden: Golden) -> None:
    """In float64 ours is exact, and what is left is how the authors' float32 was rounded.

    An epsilon of 1e-6 instead of 1e-5 in one of two layer normalisations would double the root mean square.
    """
    ours = golden_outputs(copy.deepcopy(authors).double(), golden.input.double())
    for name, limit in {"output": 2e-6, "output_half": 1.5e-6, "output_quarter": 1e-6}.items():
        difference = ours[name] - golden.expected[name]
        assert difference.square().mean().sqrt() < limit, name
        assert difference.abs().max() < 4e-5, name


def test_parameter_count(authors: P2IKT, golden: Golden) -> None:
    assert sum(p.numel() for p in authors.parameters()) == golden.parameters == SPEC.parameters == 3_318_735


# ---- kernels ------------------------------------------------------------------------------------------------------


def test_inverse_gaussians_undo_gaussians() -> None:
    """Around a ring of its own size, a Gaussian and then its inverse give back the delta, as far as noise allows."""
    from deblurcli.networks.gaussians import gaussian_profiles

    kernels = inverse_gaussians(5)
    assert kernels.shape == (6, 5, 5) and kernels[0].count_nonzero() == 1 and kernels[0, 2, 2] == 1
    for kernel, profile in zip(kernels[1:4], gaussian_profiles(3), strict=True):
        assert torch.equal(kernel, F.pad(kernel[1:4, 1:4], (1, 1, 1, 1)))  # as small as its Gaussian
        both = torch.fft.fft2(kernel[1:4, 1:4].double()) * torch.fft.fft2(profile.outer(profile))
        ring = torch.fft.ifft2(both).real
        assert ring.argmax() == 0 and ring[0, 0] > 0.8
        assert divmod(int(kernel.argmax()), 5) == (3, 3)  # one pixel right of and below the middle


@pytest.mark.parametrize("shape", [(2, 5, 9, 12), (1, 3, 10, 7), (1, 2, 2, 3)])
def test_mean_of_thirds_is_adaptive_pooling(shape: tuple[int, ...]) -> None:
    x = noise(*shape)
    torch.testing.assert_close(mean_of_thirds(x), F.adaptive_avg_pool2d(x, 3))


def test_every_picture_has_its_own_kernel(authors: P2IKT) -> None:
    pictures = noise(2, 3, 32, 48)
    with torch.no_grad():
        kernels = authors.deconvolve.predict(pictures)
        *_, response = authors.deconvolve(pictures)
    assert kernels.shape == (2, 3, 5, 5)
    torch.testing.assert_close(kernels.sum((1, 2, 3)), torch.full((2,), 3.0))
    for picture, kernel, shown in zip(pictures, kernels, response, strict=True):
        expected = F.conv2d(picture[None], kernel[None], padding=2)
        torch.testing.assert_close(shown, expected[0].expand(3, -1, -1), atol=1e-5, rtol=0)


# ---- strip attention ----------------------------------------------------------------------------------------------


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Of sequences (N, T, D), head by head."""
    out = []
    for q_h, k_h, v_h in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        out.append((q_h @ k_h.transpose(1, 2) / q_h.shape[-1] ** 0.5).softmax(-1) @ v_h)
    return torch.cat(out, -1)


@pytest.mark.parametrize("kind", [WithinStrips, BetweenStrips])
def test_attention_between_pixels_or_rows(kind: type[StripBlock]) -> None:
    torch.manual_seed(0)
    block, x = kind(16, heads=2), noise(2, 8, 6, 10)  # (B, C/2, H, W)
    with torch.no_grad():
        if kind is WithinStrips:
            q, k, v = block.horizontal(x.permute(0, 2, 3, 1)).flatten(0, 1).chunk(3, -1)
            expected = softmax_attention(q, k, v, 2).view(2, 6, 10, 8).permute(0, 3, 1, 2)
        else:
            q, k, v = (t.permute(0, 2, 1, 3).flatten(2) for t in block.horizontal(x).chunk(3, 1))
            expected = softmax_attention(q, k, v, 2).view(2, 6, 8, 10).permute(0, 2, 1, 3)
        torch.testing.assert_close(block.attend(x, block.horizontal), expected)


@pytest.mark.parametrize("kind", [WithinStrips, BetweenStrips])
@pytest.mark.parametrize("shape", [(1, 16, 8, 8), (2, 16, 6, 10)])
def test_columns_are_rows_of_the_turned_picture(kind: type[StripBlock], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    block, x = kind(16, heads=2), noise(*shape)
    turned = copy.deepcopy(block)
    turned.horizontal, turned.vertical = turned.vertical, turned.horizontal
    with torch.no_grad():
        for weight, axis in ((turned.enter.weight, 0), (turned.enter.bias, 0), (turned.leave.weight, 1)):
            assert weight is not None
            weight.copy_(weight.roll(8, axis))  # halves of the channels change places
        turned.position.weight.copy_(turned.position.weight.transpose(2, 3).clone())
        torch.testing.assert_close(turned(x.transpose(2, 3)).transpose(2, 3), block(x))


# ---- as a network -------------------------------------------------------------------------------------------------


def test_batch_equals_singles(authors: P2IKT) -> None:
    # In double precision: convolutions of batches may add in another order, and these weights make much of that.
    network, x = copy.deepcopy(authors).double(), noise(2, 3, 32, 48).double()
    with torch.no_grad():
        together = network(x, maps=True)
        singles = [network(one, maps=True) for one in x.split(1)]
    for i, single in enumerate(singles):
        torch.testing.assert_close(together.picture[i : i + 1], single.picture)
        torch.testing.assert_close(together.maps["alpha"][i : i + 1], single.maps["alpha"])


def test_returns_only_what_is_asked_for(tiny: P2IKT) -> None:
    x = noise(1, 3, 32, 64)
    with torch.no_grad():
        plain, everything = tiny(x), tiny(x, maps=True, coarse=True)
    assert plain.maps == {} and plain.coarse == [] and plain.auxiliary == everything.auxiliary == []
    assert torch.equal(plain.picture, everything.picture)
    assert [tuple(c.shape) for c in everything.coarse] == [(1, 3, 16, 32), (1, 3, 8, 16)]


def test_every_parameter_learns(tiny: P2IKT) -> None:
    sharp = noise(2, 3, 32, 48)
    pairs = Pairs(sharp * 0.5, sharp, torch.zeros(2, 1, 32, 48))
    restored = tiny.train()(pairs.blurred)
    assert [p.shape for p in restored.auxiliary] == [restored.picture.shape, *(p.shape for p in restored.coarse)]
    total_loss(restored, pairs, LossConfig()).backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        # Batch normalisation takes away what the bias before it adds; softmax what is added to all keys.
        assert parameter.grad.any() or name == "head.detail.conv.bias", name


def test_the_auxiliary_loss() -> None:
    """Mean squares at every scale, against a sharp picture scaled down as the network scales its input."""
    sharp = noise(1, 3, 32, 32)
    pairs = Pairs(sharp, sharp, torch.zeros(1, 1, 32, 32))
    auxiliary = [sharp + 0.1, sharp[..., ::2, ::2] + 0.2, sharp[..., ::4, ::4]]
    restored = Restored(sharp, coarse=[sharp[..., ::2, ::2]], auxiliary=auxiliary, scaling="nearest")
    nothing = LossConfig(error=0, charbonnier=1.0, frequency=0, kernel_size=0, radius=0, auxiliary=0)
    assert float(total_loss(restored, pairs, nothing)) == pytest.approx(0, abs=1e-6)
    some = LossConfig(error=0, frequency=0, kernel_size=0, radius=0, auxiliary=0.5)
    assert float(total_loss(restored, pairs, some)) == pytest.approx(0.5 * (0.01 + 0.04), rel=1e-4)


def test_autocast_keeps_the_picture_precise(authors: P2IKT, golden: Golden) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        restored = authors(golden.input, maps=True)
    assert restored.picture.dtype == restored.maps["alpha"].dtype == torch.float32
    # Random weights make coefficients near ±1 and pictures that span 6; 8 bits of 6 are 0.02.
    assert (restored.picture - golden.expected["output"]).abs().mean() < 0.02


def test_channels_last(authors: P2IKT, golden: Golden) -> None:
    network = copy.deepcopy(authors).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    with torch.no_grad():
        restored = network(golden.input.to(memory_format=torch.channels_last))
    torch.testing.assert_close(restored.picture, golden.expected["output"], atol=6 * TOLERANCE, rtol=0)


# ---- the authors' file --------------------------------------------------------------------------------------------


def test_every_key_is_used_once(golden: Golden) -> None:
    assert AUTHORS_KEYS.keys() == golden.weights.keys()
    ours = list(AUTHORS_KEYS.values())
    assert len(set(ours)) == len(ours)
    assert set(ours) == P2IKT().state_dict().keys()


def test_refuses_other_files(golden: Golden) -> None:
    key = "basemodel.Trans_block_2.conv_h.weight"
    wrong: list[tuple[dict[str, Tensor], str]] = [
        ({**golden.weights, key: torch.zeros(240, 80)}, rf"P2IKT: {key} is \(240, 80\), not \(240, 80, 1, 1\)"),
        ({**golden.weights, "delta": torch.zeros(1)}, "unknown delta"),
        ({k: v for k, v in golden.weights.items() if k != "SumLayer1.bias"}, "missing SumLayer1.bias"),
    ]
    for weights, message in wrong:
        with pytest.raises(WeightsError, match=message):
            from_authors(weights)


# ---- what the table of networks declares --------------------------------------------------------------------------


def test_sizes(tiny: P2IKT) -> None:
    with torch.no_grad():
        for height, width in ((32, 40), (SPEC.min_size - SPEC.multiple_of, 32)):
            with pytest.raises(ValueError, match=f"multiples of 16 and at least 32, not {height} × {width}"):
                tiny(noise(1, 3, height, width))


def test_context_is_the_whole_picture(tiny: P2IKT) -> None:
    x = noise(2, 3, 32, 640)
    x[1, :, :, 0] = torch.nan
    with torch.no_grad():
        first, marked = tiny(x).picture
    assert SPEC.context == "global" and first.isfinite().all() and marked[..., -1].isnan().all()
