"""KPAC: defocus removed in feature space by one inverse kernel that is stretched to five sizes.

Son, Lee, Cho, Lee: Single Image Defocus Deblurring Using Kernel-Sharing Parallel Atrous Convolutions, ICCV 2021.

Equal to its authors' published networks. What the paper leaves open or to its supplement, or what surprises:

* Pictures are shifted to [-1, 1] inside. The last convolution has no activation, and the picture is added to it.
* A convolution of stride 2 pads to the right and at the bottom only, as TensorFlow does; everything pads with zeros.
* The shared kernel has no bias, and each rate's response passes a LeakyReLU before it is weighed.
* Scale attention's own convolutions are 5×5: four atrous ones of rate 2, then a plain one. Its maps come from sigmoids,
  so those of a pixel need not add up to one.
* Shape attention averages a block's input over the whole picture: the only way in which distant pixels count. These
  averages can be given, so that tiles become what the whole would.
* What follows the blocks sees the input of the first one and the outputs of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import size_maps
from deblurcli.networks.restored import Restored

RATES = (1, 2, 3, 4, 5)
KERNEL = 5  # taps of the shared kernel along one side
SLOPE = 0.2


def activate(x: Tensor) -> Tensor:
    """The LeakyReLU behind every convolution but the last, in place."""
    return F.leaky_relu(x, SLOPE, inplace=True)


def conv(channels_in: int, channels_out: int, size: int = 3, rate: int = 1, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps the size; its taps are ``rate`` px apart."""
    return nn.Conv2d(channels_in, channels_out, size, padding=rate * (size // 2), dilation=rate, bias=bias)


class Encoder(nn.Module):
    """One level down: two convolutions, the first of them of stride 2 below full resolution."""

    def __init__(self, channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2 if stride == 1 else 0)
        self.second = conv(channels_out, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) → (B, channels_out, H / stride, W / stride)."""
        if self.stride == 2:
            x = F.pad(x, (0, 1, 0, 1))
        return activate(self.second(activate(self.first(x))))


class Decoder(nn.Module):
    """One level up: a transposed convolution, then one over its output and the encoder's features."""

    def __init__(self, channels_in: int, channels_skip: int, channels_out: int, size: int = 3) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels_in, channels_skip, 4, stride=2, padding=1)
        self.fuse = conv(2 * channels_skip, channels_out, size)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, channels_in, H/2, W/2) and (B, channels_skip, H, W) → (B, channels_out, H, W), without activation."""
        return self.fuse(torch.cat([activate(self.up(x)), skip], dim=1))


class KPACBlock(nn.Module):
    """Kernel-sharing parallel atrous convolutions, Eq. (7), with both attentions (Fig. 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.kernel = conv(width, half, KERNEL, bias=False)
        channels = (width, width // 3, width // 3, width // 6, width // 6)
        self.scale = nn.ModuleList(conv(*step, KERNEL, rate=2) for step in pairwise(channels))
        self.scale_head = conv(channels[-1], len(RATES), KERNEL)
        self.shape = nn.Conv2d(width, width // 8, 1)
        self.shape_head = nn.Conv2d(width // 8, half, 1)
        self.mix = conv(len(RATES) * half, width)

    def forward(self, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Restore features: scale attention looks at each place, shape attention at the whole picture.

        Args:
            x: features (B, width, h, w). mean: of the whole picture's, (B, width, 1, 1).

        Returns:
            Features alike, α (B, 5, h, w), and β (B, width / 2, 1, 1).
        """
        alpha = x
        for layer in self.scale:
            alpha = activate(layer(alpha))
        alpha = self.scale_head(alpha).sigmoid()
        beta = self.shape_head(activate(self.shape(mean))).sigmoid()
        responses = [
            activate(F.conv2d(x, self.kernel.weight, padding=2 * rate, dilation=rate)) * alpha_r * beta
            for rate, alpha_r in zip(RATES, alpha.split(1, dim=1), strict=True)
        ]
        return activate(self.mix(torch.cat(responses, dim=1))), alpha, beta


class KPAC(nn.Module):
    """KPAC (module docstring says from where). Untrained it is the identity.

    Args:
        levels: 2 or 3, how often the encoder halves the resolution before the blocks.
        width: channels at full and half resolution, a multiple of 12; below there are twice as many.
        blocks: how many KPAC blocks follow each other.
    """

    def __init__(self, levels: int = 2, width: int = 48, blocks: int = 2) -> None:
        super().__init__()
        if levels not in (2, 3) or width % 12:
            raise ValueError(f"levels must be 2 or 3 and width a multiple of 12, not {levels} and {width}")
        fine, deep = width, 2 * width
        widths = (fine, fine, deep, deep)[: levels + 1]  # at 1, 1/2, 1/4, 1/8
        steps = list(pairwise(widths))
        self.stride = 2**levels
        self.encoders = nn.ModuleList([Encoder(3, fine, KERNEL), *(Encoder(*step, stride=2) for step in steps)])
        self.blocks = nn.ModuleList(KPACBlock(deep) for _ in range(blocks))
        self.gather = nn.ModuleList([conv((1 + blocks) * deep, deep), conv(deep, deep)])
        self.decoders = nn.ModuleList(Decoder(below, here, here) for here, below in reversed(steps[1:]))
        self.last = Decoder(fine, fine, 3, KERNEL)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.last.fuse.weight)

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Side of the kernel that each α of a block stands for, px of the picture."""
        return tuple(self.stride * ((KERNEL - 1) * rate + 1) for rate in RATES)

    def forward(self, x: Tensor, maps: bool = False, statistics: Sequence[Tensor] | None = None) -> Restored:
        """Restore blurred pictures (B, 3, H, W); H and W must be multiples of 2^levels.

        Args:
            x: RGB in [0, 1].
            maps: also return alpha (B, 5 · blocks, H, W), α of the first block, then of the second, how much each of
                ``kernel_sizes`` counts, in [0, 1]; defocus_size, its spread and the mean dilation (B, 1, H, W); and
                shape (B, width · blocks, 1, 1), β of both blocks.
            statistics: the whole picture's mean input of each block, (B, 2 · width, 1, 1), if ``x`` is a part of it.
        """
        height, width = x.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(f"height and width must be multiples of {self.stride}, not {height} × {width}")
        *skips, deepest = self._encode(x)
        outputs, alphas, shapes = [deepest], [], []
        for nth, block in enumerate(self.blocks):
            mean = statistics[nth] if statistics else outputs[-1].float().mean((2, 3), keepdim=True)
            output, alpha, shape = block(outputs[-1], mean)
            outputs.append(output)
            alphas.append(alpha)
            shapes.append(shape)
        y = torch.cat(outputs, dim=1)
        for layer in self.gather:
            y = activate(layer(y))
        for decoder, skip in zip(self.decoders, reversed(skips[1:]), strict=True):
            y = activate(decoder(y, skip))
        y = self.last(y, skips[0])
        return Restored(x + y.float() / 2, self._maps(alphas, shapes) if maps else {})

    def statistic(self, x: Tensor, known: Sequence[Tensor]) -> Tensor:
        """Input of block number ``len(known)``, (B, 2 · width, H / 2^levels, W / 2^levels); see ``NetworkSpec``."""
        deepest = self._encode(x)[-1]
        for block, mean in zip(self.blocks, known, strict=False):
            deepest, *_ = block(deepest, mean)
        return deepest

    def kernels(self) -> dict[str, Tensor]:
        """None: its one kernel filters features, not the photo."""
        return {}

    def _encode(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] → features at 1, 1/2 …, 1 / 2^levels."""
        features = []
        x = 2 * x - 1
        for encoder in self.encoders:
            x = encoder(x)
            features.append(x)
        return features

    def _maps(self, alphas: list[Tensor], shapes: list[Tensor]) -> dict[str, Tensor]:
        alpha = torch.cat(alphas, dim=1).float()
        # Where nothing is used at all, the mean of all sizes.
        sizes = size_maps(alpha + 1e-6, self.kernel_sizes * len(alphas))
        dilation = (sizes["defocus_size"] / self.stride - 1) / (KERNEL - 1)
        full = {"alpha": alpha, **sizes, "dilation": dilation}
        full = {name: F.interpolate(m, scale_factor=self.stride, mode="bilinear") for name, m in full.items()}
        return full | {"shape": torch.cat(shapes, dim=1).float()}
