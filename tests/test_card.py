"""A weights file tells people what it is: the committed cards are the generated ones, and nothing known is left out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from test_cli import run

from deblurcli.networks.build import build_network
from deblurcli.weights.card import model_card
from deblurcli.weights.checkpoint import Header, read_header, save_checkpoint
from deblurcli.weights.store import Release, catalog, find

ROOT = Path(__file__).parents[1]
EVERYTHING = Header(
    network="tiny",
    tag="mine",
    config={"atoms": 2},
    recipe={"crop": 96, "synthesis": {"radius": {"largest": 10.0}, "shares": [0.5, 0.5]}, "processor": "cpu"},
    scores={"gain": 1.234, "sharp": 50.0},
    licence="CC0",
    note="A try.",
    data=[{"source": "someone/photos", "licence": "CC BY 4.0", "tiles": 7}],
    limits=["Sees no red.", "Is slow."],
)


def weights_file(folder: Path, header: Header) -> Path:
    path = folder / "mine.safetensors"
    save_checkpoint(path, build_network("tiny").state_dict(), header)
    return path


@pytest.mark.parametrize("release", catalog(), ids=lambda release: f"{release.network}.{release.tag}")
def test_the_committed_card_is_the_generated_one(release: Release) -> None:
    card = model_card(*find(release.network, release.tag))
    command = f"deblur weights info {release.network} {release.tag} --card > weights/{release.path.stem}.md"
    assert (ROOT / "weights" / f"{release.path.stem}.md").read_text(encoding="utf-8") == card, f"run: {command}"
    assert release.sha256 in card
    assert "does not say" not in card


def test_every_card_belongs_to_released_weights() -> None:
    cards = {path.stem for path in (ROOT / "weights").glob("*.*.md")}
    assert cards == {release.path.stem for release in catalog()}


def test_a_header_comes_back_whole(tmp_path: Path) -> None:
    assert read_header(weights_file(tmp_path, EVERYTHING)) == EVERYTHING


def test_a_card_tells_all(tmp_path: Path) -> None:
    path = weights_file(tmp_path, EVERYTHING)
    card = model_card(path, EVERYTHING)
    assert card.startswith("# tiny · mine\n") and "\nA try.\n" in card
    assert f"`mine.safetensors`, {path.stat().st_size:,} bytes" in card
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert "deblur photo.jpg -o sharp.png -m tiny --weights mine.safetensors\n" in card
    assert "* Sees no red.\n* Is slow.\n" in card
    assert "| `gain` | 1.234 |\n| `sharp` | 50 |" in card
    assert "| 7 | someone/photos | CC BY 4.0 |" in card
    assert 'crop = 96\nsynthesis.radius.largest = 10.0\nsynthesis.shares = [0.5, 0.5]\nprocessor = "cpu"\n' in card
    assert "licence of the weights | CC0" in card
    assert str(tmp_path) not in card


def test_a_card_owns_up_to_what_is_not_known(tmp_path: Path) -> None:
    header = Header("tiny", "mine")
    assert model_card(weights_file(tmp_path, header), header).count("The file does not say.") == 4


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = weights_file(tmp_path, EVERYTHING)
    assert run("weights", "info", "tiny", path) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(path), **vars(EVERYTHING)}
    assert run("weights", "info", "tiny", path, "--card") == 0
    assert capsys.readouterr().out == model_card(path, EVERYTHING)
    assert run("weights", "info", "iniknet-fast", path) == 1
    assert "weights for 'tiny', not for 'iniknet-fast'" in capsys.readouterr().err
