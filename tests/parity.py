"""Largest differences from what the authors' networks return, as a file: python tests/parity.py results/parity.json"""

from __future__ import annotations

import sys
from pathlib import Path

from golden_vectors import TOLERANCE, load_golden
from test_iniknet import golden_outputs

from deblurcli.evaluation.results import write_results
from deblurcli.networks.iniknet import INIKNet
from deblurcli.weights.published.iniknet import from_authors

golden = load_golden("iniknet")
network = INIKNet().eval()
network.load_state_dict(from_authors(golden.weights))
largest = {
    name: float((value - golden.expected[name]).abs().max())
    for name, value in golden_outputs(network, golden.input).items()
}
command = f"python tests/parity.py {sys.argv[1]}"
content = {
    "tolerance": TOLERANCE,
    "stored to within": 8e-6,
    "iniknet": {k: float(f"{v:.2g}") for k, v in largest.items()},
}
write_results(Path(sys.argv[1]), command, content)
print(f"iniknet: {max(largest.values()):.1e} (tolerance {TOLERANCE:.0e})")
