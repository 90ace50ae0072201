"""GKMNet: defocus removed by adding and subtracting Gaussian-blurred copies of the photo, from coarse to fine.

Quan, Wu, Ji: Gaussian Kernel Mixture Network for Single Image Defocus Deblurring, NeurIPS 2021. Equal to its authors'
published network. At each of the scales 1/4, 1/2 and 1 it takes one step of a fixed-point iteration,

    x_t = W · [β_y · (g ⋆ y), β_x · (g ⋆ x_{t-1})] + b,

with the blurred picture y, the previous estimate x_{t-1} (scaled up; y itself at first), a bank g of a delta and 21
Gaussians, coefficients β that differ from pixel to pixel, and a learned 1×1 convolution W. What surprises:

* Colours do not meet all Gaussians (``networks.gaussians`` says why): red meets the narrow ones, blue the wide ones.
  Coefficient j of either half of β weighs channels j, 22 + j and 44 + j of the bank: Gaussian j // 3 on red,
  (22 + j) // 3 on green and (44 + j) // 3 on blue. No single σ belongs to it; its width in px is the mean of the three.
* Features attend to whole rows and columns (triplet attention), so that what is far away matters a little everywhere.
* The coarser pictures are scaled down bilinearly without antialiasing, just as in INIKNet.
* The bank pads with black, so that a rim of up to 10 px (of each scale) darkens unless W makes up for it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import State, full_precision, resize, resize_state, size_maps
from deblurcli.networks.gaussians import CoefficientHead, ConvNorm, GaussianBank, start_as_identity
from deblurcli.networks.restored import Restored


class Gate(nn.Module):
    """How much to let through, from the largest and the mean value along an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, largest: Tensor, mean: Tensor) -> Tensor:
        """(B, P, Q) twice → gates in [0, 1], (B, P, Q)."""
        return self.norm(self.conv(torch.stack([largest, mean], dim=1))).sigmoid().squeeze(1)


class TripletAttention(nn.Module):
    """x times the mean of three gates, one pooled over each axis (Misra et al., WACV 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.over_height = Gate()
        self.over_width = Gate()
        self.over_channels = Gate()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        # Pooled and multiplied with channels last, as the features lie in memory: otherwise many times as slow.
        pixels = x.permute(0, 2, 3, 1)  # (B, H, W, C)
        largest, mean = (pixels.amax(1).transpose(1, 2), pixels.mean(1).transpose(1, 2))  # (B, C, W), as it was learned
        columns = self.over_height(largest, mean).transpose(1, 2).unsqueeze(1)  # (B, 1, W, C)
        rows = self.over_width(pixels.amax(2), pixels.mean(2)).unsqueeze(2)  # (B, H, 1, C)
        points = self.over_channels(pixels.amax(3), pixels.mean(3)).unsqueeze(3)  # (B, H, W, 1)
        gates = (columns / 3).contiguous() + rows / 3 + points / 3
        return (pixels * gates).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """One level of the encoder-decoder: ``enter`` changes size and width, two residual steps and attention follow."""

    def __init__(self, enter: nn.Module, width: int) -> None:
        super().__init__()
        self.enter = enter
        self.first = ConvNorm(nn.Conv2d(width, width, 3, padding=1))
        self.second = ConvNorm(nn.Conv2d(width, width, 3, padding=1))
        self.attention = TripletAttention()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) → (B, width, H', W'), as ``enter`` has them."""
        x = self.enter(x)
        x = x + self.first(x)
        x = x + self.second(x)
        return self.attention(x)


class UNet(nn.Module):
    """Features of one scale; skips are added. (B, 3, H, W) → (B, width, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        fine, middle, deep = width, 2 * width, 4 * width
        self.encode_fine = Stage(nn.Conv2d(3, fine, 3, padding=1), fine)
        self.encode_middle = Stage(ConvNorm(nn.Conv2d(fine, middle, 3, stride=2, padding=1)), middle)
        self.encode_deep = Stage(ConvNorm(nn.Conv2d(middle, deep, 3, stride=2, padding=1)), deep)
        self.bottleneck = Stage(ConvNorm(nn.Conv2d(deep, deep, 3, padding=1)), deep)
        self.decode_middle = Stage(ConvNorm(nn.ConvTranspose2d(deep, middle, 2, stride=2)), middle)
        self.decode_fine = Stage(ConvNorm(nn.ConvTranspose2d(middle, fine, 2, stride=2)), fine)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, width, H, W)."""
        middle = self.encode_middle(self.encode_fine(x))
        deep = self.encode_deep(middle)
        deep = deep + self.bottleneck(deep)
        return self.decode_fine(middle + self.decode_middle(deep))


class GKMNet(nn.Module):
    """GKMNet (module docstring says from where). Sees R, G, B in [0, 1]. Untrained it is nearly the identity.

    Args:
        gaussians: how many Gaussians there are beside the delta.
        width: channels of the features at full scale.
    """

    def __init__(self, gaussians: int = 21, width: int = 32) -> None:
        super().__init__()
        kernels = gaussians + 1
        self.unet = UNet(width)
        self.head = CoefficientHead(width, 2 * kernels)
        self.bank = GaussianBank(gaussians)
        # Input channels are ordered blurred picture and previous estimate, then colour, then response.
        self.contract = nn.Conv2d(2 * 3 * kernels, 3, 1)
        start_as_identity(self.contract, self.head.start(), self.bank.kernels)

    def forward(self, x: Tensor, maps: bool = False, coarse: bool = False) -> Restored:
        """Restore blurred pictures (B, 3, H, W); H and W must be multiples of 16, at least 32.

        Args:
            x: blurred pictures, R, G, B in [0, 1].
            maps: also return β (B, 2 K, H, W) in [-1, 1] of the full scale: how strongly the K responses to the blurred
                picture count, then those to the estimate of half the size.
            coarse: also return the estimates at 1/2 and 1/4, for the multi-scale loss. While training it always does.
        """
        height, width = x.shape[-2:]
        if height % 16 or width % 16 or min(height, width) < 32:
            raise ValueError(f"height and width must be multiples of 16 and at least 32, not {height} × {width}")
        estimates: list[Tensor] = []
        state: State | None = None
        beta = x
        for blurred in (resize(x, 1 / 4), resize(x, 1 / 2), x):
            beta, state = self.head(self.unet(blurred), resize_state(state, 2))
            with full_precision(x.device.type):
                blurred = blurred.to(self.contract.weight.dtype)
                previous = resize(estimates[-1], 2) if estimates else blurred
                estimates.append(self.mix(blurred, previous, beta))
        quarter, half, restored = estimates
        found = {"beta": beta, **size_maps(beta.abs() + 1e-6, self.copy_sizes * 2)} if maps else {}
        return Restored(restored, found, [half, quarter] if coarse or self.training else [])

    @property
    def copy_sizes(self) -> list[float]:
        """Width of the PSF that each β of a picture weighs, px, averaged over its three colours: 1 for the delta."""
        sizes = [1.0, *(1 + 4 * 0.25 * i for i in range(1, len(self.bank.kernels)))]  # as a disc of that σ: 1 + 4 σ
        count = len(sizes)
        return [sum(sizes[(j + colour * count) // 3] for colour in range(3)) / 3 for j in range(count)]

    def kernels(self) -> dict[str, Tensor]:
        """The bank: a delta, then the Gaussians, gaussians (K, k, k)."""
        return {"gaussians": self.bank.kernels}

    def mix(self, blurred: Tensor, previous: Tensor, beta: Tensor) -> Tensor:
        """One step of the iteration: pictures (B, 3, H, W) twice, β (B, 2 K, H, W) → (B, 3, H, W).

        One colour of one picture at a time, so that K weighted responses are alive and not 6 K.
        """
        weight, bias = self.contract.weight, self.contract.bias
        assert bias is not None
        x = bias.view(3, 1, 1)
        weights = iter(weight.chunk(6, dim=1))
        for picture, coefficients in zip((blurred, previous), beta.chunk(2, dim=1), strict=True):
            for response in self.bank(picture):
                x = x + F.conv2d(response * coefficients, next(weights))
        return x
