"""All that a training run has to remember to go on as if it had never stopped."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from deblurcli.errors import UsageError, WeightsError
from deblurcli.training.config import Recipe, differences

PIECE = 31 * 2**19  # bytes; states travel between machines, and many ways of doing so refuse files above 16 MiB


@dataclass
class TrainingState:
    """A run between two steps.

    Every random draw of step n depends on the seed and n alone, so no generator state has to be kept.

    Attributes:
        network: trained weights; ``average``: their exponential moving average, by name.
        step: steps done. seconds: of training, over all slices.
        cooldown: (first step, number of steps) of the final descent of the learning rate, or None on the plateau.
        best: best validation score so far. history: rows for the curves.
        validation: seconds that the last validation took.
        events: what the recipe alone does not tell, by step: weights to start from, values changed on the way.
        data: what it was trained on: name of a folder of photos → how many tiles of them.
    """

    recipe: Recipe
    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int = 0
    seconds: float = 0.0
    cooldown: tuple[int, int] | None = None
    best: float = float("-inf")
    history: list[dict[str, float]] = field(default_factory=list)
    validation: float = 0.0
    events: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, int] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes the run whole or not at all, in pieces of at most ``PIECE`` bytes: state-STEP-NTHofCOUNT.pt."""
        content = {name: getattr(self, name) for name in _PLAIN} | {
            "recipe": self.recipe.as_dict(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getbuffer()
        pieces = [data[first : first + PIECE] for first in range(0, len(data), PIECE)]
        earlier = set(folder.glob("state*.pt"))
        for nth, piece in enumerate(pieces, 1):
            path = folder / f"state-{self.step:07d}-{nth}of{len(pieces)}.pt"
            temporary = path.with_suffix(".partial")
            temporary.write_bytes(piece)
            temporary.replace(path)
            earlier.discard(path)
        for path in earlier:  # only now: until all pieces are there, the earlier state is the one that counts
            path.unlink()

    def load(self, folder: Path) -> None:
        """Goes on from where the run in ``folder`` was saved, with the recipe's present values.

        Raises:
            WeightsError: what is there is not a training state, or belongs to another network.
        """
        pieces = saved_pieces(folder)
        settings = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        try:
            data = io.BytesIO(b"".join(piece.read_bytes() for piece in pieces))
            content = torch.load(data, weights_only=True, map_location="cpu")
            saved = content["recipe"]
            if (saved["network"], saved["config"]) != (self.recipe.network, self.recipe.config):
                raise WeightsError(
                    f"{folder}: was training {saved['network']} {saved['config'] or ''}",
                    "Repeat its --set config.… options, or use another folder for the run.",
                )
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            for name, value in content["average"].items():
                self.average[name].copy_(value)
            for name in _PLAIN:  # earlier versions saved fewer
                setattr(self, name, content.get(name, getattr(self, name)))
        except (OSError, KeyError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
            raise WeightsError(f"{folder}: no training state of this recipe: {error}") from error
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)  # moments are the state's, settings the recipe's
        if changed := differences(saved, self.recipe.as_dict()):
            self.events.append({"step": self.step} | changed)

    def cool_down(self, steps: int) -> None:
        """Begins the final descent of the learning rate.

        Raises:
            UsageError: it has begun before.
        """
        if self.cooldown:
            raise UsageError("this run is being cooled down already", "Leave --cooldown out to go on with that.")
        self.cooldown = (self.step, steps)
        self.events.append({"step": self.step, "cooldown": steps})

    def average_into(self, decay: float) -> None:
        """Moves the average a step towards the weights. Early on it follows faster, so that it is never stale."""
        update = get_ema_multi_avg_fn(min(decay, (1 + self.step) / (10 + self.step)))
        now = self.network.state_dict()
        averaged = [name for name, value in now.items() if value.is_floating_point()]
        update([self.average[name] for name in averaged], [now[name] for name in averaged], self.step)
        for name in now.keys() - averaged:  # how many batches a normalisation has seen
            self.average[name].copy_(now[name])


_PLAIN = ("step", "seconds", "cooldown", "best", "history", "validation", "events", "data")


def saved_pieces(folder: Path) -> list[Path]:
    """The files of the latest state that was saved in ``folder``, in order; none if there is no run.

    Raises:
        WeightsError: there are pieces, but never all of one state.
    """
    states: dict[tuple[int, int], list[tuple[int, Path]]] = {}
    for path in folder.glob("state*.pt"):
        # The name without numbers, from before there were pieces, counts as the first of one, from step 1.
        if name := re.fullmatch(r"state(?:-(\d+)-(\d+)of(\d+))?\.pt", path.name):
            step, nth, count = map(int, name.groups("1"))
            states.setdefault((step, count), []).append((nth, path))
    complete = [key for key, pieces in states.items() if len(pieces) == key[1]]
    if states and not complete:
        raise WeightsError(f"{folder}: pieces of the training state are missing", "Copy all of its state-*.pt here.")
    return [path for _, path in sorted(states[max(complete)])] if complete else []
