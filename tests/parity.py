"""Largest differences from what the authors' networks return, as a file: python tests/parity.py results/parity.json"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import test_gkmnet
import test_iniknet
import test_p2ikt
from golden_vectors import TOLERANCE, load_golden
from torch import Tensor

from deblurcli.evaluation.results import write_results
from deblurcli.networks.build import build_network
from deblurcli.weights.published import gkmnet, iniknet, p2ikt

Outputs = Callable[[Mapping[str, Tensor], Tensor], dict[str, Tensor]]


def of(name: str, from_authors: Callable[..., dict[str, Tensor]], golden_outputs: Callable[..., dict[str, Tensor]]):
    """The authors' weights and an input → every golden array, by our network ``name``."""

    def outputs(weights: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        network = build_network(name).eval()
        network.load_state_dict(from_authors(weights))
        return golden_outputs(network, x)

    return outputs


NETWORKS: dict[str, Outputs] = {
    "iniknet": of("iniknet", iniknet.from_authors, test_iniknet.golden_outputs),
    "gkmnet": of("gkmnet", gkmnet.from_authors, test_gkmnet.golden_outputs),
    "p2ikt": of("p2ikt", p2ikt.from_authors, test_p2ikt.golden_outputs),
}

# As text: result files keep four decimals.
content: dict[str, object] = {"tolerance": f"{TOLERANCE:.0e}", "stored to within": "8e-06"}
for name, outputs in NETWORKS.items():
    golden = load_golden(name)
    found = outputs(golden.weights, golden.input)
    largest = {key: float((found[key] - expected).abs().max()) for key, expected in golden.expected.items()}
    content[name] = {key: f"{difference:.1e}" for key, difference in largest.items()}
    print(f"{name}: {max(largest.values()):.1e} (tolerance {TOLERANCE:.0e})")
write_results(Path(sys.argv[1]), f"python tests/parity.py {sys.argv[1]}", content)
