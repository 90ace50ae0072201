"""Point spread functions of a defocused lens: what one point of light becomes on the sensor.

A point at the wrong distance is drawn as a picture of the aperture, whose radius is the radius of the circle of
confusion. Measured lenses draw soft-edged discs (edge about a tenth of the radius) that spherical aberration makes
brighter at the rim on one side of focus and at the centre on the other; stopped-down ones draw the polygon of their
blades; towards the corners the barrel cuts the disc to a cat's eye; mirror lenses draw rings; a few, and most
software, come near a Gaussian.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from deblurcli.synthesis.devices import to_device


@dataclass(frozen=True)
class LensPrior:
    """Relative frequencies of the families of lenses."""

    disc: float = 0.5
    polygon: float = 0.2
    cats_eye: float = 0.12
    donut: float = 0.06
    gaussian: float = 0.12

    def draw(self, count: int, generator: torch.Generator) -> Lens:
        """``count`` lenses of random families and shapes."""
        family = torch.multinomial(
            torch.tensor(astuple(self), dtype=torch.float32), count, replacement=True, generator=generator
        )
        _, polygon, cats_eye, donut, gaussian = ((family == n).float() for n in range(5))

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator)

        return Lens(
            gaussian=gaussian,
            softness=uniform(0.03, 0.2),
            rim=uniform(0.7, 1.5),
            blades=torch.randint(5, 10, (count,), generator=generator).float() * polygon,
            curvature=uniform(0.0, 0.6),
            rotation=uniform(0.0, 2 * torch.pi),
            vignette=uniform(0.1, 0.5) * cats_eye,
            hole=uniform(0.25, 0.55) * donut,
            core=uniform(0.0, 0.4),
            stretch=0.03 * torch.randn(count, generator=generator),
            chroma=uniform(-0.03, 0.03),
            diffraction=uniform(0.3, 0.7),
        )


@dataclass(frozen=True)
class Lens:
    """The shape of the blur of B lenses; only its radius changes with depth. Every field is a tensor of shape (B,).

    Attributes:
        gaussian: 1 where the PSF is a Gaussian, 0 where it is an aperture.
        softness: width of the aperture's edge as a share of the diameter, 0.03…0.2.
        rim: brightness at the rim relative to the centre, for positive radii; its inverse holds for negative ones.
        blades: 0 for a round aperture, else the number of straight blades (5…9).
        curvature: 0 straight blades … 1 round ones.
        rotation: of everything that is not round, radians.
        vignette: how far the barrel's edge is pushed into the disc, in radii: a cat's eye.
        hole: radius of a central obstruction, in radii.
        core: share of a second Gaussian, half as wide, in a Gaussian PSF.
        stretch: astigmatism; the blur is longer by this share along one axis, along the other beyond focus.
        chroma: how much larger red's radius is, and smaller blue's, than green's, as a share.
        diffraction: standard deviation of the pixel's and diffraction's own blur, px.
    """

    gaussian: Tensor
    softness: Tensor
    rim: Tensor
    blades: Tensor
    curvature: Tensor
    rotation: Tensor
    vignette: Tensor
    hole: Tensor
    core: Tensor
    stretch: Tensor
    chroma: Tensor
    diffraction: Tensor

    @staticmethod
    def discs(count: int) -> Lens:
        """``count`` round, evenly bright apertures with an edge of a tenth of the radius and no aberration."""
        nothing = {name: torch.zeros(count) for name in Lens.__dataclass_fields__}
        return Lens(**nothing | {"softness": torch.full((count,), 0.05), "rim": torch.ones(count)})

    def to(self, device: torch.device) -> Lens:
        """The same lenses with their tensors on ``device``."""
        return Lens(*to_device(torch.stack(tuple(vars(self).values())), device))

    def pick(self, index: Tensor) -> Lens:
        """The lenses at ``index`` (any length, repeats allowed)."""
        return Lens(**{name: value[index] for name, value in vars(self).items()})


def psf(radius: Tensor, lens: Lens, size: int) -> Tensor:
    """PSFs for signed circle-of-confusion radii: (B,) px → (B, 3, size, size), red, green, blue.

    Each is non-negative with sum 1 and centred; below 0.25 px it is a single 1 in the middle. The sign is the side of
    focus. ``size`` must be odd and should be at least 3·|radius|; a Gaussian's σ is |radius|/2, which gives it the
    second moment of the disc.
    """
    axis = torch.arange(size, device=radius.device, dtype=torch.float32) - size // 2

    def column(value: Tensor) -> Tensor:
        return value.view(-1, 1, 1, 1)

    side = torch.where(radius < 0, -1.0, 1.0)
    colours = 1.0 - torch.arange(3, device=radius.device).view(1, 3, 1, 1)  # red is wider, blue narrower
    R = column(radius.abs()) * (1 + column(lens.chroma) * colours)

    # Coordinates along the lens's own axes, squeezed where astigmatism makes the blur longer.
    # On the other side of focus the picture of the aperture is upside down.
    cos, sin = column(side * torch.cos(lens.rotation)), column(side * torch.sin(lens.rotation))
    squeeze = column(torch.exp(-lens.stretch * side))
    u = (axis.view(1, 1, 1, -1) * cos + axis.view(1, 1, -1, 1) * sin) * squeeze
    v = (axis.view(1, 1, -1, 1) * cos - axis.view(1, 1, 1, -1) * sin) / squeeze
    r = torch.sqrt(u * u + v * v)

    # Distance from the centre in units where the aperture's outline is at R. For blades: how far one is along the
    # normal of the nearest blade, over the apothem of a polygon with the disc's area; curvature bends it to round.
    blades = column(lens.blades).clamp(min=3)
    sector = 2 * torch.pi / blades
    angle = torch.remainder(torch.atan2(v, u), sector) - sector / 2
    apothem = torch.sqrt(sector / (2 * torch.tan(sector / 2)))
    straight = r * torch.cos(angle) / apothem
    distance = torch.lerp(straight, r, torch.where(column(lens.blades) > 0, column(lens.curvature), 1.0))
    barrel = torch.hypot(u.abs() + column(lens.vignette) * R, v)
    distance = torch.maximum(distance, torch.where(column(lens.vignette) > 0, barrel, 0.0))

    # However sharp the aperture's edge, diffraction and the pixel's own width make it soft on the sensor.
    edge = torch.sqrt((2 * column(lens.softness) * R) ** 2 + (2.5 * column(lens.diffraction)) ** 2).clamp(min=1.0)
    aperture = ((R - distance) / edge + 0.5).clamp(0, 1)
    spherical = column(lens.rim**side) - 1
    aperture = aperture * (1 + spherical * (distance / R.clamp(min=1)).clamp(max=1) ** 2)
    hole = column(lens.hole)
    aperture = aperture * torch.where(hole > 0, ((distance - hole * R) / edge + 0.5).clamp(0.1, 1), 1.0)

    sigma = (R / 2).clamp(min=1e-3)
    bell = torch.exp(-0.5 * (r / sigma) ** 2) + 4 * column(lens.core) * torch.exp(-2 * (r / sigma) ** 2)
    shape = torch.where(column(lens.gaussian) > 0, bell, aperture)
    shape = torch.where(column(radius.abs()) < 0.25, ((u == 0) & (v == 0)).float(), shape)
    return shape / shape.sum((2, 3), keepdim=True)


def otf(kernels: Tensor, height: int, width: int) -> Tensor:
    """Optical transfer functions, to multiply ``rfft2`` of pictures by: (B, C, k, k) → (B, C, height, width//2+1)."""
    size = kernels.shape[-1]
    padded = torch.nn.functional.pad(kernels, (0, width - size, 0, height - size))
    return torch.fft.rfft2(torch.roll(padded, (-(size // 2), -(size // 2)), dims=(2, 3)))
