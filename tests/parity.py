"""Largest differences from what the authors' networks return, as a file: python tests/parity.py results/parity.json"""

from __future__ import annotations

import sys
from pathlib import Path

import test_gkmnet
import test_iniknet
import test_kpac
import test_p2ikt
from golden_vectors import TOLERANCE, load_golden

from deblurcli.evaluation.results import write_results
from deblurcli.networks.build import build_network
from deblurcli.weights.importers import IMPORTERS

OUTPUTS = {
    "iniknet": test_iniknet.golden_outputs,
    "gkmnet": test_gkmnet.golden_outputs,
    "p2ikt": test_p2ikt.golden_outputs,
    "kpac-2": test_kpac.golden_outputs,
    "kpac-3": test_kpac.golden_outputs,
}

# As text: result files keep four decimals.
content: dict[str, object] = {"tolerance": f"{TOLERANCE:.0e}", "stored to within": "8e-06"}
for name, golden_outputs in OUTPUTS.items():
    golden = load_golden(name)
    network = build_network(name).eval()
    # KPAC's files have no names, but the order of the golden ones.
    by_name = IMPORTERS[name].holds is dict
    network.load_state_dict(IMPORTERS[name].convert(golden.weights if by_name else list(golden.weights.values())))
    found = golden_outputs(network, golden.input)
    largest = {key: float((found[key] - expected).abs().max()) for key, expected in golden.expected.items()}
    content[name] = {key: f"{difference:.1e}" for key, difference in largest.items()}
    print(f"{name}: {max(largest.values()):.1e} (tolerance {TOLERANCE:.0e})")
write_results(Path(sys.argv[1]), f"python tests/parity.py {sys.argv[1]}", content)
