"""GKMNet equals its authors' network, and is what its row in the table of networks says."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import TOLERANCE, Golden, load_golden, noise
from torch import Tensor, nn
from untrained_networks import stirred

from deblurcli.errors import WeightsError
from deblurcli.networks.gaussians import GaussianBank, KernelBank, gaussian_profiles
from deblurcli.networks.gkmnet import GKMNet, TripletAttention
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import network_spec
from deblurcli.weights.published.gkmnet import AUTHORS_KEYS, from_authors

SPEC = network_spec("gkmnet")


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("gkmnet")


@pytest.fixture(scope="module")
def authors(golden: Golden) -> GKMNet:
    """GKMNet with the golden weights."""
    network = GKMNet().eval()
    network.load_state_dict(from_authors(golden.weights))
    return network


@pytest.fixture
def tiny() -> GKMNet:
    torch.manual_seed(0)
    return stirred(GKMNet(gaussians=5, width=4)).eval()


def golden_outputs(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Everything the golden file has, under its names."""
    with torch.no_grad():
        restored: Restored = network(x, maps=True, coarse=True)
    half, quarter = restored.coarse
    kernels = network.get_buffer("bank.kernels").unsqueeze(1)
    pictures = {"output": restored.picture, "output_half": half, "output_quarter": quarter}
    return {**pictures, "beta": restored.maps["beta"], "gaussians": kernels}


# ---- equal to the authors' ----------------------------------------------------------------------------------------


def test_every_golden_array(authors: GKMNet, golden: Golden) -> None:
    ours = golden_outputs(authors, golden.input)
    assert ours.keys() == golden.expected.keys()
    for name, expected in golden.expected.items():
        torch.testing.assert_close(ours[name], expected, atol=TOLERANCE, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_parameter_count(authors: GKMNet, golden: Golden) -> None:
    assert sum(p.numel() for p in authors.parameters()) == golden.parameters == SPEC.parameters == 1_409_131


# ---- the bank -----------------------------------------------------------------------------------------------------


def test_gaussians() -> None:
    profiles = gaussian_profiles(21)
    assert [len(profile) for profile in profiles[:8]] == [3, 3, 3, 5, 5, 7, 7, 9] and len(profiles[-1]) == 21
    for i, profile in enumerate(profiles):
        assert float(profile.sum()) == pytest.approx(1)
        assert torch.equal(profile, profile.flip(0))
        middle = len(profile) // 2
        assert float(profile[middle + 1] / profile[middle]) == pytest.approx(
            2.718281828 ** (-1 / 2 / (i / 4 + 0.25) ** 2)
        )


@pytest.mark.parametrize("bank", [GaussianBank(21), GaussianBank(5), KernelBank(noise(6, 5, 5))])
def test_bank_is_repeated_then_grouped(bank: KernelBank) -> None:
    picture = noise(2, 3, 40, 56)
    kernels = bank.kernels.unsqueeze(1)
    expected = F.conv2d(picture, kernels.repeat_interleave(3, dim=0), padding=kernels.shape[-1] // 2, groups=3)
    torch.testing.assert_close(torch.cat(bank(picture), dim=1), expected, atol=1e-6, rtol=0)


def test_delta_leaves_the_picture_alone() -> None:
    picture = noise(1, 3, 48, 48)
    red, _, blue = GaussianBank(21)(picture)
    torch.testing.assert_close(red[:, :3], picture[:, :1].expand(-1, 3, -1, -1))
    assert blue[..., 10:-10, 10:-10].std() < 0.2 * picture.std()  # it meets the widest only


def test_kernels_are_no_weights() -> None:
    assert not any("bank" in key for key in GKMNet().state_dict())


# ---- as a network -------------------------------------------------------------------------------------------------


def test_triplet_attention() -> None:
    """Word by word: each gate pools one axis of the picture as it is turned, and the three gated ones are averaged."""
    torch.manual_seed(0)
    attention, x = TripletAttention().eval(), noise(2, 6, 8, 10)

    def gated(gate: nn.Module, turned: Tensor) -> Tensor:
        return turned * gate(turned.amax(1), turned.mean(1)).unsqueeze(1)

    with torch.no_grad():
        over_height = gated(attention.over_height, x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3)
        over_width = gated(attention.over_width, x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        expected = (over_height + over_width + gated(attention.over_channels, x)) / 3
        torch.testing.assert_close(attention(x), expected)


def test_batch_equals_singles(authors: GKMNet) -> None:
    x = noise(2, 3, 32, 48)
    with torch.no_grad():
        together = authors(x, maps=True)
        singles = [authors(one, maps=True) for one in x.split(1)]
    for i, single in enumerate(singles):
        torch.testing.assert_close(together.picture[i : i + 1], single.picture, atol=1e-5, rtol=0)
        torch.testing.assert_close(together.maps["beta"][i : i + 1], single.maps["beta"], atol=1e-5, rtol=0)


def test_returns_only_what_is_asked_for(tiny: GKMNet) -> None:
    x = noise(1, 3, 32, 64)
    with torch.no_grad():
        plain, everything = tiny(x), tiny(x, maps=True, coarse=True)
    assert plain.maps == {} and plain.coarse == [] and plain.auxiliary == []
    assert torch.equal(plain.picture, everything.picture)
    assert [tuple(c.shape) for c in everything.coarse] == [(1, 3, 16, 32), (1, 3, 8, 16)]


def test_every_parameter_learns(tiny: GKMNet) -> None:
    restored = tiny.train()(noise(2, 3, 32, 48))
    assert len(restored.coarse) == 2
    torch.stack([picture.square().mean() for picture in (restored.picture, *restored.coarse)]).sum().backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        # Batch normalisation takes away what the bias before it adds.
        assert parameter.grad.any() or name.endswith("conv.bias"), name


def test_autocast_keeps_the_picture_precise(authors: GKMNet, golden: Golden) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        restored = authors(golden.input, maps=True)
    assert restored.picture.dtype == restored.maps["beta"].dtype == torch.float32
    assert (restored.picture - golden.expected["output"]).abs().mean() < 0.1 / 255


def test_channels_last(authors: GKMNet, golden: Golden) -> None:
    network = GKMNet().eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    network.load_state_dict(authors.state_dict())
    with torch.no_grad():
        restored = network(golden.input.to(memory_format=torch.channels_last))
    torch.testing.assert_close(restored.picture, golden.expected["output"], atol=TOLERANCE, rtol=0)


# ---- the authors' file --------------------------------------------------------------------------------------------


def test_every_key_is_used_once(golden: Golden) -> None:
    assert AUTHORS_KEYS.keys() == golden.weights.keys()
    ours = list(AUTHORS_KEYS.values())
    assert len(set(ours)) == len(ours)
    assert set(ours) == GKMNet().state_dict().keys()


def test_refuses_other_files(golden: Golden) -> None:
    key = "conv_block3_1.conv.0.weight"
    wrong: list[tuple[dict[str, Tensor], str]] = [
        ({**golden.weights, key: torch.zeros(64, 128, 2, 2)}, rf"GKMNet: {key} is \(64, 128, 2, 2\), not \(128, 64, 2"),
        ({**golden.weights, "delta": torch.zeros(1)}, "unknown delta"),
        ({k: v for k, v in golden.weights.items() if k != "SumLayer.conv.bias"}, "missing SumLayer.conv.bias"),
    ]
    for weights, message in wrong:
        with pytest.raises(WeightsError, match=message):
            from_authors(weights)


# ---- what the table of networks declares --------------------------------------------------------------------------


def test_sizes(tiny: GKMNet) -> None:
    with torch.no_grad():
        assert tiny(noise(1, 3, SPEC.min_size, SPEC.min_size + SPEC.multiple_of)).picture.shape == (1, 3, 32, 48)
        for height, width in ((32, 40), (SPEC.min_size - SPEC.multiple_of, 32)):
            with pytest.raises(ValueError, match=f"multiples of 16 and at least 32, not {height} × {width}"):
                tiny(noise(1, 3, height, width))


def test_context_is_the_whole_picture(tiny: GKMNet) -> None:
    x = noise(2, 3, 32, 640)
    x[1, :, :, 0] = torch.nan
    with torch.no_grad():
        first, marked = tiny(x).picture
    assert SPEC.context == "global" and first.isfinite().all() and marked[..., -1].isnan().all()


def test_beyond_the_halo_only_the_whole_matters(authors: GKMNet) -> None:
    """With the gates of rows and columns held as they are, what is farther than the halo hardly matters."""
    x = F.avg_pool2d(noise(1, 3, 48, 304), 5, stride=1, padding=2)
    changed = x.clone()
    changed[..., :16] = 1 - changed[..., :16]
    held: list[Tensor] = []
    gates = [m for name, m in authors.named_modules() if name.endswith(("over_height", "over_width"))]
    for gate in gates:
        gate.register_forward_hook(lambda m, i, out: held.append(out))
    try:
        with torch.no_grad():
            picture = authors(x).picture
            for gate in gates:
                gate._forward_hooks.clear()
                gate.register_forward_hook(lambda m, i, out: held.pop(0))
            difference = (authors(changed).picture - picture).abs()
    finally:
        for gate in gates:
            gate._forward_hooks.clear()
    assert not held
    assert difference[..., : 16 + 8].max() > 0.01 * picture.std()
    assert difference[..., 16 + SPEC.halo :].max() < 1e-4 * picture.std()
