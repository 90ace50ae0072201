"""How a run is doing: scores of the averaged weights, and its files for people."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from deblurcli.arrays import Picture
from deblurcli.evaluation.validation import Case, scores
from deblurcli.networks.build import build_network
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import network_spec
from deblurcli.synthesis.crops import Pictures
from deblurcli.synthesis.pairs import draw_pairs
from deblurcli.training.plots import plot_curves, plot_samples
from deblurcli.training.scales import restored_at_scales
from deblurcli.training.state import TrainingState
from deblurcli.weights.checkpoint import Header, save_checkpoint

LIMITS = [
    "It saw only synthetic defocus: sharp pictures, blurred and made noisy by simulated lenses and sensors.",
    "Motion blur is not defocus and is not removed.",
]


def in_rgb(network: Callable[..., Restored], name: str) -> Callable[..., Restored]:
    """``network`` as a function of RGB pictures (B, 3, H, W), whatever order of colours it was made for."""
    if network_spec(name).channel_order == "rgb":
        return network

    def restore(blurred: Tensor, **asked: bool) -> Restored:
        restored = network(blurred.flip(1), **asked)
        coarse, reblurred, auxiliary = (
            [picture.flip(1) for picture in pictures]
            for pictures in (restored.coarse, restored.reblurred, restored.auxiliary)
        )
        picture = restored.picture.flip(1)
        return replace(restored, picture=picture, coarse=coarse, reblurred=reblurred, auxiliary=auxiliary)

    return restore


def averaged(state: TrainingState) -> nn.Module:
    """A copy of the network with the averaged weights, ready to restore."""
    network = build_network(state.recipe.network, state.recipe.config)
    network.load_state_dict(state.average)
    return network.to(next(state.network.parameters()).device).eval()


def released(state: TrainingState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The averaged weights and the network's arguments, both without the parts that only training needs."""
    parts = getattr(state.network, "for_training", ())
    weights = {name: value for name, value in state.average.items() if name.partition(".")[0] not in parts}
    return weights, {name: value for name, value in state.recipe.config.items() if name not in parts}


def restorer(restore: Callable[..., Restored], device: torch.device, scales: int = 1) -> Callable[[Picture], Picture]:
    """A network for RGB, at so many scales, as a function of one small (H, W, 3) picture, for validation."""

    @torch.inference_mode()
    def restore_one(picture: Picture) -> Picture:
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None].to(device)
        restored = restored_at_scales(restore, batch, scales, maps=False)[0]
        return restored.picture[0].permute(1, 2, 0).float().cpu().numpy()

    return restore_one


def validated(network: nn.Module, name: str, cases: list[Case], device: torch.device, scales: int) -> dict[str, float]:
    """``scores`` of a network that is ready to restore, at two sizes if it was trained at that or more.

    The cases have no more.
    """
    return scores(cases, restorer(in_rgb(network, name), device, min(scales, 2))) if cases else {}


def report(state: TrainingState, cases: list[Case], folder: Path, loss: float, pictures: Pictures) -> None:
    """Scores the averaged weights on ``cases``, writes them, also as the best if they are, and draws the pictures.

    Args:
        loss: mean since the last report; not a number before the first step.
    """
    began = time.monotonic()
    network = averaged(state)
    row = {"step": float(state.step), "minutes": state.seconds / 60, "loss": loss}
    measured = validated(network, state.recipe.network, cases, pictures.tiles.device, state.recipe.scales)
    state.history.append(row | measured)
    shown = {name: value for name, value in state.history[-1].items() if not math.isnan(value)}
    tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in shown.items()))
    about = {"steps": state.step, "minutes": round(state.seconds / 60, 1), "processor": pictures.tiles.device.type}
    weights, config = released(state)
    header = Header(
        network=state.recipe.network,
        tag=folder.name,
        config=config,
        recipe=state.recipe.as_dict() | about | {"events": state.events},
        scores={name: round(value, 3) for name, value in measured.items()},
        data=[{"source": source, "licence": "not recorded", "tiles": tiles} for source, tiles in state.data.items()],
        limits=LIMITS,
    )
    save_checkpoint(folder / "last.safetensors", weights, header)
    if cases and measured["gain"] > state.best:
        state.best = measured["gain"]
        save_checkpoint(folder / "best.safetensors", weights, header)
    plot_curves(state.history, folder / "curves.png")
    pairs = draw_pairs(pictures, 8, state.recipe.crop, state.recipe.synthesis, torch.Generator().manual_seed(7))
    with torch.inference_mode():
        restored = in_rgb(network, state.recipe.network)(pairs.blurred, maps=True)
        plot_samples(pairs, restored, folder / "samples.png")
    state.validation = time.monotonic() - began
