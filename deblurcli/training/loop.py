"""The whole training loop.

Draw pairs → restore → compare → step → average; now and then validate, save, plot. A run is a folder:

    state.pt               to go on from      best.safetensors   the best averaged weights so far, with scores
    curves.png             loss and gains     samples.png        blurred | restored | sharp | blur radius | kernel size

The learning rate warms up, stays on a plateau for as long as one likes, and is cooled down linearly on demand; any
saved state can be trained on or cooled down.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from deblurcli.arrays import Picture
from deblurcli.evaluation.validation import Case, scores
from deblurcli.networks.blocks import channels_last
from deblurcli.networks.build import build_network
from deblurcli.networks.iniknet_fast import BalancedAtoms
from deblurcli.synthesis.pairs import draw_pairs
from deblurcli.training.config import Recipe
from deblurcli.training.dictionary import fit_atoms
from deblurcli.training.losses import total_loss
from deblurcli.training.plots import plot_curves, plot_samples
from deblurcli.training.state import TrainingState
from deblurcli.weights.checkpoint import Header, save_checkpoint

ATOM_PACE = 0.1  # of the learning rate: everything else hangs on the atoms, and sine networks are touchy


def start(recipe: Recipe, device: torch.device, *, resuming: bool = False) -> TrainingState:
    """A run before its first step; the same seed gives the same network.

    With ``resuming`` the atoms are not fitted, which takes long and is for nothing if a state is loaded next.
    """
    torch.manual_seed(recipe.seed)
    network = channels_last(build_network(recipe.network, recipe.config)).train()
    fits = recipe.atom_steps and not resuming
    if fits and isinstance(dictionary := getattr(network, "dictionary", None), BalancedAtoms):
        fit_atoms(dictionary, recipe.atom_steps, recipe.seed)
    network.to(device)
    atoms, others = [], []
    for name, parameter in network.named_parameters():
        (atoms if name.startswith("dictionary.") else others).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": others, "pace": 1.0}, {"params": atoms, "pace": ATOM_PACE}],
        betas=(0.9, 0.95),
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    average = {name: value.detach().clone().float() for name, value in network.state_dict().items()}
    return TrainingState(recipe, network, optimizer, average)


def learning_rate(state: TrainingState) -> float:
    """Warm-up, plateau, and, once a cool-down has begun, a straight line to zero."""
    recipe, step = state.recipe, state.step
    rate = recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup)
    if state.cooldown:
        first, steps = state.cooldown
        rate *= max(0.0, 1 - (step - first) / steps)
    return rate


def train(
    state: TrainingState,
    photos: Tensor,
    cases: list[Case],
    folder: Path,
    *,
    minutes: float,
    steps: int | None = None,
    autocast: torch.dtype | None = None,
    every: float = 10.0,
    compile_network: bool = False,
) -> TrainingState:
    """Trains until the minutes, the steps or the cool-down are over, and leaves all that is needed to go on.

    Args:
        photos: (N, 3, H, W) uint8 sharp tiles, on the device to train on.
        cases: the fixed validation; empty to skip it.
        minutes: to stop after, validation included; steps: likewise, counted from now.
        autocast: dtype to run the network in, or None for float32.
        every: minutes between validations; the state is saved at each, and every two minutes.
    """
    recipe, device = state.recipe, photos.device
    folder.mkdir(parents=True, exist_ok=True)
    forward: Callable[..., object] = torch.compile(state.network) if compile_network else state.network
    began, earlier, last_step = time.monotonic(), state.seconds, state.step + steps if steps else None
    saved = validated = began
    validation_cost = 0.0
    recent: list[float] = []
    state.history = state.history or []
    bar = tqdm(total=round(minutes * 60), desc=f"training {recipe.network}", unit="s", disable=None)
    while True:
        now = time.monotonic()
        cooled = state.cooldown and state.step >= sum(state.cooldown)
        over = now - began > minutes * 60 - 2 * validation_cost or state.step == last_step or cooled
        if now - validated > every * 60 or over:
            state.seconds = earlier + now - began
            _validate(state, cases, folder, recent, photos)
            recent, validated, validation_cost = [], time.monotonic(), time.monotonic() - now
        if now - saved > 120 or over:
            state.seconds = earlier + time.monotonic() - began
            state.save(folder / "state.pt")
            saved = time.monotonic()
        if over:
            bar.close()
            return state

        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + state.step)
        pairs = draw_pairs(photos, recipe.batch, recipe.crop, recipe.synthesis, generator)
        for group in state.optimizer.param_groups:
            group["lr"] = group["pace"] * learning_rate(state)
        blurred = pairs.blurred.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None):
            restored = forward(blurred, maps=True)
        loss = total_loss(restored, pairs, recipe.loss)  # type: ignore[arg-type]
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip)
        state.optimizer.step()
        state.step += 1
        state.average_into()
        recent.append(float(loss.detach()))
        bar.update(min(round(time.monotonic() - began), bar.total) - bar.n)
        bar.set_postfix_str(f"step {state.step}, loss {np.mean(recent[-100:]):.4f}", refresh=False)


def averaged(state: TrainingState) -> nn.Module:
    """A copy of the network with the averaged weights, ready to restore."""
    network = build_network(state.recipe.network, state.recipe.config)
    network.load_state_dict(state.average)
    return network.to(next(state.network.parameters()).device).eval()


def restorer(network: nn.Module, device: torch.device) -> Callable[[Picture], Picture]:
    """The network as a function of one small (H, W, 3) picture, for validation."""

    @torch.inference_mode()
    def restore(picture: Picture) -> Picture:
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None].to(device)
        return network(batch).picture[0].permute(1, 2, 0).float().cpu().numpy()

    return restore


def _validate(state: TrainingState, cases: list[Case], folder: Path, recent: list[float], photos: Tensor) -> None:
    """Scores the averaged weights, keeps them if they are the best so far, and draws the pictures."""
    network = averaged(state)
    row = {"step": float(state.step), "minutes": state.seconds / 60, "loss": float(np.mean(recent or [np.nan]))}
    row |= scores(cases, restorer(network, photos.device)) if cases else {}
    assert state.history is not None
    state.history.append(row)
    tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    if cases and row["gain"] > state.best:
        state.best = row["gain"]
        measured = {name: round(value, 3) for name, value in row.items() if name not in ("step", "minutes", "loss")}
        about = {"steps": state.step, "minutes": round(state.seconds / 60, 1), "processor": photos.device.type}
        header = Header(
            network=state.recipe.network,
            tag=folder.name,
            config=state.recipe.config,
            recipe=dataclasses.asdict(state.recipe) | about,
            scores=measured,
        )
        save_checkpoint(folder / "best.safetensors", state.average, header)
    plot_curves(state.history, folder / "curves.png")
    generator = torch.Generator().manual_seed(7)
    pairs = draw_pairs(photos, 8, state.recipe.crop, state.recipe.synthesis, generator)
    with torch.inference_mode():
        plot_samples(pairs, network(pairs.blurred, maps=True), folder / "samples.png")
