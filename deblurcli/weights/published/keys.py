"""From the key names of a published file to ours: what all importers share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from deblurcli.errors import WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import network_spec


def renamed(state_dict: Mapping[str, Tensor], keys: Mapping[str, str], network: str) -> dict[str, Tensor]:
    """The authors' state dict under our names, each of their keys used once, ready for ``load_state_dict``.

    Args:
        state_dict: tensors under the authors' names.
        keys: every key of the authors' file → ours. Two of theirs lead to one of ours where they tie a tensor.
        network: name of ours, whose default configuration has the shapes.

    Raises:
        WeightsError: keys are missing or unknown, a shape is not the network's, or tensors that must be tied differ.
    """
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in build_network(network).state_dict().items()}

    wrong = [f"missing {key}" for key in keys if key not in state_dict]
    wrong += [f"unknown {key}" for key in state_dict if key not in keys]
    ours: dict[str, Tensor] = {}
    for their_key, our_key in keys.items():
        if (tensor := state_dict.get(their_key)) is None:
            continue
        if tensor.shape != shapes[our_key]:
            wrong.append(f"{their_key} is {tuple(tensor.shape)}, not {tuple(shapes[our_key])}")
        elif not torch.equal(ours.setdefault(our_key, tensor), tensor):
            wrong.append(f"{their_key} differs from the tensor it is tied to")
    if wrong:
        raise WeightsError(f"this is not the authors' {network_spec(network).title}: " + "; ".join(wrong))
    return ours


def with_parameters(modules: Mapping[str, str], *names: str) -> dict[str, str]:
    """Pairs of modules (theirs, ours) → pairs of keys, for tensors of these names, which both sides share."""
    return {f"{theirs}.{name}": f"{ours}.{name}" for theirs, ours in modules.items() for name in names}


WEIGHT_AND_BIAS = ("weight", "bias")
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
