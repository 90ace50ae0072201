"""The trainer: recipes, losses, resuming, cooling down, and that it learns."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PATIENCE
from PIL import Image
from test_cli import run as deblur
from untrained_networks import stirred

from deblurcli.backends.torch_backend import TorchBackend
from deblurcli.errors import DeblurError, UsageError, WeightsError
from deblurcli.evaluation.metrics import ssim
from deblurcli.evaluation.validation import scores, validation_cases
from deblurcli.networks.blocks import AtomDictionary
from deblurcli.networks.build import build_network
from deblurcli.networks.iniknet_fast import BalancedAtoms
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import network_spec
from deblurcli.synthesis.pairs import Pairs, SynthesisConfig, draw_pairs
from deblurcli.synthesis.psf import LensPrior
from deblurcli.synthesis.scene import RadiusPrior
from deblurcli.training import loop, losses
from deblurcli.training import state as state_module
from deblurcli.training.config import LossConfig, Recipe, TeacherConfig, load_recipe
from deblurcli.training.dictionary import fit_atoms, problem
from deblurcli.training.drawing import all_pictures, draw_ahead
from deblurcli.training.progress import restorer
from deblurcli.training.state import TrainingState, saved_pieces
from deblurcli.training.teacher import taught_by
from deblurcli.weights.checkpoint import read_header
from deblurcli.weights.load import load_network
from deblurcli.weights.store import tag_of

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
        state.load(folder)
    return loop.train(state, photos, [], folder, steps=steps)


def test_resume_equals_uninterrupted(photos: torch.Tensor, tmp_path: Path) -> None:
    whole = run(SMALL, photos, tmp_path / "whole", 8)
    run(SMALL, photos, tmp_path / "slices", 5)
    slices = run(SMALL, photos, tmp_path / "slices", 3, resume=True)
    assert slices.step == whole.step == 8
    for name, one in whole.network.state_dict().items():
        assert torch.equal(one, slices.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], slices.average[name]), name


def test_pairs_do_not_depend_on_who_draws_them(photos: torch.Tensor) -> None:
    pictures = all_pictures(photos, None, SMALL)
    with closing(draw_ahead(pictures, SMALL, 7)) as one, closing(draw_ahead(pictures, SMALL, 7, ahead=2)) as other:
        for pairs, same in zip(islice(one, 4), other, strict=False):
            assert torch.equal(pairs.blurred, same.blurred) and torch.equal(pairs.sharp, same.sharp)


def test_a_state_is_saved_in_pieces(photos: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(SMALL, photos, tmp_path / "whole", 4)
    monkeypatch.setattr(state_module, "PIECE", 100_000)
    folder = tmp_path / "pieces"
    run(SMALL, photos, folder, 3)
    count = len(saved_pieces(folder))
    assert count > 2
    assert all(path.stat().st_size <= 100_000 for path in saved_pieces(folder))
    # What an interrupted save leaves behind does not hide the state before it.
    (folder / "state-0000009-1of2.pt").write_bytes(b"half")
    again = run(SMALL, photos, folder, 1, resume=True)
    assert all(torch.equal(value, again.average[name]) for name, value in whole.average.items())
    assert [path.name for path in sorted(folder.glob("state-*"))] == [path.name for path in saved_pieces(folder)]
    (folder / "state.pt").write_bytes(b"from before there were pieces")
    assert len(saved_pieces(folder)) == count
    saved_pieces(folder)[1].unlink()
    (folder / "state.pt").unlink()
    with pytest.raises(WeightsError, match="state are missing"):
        saved_pieces(folder)


def test_a_state_of_another_network_is_refused(photos: torch.Tensor, tmp_path: Path) -> None:
    run(SMALL, photos, tmp_path, 1)
    with pytest.raises(WeightsError, match="was training"):
        run(replace(SMALL, config={}), photos, tmp_path, 1, resume=True)
    saved_pieces(tmp_path)[0].write_bytes(b"nonsense")
    with pytest.raises(WeightsError):
        run(SMALL, photos, tmp_path, 1, resume=True)


def test_the_recipe_decides_when_resumed_and_the_change_is_written_down(photos: torch.Tensor, tmp_path: Path) -> None:
    run(SMALL, photos, tmp_path, 2)
    other = replace(SMALL, crop=32, atom_pace=0.5, loss=LossConfig(ssim=0.1))
    state = run(other, photos, tmp_path, 1, resume=True)
    assert state.optimizer.param_groups[1]["lr"] == 0.5 * state.optimizer.param_groups[0]["lr"]
    changes = {"step": 2, "crop": 32, "atom_pace": 0.5, "loss.ssim": 0.1}
    assert state.events == [changes]
    header = read_header(tmp_path / "last.safetensors")
    assert header.recipe["events"] == [changes] and header.recipe["crop"] == 32
    assert header.data == [{"source": "sharp photos", "licence": "not recorded", "tiles": len(photos)}]
    assert header.limits


@pytest.mark.parametrize(
    ("network", "config"),
    [
        ("gkmnet", {"gaussians": 5, "width": 4}),
        ("p2ikt", {"kernel_width": 8, "width": 8, "deep": 16, "heads": 2}),
    ],
)
def test_networks_of_other_kinds_are_trained(
    network: str, config: dict[str, int], photos: torch.Tensor, tmp_path: Path
) -> None:
    recipe = load_recipe(Path(network))
    assert recipe == load_recipe(Path(f"{network}.toml")) == load_recipe(RECIPES / f"{network}.toml")
    recipe = replace(recipe, config=config, crop=32, batch=2, warmup=1, procedural=0.0)
    before = loop.start(recipe, CPU).network.state_dict()
    state = run(recipe, photos, tmp_path, 3)
    assert state.step == 3
    # What batch normalisation saw is averaged and saved like what is learned.
    moved = {name for name, value in state.network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == before.keys()
    assert read_header(tmp_path / "last.safetensors").network == network
    restored, _ = load_network(network_spec(network), str(tmp_path / "last.safetensors"))
    with torch.no_grad():
        assert restored(torch.rand(1, 3, 32, 48)).picture.isfinite().all()


def test_frozen_atoms_stay_and_can_be_thawed(photos: torch.Tensor, tmp_path: Path) -> None:
    frozen = replace(SMALL, atom_pace=0.0)
    before = loop.start(frozen, CPU).network.get_submodule("dictionary").state_dict()
    after = run(frozen, photos, tmp_path, 2).network.get_submodule("dictionary").state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    thawed = run(SMALL, photos, tmp_path, 1, resume=True).network.get_submodule("dictionary").state_dict()
    assert not torch.equal(thawed["kernels.0.lift.weight"], after["kernels.0.lift.weight"])


def test_learning_rate_warms_up_stays_and_cools_down(photos: torch.Tensor, tmp_path: Path) -> None:
    rates = [loop.learning_rate(SMALL, step, (20, 10) if step >= 20 else None) for step in range(30)]
    rates = [rate / SMALL.learning_rate for rate in rates]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:21] == [1.0] * 16
    assert rates[25] == pytest.approx(0.5)
    state = loop.start(replace(SMALL, cooling={"crop": 32, "loss": {"ssim": 0.1}}), CPU)
    state.cool_down(4)
    until = time.monotonic() + PATIENCE
    assert loop.train(state, photos, [], tmp_path, until=until).step == 4  # ends with the cool-down
    with pytest.raises(UsageError, match="cooled down already"):
        state.cool_down(4)


def test_cooling_changes_what_it_says_and_only_then() -> None:
    recipe = replace(SMALL, cooling={"crop": 32, "loss": {"ssim": 0.1}})
    assert (recipe.crop, recipe.loss.ssim) == (48, 0.0)
    cooled = recipe.cooled()
    assert (cooled.crop, cooled.loss) == (32, LossConfig(ssim=0.1))
    assert cooled.synthesis == recipe.synthesis


def test_it_stops_in_time(photos: torch.Tensor, tmp_path: Path) -> None:
    began = time.monotonic()
    state = loop.start(SMALL, CPU, resuming=True)
    state.validation = 3.0  # as a state says whose last one took so long
    loop.train(state, photos, [], tmp_path, until=began + 10)
    assert state.step and time.monotonic() - began < 10


def test_a_loss_that_is_no_number_ends_it(photos: torch.Tensor, tmp_path: Path) -> None:
    run(SMALL, photos, tmp_path, 2)
    state = loop.start(SMALL, CPU, resuming=True)
    state.load(tmp_path)
    next(state.network.parameters()).data.fill_(torch.nan)
    with pytest.raises(DeblurError, match="stopped being a number"):
        loop.train(state, photos, [], tmp_path, steps=3)
    assert "0000002" in saved_pieces(tmp_path)[0].name


def test_it_learns(photos: torch.Tensor, tmp_path: Path) -> None:
    """Six hundred steps of a tiny network sharpen pictures it has not seen, and the best weights are kept."""
    valid = tmp_path / "valid"
    valid.mkdir()
    for seed in (100, 101):
        Image.fromarray(photo(192, seed)).save(valid / f"{seed}.png")
    cases = validation_cases(valid, crop=128, radii=(0.0, 2.0, 3.0))
    state = loop.start(SMALL, CPU)
    loop.train(state, photos, cases, tmp_path / "run", steps=300)
    plateau = state.best
    state.cool_down(300)
    loop.train(state, photos, cases, tmp_path / "run")
    header = read_header(tmp_path / "run/best.safetensors")
    assert header.scores["gain"] > 1.2
    assert header.scores["gain"] == pytest.approx(state.best, abs=1e-3) and state.best > plateau > 0.5
    assert header.scores["sharp"] > 20
    for name in ("curves.png", "samples.png"):
        assert Image.open(tmp_path / "run" / name).size[0] > 100

    network, tag = load_network(network_spec("iniknet-fast"), str(tmp_path / "run/best.safetensors"))
    assert tag == "run"
    again = scores(cases, restorer(network.eval(), CPU))
    assert again["gain"] == pytest.approx(header.scores["gain"], abs=1e-3)


def test_weights_are_trained_on(photos: torch.Tensor, tmp_path: Path) -> None:
    run(SMALL, photos, tmp_path, 3)
    file = str(tmp_path / "last.safetensors")
    state = loop.start(SMALL, CPU, weights=file)
    assert state.events == [{"step": 0, "weights": file}]
    network, _ = load_network(network_spec("iniknet-fast"), file)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state.network.state_dict()[name]), name
        assert torch.equal(value, state.average[name]), name
    with pytest.raises(WeightsError, match="not what the recipe trains") as refused:
        loop.start(replace(SMALL, config=SMALL.config | {"atoms": 3}), CPU, weights=file)
    assert refused.value.hint == "Add --set config.atoms=4"
    # Settings that are the defaults may be given or left out.
    released = tag_of(network_spec("iniknet-fast"))
    loop.start(load_recipe(RECIPES / "iniknet-fast.toml", ["config.levels=4"]), CPU, weights=released)
    with pytest.raises(WeightsError, match="not for 'iniknet'"):
        loop.start(Recipe(network="iniknet"), CPU, weights=file)


@pytest.mark.parametrize(
    ("larger", "tolerance"),
    [({"depths": [1, 3, 2]}, 0.0), ({"widths": [8, 8, 12]}, 1e-6), ({"widths": [12, 16, 8], "levels": 3}, 1e-6)],
)
def test_a_network_grows_without_losing_what_it_knows(
    larger: dict[str, Any], tolerance: float, photos: torch.Tensor, tmp_path: Path
) -> None:
    run(SMALL, photos, tmp_path / "small", 3)
    file = str(tmp_path / "small/last.safetensors")
    small, _ = load_network(network_spec("iniknet-fast"), file)
    recipe = replace(SMALL, config=SMALL.config | larger)
    state = loop.start(recipe, CPU, weights=file)
    with torch.inference_mode():
        before, after = (network.eval()(photos[:2] / 255.0).picture for network in (small, state.network))
    assert (before - photos[:2] / 255.0).abs().max() > 1e-5  # it does something that could be lost
    assert (before - after).abs().max() <= tolerance
    # What is new learns.
    start = {name: value.clone() for name, value in state.network.state_dict().items()}
    loop.train(state, photos, [], tmp_path / "large", steps=3)
    learned = [k for k, v in state.network.state_dict().items() if not torch.equal(v, start[k])]
    grew = {k for k, v in start.items() if k not in small.state_dict() or v.shape != small.state_dict()[k].shape}
    assert grew and grew & set(learned)


def test_a_network_of_another_kind_is_no_room_to_grow(photos: torch.Tensor, tmp_path: Path) -> None:
    run(SMALL, photos, tmp_path, 3)
    for other in ({"sizes": [5, 9, 15]}, {"widths": [4, 8, 8]}, {"depths": [0, 1, 1]}):
        with pytest.raises(WeightsError, match="not what the recipe trains"):
            recipe = replace(SMALL, config=SMALL.config | other)
            loop.start(recipe, CPU, weights=str(tmp_path / "last.safetensors"))


def test_kpac_trains_like_any_other(photos: torch.Tensor, tmp_path: Path) -> None:
    recipe = replace(load_recipe(RECIPES / "kpac-3.toml"), config={"width": 12}, crop=32, batch=2, warmup=2)
    state = run(recipe, photos, tmp_path, 3)
    before = loop.start(recipe, CPU).network.state_dict()
    unchanged = [name for name, value in state.network.state_dict().items() if torch.equal(value, before[name])]
    assert not unchanged
    file = str(tmp_path / "last.safetensors")
    network, _ = load_network(network_spec("kpac-3"), file)
    assert torch.equal(network.state_dict()["last.fuse.weight"], state.average["last.fuse.weight"])
    # Levels are the table's business, whether a recipe names them or not.
    loop.start(replace(recipe, config={"width": 12, "levels": 3}), CPU, weights=file)


def test_colours_reach_every_network_in_its_order(photos: torch.Tensor) -> None:
    """INIKNet sees blue first, here as when it restores photos; red, green, blue come in and go out."""
    torch.manual_seed(0)
    network = stirred(build_network("iniknet", {"width": 4, "atoms": 2})).eval()
    blurred = next(draw_ahead(all_pictures(photos, None, SMALL), SMALL, 0)).blurred
    backend = TorchBackend(network, network_spec("iniknet"), "cpu", "fp32")
    expected, *_ = backend.run(blurred[0].permute(1, 2, 0).numpy())
    found = loop.in_rgb(network, "iniknet")(blurred[:1]).picture[0].permute(1, 2, 0)
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)


def test_iniknet_tells_the_radius_while_it_is_trained(photos: torch.Tensor, tmp_path: Path) -> None:
    recipe = load_recipe(Path("iniknet"), ["atom_steps=3", "crop=64", "batch=2", "procedural=0", "warmup=1"])
    recipe = replace(recipe, config={"width": 4, "atoms": 2, "sizes": [1, 5, 9], "radius_head": True})
    state = run(recipe, photos, tmp_path, 2)
    restored = state.network.train()(torch.rand(1, 3, 64, 64), maps=True)
    assert restored.maps["blur_radius"].shape == (1, 1, 64, 64)
    weights = str(tmp_path / "last.safetensors")
    network, _ = load_network(network_spec("iniknet"), weights)
    assert "blur_radius" not in network(torch.rand(1, 3, 64, 64), maps=True).maps
    assert not any("radius" in name for name in network.state_dict())
    # Training goes on from there, with the head anew.
    again = loop.start(recipe, CPU, weights=weights).network.state_dict()
    kept = {name: value for name, value in state.average.items() if not name.startswith("radius_head")}
    assert all(torch.equal(again[name], value) for name, value in kept.items()) and len(again) > len(kept)


def test_a_teachers_picture_takes_the_place_of_the_sharp_one(photos: torch.Tensor, tmp_path: Path) -> None:
    pairs = draw_pairs(all_pictures(photos, None, SMALL), 2, 64, SMALL.synthesis, torch.Generator().manual_seed(0))
    network, _ = load_network(network_spec("iniknet-fast"))
    mirrored = ((), (2,), (3,), (2, 3))
    views = [network(pairs.blurred.flip(axes)).picture.detach().flip(axes) for axes in mirrored]
    restored = torch.stack(views).mean(0).clamp(0, 1)
    assert float((restored - views[0].clamp(0, 1)).abs().max()) > 1e-3  # one view alone would not do
    for share in (0.0, 0.25, 1.0):
        taught = taught_by(TeacherConfig(share=share), CPU)(pairs)
        torch.testing.assert_close(taught.sharp, pairs.sharp + share * (restored - pairs.sharp), atol=1e-5, rtol=0)
        assert taught.blurred is pairs.blurred and taught.radius is pairs.radius
    # It is what a step learns from, and is asked for as any other value.
    alone, with_teacher = (
        run(replace(SMALL, crop=64, teacher=TeacherConfig(share=share)), photos, tmp_path / str(share), 2).average
        for share in (0.0, 1.0)
    )
    assert not all(torch.equal(alone[name], with_teacher[name]) for name in alone)
    with pytest.raises(UsageError, match="48 px"):
        run(replace(SMALL, teacher=TeacherConfig(share=1.0)), photos, tmp_path / "small", 1)
    with pytest.raises(UsageError, match="nobody"):
        taught_by(TeacherConfig(network="nobody", share=1.0), CPU)


def test_pictures_are_mixed_as_the_recipe_says(photos: torch.Tensor) -> None:
    recipe = replace(SMALL, procedural=0.25, smooth=0.25)
    mixed = all_pictures(photos, photos[:1], recipe)
    drawn = mixed.tiles[len(photos) + 1 :]
    assert torch.equal(mixed.tiles[: len(photos)], photos)
    assert len(drawn) == math.ceil(len(photos) / 2)
    assert not torch.equal(drawn[0], drawn[-1])
    assert mixed.share[-len(drawn) :].sum() == pytest.approx(0.25)
    assert mixed.share[len(photos)] == pytest.approx(0.25)
    assert mixed.in_focus.tolist() == [False] * len(photos) + [True] * (1 + len(drawn))
    assert not all_pictures(photos, None, replace(SMALL, smooth=0.25)).in_focus.any()
    with pytest.raises(UsageError, match="below 1"):
        all_pictures(photos, photos, replace(SMALL, procedural=0.5, smooth=0.5))
    with pytest.raises(UsageError, match="share of it is 0"):
        all_pictures(photos, photos, SMALL)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo(512, 1)).save(tmp_path / "photos/one.png")
    (tmp_path / "r.toml").write_text('network = "tiny"\natom_steps = 20\nbatch = 2\ncrop = 32\nwarmup = 5')
    train = ("train", tmp_path / "r.toml", "--photos", tmp_path / "photos", "-o", tmp_path / "run", "--device", "cpu")
    assert deblur(*train) == 2
    assert "never end" in capsys.readouterr().err
    assert deblur(*train, "--steps", 20, "--precision", "fp32") == 0
    told = capsys.readouterr().out
    assert "samples/s: " in told and "% drawing" in told and "GFLOP/s" in told
    assert deblur(*train, "--cooldown", 2, "--set", "loss.ssim=0.1") == 0
    header = read_header(tmp_path / "run/last.safetensors")
    assert header.recipe["steps"] == 22
    assert header.recipe["events"] == [{"step": 20, "loss.ssim": 0.1}, {"step": 20, "cooldown": 2}]
    assert header.data[0]["source"] == "photos"
    for wrong, words in (
        (("--weights", tmp_path / "run/last.safetensors"), "has already started"),
        (("--cooldown", 2), "cooled down already"),
        (("--set", "config.levels=2"), "cannot be built"),
        (("--set", "nonsense=2"), "nonsense"),
    ):
        assert deblur(*train, "--steps", 1, *wrong) in (1, 2)
        assert words in capsys.readouterr().err
    Image.fromarray(photo(64, 2)).save(tmp_path / "in.png")
    weights = tmp_path / "run/last.safetensors"
    assert deblur(tmp_path / "in.png", "-o", tmp_path / "out.png", "-m", "tiny", "--weights", weights) == 0


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_recipes_are_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert path.read_text().startswith("# ")
    loop.start(recipe, CPU, resuming=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('network = "iniknet-fast"\nlearning_rat = 1', "learning_rat"),
        ('network = "iniknet-fast"\n[synthesis.radius]\nsmalest = 1', "smalest"),
        ("seed = 1", "network"),
        ("network =", "TOML"),
        ('network = "iniknet-fast"\ncrop = "96"', "crop.*'96' is not int"),
        ('network = "iniknet-fast"\n[synthesis]\nlayer_shares = [1, "x"]', "layer_shares"),
        ('network = "iniknet-fast"\n[cooling]\nloss.sim = 0.1', "sim"),
        ('base = "nowhere.toml"\nnetwork = "iniknet-fast"', "nowhere.toml: cannot be read"),
        ('base = "r.toml"\nnetwork = "iniknet-fast"', "based on itself"),
        ('base = 3\nnetwork = "iniknet-fast"', "base.*3 is not str"),
    ],
)
def test_a_wrong_recipe_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_recipe(tmp_path / "r.toml")


def test_a_recipe_says_what_its_base_does_not(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/base.toml").write_text('network = "iniknet"\ncrop = 64\n[loss]\nssim = 0.5\nfrequency = 0.2')
    (tmp_path / "near.toml").write_text('base = "far/base.toml"\ncrop = 80\nbatch = 2\n[loss]\nfrequency = 0.3')
    (tmp_path / "r.toml").write_text('base = "near.toml"\nnetwork = "gkmnet"\nbatch = 3')
    expected = Recipe("gkmnet", crop=80, batch=3, loss=LossConfig(ssim=0.5, frequency=0.3))
    assert load_recipe(tmp_path / "r.toml") == expected
    assert load_recipe(tmp_path / "r.toml", ["loss.ssim=0.0"]).loss == LossConfig(frequency=0.3)


def test_values_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('network = "iniknet-fast"\n[config]\natoms = 4\n[loss]\nradius = 0.5')
    recipe = load_recipe(path, ["config.levels=1", "loss.frequency=0", "synthesis.lens.donut = 0", "seed=3"])
    assert recipe.config == {"atoms": 4, "levels": 1}
    assert (recipe.loss.frequency, recipe.loss.radius, recipe.synthesis.lens.donut) == (0.0, 0.5, 0.0)
    assert recipe.seed == 3
    for wrong, words in (
        ("loss.frequenzy=0", "frequenzy"),
        ("crop.large=1", "crop.*is not int"),
        ("crop=1.5", "crop.*is not int"),
        ("loss=0", "loss.*is not LossConfig"),
        ("network=iniknet", "--set"),
        ("crop", "--set"),
    ):
        with pytest.raises(UsageError, match=words):
            load_recipe(path, [wrong])


def test_the_ablations_in_the_queue_can_be_run() -> None:
    queue = (RECIPES.parents[2] / "weights/TRAINING.md").read_text()
    recipe, *_ = re.findall(r"recipes/(\S+\.toml)", queue)
    changes = re.findall(r"^ *\$RUN -o \S+ +(--set .*?)(?: *#.*)?$", queue, re.MULTILINE)
    assert len(changes) > 10
    for line in changes:
        values = [value.replace("$family", "donut") for value in re.findall(r"--set (\S+)", line)]
        changed = load_recipe(RECIPES / recipe, values)
        assert changed != load_recipe(RECIPES / recipe), line
        build_network(changed.network, changed.config)


# ---- losses ---------------------------------------------------------------------------------------------------------

EQUAL = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
TERMS = {
    "log_mse": partial(losses.log_mse, floor=1.0),
    "charbonnier": losses.charbonnier,
    "frequency": losses.frequency_l1,
    "ssim": losses.dissimilarity,
}


@pytest.mark.parametrize("term", TERMS.values(), ids=TERMS)
def test_a_term_is_zero_for_equal_pictures_and_leads_there(term: Callable[..., torch.Tensor]) -> None:
    assert float(term(EQUAL, EQUAL)) == pytest.approx(0, abs=1e-6)
    restored = (EQUAL + 0.1 * torch.randn(EQUAL.shape, generator=torch.Generator().manual_seed(4))).requires_grad_()
    before = term(restored, EQUAL)
    before.backward()
    assert restored.grad is not None
    assert before > 0 and term(restored - 0.1 * restored.grad / restored.grad.abs().max(), EQUAL) < before


def test_known_values_of_terms() -> None:
    grey, lighter = torch.full((2, 3, 16, 16), 0.5), torch.full((2, 3, 16, 16), 0.6)
    assert float(losses.log_mse(lighter, grey, floor=0.0)) == pytest.approx(-2, abs=1e-4)
    assert float(losses.log_mse(grey, grey, floor=1e-3)) == pytest.approx(-3)
    assert float(losses.charbonnier(lighter, grey)) == pytest.approx(0.1, abs=1e-3)
    # All of it is in the one coefficient at frequency 0, 0.1 · 16, among 16 · 9.
    assert float(losses.frequency_l1(lighter, grey)) == pytest.approx(1.6 / 144, abs=1e-4)
    noisy = (EQUAL + 0.2 * torch.rand(EQUAL.shape, generator=torch.Generator().manual_seed(5))).clamp(0, 1)
    one, other = ((picture * 255).round() / 255 for picture in (EQUAL, noisy))
    expected = [ssim(*(p[n].permute(1, 2, 0).numpy() for p in (one, other))) for n in range(2)]
    assert 1 - float(losses.dissimilarity(one, other)) == pytest.approx(np.mean(expected), abs=1e-5)


def test_terms_that_weigh_nothing_are_left_out() -> None:
    nothing = LossConfig(error=0, frequency=0, kernel_size=0, radius=0)
    pairs = Pairs(EQUAL, EQUAL, torch.ones(2, 1, 32, 32))
    restored = Restored(EQUAL * 0.9, {"blur_radius": pairs.radius * 3})
    assert losses.total_loss(restored, pairs, nothing) == 0
    alone = losses.total_loss(restored, pairs, replace(nothing, charbonnier=2.0))
    assert float(alone) == pytest.approx(2 * float(losses.charbonnier(restored.picture, EQUAL)))
    radius = losses.total_loss(restored, pairs, replace(nothing, radius=1.0))
    assert float(radius) == pytest.approx(math.log(4 / 2))


def test_every_scale_counts() -> None:
    """INIKNet restores three scales while training, and sharp pictures need no change at any."""
    network = build_network("iniknet", {"width": 4, "atoms": 2}).train()
    pairs = Pairs(EQUAL, EQUAL, torch.zeros(2, 1, 32, 32))
    restored = network(EQUAL)
    assert [picture.shape[-1] for picture in restored.coarse] == [16, 8]
    weights = LossConfig(error=0, charbonnier=1.0)
    assert float(losses.total_loss(restored, pairs, weights).detach()) == pytest.approx(0, abs=1e-7)
    for scale in range(2):
        spoilt = Restored(EQUAL, coarse=[c + 0.1 * (n == scale) for n, c in enumerate(restored.coarse)])
        assert losses.total_loss(spoilt, pairs, weights) > 0.09
    assert network.eval()(EQUAL).coarse == []


def test_lpips_is_used_or_missed_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    class Distance(torch.nn.Module):
        """Stands in for the package: its input runs from −1 to 1."""

        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return (x - y).abs().mean((1, 2, 3), keepdim=True)

    pairs = Pairs(EQUAL, EQUAL, torch.zeros(2, 1, 32, 32))
    weights = LossConfig(error=0, frequency=0, lpips=0.5)
    losses._lpips.cache_clear()
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UsageError, match="not installed"):
        losses.total_loss(Restored(EQUAL), pairs, weights)
    package = ModuleType("lpips")
    package.LPIPS = Distance  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", package)
    assert float(losses.total_loss(Restored(EQUAL + 0.1), pairs, weights)) == pytest.approx(0.5 * 0.2, abs=1e-6)
    losses._lpips.cache_clear()


# ---- atoms ----------------------------------------------------------------------------------------------------------


def test_atoms_start_as_a_basis_of_wiener_inverses() -> None:
    """Fitted atoms lose little against the best filters of their size; random ones lose most of what there is."""
    torch.manual_seed(0)
    dictionary = BalancedAtoms((5, 9), 8)
    lens = LensPrior(1, 0, 0, 0, 0).draw(4, torch.Generator().manual_seed(9))
    task = problem(9, torch.tensor([1.0, 1.5, 2.0, 3.0]), torch.full((4,), 1 / 255), lens)
    at_random = task.loss(dictionary()[1].flatten(1)).mean()
    fit_atoms(dictionary, 600)
    fitted = task.loss(dictionary()[1].flatten(1)).mean()
    assert (task.best < task.before).all()
    assert fitted < 0.8 < at_random


def test_unbalanced_atoms_are_fitted_too() -> None:
    """INIKNet's: a basis as well, which hardly brightens photos and is as loud as that of iniknet-fast."""
    torch.manual_seed(0)
    dictionary = AtomDictionary((5, 9), 8)
    lens = LensPrior(1, 0, 0, 0, 0).draw(4, torch.Generator().manual_seed(9))
    task = problem(9, torch.tensor([1.0, 1.5, 2.0, 3.0]), torch.full((4,), 1 / 255), lens)

    def brightness() -> float:
        atoms = dictionary()[1].flatten(1)
        return float((atoms.sum(1).abs() / atoms.abs().sum(1)).mean().detach())

    at_random, before = task.loss(dictionary()[1].flatten(1)).mean(), brightness()
    fit_atoms(dictionary, 400)
    assert task.loss(dictionary()[1].flatten(1)).mean() < 1.2 < at_random
    assert brightness() < 0.05 < before
    assert (task.deviations(dictionary()[1].flatten(1)).log() - math.log(0.05 * 3)).abs().max() < 1
