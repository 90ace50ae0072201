"""A training recipe: frozen dataclasses ↔ TOML. Unknown keys and values of another type are errors, never ignored.

A file may name another one that it is based on, ``base = "FILE"``, beside it: what it does not say is as it is there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from deblurcli.errors import UsageError
from deblurcli.synthesis.pairs import SynthesisConfig
from deblurcli.training.recipes import found

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses, and the ``floor`` of log-MSE; see ``training.losses``. Weight 0 costs no time.

    ``coarse`` is what a scale counts compared with the next finer one, for networks that restore several.
    """

    error: float = 0.05
    floor: float = 3e-4
    charbonnier: float = 0.0
    frequency: float = 0.1
    ssim: float = 0.0
    lpips: float = 0.0
    coarse: float = 1.0
    reconstruction: float = 0.0
    kernel_size: float = 0.003
    radius: float = 0.05
    auxiliary: float = 0.05


@dataclass(frozen=True)
class TeacherConfig:
    """A trained ``network``, its ``weights`` (tag or file; "" for the usual ones), and the ``share`` of its picture.

    It is learned from in the place of so much of the sharp picture, at 0 not at all; see ``training.teacher``.
    """

    network: str = "iniknet-fast"
    weights: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how weights come about, except the photos.

    Attributes:
        network: name of the network, and ``config`` its constructor's arguments where they are not the defaults.
        seed: of the network's start and of every drawn pair.
        crop, batch: size in px and number of the pairs of one step.
        scales: how many sizes of each pair are restored, at most: the pair, its half … (``training.scales``).
        scale_weight: what the loss of a scale counts compared with that of the next finer one.
        wide_share: share of the steps that are drawn as ``wide`` says, in the shape of a recipe: larger crops, wider
            blur.
        learning_rate: on the plateau; reached linearly over ``warmup`` steps and left only by a cool-down.
        atom_steps: of the fit that the atoms start from (``training.dictionary``); 0 starts them at random.
        atom_pace: the atoms' share of the learning rate: everything else hangs on them, and sine networks are touchy.
            0 leaves them as they start, which saves a third of a step on a CPU.
        ema: decay of the averaged weights, which are the ones that are validated and released.
        clip: largest gradient norm.
        procedural: share of drawn pictures (``synthesis.procedural``) among those that scenes are laid out with.
        smooth: share among them of photos that are in focus and yet soft, as skin and sky are, if such are given.
        synthesis, loss, teacher: see there.
        cooling: what is different once the cool-down has begun, in the shape of a recipe: larger crops, another loss.
    """

    network: str
    config: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    crop: int = 128
    batch: int = 8
    scales: int = 1
    scale_weight: float = 0.5
    wide_share: float = 0.0
    wide: dict[str, Any] = field(default_factory=dict)
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.0
    atom_steps: int = 1500
    atom_pace: float = 0.1
    ema: float = 0.999
    clip: float = 1.0
    procedural: float = 0.0
    smooth: float = 0.0
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    cooling: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionaries and numbers, for JSON and TOML."""
        return asdict(self)

    def changed(self, changes: dict[str, Any], where: str) -> Recipe:
        """The recipe with other values for some keys; ``where`` names their source in errors.

        Args:
            changes: as nested as the recipe: ``{"loss": {"ssim": 0.1}}`` leaves the other losses alone.

        Raises:
            UsageError: a key that no recipe has, or a value of another type.
        """
        return from_dict(Recipe, _merged(self.as_dict(), changes), where)

    def cooled(self) -> Recipe:
        """The recipe of the cool-down."""
        return replace(self.changed(self.cooling, "[cooling]"), cooling=self.cooling)

    def widened(self) -> Recipe:
        """The recipe of the wide steps."""
        return replace(self.changed(self.wide, "[wide]"), wide=self.wide)


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Reads a TOML recipe.

    Args:
        path: the file, or the name of one that comes with the program.
        changes: lines of TOML that replace values, like ``config.levels=1``.

    Raises:
        UsageError: the file or its base is missing, one of them or a change is not TOML or has a key or a type that no
            recipe has.
    """
    recipe = from_dict(Recipe, _read(found(path)), str(path))
    try:
        recipe = recipe.changed(tomllib.loads("\n".join(changes)), "--set")
    except tomllib.TOMLDecodeError as error:
        hint = "Write KEY=VALUE as in the recipe: config.levels=1, config.sizes=[9,15]; words in double quotes."
        raise UsageError(f"--set {' --set '.join(changes)}: {error}", hint) from error
    recipe.cooled().widened()  # their mistakes should not wait for the first such step
    return recipe


def _read(path: Path, based: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A file's values and, where it has none, those of its base. ``based`` are the files that are based on it."""
    if path in based:
        raise UsageError(f"{path}: is based on itself")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "'deblur train --list' lists the recipes that come with deblur."
        raise UsageError(f"{path}: cannot be read ({error.strerror})", hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise UsageError(f"{path} [base]: {base!r} is not str")
    return _merged(_read(path.parent / base, (*based, path)), values)


def from_dict(kind: type[T], values: dict[str, Any], where: str) -> T:
    """Nested dictionaries → the dataclass ``kind``; ``where`` names their source in errors."""
    hints = get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise UsageError(f"{where}: unknown key '{unknown[0]}'", f"Known: {', '.join(sorted(known))}.")
    built = {name: _typed(hints[name], value, f"{where} [{name}]") for name, value in values.items()}
    try:
        return kind(**built)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from error


def differences(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys whose values in ``other`` are not those of ``one``, with the values of ``other``."""
    found: dict[str, Any] = {}
    for name in {**one, **other}:
        before, after = one.get(name), other.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found[prefix + name] = after
    return found


def _typed(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the type ``hint``: dictionaries become dataclasses, lists tuples, whole numbers floats."""
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, dict):
        return from_dict(hint, value, where)
    if get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        kinds = get_args(hint)
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        if len(kinds) == len(value):
            return tuple(_typed(*each, where) for each in zip(kinds, value, strict=True))
    kind = get_origin(hint) or hint
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UsageError(f"{where}: {value!r} is not {getattr(kind, '__name__', kind)}")
    return value


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for name, value in changes.items():
        nested = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if nested else value
    return merged
