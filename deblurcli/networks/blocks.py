"""Pieces that several networks are built from: residual blocks, normalisation, and the implicit kernel atoms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # of an LSTM: hidden, memory

PART = 256  # px, see in_parts


class ReflectConv(nn.Conv2d):
    """A bias-free 3×3 convolution that mirrors the picture at its border instead of darkening it.

    It pads in the picture's own precision. PyTorch's autocast would go to float32 and back, which is a seventh of the
    time that training INIKNet takes.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, 3, stride, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) → (B, channels_out, H, W). Where C is too few, the others are zeros, and not computed with."""
        with full_precision(input.device.type):
            padded = F.pad(input, (1, 1, 1, 1), mode="reflect")
        some = input.shape[1] < self.in_channels
        return F.conv2d(padded, self.weight[:, : input.shape[1]] if some else self.weight, stride=self.stride)


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x))), both convolutions 3×3, bias-free and reflect-padded. (B, C, H, W) → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ReflectConv(channels, channels)
        self.second = ReflectConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W). Where x has fewer channels, the others are zeros, and not computed with."""
        missing = self.first.in_channels - x.shape[1]
        first = self.first(x)
        if missing:
            x = F.pad(x, (0, 0, 0, 0, 0, missing))
        return x + self.second(F.relu(first, inplace=True))


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    """``count`` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


class Block(nn.Module):
    """x + conv(relu(conv(x))), 3 × 3, zero-padded, without normalisation; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) → the same shape."""
        return self.second(F.relu(self.first(x), inplace=True)).add_(x)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel by itself, so that tiles see what whole pictures see."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W), in the same precision, also where autocast computes in another one."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).to(input.dtype)


def lstm_state(gates: Tensor, memory: Tensor) -> State:
    """The next state of an LSTM cell.

    Args:
        gates: i, f, o and g, stacked along the channels and not yet squashed, (B, 4·C, H, W).
        memory: of the state before, (B, C, H, W).
    """
    squashed, g = gates.split([3 * memory.shape[1], memory.shape[1]], dim=1)
    i, f, o = squashed.sigmoid().chunk(3, dim=1)
    memory = torch.addcmul(f * memory, i, _tanh(g))
    return o * _tanh(memory), memory


def _tanh(x: Tensor) -> Tensor:
    """On CPUs by way of the sigmoid, which PyTorch computes several times as fast there."""
    if _used_on_cpu(x) and x.dtype == torch.float32:
        return (2 * x).sigmoid_().mul_(2).sub_(1)
    return x.tanh()


def _used_on_cpu(x: Tensor) -> bool:
    """Whether ``x`` is part of restoring a photo on a CPU: of no training, and nothing that is compiled or exported."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def in_parts(stage: Callable[..., tuple[Tensor, ...]], context: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """``stage(*tensors)``, on CPUs in parts of the picture, so that what it makes on the way stays small and in cache.

    Equal to one run but for rounding: a part is shown ``context`` px more on each side, which are cut off again, and
    where the picture ends it ends as well. One run nevertheless where gradients are wanted, which would keep everything
    alive, on GPUs, which want large tensors, and under compilers, which would unroll the loop.

    Args:
        stage: returns tensors (B, C, H/f, W/f), f = 1, 2, 4 or 8, out of ``tensors``.
        context: how far it looks, px of the first tensor; a multiple of every f.
        tensors: (B, C, H/f, W/f), f = 1, 2, 4 or 8, the first one (B, C, H, W).
    """
    height, width = tensors[0].shape[2:]
    if not _used_on_cpu(tensors[0]) or max(height, width) <= PART:
        return stage(*tensors)

    def cut(x: Tensor, top: int, bottom: int, left: int, right: int) -> Tensor:
        f = height // x.shape[2]
        return x[:, :, top // f : bottom // f, left // f : right // f]

    # A corner shows what there will be. It is allocated before the parts use its room for what they make on the way.
    corner = stage(*(cut(x, 0, 64, 0, 64) for x in tensors))
    factors = [min(64, height) // x.shape[2] for x in corner]
    results = tuple(_empty_like(x, height // f, width // f) for x, f in zip(corner, factors, strict=True))
    for top, left in product(range(0, height, _part(height)), range(0, width, _part(width))):
        bottom, right = min(top + _part(height), height), min(left + _part(width), width)
        up, before = max(top - context, 0), max(left - context, 0)  # where the cutting begins
        made = stage(*(cut(x, up, bottom + context, before, right + context) for x in tensors))
        for result, x, f in zip(results, made, factors, strict=True):
            inner = x[:, :, (top - up) // f : (bottom - up) // f, (left - before) // f : (right - before) // f]
            cut(result, top, bottom, left, right).copy_(inner)
    return results


def _empty_like(x: Tensor, height: int, width: int) -> Tensor:
    layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
    return torch.empty(*x.shape[:2], height, width, dtype=x.dtype, memory_format=layout)


def _part(length: int) -> int:
    """The side of parts that are no longer than ``PART`` and equally long but for the grid of 8 px."""
    return -(-length // (-(-length // PART) * 8)) * 8


def resize(x: Tensor, factor: float) -> Tensor:
    """Bilinear, without antialiasing: ``factor`` 1/2 averages 2×2 pixels, 1/4 the inner 2×2 of each 4×4."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def resize_state(state: State | None, factor: float) -> State | None:
    """An LSTM state carried to the next scale; None, the zero state, stays None."""
    return None if state is None else (resize(state[0], factor), resize(state[1], factor))


def size_maps(weights: Tensor, sizes: Sequence[float]) -> dict[str, Tensor]:
    """The mean size that is used at each pixel, and how far sizes spread about it.

    Args:
        weights: (B, K, H, W), at least 0; they need not add up to 1.
        sizes: what each stands for, px.

    Returns:
        defocus_size and defocus_spread (standard deviation), (B, 1, H, W) each, px.
    """
    px = torch.tensor(sizes, device=weights.device, dtype=weights.dtype).view(1, -1, 1, 1)
    total = weights.sum(1, keepdim=True)
    mean = (weights * px).sum(1, keepdim=True) / total
    spread = ((weights * (px - mean).square()).sum(1, keepdim=True) / total).sqrt()
    return {"defocus_size": mean, "defocus_spread": spread}


Module = TypeVar("Module", bound=nn.Module)


def channels_last(module: Module) -> Module:
    """The module with its weights laid out as fast convolutions want them, on CPUs and GPUs alike."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def full_precision(device_type: str) -> AbstractContextManager[object]:
    """A context that switches autocast off where it is on; elsewhere exporters would trace the context for nothing."""
    if torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def kernel_coordinates(size: int) -> Tensor:
    """Polar coordinates of the taps of a ``size`` × ``size`` kernel, what an implicit kernel is a function of.

    Rows and columns run over [-1, 1]; the angle is measured from the row axis and is 0 at the centre.

    Returns:
        (size², 3), taps row by row: radius / √2, (cos θ + 1) / 2, (sin θ + 1) / 2, each in [0, 1].
    """
    axis = torch.arange(1 - size, size, 2) / (size - 1)  # exactly 0 at the centre, where the angle hangs on it
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    angle = torch.atan2(column, row)
    polar = (torch.hypot(row, column) / 2**0.5, (angle.cos() + 1) / 2, (angle.sin() + 1) / 2)
    return torch.stack(polar, dim=-1).reshape(-1, 3)


class ImplicitKernel(nn.Module):
    """Φ, one kernel atom as a continuous function of position, so that it can be sampled at any size (INIKNet §3.3).

    Args:
        frequency: start value of the sines' frequency. It is learned, and both sines share it.
        hidden: width of the two hidden layers.
    """

    def __init__(self, frequency: float, hidden: int = 64) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.tensor(float(frequency)))
        self.lift = nn.Linear(3, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, 1, bias=False)

    def forward(self, coordinates: Tensor) -> Tensor:
        """Coordinates (T, 3) as ``kernel_coordinates`` gives them → kernel values (T,)."""
        h = torch.sin(self.frequency * self.lift(coordinates))
        h = torch.sin(self.frequency * self.hidden(h))
        return self.value(h).squeeze(-1)


class AtomDictionary(nn.Module):
    """V^r for all sizes: the same N implicit kernels sampled on grids of several sizes (INIKNet Eq. (6)).

    Atoms depend on the weights alone, so where no gradient is wanted they are computed once and kept, not once per
    tile. What is kept is tied to the storage and version counter of every parameter: an optimiser step,
    ``load_state_dict`` and ``.to()`` all change one of them, and the atoms are computed afresh.

    Args:
        sizes: side lengths of the kernels, odd, px.
        atoms: N, how many atoms each size has.
        frequencies: the atoms' start frequencies are spread evenly over this range.
        hidden: width of the implicit kernels' hidden layers.
    """

    coordinates: Tensor

    def __init__(
        self, sizes: Sequence[int], atoms: int, frequencies: tuple[float, float] = (2.0, 12.0), hidden: int = 64
    ) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        start = np.linspace(*frequencies, atoms)
        self.kernels = nn.ModuleList(ImplicitKernel(frequency, hidden) for frequency in start)
        # All taps of all sizes in one list: one run of the MLP then serves the whole dictionary.
        taps = torch.cat([kernel_coordinates(size) for size in self.sizes])
        self.register_buffer("coordinates", taps, persistent=False)
        self._kept: tuple[object, list[Tensor]] | None = None
        self._frozen = False

    def freeze(self) -> None:
        """Makes the atoms constants, for networks that are exported and trained no more."""
        with torch.no_grad():
            for nth, atoms in enumerate(self.sample()):
                self.register_buffer(f"frozen_{nth}", atoms, persistent=False)
        self._frozen = True

    def forward(self) -> list[Tensor]:
        """One (N, 1, size, size) tensor for each size, ready to be a convolution's weight. Do not modify in place."""
        if self._frozen:
            return [self.get_buffer(f"frozen_{nth}") for nth in range(len(self.sizes))]
        parameters = list(self.parameters())
        # Tensors made in inference mode have no version counter; compilers must see the computation, not its result.
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or any(p.is_inference() for p in parameters):
            return self.sample()
        key = [(p.data_ptr(), p._version, p.dtype) for p in parameters]
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, self.sample())
        return self._kept[1]

    def sample(self) -> list[Tensor]:
        """Evaluate every atom at every size; networks that constrain their atoms override ``shape_atoms``."""
        with full_precision(self.coordinates.device.type):
            return [self.shape_atoms(v) for v in self.raw()]

    def raw(self) -> list[Tensor]:
        """The implicit kernels' own values, one (N, 1, k, k) for each size, before ``shape_atoms``."""
        # Low precision would spoil the atoms: a sine's argument reaches tens of radians.
        with full_precision(self.coordinates.device.type):
            values = torch.stack([kernel(self.coordinates) for kernel in self.kernels])
        grids = values.split([size * size for size in self.sizes], dim=1)
        return [v.view(-1, 1, k, k) for v, k in zip(grids, self.sizes, strict=True)]

    def shape_atoms(self, atoms: Tensor) -> Tensor:
        """Raw values (N, 1, k, k) → atoms: scaled by 9 / k², so that large kernels are as loud as 3 × 3 ones."""
        return atoms * (9 / atoms.shape[-1] ** 2)
