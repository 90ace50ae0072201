"""Point spread functions of a defocused lens: what one point of light becomes on the sensor.

A point at the wrong distance is drawn as a picture of the aperture, whose radius is the radius of the circle of
confusion. Measured lenses draw soft-edged discs (edge about a tenth of the radius), brighter or darker at the rim
with spherical aberration; stopped-down ones draw the polygon of their blades; a few come near a Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FAMILIES = ("disc", "polygon", "gaussian")


@dataclass(frozen=True)
class Lens:
    """The shape of the blur of B lenses; only its radius changes with depth. Every field is a tensor of shape (B,).

    Attributes:
        gaussian: 1 where the PSF is a Gaussian, 0 where it is an aperture (disc or polygon).
        softness: width of the aperture's edge as a share of the radius, 0.03…0.3.
        rim: brightness at the rim relative to the centre; 1 is flat, above 1 a ring ('soap bubble').
        blades: 0 for a round aperture, else the number of straight blades (5…9).
        curvature: 0 straight blades … 1 round ones.
        rotation: of the blades, radians.
    """

    gaussian: Tensor
    softness: Tensor
    rim: Tensor
    blades: Tensor
    curvature: Tensor
    rotation: Tensor

    @staticmethod
    def random(count: int, shares: tuple[float, float, float], generator: torch.Generator) -> Lens:
        """Draws lenses; ``shares`` are the relative frequencies of discs, polygons and Gaussians."""

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator)

        family = torch.multinomial(
            torch.tensor(shares, dtype=torch.float32), count, replacement=True, generator=generator
        )
        blades = torch.randint(5, 10, (count,), generator=generator).float()
        return Lens(
            gaussian=(family == FAMILIES.index("gaussian")).float(),
            softness=uniform(0.03, 0.25),
            rim=uniform(0.7, 1.5),
            blades=blades * (family == FAMILIES.index("polygon")),
            curvature=uniform(0.0, 0.6),
            rotation=uniform(0.0, torch.pi),
        )

    def to(self, device: torch.device) -> Lens:
        """The same lenses with their tensors on ``device``."""
        return Lens(**{name: value.to(device) for name, value in vars(self).items()})

    def pick(self, index: Tensor) -> Lens:
        """The lenses at ``index`` (any length, repeats allowed)."""
        return Lens(**{name: value[index] for name, value in vars(self).items()})


def psf(radius: Tensor, lens: Lens, size: int) -> Tensor:
    """PSFs of the given circle-of-confusion radii: (B,) px → (B, size, size), each non-negative with sum 1.

    Radius 0 is a single 1 in the middle. ``size`` must be odd and should be at least 3·radius for Gaussians
    (whose σ is radius/2: the same second moment as a disc) and 2.6·radius for apertures.
    """
    axis = torch.arange(size, device=radius.device, dtype=torch.float32) - size // 2
    y, x = axis.view(1, size, 1), axis.view(1, 1, size)
    r = torch.sqrt(x * x + y * y)

    def column(value: Tensor) -> Tensor:
        return value.view(-1, 1, 1)

    R = column(radius)
    # Distance from the centre in units where the aperture's outline is at R. For blades: how far one is along the
    # normal of the nearest blade, over the apothem of a polygon with the disc's area; curvature bends it to round.
    blades = column(lens.blades).clamp(min=3)
    sector = 2 * torch.pi / blades
    angle = torch.remainder(torch.atan2(y, x) - column(lens.rotation), sector) - sector / 2
    apothem = torch.sqrt(sector / (2 * torch.tan(sector / 2)))
    straight = r * torch.cos(angle) / apothem
    is_polygon = (column(lens.blades) > 0).float()
    distance = torch.lerp(straight, r, torch.where(is_polygon > 0, column(lens.curvature), 1.0))

    # An edge narrower than a pixel is still a pixel wide on the sensor grid.
    edge = (2 * column(lens.softness) * R).clamp(min=1.0)
    aperture = ((R - distance) / edge + 0.5).clamp(0, 1)
    aperture = aperture * torch.lerp(
        torch.ones_like(R), column(lens.rim), (distance / R.clamp(min=1)).clamp(max=1) ** 2
    )
    bell = torch.exp(-0.5 * (r / (R / 2).clamp(min=1e-3)) ** 2)
    shape = torch.lerp(aperture, bell, column(lens.gaussian))
    delta = (r == 0).float().expand_as(shape)
    shape = torch.where(R < 0.25, delta, shape)
    return shape / shape.sum((1, 2), keepdim=True)


def otf(kernels: Tensor, height: int, width: int) -> Tensor:
    """Optical transfer functions, for multiplying with ``rfft2`` of pictures: (B, k, k) → (B, height, width//2+1)."""
    size = kernels.shape[-1]
    padded = torch.nn.functional.pad(kernels, (0, width - size, 0, height - size))
    return torch.fft.rfft2(torch.roll(padded, (-(size // 2), -(size // 2)), dims=(1, 2)))
