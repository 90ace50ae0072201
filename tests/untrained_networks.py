"""Networks without trained weights, ready to restore photos in tests."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from deblurcli.backends.torch_backend import TorchBackend
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import network_spec
from deblurcli.restore import Deblurrer

Module = TypeVar("Module", bound=nn.Module)


def stirred(network: Module) -> Module:
    """The network with a little noise on every weight: what starts at zero would hide what is wrong behind it."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network


def untrained(name: str) -> Deblurrer:
    """The network with random weights in which no map is constant."""
    torch.manual_seed(0)
    network = build_network(name)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return Deblurrer(TorchBackend(network, network_spec(name), "cpu"), "random")
