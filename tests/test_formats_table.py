"""The tables of formats: made anew, and those that are published, have no cell that is wrong or silent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from deblurcli.evaluation import formats
from deblurcli.photo.formats.table import FORMATS

RESULTS = Path(__file__).parents[1] / "results"


def red(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row}" for row in rows if any("WRONG" in cell or "WITHOUT A WORD" in cell for cell in row.values())]


def test_pixels(tmp_path: Path) -> None:
    rows = formats.pixels_table(tmp_path)
    assert not red(rows)
    assert len(rows) == len(formats.KINDS) and all(FORMATS.keys() <= row.keys() for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("exiftool"), reason="ExifTool is not installed")
def test_metadata(tmp_path: Path) -> None:
    rows = formats.metadata_table(tmp_path)
    assert not red(rows)
    kept = {(row["from"], row["to"]): row for row in rows}
    assert kept["jpeg", "jpeg"]["EXIF"] == kept["jpeg", "avif"]["EXIF"] == "21 of 21"
    assert kept["jpeg", "tiff"]["IPTC"] == "6 of 6"


def test_what_is_published() -> None:
    results = json.loads((RESULTS / "formats.json").read_text())
    assert not red([*results["pixels"], *results["metadata"]])
    assert (RESULTS / "formats.md").read_text() == formats.markdown(results)
    assert set(results["pixels"][0]) == {"photo", *FORMATS}
