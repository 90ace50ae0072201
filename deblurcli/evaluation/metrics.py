"""One definition of each measure. Pictures are (H, W, 3), 1.0 is white.

Every measure looks at both pictures after rounding to 8 bits: what a user's file holds. SSIM is our own few lines,
equal to scikit-image's (a test compares), because scikit-image is not among what the program needs to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deblurcli.arrays import Picture
from deblurcli.photo.transfer import to_codes, to_float

Measure = Callable[[Picture, Picture], float]


def rounded(picture: Picture) -> Picture:
    """The picture as an 8-bit file holds it, as floats."""
    return to_float(to_codes(picture, np.uint8))


def psnr(picture: Picture, reference: Picture, where: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and colours, or over the pixels ``where`` (H, W) is true.

    Equal pictures give 99.0 instead of infinity, so that means stay finite.
    """
    difference = rounded(picture) - rounded(reference)
    if where is not None:
        difference = difference[where]
    mse = float(np.mean(difference.astype(np.float64) ** 2))
    return 99.0 if mse == 0 else min(99.0, -10 * math.log10(mse))


def mae(picture: Picture, reference: Picture) -> float:
    """Mean absolute error over all pixels and colours; 1 is white against black."""
    return float(np.abs(rounded(picture) - rounded(reference)).mean(dtype=np.float64))


def weighted_mean(planes: Tensor, sigma: float, reach: int) -> Tensor:
    """Means over a Gaussian window of ±``reach`` px: (B, 1, H, W) → (B, 1, H − 2·reach, W − 2·reach), same type."""
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
    bell = (bell / bell.sum()).to(planes)
    columns = torch.nn.functional.conv2d(planes, bell.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(columns, bell.view(1, 1, 1, -1))


def ssim(picture: Picture, reference: Picture) -> float:
    """Structural similarity, −1…1, the mean over pixels and colours; both sides at least 11 px."""
    x, y = (torch.from_numpy(rounded(p)).double().permute(2, 0, 1)[None] for p in (picture, reference))
    return float(similarity(x, y))


def similarity(pictures: Tensor, references: Tensor) -> Tensor:
    """SSIM without rounding and with a gradient: two (B, C, H, W), 1.0 is white → the mean over everything.

    Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment (IEEE TIP 2004), eq. (13) with the constants of that
    paper: an 11 × 11 px Gaussian window of σ = 1.5, K₁ = 0.01, K₂ = 0.03, for each colour on its own. Only windows that
    lie wholly inside the picture count.
    """

    def local_mean(planes: Tensor) -> Tensor:
        return weighted_mean(planes, sigma=1.5, reach=5)

    # Colours take the place of a batch.
    x, y = pictures.flatten(0, 1).unsqueeze(1), references.flatten(0, 1).unsqueeze(1)
    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x, variance_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean()


@lru_cache(maxsize=1)
def lpips() -> Measure | str:
    """The distance LPIPS (0 is equal; Zhang et al., CVPR 2018; AlexNet), or in words why it cannot be had here."""
    try:
        import lpips as package  # pyright: ignore[reportMissingImports] # comes with the extra 'metrics'

        network = package.LPIPS(net="alex", verbose=False)
    except ImportError:
        return "the package lpips is not installed"
    except OSError as error:
        return f"the weights of lpips cannot be fetched ({error})"

    def distance(picture: Picture, reference: Picture) -> float:
        # (H, W, 3) in [0, 1] → (1, 3, H, W) in [−1, 1]
        x, y = (torch.from_numpy(rounded(p)).permute(2, 0, 1)[None] * 2 - 1 for p in (picture, reference))
        with torch.inference_mode():
            return float(network(x, y))

    return distance


def compare(pictures: Mapping[str, Picture], reference: Picture) -> dict[str, dict[str, float]]:
    """Every measure of every picture against one reference: measure → name of the picture → value."""
    measures: dict[str, Measure] = {"psnr": psnr, "ssim": ssim, "mae": mae}
    distance = lpips()
    if not isinstance(distance, str):
        measures["lpips"] = distance
    return {
        name: {method: measure(picture, reference) for method, picture in pictures.items()}
        for name, measure in measures.items()
    }
