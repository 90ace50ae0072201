"""INIKNet-fast: its head's promises, and its row in the table."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deblurcli import networks
from deblurcli.networks.build import build_network
from deblurcli.networks.iniknet_fast import INIKNetFast, every_other, inverse_filter, phases, smooth
from deblurcli.networks.spec import network_spec
from deblurcli.scales import add_doubled, mean_of_squares

torch.manual_seed(0)


def randomised(**config: object) -> INIKNetFast:
    """A small network whose heads are not zero."""
    network = INIKNetFast(widths=(8, 8, 8), depths=(1, 1, 1), atoms=3, **config)  # type: ignore[arg-type]
    for head in (network.mu_head, *network.omega_heads):
        torch.nn.init.normal_(head.weight, std=0.3)  # type: ignore[arg-type]
    return network.eval()


def test_untrained_is_the_identity() -> None:
    x = torch.rand(2, 3, 64, 80)
    assert torch.equal(INIKNetFast()(x).picture, x)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_flat_areas_cannot_change(levels: int) -> None:
    """… beyond the rounding of sums that cancel: five digits below what the filters do to a texture."""
    network = randomised(levels=levels)
    flat, texture = torch.rand(1, 3, 1, 1).expand(1, 3, 64, 64).contiguous(), torch.rand(1, 3, 64, 64)
    change, filtered = ((network(x).picture - x).abs().max() for x in (flat, texture))
    assert change < 1e-5 * filtered


def test_brightness_is_preserved_away_from_borders() -> None:
    """Atoms have mean zero, so where μ and ω do not vary the mean of the picture stays what it was."""
    network = randomised()
    for head in (network.mu_head, *network.omega_heads):
        torch.nn.init.zeros_(head.weight)  # type: ignore[arg-type]
        # The same for the four pixels that a half-resolution one is shuffled into.
        values = 0.05 * torch.randn(len(head.bias) // 4 if len(head.bias) % 4 == 0 else len(head.bias))  # type: ignore[arg-type]
        head.bias.data = values.repeat_interleave(len(head.bias) // len(values))  # type: ignore[arg-type,union-attr]
    x = torch.zeros(1, 3, 256, 256)
    x[..., 96:160, 96:160] = torch.rand(1, 3, 64, 64)
    restored = network(x).picture
    assert (restored - x).abs().max() > 0.01
    torch.testing.assert_close(restored.mean((2, 3)), x.mean((2, 3)), atol=1e-5, rtol=0)


def test_features_are_half_the_mean_of_their_neighbourhood() -> None:
    spot = torch.zeros(1, 1, 5, 5)
    spot[..., 2, 2] = 18
    expected = torch.tensor([[1.0, 1, 1], [1, 10, 1], [1, 1, 1]])
    torch.testing.assert_close(smooth(spot)[0, 0], F.pad(expected, (1, 1, 1, 1)))
    even = torch.ones(1, 2, 4, 6)
    torch.testing.assert_close(smooth(even), even)  # at the border, too


def test_atoms_are_balanced() -> None:
    for atoms in INIKNetFast().dictionary():
        assert atoms.mean((2, 3)).abs().max() < 1e-6
        torch.testing.assert_close(atoms.abs().sum((2, 3)), torch.ones(10, 1))


def naive(network: INIKNetFast, x: Tensor) -> Tensor:
    """What the docstring's formula adds, one pixel's inverse kernel at a time, for a single level."""
    maps = network(x, maps=True).maps
    change = torch.zeros_like(x)
    for nth, (size, atoms) in enumerate(zip(network.sizes, network.dictionary(), strict=True)):
        reach = size // 2
        padded = F.pad(x, (reach,) * 4, mode="reflect")
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                kernel = torch.einsum("n,nij->ij", maps["omega"][0, :, row, column], atoms[:, 0])
                seen = padded[0, :, row : row + size, column : column + size]
                change[0, :, row, column] += (seen * kernel).sum((1, 2)) * maps["mu"][0, nth + 1, row, column]
    return change


def test_equals_the_naive_formula_but_for_the_finest_colours() -> None:
    network = randomised(levels=1, sizes=(3, 5))
    x = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        restored, change = (t[0].movedim(0, 2).numpy() for t in (network(x).picture, naive(network, x)))
    luma = np.array([[0.299], [0.587], [0.114]], np.float32)
    own, asked = (picture - picture @ luma for picture in (x[0].movedim(0, 2).numpy(), change))
    finest, added = own - averaged(own), asked - averaged(asked)
    # Whichever lies between: nothing, what was asked for, or that the finest colours are gone.
    left = np.median([0 * added, added, -finest], axis=0)
    assert 0.1 < np.mean(left == added) < 0.9
    added = averaged(asked) + left
    expected = x[0].movedim(0, 2).numpy() + change @ luma + (added - added @ luma)
    np.testing.assert_allclose(restored, expected, atol=1e-5)


def averaged(picture: np.ndarray) -> np.ndarray:
    """(H, W, C), halved and doubled again."""
    return add_doubled(np.zeros_like(picture), mean_of_squares(picture))


@pytest.mark.parametrize("exporting", [False, True])
@pytest.mark.parametrize("size", [3, 5, 9, 15])
def test_phases_convolve_as_the_kernels_do(size: int, exporting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: exporting)
    kernels, x = torch.randn(2, 1, size, size), torch.randn(1, 1, 22, 30)
    padded = F.pad(x, (size // 2,) * 4)
    shuffled = F.pixel_shuffle(every_other(phases(kernels))(padded), 2)
    torch.testing.assert_close(shuffled, F.conv2d(padded, kernels), atol=1e-4, rtol=0)


def test_inverse_filter_keeps_pictures_apart() -> None:
    y, omega, bank = torch.rand(3, 3, 16, 16), torch.randn(3, 8, 8, 8), phases(torch.randn(2, 1, 5, 5))
    each = [inverse_filter(y[k : k + 1], omega[k : k + 1], bank) for k in range(3)]
    torch.testing.assert_close(inverse_filter(y, omega, bank), torch.cat(each), atol=1e-5, rtol=0)


def test_inverse_filter_keeps_colours_apart() -> None:
    y = torch.zeros(1, 3, 16, 16)
    y[:, 1] = torch.rand(16, 16)
    changed = inverse_filter(y, torch.rand(1, 8, 8, 8), phases(torch.randn(2, 1, 5, 5)))
    assert changed[:, 1].abs().max() > 0
    assert changed[:, [0, 2]].abs().max() == 0


def test_maps_are_what_the_table_says() -> None:
    network = randomised()
    restored = network(torch.rand(1, 3, 64, 80), maps=True)
    mu, size = restored.maps["mu"], restored.maps["defocus_size"]
    torch.testing.assert_close(mu.unflatten(1, (4, 4)).sum(2), torch.ones(1, 4, 64, 80))
    assert network.kernel_sizes == (1, 5, 9, 15, 1, 10, 18, 30, 1, 20, 36, 60, 1, 40, 72, 120)
    assert 1 <= size.min() <= size.max() <= 120
    assert restored.maps["blur_radius"].min() >= 0
    assert all(plane.shape[2:] == (64, 80) for plane in restored.maps.values())


@pytest.mark.parametrize("name", ["iniknet-fast", "tiny"])
def test_declared_context_is_how_far_it_looks(name: str) -> None:
    """A not-a-number spreads to every pixel that looks at it, whatever the weights."""
    spec, network = network_spec(name), build_network(name).eval()
    reach = 0
    for at in range(256, 256 + spec.multiple_of):
        x = torch.full((1, 3, spec.min_size, 512), 0.5)
        x[..., spec.min_size // 2, at] = torch.nan
        with torch.no_grad():
            spread = network(x).picture.isnan().any(1).any(1)[0].nonzero()
        reach = max(reach, at - int(spread.min()), int(spread.max()) - at)
    assert reach == spec.context


def test_bfloat16_predictor_changes_little() -> None:
    network, x = build_network("tiny").eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = network(x).picture
    with torch.no_grad():
        full = network(x).picture
    assert half.dtype == torch.float32
    assert (half - full).abs().mean() < 0.5 / 255


def test_networks_modules_hold_no_tensors() -> None:
    """They may be imported while a network is built without memory, and would then hold tensors without numbers."""
    for module in iter_modules(networks.__path__, "deblurcli.networks."):
        held = [name for name, value in vars(import_module(module.name)).items() if isinstance(value, Tensor)]
        assert not held, module.name
