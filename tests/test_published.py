"""Published scores are complete, sourced and unique, and ours takes its place among them."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from deblurcli.datasets.layouts import CROPS, LAYOUTS
from deblurcli.errors import UsageError
from deblurcli.evaluation.published import Score, beside, published_rows

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
    ours = Score("ours", "rtf", "synthetic", 24.5, 0.8, None, "whole", "measured here", parameters=1.03)
    console = Console(width=150, file=StringIO())
    with console.capture() as captured:
        console.print(beside(ours))
    lines = captured.get().splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.lstrip().startswith("ours"))
    assert "synthetic" in lines[place] and "24.50" in lines[place] and "1.03" in lines[place]
    assert "24.46" in lines[place - 1] and "24.59" in lines[place + 1]
    assert "RTF" in lines[0]
