"""Published scores are complete, sourced and unique, and ours takes its place among them."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from deblurcli.cli import main
from deblurcli.cli.evaluate import CROPS as CROP_NAMES
from deblurcli.cli.evaluate import LAYOUTS as LAYOUT_NAMES
from deblurcli.datasets.layouts import CROPS, LAYOUTS
from deblurcli.errors import UsageError
from deblurcli.evaluation.bench import Bench
from deblurcli.evaluation.published import Score, as_table, beside, published_rows, usual_protocol
from deblurcli.evaluation.suites import run_suites
from deblurcli.loading import load

ROWS = [row for dataset in LAYOUTS for protocol in CROPS for row in published_rows(dataset, protocol)]


def test_values_are_possible() -> None:
    assert len(ROWS) > 90
    for row in ROWS:
        assert 20 < row.psnr < 32, row
        assert row.ssim is not None and 0.5 < row.ssim < 1, row
        assert row.lpips is None or 0.1 < row.lpips < 0.6, row
        assert row.year is None or 2015 <= row.year <= 2024, row
        assert row.parameters is None or 1 < row.parameters < 50, row
        assert row.trained_on in {"", *LAYOUTS}, row


def test_every_row_names_paper_and_table() -> None:
    for row in ROWS:
        assert "Table " in row.source or "authors' public summary" in row.source, row


def test_no_method_stands_twice() -> None:
    keys = [(row.method, row.dataset, row.trained_on, row.protocol) for row in ROWS]
    assert len(set(keys)) == len(keys)


def test_every_data_set_has_its_blurred_input_once() -> None:
    inputs = [(row.dataset, row.protocol) for row in ROWS if row.method == "Input"]
    assert sorted(inputs) == sorted({(row.dataset, row.protocol) for row in ROWS})


def test_rows_of_one_data_set() -> None:
    rows = published_rows("dpdd")
    assert [row.psnr for row in rows] == sorted(row.psnr for row in rows)
    iniknet = next(row for row in rows if row.method == "INIKNet")
    assert (iniknet.psnr, iniknet.ssim, iniknet.lpips, iniknet.parameters) == (26.055, 0.803, 0.185, 1.98)
    assert iniknet.source == "INIKNet, Table 1"
    assert "P2IKT" not in {row.method for row in published_rows("realdof")}
    assert published_rows("cuhk") == []
    with pytest.raises(UsageError, match="no data set is called 'dpd'"):
        published_rows("dpd")


def test_ours_takes_its_place() -> None:
    ours = Score("ours", "rtf", "synthetic", 24.5, 0.8, None, "whole", "measured here", parameters=1.03, ours=True)
    console = Console(width=150, file=StringIO())
    with console.capture() as captured:
        console.print(as_table(beside(ours)))
    lines = captured.get().splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.lstrip().startswith("ours"))
    assert "synthetic" in lines[place] and "24.50" in lines[place] and "1.03" in lines[place]
    assert "24.46" in lines[place - 1] and "24.59" in lines[place + 1]
    assert "RTF" in lines[0]


# ---- on a data set of one's own -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of noise, 70 × 50 px, laid out like DPDD."""
    folder = tmp_path_factory.mktemp("DPDD")
    rng = np.random.default_rng(0)
    for side in ("source", "target"):
        (folder / "test_c" / side).mkdir(parents=True)
        for name in ("a", "b"):
            codes = rng.integers(0, 256, (50, 70, 3), np.uint8)
            Image.fromarray(codes).save(folder / "test_c" / side / f"{name}.png")
    return folder


def bench(pairs: Path | None, layout: str = "auto", protocol: str = "auto") -> Bench:
    return Bench(load("tiny", device="cpu"), pairs=pairs, layout=layout, protocol=protocol)


def test_a_named_layout_brings_the_published_scores(data_set: Path) -> None:
    report = run_suites(("real",), bench(data_set, layout="dpdd"))
    (ours,) = (score for score in report.published if score.ours)
    others = [score for score in report.published if not score.ours]
    assert others == published_rows("dpdd", "whole")
    assert report.published[0] is ours  # noise is far from other noise
    assert ours.psnr == pytest.approx(report.summaries()["real"]["psnr"]["deblur"])
    assert ours.ssim == pytest.approx(report.summaries()["real"]["ssim"]["deblur"])
    assert (ours.method, ours.source) == ("tiny random", "measured here, 2 of 76 pictures")
    assert run_suites(("real",), bench(data_set)).published == []


@pytest.mark.parametrize(("protocol", "shape"), [("auto", (50, 70)), ("iniknet", (32, 64)), ("p2ikt", (48, 64))])
def test_a_protocol_crops_the_pairs(protocol: str, shape: tuple[int, int], data_set: Path) -> None:
    report = run_suites(("real",), bench(data_set, layout="dpdd", protocol=protocol))
    for row in report.rows["real"]:
        assert row.shown and row.shown.restored.shape[:2] == row.shown.reference.shape[:2] == shape
    assert ("published scores" in report.skipped) == (len(report.published) == 1) == (protocol != "auto")


def test_the_protocol_that_most_papers_follow() -> None:
    names = ("auto", "cuhk", "dpdd", "realdof", "ded")
    assert [usual_protocol(name) for name in names] == ["whole", "whole", "whole", "whole", "p2ikt"]


def test_what_cannot_be_measured_is_refused(data_set: Path) -> None:
    with pytest.raises(
        UsageError, match="CUHK has no sharp references: PSNR, SSIM, MAE and LPIPS need them"
    ) as refused:
        bench(data_set, layout="cuhk")
    assert "Nothing can be measured" in refused.value.hint and "deblur FOLDER" in refused.value.hint
    for layout, protocol in (("dpdd", "auto"), ("auto", "whole")):
        with pytest.raises(UsageError, match="none were named") as refused:
            bench(None, layout, protocol)
        assert "--pairs" in refused.value.hint


def test_command(data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--suite", "real", "--pairs", str(data_set), "--layout", "dpdd", "-m", "tiny", "--device", "cpu"]
    with pytest.raises(SystemExit) as exit:
        main(["evaluate", *options, "-o", str(tmp_path / "r.json")])
    assert not exit.value.code
    printed = capsys.readouterr().out
    assert "DPDD, crop 'whole'" in printed
    assert printed.index("made worse") < printed.index("tiny random") < printed.index("INIKNet, Table 1")
    scores = json.loads((tmp_path / "r.json").read_text())["published"]
    assert [score["method"] for score in scores if score["ours"]] == ["tiny random"]
    assert {score["source"] for score in scores} >= {"INIKNet, Table 1", "measured here, 2 of 76 pictures"}


def test_the_command_names_what_there_is() -> None:
    assert tuple(LAYOUTS) == LAYOUT_NAMES
    assert tuple(CROPS) == CROP_NAMES
