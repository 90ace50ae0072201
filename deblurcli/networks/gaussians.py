"""What GKMNet and P2IKT share: banks of fixed kernels, and the head that predicts how much each counts where.

Both authors' codes build their banks by repeating each of K kernels three times in a row and then grouping the 3 K
results by colour. So output channel j is kernel j // 3 applied to colour j // K, and not, as the papers mean, every
kernel applied to every colour: of GKMNet's 22 kernels the first colour meets 0 … 7 only, the second 7 … 14, the third
14 … 21. The published weights were trained with it, so it stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import State, lstm_state


def gaussian_profiles(count: int) -> list[Tensor]:
    """The papers' Gaussians, σ = 0.25, 0.5 … px, as what their rows and columns are proportional to.

    Returns:
        ``count`` float64 tensors with sum 1. Sizes are 3, 3, 3, 5, 5, 7, 7 …; the outer product of one with itself is
        the kernel.
    """
    profiles = []
    for i in range(count):
        sigma, reach = 0.25 * (i + 1), 1 + max(0, i - 1) // 2
        taps = torch.arange(-reach, reach + 1, dtype=torch.float64)
        profiles.append(torch.softmax(-(taps**2) / (2 * sigma**2), dim=0))
    return profiles


def padded(kernels: Sequence[Tensor]) -> Tensor:
    """Kernels (k,) or (k, k), k odd, in the middle of zeros, as large as the largest: (K, size) or (K, size, size)."""
    size = max(kernel.shape[-1] for kernel in kernels)
    return torch.stack([F.pad(k, ((size - k.shape[-1]) // 2,) * (2 * k.dim())) for k in kernels]).float()


class KernelBank(nn.Module):
    """K fixed kernels, each applied to one colour or at most two (module docstring).

    Args:
        kernels: (K, size, size); size odd.
    """

    kernels: Tensor

    def __init__(self, kernels: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernels", kernels, persistent=False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(B, 3, H, W) → K responses for each of the three colours, (B, K, H, W) each; black around the picture."""
        count, responses = len(self.kernels), []
        for colour, plane in enumerate(picture.split(1, dim=1)):
            met = [channel // 3 for channel in range(colour * count, (colour + 1) * count)]
            # Each kernel once; then its response as often as the authors repeat it.
            different = self.respond(plane, slice(met[0], met[-1] + 1))
            responses.append(different[:, [kernel - met[0] for kernel in met]])
        return responses

    def respond(self, plane: Tensor, which: slice) -> Tensor:
        """One colour (B, 1, H, W) → the responses of some kernels, (B, k, H, W)."""
        kernels = self.kernels[which].unsqueeze(1)
        return F.conv2d(plane, kernels, padding=kernels.shape[-1] // 2)


class GaussianBank(KernelBank):
    """A delta, then ``count`` Gaussians: rows first, then columns, a tenth of the sums that whole kernels take."""

    profiles: Tensor

    def __init__(self, count: int) -> None:
        profiles = [torch.ones(1, dtype=torch.float64), *gaussian_profiles(count)]
        super().__init__(padded([profile.outer(profile) for profile in profiles]))
        self.register_buffer("profiles", padded(profiles), persistent=False)
        self._reaches = [len(profile) // 2 for profile in profiles]

    def respond(self, plane: Tensor, which: slice) -> Tensor:
        """One colour (B, 1, H, W) → the responses of some kernels, (B, k, H, W)."""
        reach, middle = max(self._reaches[which]), self.profiles.shape[1] // 2
        profiles = self.profiles[which, middle - reach : middle + reach + 1]
        rows = F.conv2d(plane, profiles[:, None, None, :], padding=(0, reach))
        # One kernel per channel: five times as fast if the channels of a pixel lie side by side.
        rows = rows.contiguous(memory_format=torch.channels_last)
        return F.conv2d(rows, profiles[:, None, :, None], padding=(reach, 0), groups=len(profiles))


class ConvNorm(nn.Module):
    """ReLU(BatchNorm(convolution)), the brick of GKMNet."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.conv = convolution
        self.norm = nn.BatchNorm2d(convolution.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) → (B, out, H', W'), as the convolution has them."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class CoefficientHead(nn.Module):
    """Features → coefficients in [-1, 1], with a convolutional LSTM at half size that remembers the coarser scales.

    Untrained it returns nearly the same coefficient at every pixel and scale, ``start``.

    Args:
        features: channels of the features.
        coefficients: how many are predicted for each pixel.
    """

    def __init__(self, features: int, coefficients: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(features + coefficients, 4 * coefficients, 5, padding=2)
        self.detail = ConvNorm(nn.Conv2d(features, coefficients, 3, padding=1))
        nn.init.zeros_(self.gates.weight)
        for bias, value in zip(self.gates.bias.detach().chunk(4), (1.0, -3.0, 1.0, 1.0), strict=True):  # type: ignore[union-attr]
            nn.init.constant_(bias, value)  # of i, f, o and g: hardly anything is remembered
        nn.init.zeros_(self.detail.norm.weight)
        nn.init.ones_(self.detail.norm.bias)

    def start(self) -> Tensor:
        """What every untrained coefficient is at the last of three scales, (1, 1)."""
        gates = self.gates.bias.detach().view(1, -1, 1, 1)  # type: ignore[union-attr]
        hidden = memory = torch.zeros_like(gates.chunk(4, 1)[0])
        for _ in range(3):
            hidden, memory = lstm_state(gates, memory)
        return hidden[0, 0].tanh()

    def forward(self, features: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Features (B, C, H, W) and the state of the coarser scale, (B, K, H/2, W/2) each, or None for zeros.

        Returns:
            Coefficients (B, K, H, W), and the state for the next scale, still at half the size of this one.
        """
        averaged = F.avg_pool2d(features, 2)
        dtype = self.gates.weight.dtype  # the coefficients' own, also under autocast
        if state is None:
            zeros = averaged.new_zeros(len(averaged), self.gates.out_channels // 4, *averaged.shape[-2:])
            state = zeros, zeros
        hidden, memory = state
        gates = self.gates(torch.cat([averaged, hidden.to(averaged.dtype)], dim=1)).to(dtype)
        hidden, memory = lstm_state(gates, memory)
        context = F.interpolate(hidden, scale_factor=2, mode="nearest")
        detail = self.detail(features).to(dtype)
        return 2 * torch.sigmoid(context * detail + context) - 1, (hidden, memory)


def start_as_identity(contract: nn.Conv2d, coefficient: Tensor, kernels: Tensor) -> None:
    """Sets a contraction so that it returns the blurred picture, as nearly as colours that never meet the delta can be.

    Red meets it. Green is its own narrowest copy, and the detail that red loses with the same kernel; so is blue.

    Args:
        contract: 1×1, of the weighted responses of a ``KernelBank`` to two pictures; only the first one counts.
        coefficient: what the responses are multiplied with. kernels: of the bank.
    """
    count = len(kernels)
    parts = 1 / (coefficient * kernels.sum((1, 2)).repeat_interleave(3)).flatten()  # of each of the 3 K responses
    nn.init.zeros_(contract.weight)
    nn.init.zeros_(contract.bias)  # type: ignore[arg-type]
    weight = contract.weight.detach()[..., 0, 0]
    for colour in range(3):
        narrowest, widest = colour * count, (colour + 1) * count - 1
        weight[colour:, narrowest] = parts[narrowest]
        weight[colour + 1 :, widest] = -parts[widest]
