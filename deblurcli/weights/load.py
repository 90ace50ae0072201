"""From weights on disk to a network that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from deblurcli.errors import WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import NetworkSpec
from deblurcli.weights.checkpoint import Header, read_tensors
from deblurcli.weights.store import RANDOM, find, is_random


@runtime_checkable
class Completing(Protocol):
    """A network that has grown since some of its weights were made."""

    def completed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """These weights and those that they lack, with which it computes what it did."""
        ...


def load_network(spec: NetworkSpec, weights: str | None = None) -> tuple[nn.Module, str]:
    """The network with its weights, and their tag.

    A network whose spec says ``untrained`` (there is one, for tests) gets random weights from a fixed seed.

    Raises:
        WeightsError: there are none, or they do not fit: every tensor must be there, with its shape, and finite.
    """
    if is_random(spec, weights):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build_network(spec.name), RANDOM
    path, header = find(spec.name, weights)
    tensors = read_tensors(path)
    if header.config:
        check_fit(_outline(spec, header, path), tensors, spec.name, str(path))
    network = build_network(spec.name, header.config)
    fill(network, tensors, spec.name, str(path))
    return network, header.tag


def _outline(spec: NetworkSpec, header: Header, path: Path) -> nn.Module:
    """The network without memory for its weights, as the sizes that a header names may be any."""
    try:
        with torch.device("meta"):
            return build_network(spec.name, header.config)
    except Exception as error:  # constructors raise all sorts of things for odd arguments
        raise WeightsError(f"{path}: its header describes no {spec.name} network ({error})") from error


def fill(network: nn.Module, tensors: dict[str, Tensor], name: str, file: str) -> None:
    """Gives ``network`` these weights.

    Args:
        name, file: what errors call the network and where the weights come from.

    Raises:
        WeightsError: they do not fit: every tensor must be there, with its shape, and finite.
    """
    tensors = check_fit(network, tensors, name, file)
    network.load_state_dict(tensors)
    if any(t.is_floating_point() and not bool(t.isfinite().all()) for t in network.state_dict().values()):
        raise WeightsError(f"{file}: holds values that are not numbers", "Fetch or train the weights again.")


def check_fit(network: nn.Module, tensors: dict[str, Tensor], name: str, file: str) -> dict[str, Tensor]:
    """These weights, and what a network can do without that did not exist when they were made.

    Raises:
        WeightsError: they have not the network's names, shapes and kinds of numbers (of any width).
    """
    state = network.state_dict()
    if isinstance(network, Completing):
        tensors = network.completed(tensors)
    expected = {key: tuple(t.shape) for key, t in state.items()}
    found = {key: tuple(t.shape) for key, t in tensors.items()}
    if expected != found:
        different = sorted(set(expected.items()) ^ set(found.items()))
        raise WeightsError(
            f"{file}: does not fit {name}: '{different[0][0]}' is missing, unknown or of another shape",
            "The file may come from another version of deblur.",
        )
    for key, tensor in tensors.items():
        if tensor.is_floating_point() != state[key].is_floating_point() or tensor.is_complex():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(f"{file}: '{key}' holds {kind}, not what {name} has there", "Save it as float32.")
    return tensors
