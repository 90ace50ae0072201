"""Writes what is generated in README.md and docs/: python docs/generate.py, or make docs. A test compares."""

from __future__ import annotations

import re
from pathlib import Path

from deblurcli.evaluation.results import results_tables, summary_table
from deblurcli.weights.table import networks_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def generated() -> dict[str, str]:
    """File, from the root → its content as it should be."""
    return {
        "README.md": with_block("README.md", "results", summary_table(RESULTS)),
        "docs/results.md": with_block("docs/results.md", "results", results_tables(RESULTS)),
        "docs/networks.md": with_block("docs/networks.md", "networks", networks_table()),
    }


def with_block(name: str, block: str, content: str) -> str:
    """A file's text with ``content`` between the marks of a generated block. Raises ValueError if there is not one."""
    text = (ROOT / name).read_text(encoding="utf-8")
    parts = re.split(rf"(<!-- {block}: .*? -->\n)(?:.*?)(<!-- end of {block} -->)", text, flags=re.DOTALL)
    before, begin, end, after = parts
    return f"{before}{begin}\n{content}\n\n{end}{after}"


if __name__ == "__main__":
    for name, text in generated().items():
        (ROOT / name).write_text(text, encoding="utf-8")
