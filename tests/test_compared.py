"""Networks side by side: what is measured, and the table that comes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_cli import run

from deblurcli.evaluation import compared
from deblurcli.evaluation.compared import comparison
from deblurcli.evaluation.results import results_tables
from deblurcli.evaluation.rows import Row
from deblurcli.evaluation.suites import Report

ROOT = Path(__file__).parents[1]


def row(network: str, **suites: dict[str, float]) -> dict[str, Any]:
    where = {"backend": "torch", "device": "cpu", "precision": "fp32"}
    return {
        "network": network,
        "weights": "a",
        **where,
        "seconds per megapixel": 2.0,
        "calibration GFLOP/s": 330.0,
        "peak MB": 1500,
        "suites": suites,
    }


def test_the_table_has_what_was_measured_of_all() -> None:
    one = row("one", synthetic={"gain": 1.234, "gain noise=4": 1.0}, real={"gain": -0.5, "made worse": 0.25})
    other = row("other", **{"synthetic (drawn)": {"gain": 2.0}}, real={"gain": 0.5, "made worse": 0.0})  # type: ignore[arg-type]
    assert comparison([one, other]).splitlines() == [
        "| network | sharp photos, blurred: dB gained | real photos: dB gained | … made worse | runs on "
        "| s per megapixel | peak GB |",
        "|---" * 7 + "|",
        "| one · a | +1.23 | -0.50 | 25% | torch · cpu · fp32 | 2.00 | 1.50 |",
        "| other · a | +2.00 | +0.50 | 0% | torch · cpu · fp32 | 2.00 | 1.50 |",
    ]


def test_the_results_show_it_once_there_are_two(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results", tmp_path, dirs_exist_ok=True)
    rows = [row("one", synthetic={"gain": 12.34}), row("other", synthetic={"gain": 43.21})]
    tables = []
    for count in (1, 2):
        (tmp_path / "compared.json").write_text(json.dumps({"compared": rows[:count]}))
        tables.append(results_tables(tmp_path))
    assert "side by side" not in tables[0] and "+12.34" not in tables[0]
    assert "side by side" in tables[1] and "at 330 GFLOP/s:" in tables[1] and "| other · a | +43.21 |" in tables[1]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All that have weights here, on the synthetic suite, and the real one if there are pairs."""
    asked: list[tuple[str, ...]] = []

    def suites(names: tuple[str, ...], bench: Any) -> Report:
        asked.append(names)
        return Report(
            {"synthetic": [Row({"photo": "x", "radius": 2.0, "noise": 1.5}, {"psnr": {"input": 20.0, "deblur": 22.5}})]}
        )

    def speed(case: Any, repeats: int) -> tuple[dict[str, Any], None]:
        measured = row(case.network)
        del measured["suites"]
        return measured, None

    monkeypatch.setattr(compared, "run_suites", suites)
    monkeypatch.setattr(compared, "measure", speed)
    assert run("evaluate", "--networks", "all", "--device", "cpu", "-o", tmp_path / "c.json") == 0
    assert "| iniknet-fast · a | +2.50 |" in capsys.readouterr().out
    content = json.loads((tmp_path / "c.json").read_text())
    only = next(found for found in content["compared"] if found["network"] == "iniknet-fast")
    assert only["suites"]["synthetic"]["gain"] == 2.5 and content["pairs"] is None
    assert run("evaluate", "--networks", "tiny,iniknet-fast", "--pairs", tmp_path, "--device", "cpu") == 0
    assert asked == len(content["compared"]) * [("synthetic",)] + 2 * [("synthetic", "real")]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--networks", "iniknet-fast,gkmnet"], 1, "'gkmnet' has no trained weights here yet"),
        (["--networks", "nonsense"], 2, "no network is called 'nonsense'"),
        (["--networks", "all", "-m", "iniknet-fast"], 2, "--networks goes without -m"),
        (["--networks", "all", "--careful"], 2, "--networks goes without -m"),
        ([], 2, "--suite all"),
    ],
)
def test_wrong_usage(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "--device", "cpu", *arguments) == code
    assert words in capsys.readouterr().err
