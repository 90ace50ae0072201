"""Networks without trained weights, ready to restore photos in tests."""

from __future__ import annotations

import torch

from deblurcli.backends.torch_backend import TorchBackend
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import network_spec
from deblurcli.restore import Deblurrer


def untrained(name: str) -> Deblurrer:
    """The network with random weights in which no map is constant."""
    torch.manual_seed(0)
    network = build_network(name)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return Deblurrer(TorchBackend(network, network_spec(name), "cpu"), "random")
