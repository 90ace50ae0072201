"""What training minimises. Every term is a mean, so that weights mean the same at any crop size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deblurcli.networks.restored import Restored
from deblurcli.synthesis.pairs import Pairs
from deblurcli.training.config import LossConfig

# An inverse kernel reaches about this many radii to each side before noise makes the rest of it useless.
REACH = 2.0


def charbonnier(restored: Tensor, sharp: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Smooth L1: mean √(d² + ε²), of pictures (B, 3, H, W) in [0, 1]."""
    return torch.sqrt((restored - sharp) ** 2 + epsilon**2).mean()


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


def total_loss(restored: Restored, pairs: Pairs, weights: LossConfig) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum, and each term's value for the log.

    Networks with coarser outputs (``Restored.coarse``) are compared at each scale, all with weight 1.
    """
    terms = {"charbonnier": charbonnier(restored.picture, pairs.sharp)}
    terms["frequency"] = weights.frequency * frequency_l1(restored.picture, pairs.sharp)
    for coarse in restored.coarse:
        sharp = nn.functional.interpolate(pairs.sharp, coarse.shape[-2:], mode="area")
        terms["charbonnier"] = terms["charbonnier"] + charbonnier(coarse, sharp)
        terms["frequency"] = terms["frequency"] + weights.frequency * frequency_l1(coarse, sharp)
    if weights.kernel_size and "defocus_size" in restored.maps:
        terms["kernel size"] = weights.kernel_size * kernel_size_l1(restored.maps["defocus_size"], pairs.radius)
    total = torch.stack(list(terms.values())).sum()
    return total, {name: float(term.detach()) for name, term in terms.items()}
