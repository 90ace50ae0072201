"""Largest differences from what the authors' networks return, as a file: python tests/parity.py results/parity.json"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from golden_vectors import TOLERANCE, load_golden
from test_iniknet import golden_outputs
from torch import Tensor

from deblurcli.evaluation.results import write_results
from deblurcli.networks.iniknet import INIKNet
from deblurcli.networks.kpac import KPAC
from deblurcli.weights.published import iniknet, kpac


def iniknet_outputs(weights: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Every golden array of INIKNet."""
    network = INIKNet().eval()
    network.load_state_dict(iniknet.from_authors(weights))
    return golden_outputs(network, x)


def kpac_outputs(levels: int, weights: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """The golden picture of KPAC."""
    network = KPAC(levels).eval()
    network.load_state_dict(kpac.from_authors(list(weights.values()), levels))
    with torch.no_grad():
        return {"output": network(x).picture}


NETWORKS: dict[str, Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]]] = {
    "iniknet": iniknet_outputs,
    "kpac-2": lambda weights, x: kpac_outputs(2, weights, x),
    "kpac-3": lambda weights, x: kpac_outputs(3, weights, x),
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
