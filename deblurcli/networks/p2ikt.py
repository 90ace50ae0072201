"""P2IKT: defocus removed by fixed inverse Gaussians and an inverse kernel predicted for the photo, from coarse to fine.

Tang et al.: Prior and Prediction Inverse Kernel Transformer for Single Image Defocus Deblurring, AAAI 2024.
Equal to its authors' published network. At each of the scales 1/4, 1/2 and 1

    x_t = W · [α_y · D(y), α_x · D(x_{t-1})] + b,

with the blurred picture y, the previous estimate x_{t-1} (scaled up; y itself at first), 18 deconvolved maps D of
each, coefficients α that differ from pixel to pixel, and a learned 1×1 convolution W. What surprises, or differs from
the paper:

* An inverse Gaussian, Eq. (3), is made in a window of its Gaussian's own size (3 or 5 px), takes the absolute value of
  the inverse transform, and has its peak one pixel right of and below the middle.
* Colours do not meet all of them (``networks.gaussians`` says why): two kernels for each colour, in three copies.
* The 25·3 numbers of a predicted kernel are a softmax over the 25 for each of three regions of the picture, but are
  read in another order than they are written in: (25, 3) as if it were (3, 5, 5). The kernel sums over the colours to
  one grey response, which stands for all three.
* The convolution and the contraction that turn predicted kernels' responses into a picture serve a loss while training,
  Eq. (5), and nothing else.
* Coarser pictures are scaled down by leaving out pixels; estimates and LSTM states are scaled up bilinearly.
* Convolutions pad with black.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import State, full_precision, resize, resize_state
from deblurcli.networks.gaussians import CoefficientHead, KernelBank, gaussian_profiles, padded, start_as_identity
from deblurcli.networks.restored import Restored
from deblurcli.networks.strips import BetweenStrips, WithinStrips

NOISE = 0.01  # n of Eq. (3)


def inverse_gaussians(count: int) -> Tensor:
    """A delta, then the inverses |F⁻¹(conj(K) / (|K|² + n))| of ``count`` Gaussians K, Eq. (3): (1 + count, k, k)."""
    kernels = [torch.ones(1, 1, dtype=torch.float64)]
    for profile in gaussian_profiles(count):
        spectrum = torch.fft.fft2(profile.outer(profile))
        kernels.append(torch.fft.ifft2(spectrum.conj() / (spectrum.abs() ** 2 + NOISE)).abs())
    return padded(kernels)


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU in place; x must be a result that nothing else needs."""
    return F.leaky_relu(x, 0.2, inplace=True)


def mean_of_thirds(x: Tensor) -> Tensor:
    """Averages over 3×3 regions that share pixels where sides are no multiples of 3: (B, C, H, W) → (B, C, 3, 3).

    Adaptive average pooling, written as products so that it can be exported for any size.
    """

    def thirds(length: int) -> Tensor:
        third, position = torch.arange(3, device=x.device)[:, None], torch.arange(length, device=x.device)
        first, end = third * length // 3, ((third + 1) * length + 2) // 3
        inside = ((position >= first) & (position < end)).to(x.dtype)
        return inside / inside.sum(dim=1, keepdim=True)

    pixels = x.permute(0, 2, 3, 1)  # as the features lie in memory: nothing is copied
    columns = thirds(x.shape[3]) @ pixels  # (B, H, 3, C)
    regions = thirds(x.shape[2]) @ columns.flatten(2)  # (B, 3, 3·C)
    return regions.unflatten(2, (3, -1)).permute(0, 3, 1, 2)


class KernelPredictor(nn.Module):
    """The kernel prediction network of Fig. 2: a picture (B, 3, H, W) → one kernel (B, 3, size, size) for all of it."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.look = nn.Conv2d(3, width, 11, padding=2)
        self.gather = nn.Conv2d(width, size * size, 1, bias=False)
        self.combine = nn.Conv2d(size * size, size * size, 1, bias=False)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 3, size, size), which sums to 3."""
        regions = leaky(self.gather(mean_of_thirds(leaky(self.look(picture)))))
        taps = self.combine(regions.mean(dim=3, keepdim=True)).softmax(dim=1)  # (B, size², 3, 1)
        return taps.reshape(-1, 3, self.size, self.size)  # the authors' order of numbers, see above


class DeconvolvedMaps(nn.Module):
    """P2IKB: what fixed and predicted inverse kernels make of a picture, fused to 3·(1 + gaussians) maps.

    Args:
        gaussians: how many inverse Gaussians there are beside the delta.
        size: of the predicted kernels, px. width: hidden channels of their predictor.
    """

    def __init__(self, gaussians: int, size: int, width: int) -> None:
        super().__init__()
        maps = 3 * (gaussians + 1)
        self.bank = KernelBank(inverse_gaussians(gaussians))
        self.predict = KernelPredictor(size, width)
        self.transform = nn.Conv2d(3, maps, 3, padding=1)
        self.fuse = nn.Conv2d(2 * maps, maps, 3, padding=1)
        nn.init.dirac_(self.fuse.weight)  # at first, what fixed kernels make
        nn.init.zeros_(self.fuse.bias)  # type: ignore[arg-type]
        self.show = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) → maps (B, M, H, W), the predicted kernels (B, 3, k, k), and their response (B, 3, H, W)."""
        b, _, h, w = picture.shape
        kernels = self.predict(picture)
        # Every picture has its own kernel: groups of one convolution, so that there is no loop over the batch.
        grey = F.conv2d(picture.reshape(1, 3 * b, h, w), kernels, padding=kernels.shape[-1] // 2, groups=b)
        response = grey.reshape(b, 1, h, w).expand(-1, 3, -1, -1)
        return self.fuse(torch.cat([*self.bank(picture), self.transform(response)], dim=1)), kernels, response


class ResidualBlock(nn.Module):
    """LeakyReLU(x + conv(LeakyReLU(conv(x)))), 3×3. (B, C, H, W) → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        return leaky(x + self.second(leaky(self.first(x))))


def residual_blocks(channels: int, count: int) -> nn.Sequential:
    """``count`` residual blocks in a row."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


class StripUNet(nn.Module):
    """Features of one scale (SRT, Fig. 3): strip attention at the lowest level. (B, 3, H, W) → (B, width, H, W)."""

    def __init__(self, width: int, deep: int, heads: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.encode_fine = residual_blocks(width, 3)
        self.down_middle = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.encode_middle = residual_blocks(width, 3)
        self.down_deep = nn.Conv2d(width, deep, 3, stride=2, padding=1)
        pairs = [block for _ in range(3) for block in (WithinStrips(deep, heads), BetweenStrips(deep, heads))]
        self.strips = nn.Sequential(*pairs)
        self.up_middle = nn.ConvTranspose2d(deep, width, 4, stride=2, padding=1)
        self.fuse_middle = nn.Conv2d(2 * width, width, 1)
        self.decode_middle = residual_blocks(width, 4)
        self.up_fine = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.fuse_fine = nn.Conv2d(2 * width, width, 1)
        self.blend_fine = nn.Conv2d(width, width, 3, padding=1)
        self.decode_fine = residual_blocks(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, width, H, W)."""
        fine = self.encode_fine(leaky(self.stem(x)))
        middle = self.encode_middle(leaky(self.down_middle(fine)))
        deep = self.strips(leaky(self.down_deep(middle)))

        x = leaky(self.up_middle(deep))
        x = self.decode_middle(leaky(self.fuse_middle(torch.cat([x, middle], dim=1))))
        x = leaky(self.up_fine(x))
        fused = leaky(self.fuse_fine(torch.cat([x, fine], dim=1)))
        return self.decode_fine(leaky(x + self.blend_fine(fused)))


class P2IKT(nn.Module):
    """P2IKT (module docstring says from where). Sees R, G, B in [0, 1]. Untrained it returns nearly what it is given.

    Args:
        gaussians: how many inverse Gaussians there are beside the delta.
        kernel_size: of the predicted kernels, px, odd. kernel_width: hidden channels of their predictor.
        width, deep: channels of the features, and of the strip attention. heads: of the attention.
    """

    def __init__(
        self,
        gaussians: int = 5,
        kernel_size: int = 5,
        kernel_width: int = 128,
        width: int = 64,
        deep: int = 160,
        heads: int = 4,
    ) -> None:
        super().__init__()
        kernels = gaussians + 1
        self.unet = StripUNet(width, deep, heads)
        self.head = CoefficientHead(width, 2 * kernels)
        self.deconvolve = DeconvolvedMaps(gaussians, kernel_size, kernel_width)
        # Input channels are ordered blurred picture and previous estimate, then copy, then coefficient.
        self.contract = nn.Conv2d(2 * 3 * kernels, 3, 1)
        start_as_identity(self.contract, self.head.start(), self.deconvolve.bank.kernels)
        self.contract_predicted = nn.Conv2d(2 * 3, 3, 1)

    def forward(self, x: Tensor, maps: bool = False, coarse: bool = False) -> Restored:
        """Restore blurred pictures (B, 3, H, W); H and W must be multiples of 16, at least 32.

        Args:
            x: blurred pictures, R, G, B in [0, 1].
            maps: also return α (B, 12, H, W) in [-1, 1] of the full scale: how strongly the maps of the blurred picture
                count (6), then those of the estimate of half the size (6); each weighs three maps; and the kernels
                predicted for both, (B, 2·3·k², 1, 1).
            coarse: also return the estimates at 1/2 and 1/4, for a multi-scale loss. While training it always does, and
                adds the pictures that the predicted kernels alone lead to, for the loss of Eq. (5).
        """
        height, width = x.shape[-2:]
        if height % 16 or width % 16 or min(height, width) < 32:
            raise ValueError(f"height and width must be multiples of 16 and at least 32, not {height} × {width}")
        estimates: list[Tensor] = []
        predicted: list[Tensor] = []
        state: State | None = None
        alpha = x
        for step in (4, 2, 1):
            blurred = x[..., ::step, ::step]
            alpha, state = self.head(self.unet(blurred), resize_state(state, 2))
            with full_precision(x.device.type):
                blurred = blurred.to(self.contract.weight.dtype)
                previous = resize(estimates[-1], 2) if estimates else blurred
                weighted, kernels, shown = [], [], []
                for picture, coefficients in zip((blurred, previous), alpha.chunk(2, dim=1), strict=True):
                    deconvolved, kernel, response = self.deconvolve(picture)
                    kernels.append(kernel)
                    weighted.append(deconvolved * coefficients.repeat(1, 3, 1, 1))
                    if self.training:
                        shown.append(self.deconvolve.show(response))
                estimates.append(self.contract(torch.cat(weighted, dim=1)))
                if self.training:
                    predicted.append(self.contract_predicted(torch.cat(shown, dim=1)))
        quarter, half, restored = estimates
        coarser = [half, quarter] if coarse or self.training else []
        found = {"alpha": alpha, "kernel": torch.cat(kernels, dim=1).reshape(len(x), -1, 1, 1)} if maps else {}
        return Restored(restored, found, coarser, auxiliary=predicted[::-1], scaling="nearest")

    def kernels(self) -> dict[str, Tensor]:
        """The bank: a delta, then the inverse Gaussians, inverse_gaussians (K, k, k)."""
        return {"inverse_gaussians": self.deconvolve.bank.kernels}
