"""Stages that networks compute in parts of the picture: equal to one run, and only where parts are wanted."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import noise
from torch import Tensor, nn

from deblurcli.networks import blocks
from deblurcli.networks.blocks import in_parts, residual_blocks, resize
from deblurcli.networks.iniknet import INIKNet
from deblurcli.networks.iniknet_fast import INIKNetFast


def calls_of_a_stage(x: Tensor) -> int:
    calls = 0

    def stage(x: Tensor) -> tuple[Tensor]:
        nonlocal calls
        calls += 1
        return (x + 1,)

    assert torch.equal(in_parts(stage, 1, x)[0], x + 1)
    return calls


def test_parts_only_for_large_pictures_without_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "PART", 64)
    small, large = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 136)
    assert calls_of_a_stage(large) == 1
    with torch.no_grad():
        assert calls_of_a_stage(small) == 1
        assert calls_of_a_stage(large) == 1 + 3  # one look at a corner


@pytest.mark.parametrize("shape", [(72, 200), (136, 64), (40, 336)])
def test_a_stage_of_several_scales(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    convolutions, (height, width) = residual_blocks(4, 2), shape

    def stage(fine: Tensor, coarse: Tensor) -> tuple[Tensor, ...]:
        x = convolutions(fine + resize(coarse, 2))
        return x, F.avg_pool2d(x, 4)

    fine, coarse = noise(2, 4, height, width), noise(2, 4, height // 2, width // 2)
    monkeypatch.setattr(blocks, "PART", 64)
    with torch.no_grad():
        expected = stage(fine, coarse)
        found = in_parts(stage, 8, fine, coarse)
    for ours, whole in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(144, 176), (64, 208)])
@pytest.mark.parametrize("network", [INIKNet(width=8, atoms=3), INIKNetFast((8, 8, 8), (1, 1, 1), 3)], ids=type)
def test_networks(monkeypatch: pytest.MonkeyPatch, network: nn.Module, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for name, parameter in network.named_parameters():
        if "head" in name:
            nn.init.normal_(parameter, std=0.3)
    x = noise(1, 3, *shape)
    with torch.no_grad():
        whole = network.eval()(x, maps=True)
        monkeypatch.setattr(blocks, "PART", 48)
        parts = network(x, maps=True)
    torch.testing.assert_close(parts.picture, whole.picture, atol=1e-5, rtol=0)
    for name, plane in whole.maps.items():
        torch.testing.assert_close(parts.maps[name], plane, atol=1e-5, rtol=1e-5)
