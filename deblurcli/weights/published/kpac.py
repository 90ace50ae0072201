"""KPAC as its authors published it (AGPL-3.0): the order of the arrays in their files, and the way to our names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deblurcli.errors import WeightsError
from deblurcli.networks.kpac import KPAC


def authors_order(levels: int) -> tuple[str, ...]:
    """Our name of each array in the authors' file, which has no names but an order.

    Args:
        levels: 2 or 3, of their networks.
    """
    modules = [f"encoders.{level}.{layer}" for level in range(levels + 1) for layer in ("first", "second")]
    for block in range(2):
        layers = ("kernel", *(f"scale.{n}" for n in range(4)), "scale_head", "shape", "shape_head", "mix")
        modules += [f"blocks.{block}.{layer}" for layer in layers]
    modules += ["gather.0", "gather.1"]
    decoders = (*(f"decoders.{level}" for level in range(levels - 1)), "last")
    modules += [f"{decoder}.{layer}" for decoder in decoders for layer in ("up", "fuse")]
    names = (f"{module}.{kind}" for module in modules for kind in ("weight", "bias"))
    return tuple(name for name in names if not name.endswith("kernel.bias"))


def from_authors(arrays: Sequence[Tensor | NDArray[np.float32]], levels: int) -> dict[str, Tensor]:
    """The authors' arrays under our names, each used once, ready for ``KPAC(levels).load_state_dict``.

    Args:
        arrays: ``params`` of their file, in its order: kernels (height, width, in, out), transposed ones (height,
            width, out, in), biases (out,).
        levels: 2 for "kpac-2", 3 for "kpac-3".

    Raises:
        WeightsError: there are more or fewer arrays than the network has, or a shape is not the network's.
    """
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in KPAC(levels).state_dict().items()}
    order = authors_order(levels)
    wrong = [] if len(arrays) == len(order) else [f"{len(arrays)} arrays, not {len(order)}"]
    ours: dict[str, Tensor] = {}
    for position, (name, array) in enumerate(zip(order, arrays, strict=False)):
        tensor = torch.as_tensor(array)
        # Transposed kernels have out before in, as ours: the same permutation serves both.
        tensor = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
        if tuple(tensor.shape) != shapes[name]:
            wrong.append(f"array {position}, {name}, is {tuple(tensor.shape)} in our order, not {shapes[name]}")
        ours[name] = tensor.contiguous()
    if wrong:
        raise WeightsError(f"this is not the authors' {levels}-level KPAC: " + "; ".join(wrong))
    return ours
