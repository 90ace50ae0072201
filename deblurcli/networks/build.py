"""From a name in the table to a network with numbers in it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

from deblurcli.errors import WeightsError
from deblurcli.networks.spec import network_spec


def build_network(name: str, config: dict[str, Any] | None = None) -> nn.Module:
    """The network ``name`` with freshly drawn weights.

    Args:
        config: constructor arguments that differ from the network's own; lists become tuples.

    Raises:
        UsageError: there is no such network. WeightsError: the network does not take these arguments.
    """
    spec = network_spec(name)
    module, _, attribute = spec.build.partition(":")
    config = spec.config | (config or {})
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    try:
        return getattr(import_module(f"deblurcli.networks.{module}"), attribute)(**arguments)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{name} cannot be built with {arguments}: {error}") from error
