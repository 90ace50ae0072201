"""Checkpoints: safetensors whose header says what the numbers are: network, config, recipe, scores, licence."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblurcli.errors import WeightsError
from deblurcli.photo.atomic import replacing

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "deblur-checkpoint-1"
KINDS = {"config": dict, "recipe": dict, "scores": dict, "data": list, "limits": list}
LARGEST_SETTING = 4096
"""Of the numbers in a network's configuration: channels, depths, sizes of kernels."""


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    Attributes:
        network: name in the table of networks; tag: which training this is ("synth_v3").
        config: constructor arguments that differ from the network's defaults.
        recipe: how it was trained. scores: measure → value on the fixed validation.
        licence, note: for people.
        data: what it was trained on: rows of "source", "licence" (as stated there) and "tiles" (how many).
        limits: sentences on what it cannot do.
    """

    network: str
    tag: str
    config: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    licence: str = "MIT"
    note: str = ""
    data: list[dict[str, Any]] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)


def save_checkpoint(path: Path, tensors: dict[str, Tensor], header: Header, *, overwrite: bool = True) -> None:
    """Writes ``tensors`` with ``header``; the file appears whole or not at all.

    Raises:
        PhotoError: the file cannot be written, or exists and may not be replaced.
    """
    from safetensors.torch import save

    metadata = {"format": FORMAT}
    metadata |= {k: v if isinstance(v, str) else json.dumps(v) for k, v in vars(header).items()}
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    with replacing(path, overwrite=overwrite) as file:
        file.write(content)


def read_header(path: Path) -> Header:
    """Only the header, without reading the tensors (and without torch).

    Raises:
        WeightsError: the file is missing or is no checkpoint of ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not path.is_file():
            raise WeightsError(f"{path}: no such weights file", "'deblur weights list' shows what there is.")
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except PermissionError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})", "Check the file's permissions.") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a safetensors file ({error})", "Weights files end in .safetensors.") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: a safetensors file, but not one of deblur's", "Its header does not say which network it is for."
        )
    try:
        header = Header(
            network=metadata["network"],
            tag=metadata["tag"],
            config=json.loads(metadata["config"]),
            recipe=json.loads(metadata["recipe"]),
            scores=json.loads(metadata["scores"]),
            licence=metadata["licence"],
            note=metadata["note"],
            data=json.loads(metadata.get("data", "[]")),
            limits=json.loads(metadata.get("limits", "[]")),
        )
        _check_kinds(header)
        return header
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its header is damaged ({error})") from error


def _check_kinds(header: Header) -> None:
    """Raises ValueError for a header whose parts are of other kinds than they should, or far too large."""
    for name, value in vars(header).items():
        if type(value) is not KINDS.get(name, str):
            raise ValueError(f"{name} is no {KINDS.get(name, str).__name__}")
    if not all(isinstance(score, (int, float)) for score in header.scores.values()):
        raise ValueError("scores are no numbers")
    waiting = list(header.config.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, (int, float)) and not abs(value) <= LARGEST_SETTING:
            raise ValueError(f"no network has a setting of {value}")
        if isinstance(value, list):
            waiting += value
        if len(waiting) > LARGEST_SETTING:
            raise ValueError("no network has so many settings")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors by name.

    Raises:
        WeightsError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged ({error})", "Fetch or copy it again.") from error
