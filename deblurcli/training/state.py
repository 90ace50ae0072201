"""All that a training run has to remember to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from deblurcli.errors import WeightsError
from deblurcli.training.config import Recipe, from_dict


@dataclass
class TrainingState:
    """A run between two steps.

    Every random draw of step n depends on the seed and n alone, so no generator state has to be kept.

    Attributes:
        network: trained weights; ``average``: their exponential moving average, by name.
        step: steps done. seconds: of training, over all slices.
        cooldown: (first step, number of steps) of the final descent of the learning rate, or None on the plateau.
        best: best validation score so far. history: rows for the curves.
    """

    recipe: Recipe
    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int = 0
    seconds: float = 0.0
    cooldown: tuple[int, int] | None = None
    best: float = float("-inf")
    history: list[dict[str, float]] | None = None

    def save(self, path: Path) -> None:
        """Writes the run whole or not at all."""
        content: dict[str, Any] = {
            "recipe": self.recipe.as_dict(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
            "seconds": self.seconds,
            "cooldown": self.cooldown,
            "best": self.best,
            "history": self.history or [],
        }
        temporary = path.with_suffix(".partial")
        torch.save(content, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Goes on from where ``path`` was saved.

        Raises:
            WeightsError: the file is not a training state, or belongs to another network.
        """
        try:
            content = torch.load(path, weights_only=True, map_location="cpu")
            saved = from_dict(Recipe, content["recipe"], str(path))
            if (saved.network, saved.config) != (self.recipe.network, self.recipe.config):
                raise WeightsError(f"{path}: was training {saved.network} {saved.config}", "Use another run folder.")
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            for name, value in content["average"].items():
                self.average[name].copy_(value)
        except (OSError, KeyError, RuntimeError, ValueError, UnpicklingError) as error:
            raise WeightsError(f"{path}: not a training state of this recipe: {error}") from error
        self.step, self.seconds = content["step"], content["seconds"]
        self.cooldown, self.best, self.history = content["cooldown"], content["best"], content["history"]

    def average_into(self) -> None:
        """Moves the average a step towards the weights. Early on it follows faster, so that it is never stale."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value.to(self.average[name]), 1 - decay)
