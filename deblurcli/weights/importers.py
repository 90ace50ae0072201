"""From the files that networks' authors publish to checkpoints of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import PurePath
from typing import Any, BinaryIO

import torch
from torch import Tensor

from deblurcli.errors import UsageError, WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import network_spec
from deblurcli.weights.checkpoint import Header
from deblurcli.weights.load import fill
from deblurcli.weights.published.files import git_blob, read_authors_file
from deblurcli.weights.store import published


@dataclass(frozen=True)
class Importer:
    """How to read one network's published file.

    Attributes:
        function: "module:function", from what the file holds to our state dict. It joins what differs by "; ".
        holds: tensors by key (dict), or arrays by position (list).
        arguments: of the function, further ones.
    """

    function: str
    holds: type = dict
    arguments: dict[str, Any] = field(default_factory=dict)

    def convert(self, content: Any) -> dict[str, Tensor]:
        """Our state dict from what the file holds. Raises WeightsError if that is not of this network."""
        place, _, function = self.function.partition(":")
        return getattr(import_module(place), function)(content, **self.arguments)


IMPORTERS = {
    "iniknet": Importer("deblurcli.weights.published.iniknet:from_authors"),
    "gkmnet": Importer("deblurcli.weights.published.gkmnet:from_authors"),
    "p2ikt": Importer("deblurcli.weights.published.p2ikt:from_authors"),
    "kpac-2": Importer("deblurcli.weights.published.kpac:from_authors", list, {"levels": 2}),
    "kpac-3": Importer("deblurcli.weights.published.kpac:from_authors", list, {"levels": 3}),
}
SHOWN = 4  # differences that an error lists
ANOTHER = "It may belong to another --network."


def import_weights(
    file: BinaryIO, name: str, network: str, tag: str | None = None, licence: str | None = None
) -> tuple[dict[str, Tensor], Header]:
    """The tensors and header of a checkpoint for ``network``, made of a file that its authors published.

    Args:
        file: the file, open. name: what errors and the header call it.
        tag, licence: what the header shall say; None for what the catalog knows of this very file.

    Raises:
        UsageError: there is no such network, or no way to import for it.
        WeightsError: the file is damaged, asks for code, or is not of this network.
    """
    spec = network_spec(network)
    if network not in IMPORTERS:
        raise UsageError(f"'{network}' has no published weights to import", f"There are: {', '.join(IMPORTERS)}.")
    importer = IMPORTERS[network]
    content = read_authors_file(file, name)
    if not isinstance(content, importer.holds):
        kind = "tensors by name" if isinstance(content, dict) else "a list of arrays"
        raise WeightsError(f"{name}: holds {kind}, which {spec.title}'s file does not", ANOTHER)
    values = content.values() if isinstance(content, dict) else content
    if not all(bool(torch.as_tensor(value).isfinite().all()) for value in values):
        raise WeightsError(f"{name}: holds values that are not numbers", "Its training failed, or it is damaged.")
    try:
        tensors = importer.convert(content)
    except WeightsError as error:
        raise WeightsError(f"{name}: {_shortened(str(error))}", ANOTHER) from error
    module = build_network(network)
    fill(module, tensors, network, name)

    blob = git_blob(file)
    known = next((row for row in published() if (row.network, row.blob) == (network, blob)), None)
    source = f"As its authors published it: {known.url}" if known else f"Imported from {PurePath(name).name}"
    return module.state_dict(), Header(
        network=network,
        tag=tag or (known.tag if known else "imported"),
        licence=licence or (known.licence if known else "not stated"),
        note=f"{source} (git blob {blob}).",
    )


def _shortened(differences: str) -> str:
    shown = differences.split("; ")
    more = len(shown) - SHOWN
    return differences if more <= 0 else "; ".join([*shown[:SHOWN], f"and {more} more"])
