"""What training minimises. Every term is a mean, so that weights mean the same at any crop size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deblurcli.networks.restored import Restored
from deblurcli.synthesis.pairs import Pairs
from deblurcli.training.config import LossConfig

# An inverse kernel reaches about this many radii to each side before noise makes the rest of it useless.
REACH = 2.0


def log_mse(restored: Tensor, sharp: Tensor, floor: float = 3e-4) -> Tensor:
    """Mean over the pairs of log₁₀(MSE + floor), of pictures (B, 3, H, W) in [0, 1]: PSNR, up to sign and scale.

    The logarithm makes a pair count by the share of its error that is removed. With a plain mean the widest blurs, of
    which least can be undone, are nearly all that counts, and a network learns to leave slight blur alone. Without a
    ``floor`` (35 dB) the pairs that are sharp already would be all that counts, and it learns to leave all alone.
    """
    return torch.log10(((restored - sharp) ** 2).mean((1, 2, 3)) + floor).mean()


def frequency_l1(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean |Re Δ| + |Im Δ| of the orthonormal spectrum: asks for the right amount of every frequency."""
    difference = torch.fft.rfft2(restored - sharp, norm="ortho")
    return difference.real.abs().mean() + difference.imag.abs().mean()


def kernel_size_l1(expected_size: Tensor, radius: Tensor) -> Tensor:
    """Ties the predicted kernel size to the true blur radius: mean |log size − log(1 + 2·REACH·radius)|.

    Args:
        expected_size: (B, 1, H, W) Σ μ·M, px, at least 1.
        radius: (B, 1, H, W) px. What is sharp needs the null kernel, of size 1.
    """
    return (torch.log(expected_size) - torch.log1p(2 * REACH * radius)).abs().mean()


def radius_l1(predicted: Tensor, radius: Tensor) -> Tensor:
    """Mean |log(1 + predicted) − log(1 + radius)| of blur radii (B, 1, H, W) in px.

    Whoever knows the blur knows the filter: this teaches the predictor's features what they need in a fraction of the
    time that the restored picture alone takes.
    """
    return (torch.log1p(predicted) - torch.log1p(radius)).abs().mean()


def total_loss(restored: Restored, pairs: Pairs, weights: LossConfig) -> Tensor:
    """The weighted sum of all terms.

    Networks with coarser outputs (``Restored.coarse``) are compared at each scale, all with weight 1.
    """
    total = restored.picture.new_zeros(())
    sharp = [pairs.sharp, *(nn.functional.interpolate(pairs.sharp, c.shape[-2:], mode="area") for c in restored.coarse)]
    for picture, target in zip([restored.picture, *restored.coarse], sharp, strict=True):
        total = total + weights.error * log_mse(picture, target) + weights.frequency * frequency_l1(picture, target)
    if weights.kernel_size and "defocus_size" in restored.maps:
        total = total + weights.kernel_size * kernel_size_l1(restored.maps["defocus_size"], pairs.radius)
    if weights.radius and "blur_radius" in restored.maps:
        total = total + weights.radius * radius_l1(restored.maps["blur_radius"], pairs.radius)
    return total
