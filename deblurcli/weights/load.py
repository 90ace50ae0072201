"""From weights on disk to a network that has them."""

from __future__ import annotations

import torch
from torch import nn

from deblurcli.errors import WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import NetworkSpec
from deblurcli.weights.checkpoint import read_tensors
from deblurcli.weights.store import find


def load_network(spec: NetworkSpec, weights: str | None = None) -> tuple[nn.Module, str]:
    """The network with its weights, and their tag.

    A network whose spec says ``untrained`` (there is one, for tests) gets random weights from a fixed seed.

    Raises:
        WeightsError: there are none, or they do not fit: every tensor must be there, with its shape, and finite.
    """
    if spec.untrained and weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build_network(spec.name), "random"
    path, header = find(spec.name, weights)
    network = build_network(spec.name, header.config)
    tensors = read_tensors(path)
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    if expected != found:
        different = sorted(set(expected.items()) ^ set(found.items()))
        raise WeightsError(
            f"{path}: does not fit {spec.name}: '{different[0][0]}' is missing, unknown or of another shape",
            "The file may come from another version of deblur.",
        )
    if any(t.is_floating_point() and not bool(t.isfinite().all()) for t in tensors.values()):
        raise WeightsError(f"{path}: holds values that are not numbers", "Fetch or train the weights again.")
    network.load_state_dict(tensors)
    return network, header.tag
