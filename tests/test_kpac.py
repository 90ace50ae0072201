"""KPAC equals its authors' networks, and is what its rows in the table of networks say."""

from __future__ import annotations

import copy

import pytest
import torch
from golden_vectors import TOLERANCE, Golden, load_golden, noise
from torch import Tensor

from deblurcli.errors import WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.kpac import KPAC
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import network_spec
from deblurcli.weights.published.kpac import authors_order, from_authors

LEVELS = {"kpac-2": 2, "kpac-3": 3}
PARAMETERS = {"kpac-2": 1_578_277, "kpac-3": 2_057_893}


def authors(name: str) -> tuple[KPAC, Golden]:
    """The network with the golden weights."""
    golden = load_golden(name)
    network = KPAC(LEVELS[name]).eval()
    network.load_state_dict(from_authors(list(golden.weights.values()), LEVELS[name]))
    return network, golden


@pytest.fixture(scope="module", params=LEVELS)
def case(request: pytest.FixtureRequest) -> tuple[KPAC, Golden, str]:
    return *authors(request.param), request.param


@pytest.fixture
def small() -> KPAC:
    """Three levels and few channels, no weight zero."""
    torch.manual_seed(0)
    network = KPAC(levels=3, width=12).eval()
    torch.nn.init.normal_(network.last.fuse.weight, std=0.05)
    return network


def golden_outputs(network: torch.nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Everything the golden file has, under its names."""
    with torch.no_grad():
        return {"output": network(x).picture}


# ---- equal to the authors' ----------------------------------------------------------------------------------------


def test_every_golden_array(case: tuple[KPAC, Golden, str]) -> None:
    network, golden, _ = case
    ours = golden_outputs(network, golden.input)
    assert ours.keys() == golden.expected.keys()
    torch.testing.assert_close(ours["output"], golden.expected["output"], atol=TOLERANCE, rtol=0)


def test_parameter_count(case: tuple[KPAC, Golden, str]) -> None:
    network, golden, name = case
    assert sum(p.numel() for p in network.parameters()) == golden.parameters == PARAMETERS[name]
    assert network_spec(name).parameters == PARAMETERS[name]


def test_channels_last(case: tuple[KPAC, Golden, str]) -> None:
    network, golden, _ = case
    network = copy.deepcopy(network).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    with torch.no_grad():
        restored = network(golden.input.to(memory_format=torch.channels_last))
    torch.testing.assert_close(restored.picture, golden.expected["output"], atol=TOLERANCE, rtol=0)


# ---- the authors' file --------------------------------------------------------------------------------------------


def test_every_array_is_used_once(case: tuple[KPAC, Golden, str]) -> None:
    network, golden, name = case
    order = authors_order(LEVELS[name])
    assert len(set(order)) == len(order) == len(golden.weights)
    assert set(order) == network.state_dict().keys()


def test_refuses_other_files() -> None:
    arrays = list(load_golden("kpac-2").weights.values())
    wrong = [
        (arrays[:-1], 2, "57 arrays, not 58"),
        ([*arrays, arrays[-1]], 2, "59 arrays, not 58"),
        ([torch.zeros(5, 5, 4, 48), *arrays[1:]], 2, r"array 0, encoders.0.first.weight, is \(48, 4, 5, 5\)"),
        ([arrays[1], arrays[0], *arrays[2:]], 2, "array 0, encoders.0.first.weight.*; array 1, encoders.0.first.bias"),
        (arrays, 3, "58 arrays, not 66"),
    ]
    for given, levels, message in wrong:
        with pytest.raises(WeightsError, match=message):
            from_authors(given, levels)
    numpy_too = from_authors([array.numpy() for array in arrays], 2)
    assert torch.equal(numpy_too["last.up.weight"], from_authors(arrays, 2)["last.up.weight"])


# ---- as a network -------------------------------------------------------------------------------------------------


def test_untrained_is_the_identity() -> None:
    x = noise(1, 3, 32, 40)
    assert torch.equal(KPAC(levels=3, width=12)(x).picture, x)


def test_batch_equals_singles(small: KPAC) -> None:
    x = noise(2, 3, 32, 48)
    with torch.no_grad():
        together, singles = small(x, maps=True), [small(one, maps=True) for one in x.split(1)]
    for i, single in enumerate(singles):
        torch.testing.assert_close(together.picture[i : i + 1], single.picture, atol=1e-5, rtol=0)
        for name in single.maps:
            torch.testing.assert_close(together.maps[name][i : i + 1], single.maps[name], atol=1e-4, rtol=0)


def test_maps(small: KPAC) -> None:
    x = noise(1, 3, 32, 48)
    weights = small.state_dict()  # shares the network's memory
    with torch.no_grad():
        assert small(x).maps == {}
        maps = small(x, maps=True).maps
        for block, chosen in ((0, [-200, -200, -200, -200, 200]), (1, [-200] * 5)):
            weights[f"blocks.{block}.scale_head.weight"].zero_()
            weights[f"blocks.{block}.scale_head.bias"].copy_(torch.tensor(chosen))
        largest = small(x, maps=True).maps
    assert small.kernel_sizes == (40, 72, 104, 136, 168)
    assert maps["alpha"].shape == (1, 10, 32, 48) and maps["alpha"].std((2, 3)).min() > 1e-4
    assert 40 < maps["defocus_size"].min() < maps["defocus_size"].max() < 168
    assert largest["alpha"][0, :, 9, 9].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    torch.testing.assert_close(largest["defocus_size"], torch.full((1, 1, 32, 48), 168.0), atol=0.01, rtol=0)


def test_every_parameter_learns(small: KPAC) -> None:
    restored: Restored = small.train()(noise(2, 3, 32, 48))
    restored.picture.square().mean().backward()
    for name, parameter in small.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_autocast_keeps_the_picture_precise() -> None:
    network, golden = authors("kpac-3")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        restored = network(golden.input, maps=True)
    assert restored.picture.dtype == restored.maps["alpha"].dtype == torch.float32
    assert (restored.picture - golden.expected["output"]).abs().mean() < 0.3 / 255


# ---- whole-picture averages ---------------------------------------------------------------------------------------


def averages(network: KPAC, x: Tensor) -> list[Tensor]:
    """As the interface of the table of networks tells tiles to find them."""
    known: list[Tensor] = []
    for _ in range(network_spec("kpac-3").statistics):
        known.append(network.statistic(x, known).mean((2, 3), keepdim=True))
    return known


def test_own_averages_may_be_given(small: KPAC) -> None:
    x = noise(1, 3, 48, 64)
    with torch.no_grad():
        known = averages(small, x)
        assert [tuple(k.shape) for k in known] == [(1, 24, 1, 1)] * 2
        assert small.statistic(x, known[:1]).shape == (1, 24, 6, 8)
        torch.testing.assert_close(small(x, statistics=known).picture, small(x).picture, atol=1e-6, rtol=0)
        others = [k + 1 for k in known]
        assert (small(x, statistics=others).picture - small(x).picture).abs().max() > 1e-3


@pytest.mark.parametrize("name", LEVELS)
def test_context(name: str) -> None:
    """Not-a-number spreads to all that looks at it: as far as declared where averages are given, else everywhere."""
    spec = network_spec(name)
    network = KPAC(LEVELS[name], width=12).eval()
    given = [torch.zeros(1, 24, 1, 1)] * spec.statistics
    height, centre, reach = spec.min_size, 400, 0
    for at in range(centre, centre + spec.multiple_of):
        x = torch.full((1, 3, height, 2 * centre), 0.5)
        x[..., at] = torch.nan
        with torch.no_grad():
            marked = network(x, statistics=given).picture.isnan().any(1).any(1)[0].nonzero()
            assert network(x).picture.isnan().all()
        reach = max(reach, at - int(marked.min()), int(marked.max()) - at)
    assert reach == spec.context


@pytest.mark.parametrize("name", LEVELS)
def test_beyond_the_halo_little_matters(name: str) -> None:
    """Where a picture is cut, the golden network restores the same a halo away, to within 0.01/255."""
    network, _ = authors(name)
    halo, stride = network_spec(name).halo, network.stride
    x = noise(1, 3, 64, 4 * halo)
    with torch.no_grad():
        known = averages(network, x)
        whole, part = network(x, statistics=known), network(x[..., 2 * halo :], statistics=known)
    difference = (whole.picture[..., 2 * halo :] - part.picture).abs()
    assert difference[..., :stride].max() > 10 / 255
    assert difference[..., halo:].max() < 0.01 / 255


@pytest.mark.parametrize("name", LEVELS)
def test_sizes(name: str) -> None:
    spec, network = network_spec(name), build_network(name).eval()
    with torch.no_grad():
        assert network(noise(1, 3, spec.min_size, 24)).picture.shape == (1, 3, spec.min_size, 24)
        with pytest.raises(ValueError, match=f"multiples of {spec.multiple_of}, not 30 × 24"):
            network(noise(1, 3, 30, 24))


def test_levels_are_two_or_three() -> None:
    assert isinstance(build_network("kpac-3"), KPAC)
    with pytest.raises(WeightsError, match="levels must be 2 or 3"):
        build_network("kpac-3", {"levels": 4})
