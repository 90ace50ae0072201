"""Golden vectors: weights drawn by formula and what the authors' networks returned with them (golden/README.md)."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 2e-5


@dataclass(frozen=True)
class Golden:
    """One network's weights under its authors' names, an input (B, 3, H, W), and the arrays to reproduce."""

    weights: dict[str, Tensor]
    input: Tensor
    expected: dict[str, Tensor]
    parameters: int


def load_golden(name: str) -> Golden:
    description = json.loads((GOLDEN / f"{name}.json").read_text())
    seed = description["seed"]
    if "state_dict" in description:
        weights = {key: draw_torch(seed, source, shape) for key, shape, _, source in description["state_dict"]}
    else:
        weights = {key: draw_tensorflow(seed, key, shape) for key, shape in description["npz_params_in_order"]}
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        expected = {key: torch.from_numpy(arrays[key]) for key in arrays}
    shape = expected.pop("input_shape").tolist()
    picture = torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))
    return Golden(weights, picture, expected, description["parameters"])


def noise(*shape: int, seed: int = 1) -> Tensor:
    """Any input will do: uniform noise in [0, 1], the same each time."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def normal(seed: int, key: str, shape: list[int]) -> NDArray[np.float32]:
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    return np.asarray(rng.standard_normal(tuple(shape)), dtype=np.float32)


def draw_torch(seed: int, key: str, shape: list[int]) -> Tensor:
    """One tensor of a PyTorch state dict."""
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    n = torch.from_numpy(normal(seed, key, shape))
    if key.endswith("running_var"):
        return 1 + 0.2 * n.abs()
    if key.endswith("running_mean"):
        return 0.05 * n
    if key.endswith(".w0"):
        return 7 + 2 * n.tanh()
    if len(shape) >= 2:
        return n / prod(shape[1:]) ** 0.5
    if key.endswith("weight"):
        return 1 + 0.1 * n
    return 0.05 * n


def draw_tensorflow(seed: int, name: str, shape: list[int]) -> Tensor:
    """One array of a TensorFlow file: kernels are (height, width, in, out), transposed ones have out before in."""
    n = torch.from_numpy(normal(seed, name, shape))
    if len(shape) < 2:
        return 0.05 * n
    return n / (shape[0] * shape[1] * (shape[3] if "deconv" in name else shape[2])) ** 0.5
