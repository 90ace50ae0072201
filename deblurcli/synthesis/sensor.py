"""The sensor and the file: photon noise in linear light, the display curve, sharpening, 8 bits, JPEG."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear
from deblurcli.synthesis.devices import normal

# ITU-T T.81, annex K: luminance and chrominance quantisation at quality 50.
_LUMA = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
           18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92
           49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
_CHROMA = """17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
             99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99"""


def expose(
    linear: Tensor,
    shot: Tensor,
    read: Tensor,
    generator: torch.Generator,
    grain: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Adds shot and read noise: variance ``shot·x + read``, per pixel and colour.

    Args:
        linear: (B, 3, H, W) linear light, 1.0 is white.
        shot, read: (B,) variances at white and at black.
        generator: on the CPU; the same state gives the same noise on the same device.
        grain: (B,) twice: how far demosaicing, noise reduction and scaling spread the noise, as σ in px up to 3: what
            all colours share, and what they do not. Its variance stays.
    """
    variance = shot.view(-1, 1, 1, 1) * linear.clamp(min=0) + read.view(-1, 1, 1, 1)
    noise = normal(linear.shape, linear.device, generator)
    if grain is not None:
        gray = noise.mean(1, keepdim=True)
        noise = _spread(gray, grain[0]) + _spread(noise - gray, grain[1])
    return linear + noise * variance.sqrt()


def _bell(sigma: Tensor, reach: int) -> Tensor:
    """Gaussians of σ (B,), px: (B, 2 · reach + 1), each adding up to 1; σ = 0 is a single 1."""
    axis = torch.arange(-reach, reach + 1, device=sigma.device, dtype=torch.float32)
    bell = torch.exp(-0.5 * (axis / sigma.clamp(min=0.05).view(-1, 1)) ** 2)
    return bell / bell.sum(1, keepdim=True)


def _smooth(pictures: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """(B, C, H, W), each picture convolved with its Gaussian."""
    b, c, h, w = pictures.shape
    bell = _bell(sigma, reach).repeat_interleave(c, 0)
    padded = pad(pictures, (reach,) * 4, mode="reflect").view(1, b * c, h + 2 * reach, w + 2 * reach)
    rows = conv2d(padded, bell.view(b * c, 1, 1, -1), groups=b * c)
    return conv2d(rows, bell.view(b * c, 1, -1, 1), groups=b * c).view(b, c, h, w)


def _spread(noise: Tensor, sigma: Tensor) -> Tensor:
    """White noise (B, C, H, W) made coarser by σ (B,) px, as strong as before."""
    reach = 8
    return _smooth(noise, sigma, reach) / _bell(sigma, reach).square().sum(1).view(-1, 1, 1, 1)


def random_noise_levels(count: int, largest_shot: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shot and read variances, log-uniform in shot with read following it as measured on phone sensors.

    The read law is that of Brooks et al., Unprocessing Images for Learned Raw Denoising (CVPR 2019):
    log read = 2.18·log shot + 1.20 ± 0.26.
    """
    low, high = math.log(1e-6), math.log(largest_shot)
    shot = torch.exp(low + (high - low) * torch.rand(count, generator=generator))
    read = torch.exp(2.18 * torch.log(shot) + 1.20 + 0.26 * torch.randn(count, generator=generator))
    return shot, read


def develop(linear: Tensor, tone: Tensor) -> Tensor:
    """Linear light → display-referred [0, 1], through a camera's own tone curve and sRGB's.

    Args:
        linear: (B, 3, H, W), clipped to [0, 1] first, as sensors do.
        tone: (B,) exponent; 1 is plain sRGB, above it mid-tones come out brighter. See ``undevelop``.
    """
    return linear_to_srgb(linear.clamp(0, 1) ** (1 / tone.view(-1, 1, 1, 1)))


def undevelop(encoded: Tensor, tone: Tensor) -> Tensor:
    """Display-referred (B, 3, H, W) in [0, 1] → the linear light that ``develop`` makes it from."""
    return srgb_to_linear(encoded) ** tone.view(-1, 1, 1, 1)


def sharpen(encoded: Tensor, sigma: Tensor, amount: Tensor) -> Tensor:
    """The unsharp mask that cameras and phones apply: (B, 3, H, W) → the same; sigma (B,) px up to 1.5, amount (B,)."""
    smooth = _smooth(encoded, sigma, 4)
    return (encoded + amount.view(-1, 1, 1, 1) * (encoded - smooth)).clamp(0, 1)


def quantise(encoded: Tensor) -> Tensor:
    """Rounds display-referred values to 8-bit codes: any shape, → multiples of 1/255 in [0, 1]."""
    return torch.round(encoded.clamp(0, 1) * 255) / 255


@lru_cache(maxsize=4)
def _dct_matrix(device: torch.device) -> Tensor:
    n = torch.arange(8, device=device, dtype=torch.float32)
    matrix = torch.cos(math.pi / 8 * (n.view(1, 8) + 0.5) * n.view(8, 1)) * 0.5
    matrix[0] /= math.sqrt(2)
    return matrix


@lru_cache(maxsize=4)
def _table(text: str, device: torch.device) -> Tensor:
    return torch.tensor([float(n) for n in text.split()], device=device).view(1, 8, 8)


def _quantise_blocks(plane: Tensor, table: Tensor) -> Tensor:
    """(B, 1, H, W) in 0…255 → the same after 8×8 DCT quantisation with tables (B, 8, 8); H and W multiples of 8."""
    b, _, h, w = plane.shape
    dct = _dct_matrix(plane.device)
    blocks = plane.view(b, h // 8, 8, w // 8, 8).permute(0, 1, 3, 2, 4) - 128
    table = table.view(b, 1, 1, 8, 8)
    coefficients = torch.round(dct @ blocks @ dct.T / table) * table
    return (dct.T @ coefficients @ dct + 128).permute(0, 1, 3, 2, 4).reshape(b, 1, h, w)


def jpeg(encoded: Tensor, quality: Tensor, full_chroma: Tensor | None = None) -> Tensor:
    """What JPEG (the standard's tables) does to pictures, without writing a file.

    Args:
        encoded: (B, 3, H, W) display-referred [0, 1].
        quality: (B,) 1…100, the usual libjpeg scale.
        full_chroma: (B,) whose colours keep their size (4:4:4); the others', and all by default, are halved (4:2:0).
    """
    height, width = encoded.shape[-2:]
    padded = pad(encoded, (0, -width % 16, 0, -height % 16), mode="replicate") * 255
    r, g, b = padded.split(1, 1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb, cr = 128 + 0.564 * (b - y), 128 + 0.713 * (r - y)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1, 1) / 100

    def table(text: str) -> Tensor:
        return torch.round(_table(text, encoded.device) * scale).clamp(1, 255)

    def quantised(chroma: Tensor) -> Tensor:
        half = _quantise_blocks(avg_pool2d(chroma, 2), table(_CHROMA))
        double = interpolate(half, scale_factor=2, mode="bilinear") - 128
        if full_chroma is None or not full_chroma.any():
            return double
        return torch.where(full_chroma.view(-1, 1, 1, 1), _quantise_blocks(chroma, table(_CHROMA)) - 128, double)

    y, cb, cr = _quantise_blocks(y, table(_LUMA)), quantised(cb), quantised(cr)
    rgb = torch.cat([y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb], 1)
    return quantise(rgb[..., :height, :width] / 255)
