"""A training recipe: frozen dataclasses ↔ TOML. An unknown key is an error, never ignored."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from deblurcli.errors import UsageError
from deblurcli.synthesis.pairs import SynthesisConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses; see ``training.losses``."""

    error: float = 0.05
    frequency: float = 0.1
    kernel_size: float = 0.003
    radius: float = 0.05


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how weights come about, except the photos.

    Attributes:
        network: name of the network, and ``config`` its constructor's arguments where they are not the defaults.
        seed: of the network's start and of every drawn pair.
        crop, batch: size in px and number of the pairs of one step.
        learning_rate: on the plateau; reached linearly over ``warmup`` steps and left only by a cool-down.
        atom_steps: of the fit that the atoms start from (``training.dictionary``); 0 starts them at random.
        ema: decay of the averaged weights, which are the ones that are validated and released.
        clip: largest gradient norm.
        synthesis, loss: see there.
    """

    network: str
    config: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    crop: int = 128
    batch: int = 8
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.0
    atom_steps: int = 1500
    ema: float = 0.999
    clip: float = 1.0
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    loss: LossConfig = field(default_factory=LossConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionaries and numbers, for JSON and TOML."""
        return asdict(self)


def load_recipe(path: Path) -> Recipe:
    """Reads a TOML recipe.

    Raises:
        UsageError: the file is missing, is not TOML, or has a key no recipe has.
    """
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", "Recipes end in .toml.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    return from_dict(Recipe, values, str(path))


def from_dict(kind: type[T], values: dict[str, Any], where: str) -> T:
    """Nested dictionaries → the dataclass ``kind``; ``where`` names their source in errors."""
    hints = get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise UsageError(f"{where}: unknown key '{unknown[0]}'", f"Known: {', '.join(sorted(known))}.")
    built = {}
    for name, value in values.items():
        if is_dataclass(hints[name]):
            value = from_dict(hints[name], value, f"{where} [{name}]")  # type: ignore[arg-type]
        built[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**built)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from error
