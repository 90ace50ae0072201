"""What training minimises. Every term is a mean, so that weights mean the same at any crop size.

Pictures are (B, 3, H, W), display-referred, nominally [0, 1]. Every term between two pictures is 0 when they are equal,
except log-MSE, which is then log₁₀ of its floor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from deblurcli.errors import UsageError, installs
from deblurcli.evaluation.metrics import similarity
from deblurcli.networks.restored import Restored
from deblurcli.synthesis.pairs import Pairs
from deblurcli.training.config import LossConfig

# An inverse kernel reaches about this many radii to each side before noise makes the rest of it useless.
REACH = 2.0


def log_mse(restored: Tensor, sharp: Tensor, floor: float) -> Tensor:
    """Mean over the pairs of log₁₀(MSE + floor): PSNR, up to sign and scale.

    The logarithm makes a pair count by the share of its error that is removed. With a plain mean the widest blurs, of
    which least can be undone, are nearly all that counts, and a network learns to leave slight blur alone. Without a
    ``floor`` (3e-4 is 35 dB) the pairs that are sharp already would be all that counts, and it learns to touch nothing.
    """
    return torch.log10(((restored - sharp) ** 2).mean((1, 2, 3)) + floor).mean()


def charbonnier(restored: Tensor, sharp: Tensor, width: float = 1e-3) -> Tensor:
    """Mean of √(Δ² + width²) − width: the absolute difference, smooth where it is below ``width``."""
    return (torch.sqrt((restored - sharp) ** 2 + width**2) - width).mean()


def frequency_l1(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean |Re Δ| + |Im Δ| of the orthonormal spectrum: asks for the right amount of every frequency."""
    difference = torch.fft.rfft2(restored - sharp, norm="ortho")
    return difference.real.abs().mean() + difference.imag.abs().mean()


def dissimilarity(restored: Tensor, sharp: Tensor) -> Tensor:
    """1 − SSIM, 0…2; both sides at least 11 px."""
    return 1 - similarity(restored, sharp)


def perceptual(restored: Tensor, sharp: Tensor) -> Tensor:
    """LPIPS (Zhang et al., CVPR 2018) with AlexNet's features.

    Raises:
        UsageError: its package or its weights cannot be had.
    """
    return _lpips(restored.device)(restored * 2 - 1, sharp * 2 - 1).mean()


@lru_cache(maxsize=1)
def _lpips(device: torch.device) -> nn.Module:
    hint = f"{installs('metrics')}; or train with loss.lpips = 0."
    try:
        import lpips  # pyright: ignore[reportMissingImports] # not among what development installs

        network = lpips.LPIPS(net="alex", verbose=False)
    except ImportError as error:
        raise UsageError("the loss 'lpips' needs the package lpips, which is not installed", hint) from error
    except OSError as error:
        raise UsageError(f"the weights of the loss 'lpips' cannot be fetched ({error})", hint) from error
    return network.to(device).requires_grad_(False)


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
    """The weighted sum of all terms that weigh anything.

    Pictures restored at coarser scales (``Restored.coarse``) count like the full one, as in INIKNet's Eq. (10), or each
    ``weights.coarse`` times as much as the next finer one, but not for LPIPS, whose features are made for full scale.
    Auxiliary pictures count by their mean square error, as in P2IKT's Eq. (5) and (6).

    Raises:
        UsageError: LPIPS is asked for and cannot be had, or self-reconstruction of a network that does none.
    """
    total = restored.picture.new_zeros(())
    at_all_scales: list[tuple[float, Callable[[Tensor, Tensor], Tensor]]] = [
        (weights.error, lambda picture, target: log_mse(picture, target, weights.floor)),
        (weights.charbonnier, charbonnier),
        (weights.frequency, frequency_l1),
        (weights.ssim, dissimilarity),
    ]
    for level, picture in enumerate((restored.picture, *restored.coarse)):
        target = _scaled(pairs.sharp, picture, restored)
        for weight, term in at_all_scales:
            if weight:
                total = total + weights.coarse**level * weight * term(picture, target)
    if weights.reconstruction:
        if not restored.reblurred:
            raise UsageError(
                "the loss 'reconstruction' needs a network that reconstructs its input",
                "Train ggkmnet with config.reconstruction = true, or with loss.reconstruction = 0.",
            )
        for level, picture in enumerate(restored.reblurred):
            term = (picture - _scaled(pairs.blurred, picture, restored)).abs().mean()
            total = total + weights.coarse**level * weights.reconstruction * term
    if weights.auxiliary:
        for picture in restored.auxiliary:
            error = nn.functional.mse_loss(picture, _scaled(pairs.sharp, picture, restored))
            total = total + weights.auxiliary * error
    if weights.lpips:
        total = total + weights.lpips * perceptual(restored.picture, pairs.sharp)
    for weight, name, term in (
        (weights.kernel_size, "defocus_size", kernel_size_l1),
        (weights.radius, "blur_radius", radius_l1),
    ):
        if weight and name in restored.maps:
            total = total + weight * term(restored.maps[name], pairs.radius)
    return total


def _scaled(picture: Tensor, like: Tensor, restored: Restored) -> Tensor:
    """``picture`` at the size of ``like``, scaled just as the network scales its input down."""
    size = like.shape[-2:]
    return picture if picture.shape[-2:] == size else nn.functional.interpolate(picture, size, mode=restored.scaling)
