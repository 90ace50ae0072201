"""INIKNet equals its authors' network, and is what its row in the table of networks says."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import TOLERANCE, Golden, load_golden, noise
from torch import Tensor
from untrained_networks import stirred

from deblurcli.errors import WeightsError
from deblurcli.networks.blocks import AtomDictionary, kernel_coordinates, resize
from deblurcli.networks.iniknet import INIKNet
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import network_spec
from deblurcli.weights.published.iniknet import AUTHORS_KEYS, from_authors

SPEC = network_spec("iniknet")


@pytest.fixture(scope="module")
def golden() -> Golden:
    return load_golden("iniknet")


@pytest.fixture(scope="module")
def authors(golden: Golden) -> INIKNet:
    """INIKNet with the golden weights."""
    network = INIKNet().eval()
    network.load_state_dict(from_authors(golden.weights))
    return network


@pytest.fixture
def tiny() -> INIKNet:
    torch.manual_seed(0)
    return stirred(INIKNet(width=4, atoms=2)).eval()


def golden_outputs(network: INIKNet, x: Tensor) -> dict[str, Tensor]:
    """Everything the golden file has, under its names."""
    with torch.no_grad():
        restored: Restored = network(x, maps=True, coarse=True)
        atoms = {f"atoms_{v.shape[-1]}": v.squeeze(1) for v in network.dictionary()}
    half, quarter = restored.coarse
    maps = {name: restored.maps[name] for name in ("mu", "omega")}
    return {"output": restored.picture, "output_half": half, "output_quarter": quarter, **maps, **atoms}


# ---- equal to the authors' ----------------------------------------------------------------------------------------


def test_every_golden_array(authors: INIKNet, golden: Golden) -> None:
    ours = golden_outputs(authors, golden.input)
    assert ours.keys() == golden.expected.keys()
    for name, expected in golden.expected.items():
        torch.testing.assert_close(ours[name], expected, atol=TOLERANCE, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_parameter_count(authors: INIKNet, golden: Golden) -> None:
    assert sum(p.numel() for p in authors.parameters()) == golden.parameters == SPEC.parameters == 1_976_847


# ---- the filter ---------------------------------------------------------------------------------------------------


def full_product(network: INIKNet, y: Tensor, mu: Tensor, omega: Tensor, atoms: list[Tensor]) -> Tensor:
    """Eq. (9) word by word: all R · 3 · N weighted responses at once, then the 1×1 convolution, then + y."""
    batch, colours, height, width = y.shape
    response = y.new_zeros(batch, mu.shape[1], colours, omega.shape[1], height, width)
    for r, v in enumerate(atoms, start=1):
        for c in range(colours):
            response[:, r, c] = F.conv2d(y[:, c : c + 1], v, padding="same")
    return network.contract((response * mu[:, :, None, None] * omega[:, None, None]).flatten(1, 3)) + y


@pytest.mark.parametrize("shape", [(1, 48, 48), (2, 32, 80)])
def test_filter_equals_full_product(authors: INIKNet, shape: tuple[int, int, int]) -> None:
    batch, height, width = shape
    y = noise(batch, 3, height, width)
    mu = noise(batch, 8, height, width).mul(4).softmax(dim=1)
    omega = noise(batch, 10, height, width) - 0.5
    with torch.no_grad():
        atoms = authors.dictionary()
        restored = authors.inverse_filter(y, mu, omega, atoms)
        expected = full_product(authors, y, mu, omega, atoms)
    torch.testing.assert_close(restored, expected, atol=1e-5, rtol=0)


# ---- as a network -------------------------------------------------------------------------------------------------


def test_batch_equals_singles(authors: INIKNet) -> None:
    x = noise(2, 3, 32, 48)
    with torch.no_grad():
        together = authors(x, maps=True)
        singles = [authors(one, maps=True) for one in x.split(1)]
    for i, single in enumerate(singles):
        torch.testing.assert_close(together.picture[i : i + 1], single.picture, atol=1e-5, rtol=0)
        for name in single.maps:
            torch.testing.assert_close(together.maps[name][i : i + 1], single.maps[name], atol=1e-5, rtol=0)


def test_halo(authors: INIKNet) -> None:
    """What lies a halo away from a cut hardly changes: far less than the 0.3/255 that can be seen."""
    x = (noise(1, 3, 32, 384) + 3 * resize(noise(1, 3, 4, 48), 8)) / 4
    cut = 192
    with torch.no_grad():
        whole, part = authors(x).picture, authors(x[..., cut:]).picture
    assert (whole - F.pad(part, (cut, 0)))[..., cut + SPEC.halo :].abs().max() < 0.05 / 255


def test_returns_only_what_is_asked_for(tiny: INIKNet) -> None:
    x = noise(1, 3, 32, 64)
    with torch.no_grad():
        plain, everything = tiny(x), tiny(x, maps=True, coarse=True)
    assert plain.maps == {} and plain.coarse == []
    assert torch.equal(plain.picture, everything.picture)
    assert [tuple(c.shape) for c in everything.coarse] == [(1, 3, 16, 32), (1, 3, 8, 16)]


def test_every_parameter_learns(tiny: INIKNet) -> None:
    restored = tiny.train()(noise(2, 3, 32, 48), coarse=True)
    torch.stack([picture.square().mean() for picture in (restored.picture, *restored.coarse)]).sum().backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_autocast_keeps_the_picture_precise(authors: INIKNet, golden: Golden) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        restored = authors(golden.input, maps=True)
    assert restored.picture.dtype == restored.maps["mu"].dtype == restored.maps["omega"].dtype == torch.float32
    assert (restored.picture - golden.expected["output"]).abs().mean() < 0.1 / 255


def test_channels_last(authors: INIKNet, golden: Golden) -> None:
    network = copy.deepcopy(authors).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    with torch.no_grad():
        restored = network(golden.input.to(memory_format=torch.channels_last))
    torch.testing.assert_close(restored.picture, golden.expected["output"], atol=TOLERANCE, rtol=0)


# ---- the authors' file --------------------------------------------------------------------------------------------


def test_every_key_is_used_once(golden: Golden) -> None:
    assert AUTHORS_KEYS.keys() == golden.weights.keys()
    ours = list(AUTHORS_KEYS.values())
    assert set(ours) == INIKNet().state_dict().keys()
    shared = {key for key in ours if ours.count(key) > 1}
    assert shared == {f"dictionary.kernels.{atom}.frequency" for atom in range(10)}


def test_refuses_other_files(golden: Golden) -> None:
    stem, w0 = "unet.feat_extract.0.main.0.weight", "inr_conv.kernelINR_list.4.layers.3.w0"
    bias = golden.weights["sum.bias"]
    wrong: list[tuple[dict[str, Tensor], str]] = [
        ({**golden.weights, stem: torch.zeros(32, 4, 3, 3)}, rf"{stem} is \(32, 4, 3, 3\), not \(32, 3, 3, 3\)"),
        ({**golden.weights, "delta": bias}, "unknown delta"),
        ({k: v for k, v in golden.weights.items() if k != "sum.bias"}, "missing sum.bias"),
        ({**golden.weights, w0: golden.weights[w0] + 1}, f"{w0} differs from the tensor it is tied to"),
    ]
    for weights, message in wrong:
        with pytest.raises(WeightsError, match=message):
            from_authors(weights)


# ---- atoms --------------------------------------------------------------------------------------------------------


def test_kernel_coordinates() -> None:
    for size in (3, 7, 15):
        taps = kernel_coordinates(size)
        assert taps.shape == (size * size, 3) and taps.min() >= 0 and taps.max() <= 1
        assert taps[size * size // 2].tolist() == [0, 1, 0.5]  # radius 0, angle 0: exactly, or the atoms' centres jump
        assert taps[0, 0] == taps[-1, 0] == pytest.approx(1)


def test_atoms_are_kept_until_weights_change() -> None:
    torch.manual_seed(0)
    dictionary, other = AtomDictionary((3, 5), 2).eval(), AtomDictionary((3, 5), 2)

    def changed(then: list[Tensor]) -> bool:
        now = dictionary()
        assert now is dictionary() and torch.equal(now[0], dictionary.sample()[0])
        return now is not then

    with torch.no_grad():
        kept = dictionary()
        assert not changed(kept)
        dictionary.load_state_dict(other.state_dict())
        assert changed(kept) and torch.equal(dictionary()[1], other()[1])
        kept = dictionary()
        for parameter in dictionary.parameters():
            parameter.mul_(0.9)  # what optimisers and weight averaging do
        assert changed(kept)
        assert copy.deepcopy(dictionary)() is not dictionary()
        assert dictionary.to(torch.float64)()[0].dtype == torch.float64


def test_atoms_have_gradients_after_inference() -> None:
    dictionary = AtomDictionary((3,), 2)
    with torch.inference_mode():
        dictionary()
    dictionary()[0].sum().backward()
    assert all(p.grad is not None for p in dictionary.parameters())
    assert not any(key.endswith("coordinates") for key in dictionary.state_dict())


# ---- what the table of networks declares --------------------------------------------------------------------------


def test_sizes(tiny: INIKNet) -> None:
    with torch.no_grad():
        assert tiny(noise(1, 3, SPEC.min_size, SPEC.min_size + SPEC.multiple_of)).picture.shape == (1, 3, 32, 48)
        for height, width in ((32, 40), (SPEC.min_size - SPEC.multiple_of, 32)):
            with pytest.raises(ValueError, match=f"multiples of 16 and at least 32, not {height} × {width}"):
                tiny(noise(1, 3, height, width))


def test_maps_are_as_declared(authors: INIKNet, golden: Golden) -> None:
    with torch.no_grad():
        maps = authors(golden.input, maps=True).maps
    assert list(maps) == [spec.name for spec in SPEC.maps]
    for spec in SPEC.maps:
        low, high = spec.range
        assert maps[spec.name].shape[1] == spec.channels
        assert low is None or maps[spec.name].min() >= low
        assert high is None or maps[spec.name].max() <= high
    torch.testing.assert_close(maps["mu"].sum(dim=1), torch.ones_like(maps["mu"][:, 0]))


def test_context(tiny: INIKNet) -> None:
    # NaN times zero is NaN: one NaN pixel marks all outputs that could ever depend on it, whatever the weights are,
    # where gradients and small perturbations fade with distance. How far it gets depends on its place in the 16-grid.
    centre, places = 288, SPEC.multiple_of
    x = noise(places, 3, 32, 2 * centre)
    for i in range(places):
        x[i, :, :, centre + i] = torch.nan
    with torch.no_grad():
        marked = tiny(x).picture.isnan().any(dim=1).any(dim=1)  # (places, width)
    reach = max(abs(column - centre - i) for i, column in marked.nonzero().tolist())
    assert reach == 261
    assert isinstance(SPEC.context, int) and reach <= SPEC.context
