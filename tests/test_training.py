"""The trainer: recipes, resuming, cooling down, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deblurcli.errors import UsageError, WeightsError
from deblurcli.evaluation.validation import scores, validation_cases
from deblurcli.synthesis.pairs import SynthesisConfig
from deblurcli.synthesis.scene import RadiusPrior
from deblurcli.training import loop
from deblurcli.training.config import Recipe, load_recipe
from deblurcli.training.state import TrainingState
from deblurcli.weights.checkpoint import read_header
from deblurcli.weights.load import load_network

RECIPES = Path(loop.__file__).parent / "recipes"
CPU = torch.device("cpu")
SMALL = Recipe(
    network="iniknet-fast",
    config={"widths": [8, 8, 8], "depths": [1, 1, 1], "atoms": 4, "sizes": [5, 9], "levels": 1},
    atom_steps=150,
    crop=48,
    batch=4,
    warmup=5,
    learning_rate=3e-3,
    ema=0.98,
    synthesis=SynthesisConfig(
        radius=RadiusPrior(sharp=0.0, smallest=2.0, largest=3.0), layer_shares=(1.0, 0.0), identity_share=0.0
    ),
)


def photo(size: int, seed: int) -> np.ndarray:
    """Discs of all sizes on top of each other (dead leaves): edges and texture at every scale."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    picture = np.zeros((size, size, 3), np.uint8)
    for _ in range(400):
        radius, (cy, cx) = 2 + 30 * rng.random() ** 3, rng.integers(0, size, 2)
        picture[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.integers(0, 256, 3)
    return picture


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    return torch.from_numpy(np.stack([photo(160, seed) for seed in range(6)])).permute(0, 3, 1, 2)


def run(recipe: Recipe, photos: torch.Tensor, folder: Path, steps: int, resume: bool = False) -> TrainingState:
    state = loop.start(recipe, CPU, resuming=resume)
    if resume:
        state.load(folder / "state.pt")
    return loop.train(state, photos, [], folder, minutes=10, steps=steps)


def test_resume_equals_uninterrupted(photos: torch.Tensor, tmp_path: Path) -> None:
    whole = run(SMALL, photos, tmp_path / "whole", 8)
    run(SMALL, photos, tmp_path / "slices", 5)
    slices = run(SMALL, photos, tmp_path / "slices", 3, resume=True)
    assert slices.step == whole.step == 8
    for name, one in whole.network.state_dict().items():
        assert torch.equal(one, slices.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], slices.average[name]), name


def test_a_state_of_another_network_is_refused(photos: torch.Tensor, tmp_path: Path) -> None:
    run(SMALL, photos, tmp_path, 1)
    with pytest.raises(WeightsError, match="was training"):
        run(replace(SMALL, config={}), photos, tmp_path, 1, resume=True)
    (tmp_path / "state.pt").write_bytes(b"nonsense")
    with pytest.raises(WeightsError):
        run(SMALL, photos, tmp_path, 1, resume=True)


def test_learning_rate_warms_up_stays_and_cools_down(photos: torch.Tensor, tmp_path: Path) -> None:
    state = loop.start(SMALL, CPU)
    rates = []
    for state.step in range(30):
        if state.step == 20:
            state.cooldown = (20, 10)
        rates.append(loop.learning_rate(state) / SMALL.learning_rate)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:21] == [1.0] * 16
    assert rates[25] == pytest.approx(0.5)
    state.step, state.cooldown = 0, (0, 4)
    assert loop.train(state, photos, [], tmp_path, minutes=10).step == 4  # ends with the cool-down


def test_it_learns(photos: torch.Tensor, tmp_path: Path) -> None:
    """A few hundred steps of a tiny network sharpen pictures it has not seen, and the best weights are kept."""
    valid = tmp_path / "valid"
    valid.mkdir()
    for seed in (100, 101):
        Image.fromarray(photo(192, seed)).save(valid / f"{seed}.png")
    cases = validation_cases(valid, crop=128, radii=(0.0, 2.0, 3.0))
    state = loop.start(SMALL, CPU)
    loop.train(state, photos, cases, tmp_path / "run", minutes=10, steps=250)
    header = read_header(tmp_path / "run/best.safetensors")
    assert header.scores["gain"] > 0.5
    assert header.scores["sharp"] > 20
    for name in ("curves.png", "samples.png"):
        assert Image.open(tmp_path / "run" / name).size[0] > 100

    from deblurcli.networks.spec import network_spec

    network, tag = load_network(network_spec("iniknet-fast"), str(tmp_path / "run/best.safetensors"))
    assert tag == "run"
    again = scores(cases, loop.restorer(network.eval(), CPU))
    assert again["gain"] == pytest.approx(header.scores["gain"], abs=1e-3)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_recipes_are_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert path.read_text().startswith("# ")
    loop.start(recipe, CPU)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('network = "iniknet-fast"\nlearning_rat = 1', "learning_rat"),
        ('network = "iniknet-fast"\n[synthesis.radius]\nsmalest = 1', "smalest"),
        ("seed = 1", "network"),
        ("network =", "TOML"),
    ],
)
def test_a_wrong_recipe_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_recipe(tmp_path / "r.toml")


def test_recipe_survives_the_state(photos: torch.Tensor, tmp_path: Path) -> None:
    run(SMALL, photos, tmp_path, 1)
    content = torch.load(tmp_path / "state.pt", weights_only=True)
    assert content["recipe"]["synthesis"]["radius"]["largest"] == 3.0


def test_atoms_start_as_a_basis_of_wiener_inverses() -> None:
    """Fitted atoms lose little against the best filters of their size; random ones lose most of what there is."""
    from deblurcli.networks.iniknet_fast import BalancedAtoms
    from deblurcli.synthesis.psf import LensPrior
    from deblurcli.training.dictionary import fit_atoms, problem

    torch.manual_seed(0)
    dictionary = BalancedAtoms((5, 9), 8)
    lens = LensPrior(1, 0, 0, 0, 0).draw(4, torch.Generator().manual_seed(9))
    task = problem(9, torch.tensor([1.0, 1.5, 2.0, 3.0]), torch.full((4,), 1 / 255), lens)
    at_random = task.loss(dictionary()[1].flatten(1)).mean()
    fit_atoms(dictionary, 300)
    fitted = task.loss(dictionary()[1].flatten(1)).mean()
    assert (task.best < task.before).all()
    assert fitted < 0.8 < at_random
