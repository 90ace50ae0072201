"""Strip attention: pictures as rows and columns that attend to each other (Stripformer: Tsai et al., ECCV 2022).

Half of the channels see horizontal strips, the other half vertical ones. Within a strip, pixels attend to pixels;
between strips, whole rows attend to whole rows. The time is C·(H + W) multiply-adds for each pixel; where PyTorch has a
fused attention (CPU, CUDA), memory is only needed for the features themselves.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import ChannelNorm


class StripBlock(nn.Module):
    """Attention, then a two-layer perceptron per pixel, then a position convolution; each is added to its input.

    Args:
        channels: of the features; half go each way.
        heads: of the attention.
    """

    horizontal: nn.Module
    vertical: nn.Module

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = ChannelNorm(channels)
        self.enter = nn.Conv2d(channels, channels, 1)
        self.leave = nn.Conv2d(channels, channels, 1)
        self.mlp_norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        rows, columns = self.enter(self.attention_norm(x)).chunk(2, dim=1)
        rows = self.attend(rows, self.horizontal)
        columns = self.attend(columns.transpose(2, 3), self.vertical).transpose(2, 3)
        x = x + self.leave(torch.cat([rows, columns], dim=1))
        pixels = x.permute(0, 2, 3, 1)
        pixels = pixels + self.narrow(F.gelu(self.widen(self.mlp_norm(pixels))))
        x = pixels.permute(0, 3, 1, 2)
        return x + self.position(x)

    def attend(self, x: Tensor, project: nn.Module) -> Tensor:
        """Attention along or between the rows of x: (B, C/2, H, W) → the same shape."""
        raise NotImplementedError


class WithinStrips(StripBlock):
    """Each pixel attends to all pixels of its row, and with other channels to all of its column."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.horizontal = nn.Linear(channels // 2, 3 * channels // 2)
        self.vertical = nn.Linear(channels // 2, 3 * channels // 2)

    def attend(self, x: Tensor, project: nn.Module) -> Tensor:
        """See ``StripBlock``. The rows of all pictures are one batch of sequences of W pixels."""
        b, c, h, w = x.shape
        q, k, v = (
            strips.reshape(b * h, w, self.heads, c // self.heads).transpose(1, 2)
            for strips in project(x.permute(0, 2, 3, 1)).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(q, k, v)  # (B·H, heads, W, C/2 / heads)
        return attended.transpose(1, 2).reshape(b, h, w, c).permute(0, 3, 1, 2)


class BetweenStrips(StripBlock):
    """Each row attends to all rows, and with other channels each column to all columns; a strip is one long vector."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, heads)
        self.horizontal = nn.Conv2d(channels // 2, 3 * channels // 2, 1)
        self.vertical = nn.Conv2d(channels // 2, 3 * channels // 2, 1)

    def attend(self, x: Tensor, project: nn.Module) -> Tensor:
        """See ``StripBlock``. Each picture is a sequence of H rows."""
        b, c, h, w = x.shape
        q, k, v = (
            strips.reshape(b, self.heads, c // self.heads, h, w).transpose(2, 3).flatten(3)
            for strips in project(x).chunk(3, dim=1)
        )
        attended = F.scaled_dot_product_attention(q, k, v)  # (B, heads, H, C/2 / heads · W)
        return attended.unflatten(3, (-1, w)).transpose(2, 3).reshape(b, c, h, w)
