"""The networks and their weights as a table, for the terminal and for docs/networks.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from deblurcli.networks.spec import DEFAULT_NETWORK, NetworkSpec, network_spec, trainable_networks
from deblurcli.weights.checkpoint import read_header
from deblurcli.weights.store import catalog, published


@dataclass(frozen=True)
class Line:
    """One set of weights.

    Attributes:
        tag: its name. works: "yes", or "no" or what is missing. where: whether it is here.
        licence: as stated. scores: of our validation, empty where there are none.
    """

    tag: str
    works: str
    where: str
    licence: str
    scores: dict[str, float]


def weights_of(network: str) -> Iterator[Line]:
    """All weights of a network, the default ones first; a line that says so if there are none.

    Raises:
        WeightsError: released ones are damaged.
    """
    torch, onnx = (find_spec(name) is not None for name in ("torch", "onnxruntime"))
    works = "yes" if torch else "needs PyTorch"
    found = False
    for release in catalog():
        if release.network == network:
            header = read_header(release.path)
            found, alone = True, onnx and release.onnx_path is not None
            yield Line(release.tag, "yes" if alone else works, "comes with deblur", header.licence, header.scores)
    for row in published(network):
        found = True
        here = row.is_fetched
        yield Line(row.tag, works if here else "no", "fetched" if here else "not fetched", row.licence, {})
    if not found:
        yield Line("none yet", "no", "to be trained", "", {})


def networks_in_order() -> list[NetworkSpec]:
    """The networks that users can choose, the default one first."""
    names = sorted(trainable_networks(), key=lambda name: name != DEFAULT_NETWORK)
    return [network_spec(name) for name in names]


def networks_table() -> str:
    """The table of networks, as Markdown. It does not depend on what was fetched here."""
    lines = ["| name | what it is | parameters | multiply-adds per pixel | weights |", "|---|---|---|---|---|"]
    for spec in networks_in_order():
        name = f"`{spec.name}`" + (" (default)" if spec.name == DEFAULT_NETWORK else "")
        title = f"[{spec.title}]({spec.url})" if spec.url else spec.title
        what = f"{title}: {spec.about or spec.paper}"
        released = [f"`{row.tag}`, comes with deblur" for row in catalog() if row.network == spec.name]
        fetchable = [f"`{row.tag}`, to be fetched ({row.licence})" for row in published(spec.name)]
        weights = "; ".join(released + fetchable) or "train your own"
        cells = (name, what, f"{spec.parameters / 1e6:.2f} M", _thousands(spec.cost), weights)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _thousands(cost: float) -> str:
    return f"{cost / 1000:.2f} M" if cost >= 1000 else f"{cost:.0f} k"
