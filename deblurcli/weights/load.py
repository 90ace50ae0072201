"""From weights on disk to a network that has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
    fill(network, read_tensors(path), spec.name, str(path))
    return network, header.tag


def fill(network: nn.Module, tensors: dict[str, Tensor], name: str, file: str) -> None:
    """Gives ``network`` these weights.

    Args:
        name, file: what errors call the network and where the weights come from.

    Raises:
        WeightsError: they do not fit: every tensor must be there, with its shape, and finite.
    """
    expected = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    found = {key: tuple(t.shape) for key, t in tensors.items()}
    if expected != found:
        different = sorted(set(expected.items()) ^ set(found.items()))
        raise WeightsError(
            f"{file}: does not fit {name}: '{different[0][0]}' is missing, unknown or of another shape",
            "The file may come from another version of deblur.",
        )
    network.load_state_dict(tensors)
    if any(t.is_floating_point() and not bool(t.isfinite().all()) for t in network.state_dict().values()):
        raise WeightsError(f"{file}: holds values that are not numbers", "Fetch or train the weights again.")
