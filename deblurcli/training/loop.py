"""The whole training loop.

Draw pairs → restore at all scales → compare → step → average; now and then validate, save, plot. A run is a folder:

    state-….pt          to go on from         best.safetensors   the averaged weights that scored best, if there is a
    curves.png          loss and gains                           validation; last.safetensors   as they are now
    samples.png         blurred | restored | sharp | blur radius | kernel size

The learning rate warms up, stays on a plateau for as long as one likes, and is cooled down linearly on demand; any
saved state can be trained on or cooled down.
"""

from __future__ import annotations

import inspect
import json
import math
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from deblurcli.backends.memory import keep_freed_memory
from deblurcli.errors import DeblurError, WeightsError
from deblurcli.evaluation.validation import Case
from deblurcli.networks.blocks import AtomDictionary, channels_last
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import network_spec
from deblurcli.training.config import Recipe, differences
from deblurcli.training.dictionary import fit_atoms
from deblurcli.training.drawing import all_pictures, draw_ahead
from deblurcli.training.growth import grown
from deblurcli.training.losses import total_loss
from deblurcli.training.pace import WARM_UP, Stopwatch, bottleneck
from deblurcli.training.progress import in_rgb, report
from deblurcli.training.scales import halved, restored_at_scales, scales_of
from deblurcli.training.state import TrainingState
from deblurcli.training.teacher import taught_by
from deblurcli.weights.load import load_network
from deblurcli.weights.store import find

LOOK = 50  # steps between looks at the loss: each look waits for the device to finish


def start(recipe: Recipe, device: torch.device, *, weights: str | None = None, resuming: bool = False) -> TrainingState:
    """A run before its first step; the same seed gives the same network.

    Args:
        weights: tag or file of a network to train on, which may be smaller (``training.growth``); None for one with
            random weights and fitted atoms.
        resuming: a state is loaded next, so atoms need not be fitted, which takes long.

    Raises:
        WeightsError: there are no such weights, or the recipe's network cannot take them over.
    """
    torch.manual_seed(recipe.seed)
    if weights:
        spec = network_spec(recipe.network)
        network, _ = load_network(spec, weights)
        configs = find(recipe.network, weights)[1].config, recipe.config
        theirs, ours = (_settings(network, spec.config | config) for config in configs)
        if different := differences(ours, theirs):
            small, network = network, build_network(recipe.network, recipe.config)
            if not grown(small, network):
                raise WeightsError(
                    f"'{weights}' is not what the recipe trains",
                    "Add " + " ".join(f"--set config.{name}={json.dumps(value)}" for name, value in different.items()),
                )
    else:
        network = build_network(recipe.network, recipe.config)
        dictionary = getattr(network, "dictionary", None)
        if recipe.atom_steps and not resuming and isinstance(dictionary, AtomDictionary):
            fit_atoms(dictionary, recipe.atom_steps, recipe.seed)
    network = channels_last(network).to(device).train()
    atoms, others = [], []
    for name, parameter in network.named_parameters():
        (atoms if name.startswith("dictionary.") else others).append(parameter)
    for parameter in atoms:
        parameter.requires_grad_(recipe.atom_pace > 0)
    optimizer = torch.optim.AdamW(
        [{"params": others, "pace": 1.0}, {"params": atoms, "pace": recipe.atom_pace}],
        betas=(0.9, 0.95),
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    average = {
        name: value.detach().clone().to(torch.float32 if value.is_floating_point() else value.dtype)
        for name, value in network.state_dict().items()
    }
    state = TrainingState(recipe, network, optimizer, average)
    if weights:
        state.events.append({"step": 0, "weights": weights})
    return state


def learning_rate(recipe: Recipe, step: int, cooldown: tuple[int, int] | None) -> float:
    """Warm-up, plateau, and, once a cool-down (its first step, number of steps) has begun, a straight line to zero."""
    rate = recipe.learning_rate * min(1.0, (step + 1) / recipe.warmup)
    return rate * max(0.0, 1 - (step - cooldown[0]) / cooldown[1]) if cooldown else rate


def train(
    state: TrainingState,
    photos: Tensor,
    cases: list[Case],
    folder: Path,
    *,
    smooth: Tensor | None = None,
    source: str = "sharp photos",
    until: float = math.inf,
    steps: int | None = None,
    autocast: torch.dtype | None = None,
    every: float = 10.0,
    compile_network: bool = False,
) -> TrainingState:
    """Trains until the time, the steps or the cool-down are over, and leaves all that is needed to go on.

    Args:
        photos: (N, 3, H, W) uint8 sharp tiles, on the device to train on; smooth: those in focus whose soft squares are
            to be kept.
        cases: the fixed validation; empty to skip it. source: name of the photos, for the weights' card.
        until: ``time.monotonic()`` to be done by, validation included. steps: to stop after, counted from now; if there
            are a few of them, it is said at the end what took how long.
        autocast: dtype to run the network in, or None for float32.
        every: minutes between validations; the state is saved at each, and every two minutes.

    Raises:
        DeblurError: the loss is no longer a number.
    """
    recipe = state.recipe.cooled() if state.cooldown else state.recipe
    device, began, earlier = photos.device, time.monotonic(), state.seconds
    folder.mkdir(parents=True, exist_ok=True)
    if device.type == "cpu":
        keep_freed_memory()
    state.data[source] = len(photos)
    pictures = all_pictures(photos, smooth, recipe)
    # Shapes never change: the fastest convolutions are worth looking for, and compiling need not be general.
    torch.backends.cudnn.benchmark = True
    compiled = torch.compile(state.network, dynamic=False) if compile_network else state.network
    restore, taught = in_rgb(compiled, recipe.network), taught_by(recipe.teacher, device)
    last = min(state.step + (steps or math.inf), sum(state.cooldown) if state.cooldown else math.inf)
    if cases and not state.history:  # where it starts from, and how long a validation takes
        report(state, cases, folder, math.nan, pictures)
    saved = validated = time.monotonic()
    losses: list[Tensor] = []
    watch = Stopwatch(device, exact=steps is not None)
    draws = draw_ahead(pictures, recipe, state.step, ahead=4 if device.type == "cuda" else 0)
    bar = tqdm(initial=state.step, total=None if last == math.inf else int(last), unit="step", disable=None)
    with closing(draws), bar:
        while True:
            now = time.monotonic()
            over = state.step >= last or now > until - 2 * state.validation
            if over or now - validated > 60 * every:
                state.seconds = earlier + now - began
                report(state, cases, folder, _mean(losses, state.step), pictures)
                losses, validated = [], time.monotonic()
            if over or now - saved > 120:
                _mean(losses, state.step)  # nothing is saved that cannot be gone on from
                state.seconds = earlier + time.monotonic() - began
                state.save(folder)
                saved = time.monotonic()
            if over:
                break

            watch.start()
            pairs = next(draws)
            for group in state.optimizer.param_groups:
                group["lr"] = group["pace"] * learning_rate(recipe, state.step, state.cooldown)
            watch.lap("drawing")
            scales = scales_of(pairs.blurred, recipe.scales, network_spec(recipe.network))
            with torch.autocast(device.type, autocast or torch.bfloat16, enabled=autocast is not None):
                pairs = taught(pairs)
                results = restored_at_scales(restore, pairs.blurred, scales, maps=True)
            loss = torch.zeros((), device=device)
            for level, restored in enumerate(results):
                loss = loss + recipe.scale_weight**level * total_loss(restored, pairs, recipe.loss)
                pairs = halved(pairs) if level + 1 < scales else pairs
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            watch.lap("network")
            nn.utils.clip_grad_norm_(state.network.parameters(), recipe.clip)
            state.optimizer.step()
            state.step += 1
            state.average_into(recipe.ema)
            watch.lap("optimiser")
            losses.append(loss.detach())
            bar.update()
            if state.step % LOOK == 0:
                recent = _mean(losses[-LOOK:], state.step)
                bar.set_postfix_str(f"loss {recent:.4f}, {watch.rate(recipe.batch):.1f} samples/s", refresh=False)
    if steps and watch.steps >= 2 * WARM_UP:
        batch = torch.zeros(recipe.batch, 3, recipe.crop, recipe.crop, device=device)
        tqdm.write(bottleneck(watch, state.network, batch, autocast))
    return state


def _settings(network: nn.Module, config: dict[str, Any]) -> dict[str, Any]:
    """All arguments that a network was built with; tuples become lists, as in files."""
    defaults = {name: argument.default for name, argument in inspect.signature(type(network)).parameters.items()}
    return json.loads(json.dumps(defaults | config))


def _mean(losses: list[Tensor], step: int) -> float:
    """The mean loss; NaN if there is none yet."""
    mean = float(torch.stack(losses).mean()) if losses else math.nan
    if losses and not math.isfinite(mean):
        raise DeblurError(
            f"the loss stopped being a number at step {step}",
            "What was saved before is untouched. Go on from there with a lower learning rate (--set learning_rate=…).",
        )
    return mean
