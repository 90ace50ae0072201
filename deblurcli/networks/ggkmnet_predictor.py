"""GGKMNet's mixing coefficient predictor (§4.2): what blur there is, as α for the picture and β for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import Block, State, lstm_state, resize


def conv(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """3×3, zero-padded."""
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding=1)


class Encoded(NamedTuple):
    """What the encoder found, at 1, 1/2, 1/4 and 1/8 of the scale it looked at; ``bottleneck`` is F₁ of the paper."""

    full: Tensor
    half: Tensor
    quarter: Tensor
    bottleneck: Tensor


class BlurFeatures(nn.Module):
    """The blur feature extractor: a U-Net that all scales share.

    Args:
        width: channels at full resolution; 2 and 4 times as many at 1/2, and at 1/4 and 1/8.
        blocks: residual blocks at each of the seven places where the paper's smaller network has one.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()

        def residual(channels: int) -> nn.Sequential:
            return nn.Sequential(*(Block(channels) for _ in range(blocks)))

        def twice_the_size(channels: int) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)

        self.to_full, self.encode_full = conv(3, width), residual(width)
        self.to_half, self.encode_half = conv(width, 2 * width, 2), residual(2 * width)
        self.to_quarter, self.encode_quarter = conv(2 * width, 4 * width, 2), residual(4 * width)
        self.to_bottleneck, self.encode_bottleneck = conv(4 * width, 4 * width, 2), residual(4 * width)
        self.decode_bottleneck, self.from_bottleneck = residual(4 * width), twice_the_size(4 * width)
        self.fuse_quarter = conv(2 * width + 4 * width, 2 * width)
        self.decode_quarter, self.from_quarter = residual(2 * width), twice_the_size(2 * width)
        self.fuse_half = conv(width + 2 * width, width)
        self.decode_half, self.from_half = residual(width), twice_the_size(width)
        self.fuse_full = conv(width // 2 + width, width // 2)

    def encode(self, y: Tensor) -> Encoded:
        """A picture (B, 3, H, W), values in [0, 1], sides multiples of 8 → its features."""
        full = self.encode_full(F.relu(self.to_full(y - 0.5)))
        half = self.encode_half(F.relu(self.to_half(full)))
        quarter = self.encode_quarter(F.relu(self.to_quarter(half)))
        return Encoded(full, half, quarter, self.encode_bottleneck(F.relu(self.to_bottleneck(quarter))))

    def decode(self, encoded: Encoded) -> Tensor:
        """Features for β: (B, width / 2, H, W)."""
        x = self.from_bottleneck(self.decode_bottleneck(encoded.bottleneck))
        x = self.decode_quarter(F.relu(self.fuse_quarter(torch.cat([x, encoded.quarter], 1))))
        x = self.decode_half(F.relu(self.fuse_half(torch.cat([self.from_quarter(x), encoded.half], 1))))
        return F.relu(self.fuse_full(torch.cat([self.from_half(x), encoded.full], 1)))


class LSTMCell(nn.Module):
    """One step of a convolutional LSTM; with 1×1 kernels on 1×1 maps it is an ordinary LSTM."""

    def __init__(self, channels_in: int, channels: int, size: int) -> None:
        super().__init__()
        self.channels = channels
        self.gates = nn.Conv2d(channels_in + channels, 4 * channels, size, padding=size // 2)

    def forward(self, x: Tensor, state: State | None) -> State:
        """(B, channels_in, H, W) and the state, None for zeros → the next state, two (B, channels, H, W)."""
        if state is None:
            zeros = x.new_zeros(x.shape[0], self.channels, *x.shape[2:])
            state = zeros, zeros
        hidden, memory = state
        return lstm_state(self.gates(torch.cat([x, hidden], 1)), memory)


class AlphaUnit(nn.Module):
    """α-APU: averages over the picture → how the Gaussians of each group are mixed; an LSTM runs over the scales."""

    def __init__(self, width: int, groups: int, gaussians: int) -> None:
        super().__init__()
        self.groups = groups
        self.reduce = LSTMCell(width, width // 4, 1)
        self.expand = LSTMCell(width // 4, groups * gaussians, 1)

    def forward(self, averages: Sequence[Tensor]) -> Tensor:
        """Mean F₁ (B, width, 1, 1) of each of T scales → α (B, T, P, Q); the Q of one group are ≥ 0 and sum to 1."""
        narrow: State | None = None
        wide: State | None = None
        found: list[Tensor] = []
        for average in averages:
            reduced, _ = narrow = self.reduce(average, narrow)
            expanded, _ = wide = self.expand(F.relu(reduced), wide)
            found.append(expanded.flatten(1).unflatten(1, (self.groups, -1)).softmax(-1))
        return torch.stack(found, 1)


class BetaUnit(nn.Module):
    """β-APU: features → how much each group counts at each pixel; a convolutional LSTM runs over the scales."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.smooth = LSTMCell(width, groups, 5)
        self.detail = nn.Sequential(conv(width, groups), nn.ReLU(), conv(groups, groups))
        # A memory that starts empty makes every β start at zero, where Eq. (14) returns the photo.
        nn.init.zeros_(self.smooth.gates.weight[-groups:])
        nn.init.zeros_(self.smooth.gates.bias[-groups:])  # type: ignore[index]

    def forward(self, features: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Features (B, width, H, W), state of the coarser scale at H/2 × W/2 → β (B, P, H, W) in [-1, 1], state."""
        hidden, memory = self.smooth(F.avg_pool2d(features, 2), state)
        smooth = resize(hidden, 2)
        return torch.tanh(smooth * self.detail(features) + smooth), (hidden, memory)


class SelfReconstruction(nn.Module):
    """The module of the self-reconstruction loss, Eq. (21): from what was predicted back to the blurred picture."""

    def __init__(self, width: int, groups: int, hidden: int = 32) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width, hidden, 1)
        self.convs = nn.Sequential(
            conv(hidden + groups + 3, hidden), nn.ReLU(), conv(hidden, hidden), nn.ReLU(), conv(hidden, 3), nn.Sigmoid()
        )

    def forward(self, bottleneck: Tensor, beta: Tensor, x: Tensor) -> Tensor:
        """F₁ (B, width, H/8, W/8), β (B, P, H, W) and the restored picture (B, 3, H, W) → ỹ (B, 3, H, W) in [0, 1]."""
        narrow = resize(self.narrow(bottleneck), 8)
        return self.convs(torch.cat([narrow, beta, x], 1))
