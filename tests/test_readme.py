"""What the README tells people to type works, and its figures are those in results/."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deblurcli.evaluation.results import readme_table
from deblurcli.weights.table import networks_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#")[0].strip()
    for language, block in BLOCKS
    for line in block.splitlines()
    if language == "sh" and line.startswith("deblur ")
]
# These need what authors published, or other machines: test_fetch.py, test_import.py and test_cluster.py have something
# in their place.
OTHERS = {"fetch": "deblur weights fetch iniknet.dpdd_paper"}
OTHERS["cluster"] = "deblur s3://wedding/shots -o s3://wedding/sharp --recursive --cluster ray"
OTHERS["import"] = "deblur weights import INIKNet.pth --network iniknet -o mine.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all commands, which are run one after the other."""
    tmp_path = tmp_path_factory.mktemp("readme")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    (tmp_path / "shots" / "more").mkdir(parents=True)
    for name in ("photo.jpg", "photo.tif", "shots/a.jpg", "shots/more/b.jpg", "shots/more/c.jpg"):
        picture.save(tmp_path / name)
    (tmp_path / "failed.txt").write_text("shots/a.jpg\n")
    return tmp_path


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in OTHERS.values()])
def test_commands(command: str, folder: Path) -> None:
    script = f'deblur() {{ {shlex.quote(sys.executable)} -m deblurcli "$@" -m tiny --device cpu; }}; {command}'
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4
    assert set(OTHERS.values()) < set(COMMANDS)


def test_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (code,) = (block for language, block in BLOCKS if language == "python")
    exec(code.replace('"iniknet-fast"', '"tiny"'), {})
    assert (folder / "sharp.png").is_file()


def generated(block: str) -> str:
    """What lies between the marks of a generated block."""
    (content,) = re.findall(rf"<!-- {block}: .*? -->\n(.*?)<!-- end of {block} -->", README, re.DOTALL)
    return content.strip()


def test_figures_are_those_in_results() -> None:
    assert generated("results") == readme_table(ROOT / "results").strip()


def test_networks_are_those_in_the_table() -> None:
    assert generated("networks") == networks_table(), "run: python -m deblurcli.weights.table"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for path in re.findall(r"`((?:deblurcli|weights|examples|results)/[\w./-]+)`", README):
        assert (ROOT / path).exists(), path
