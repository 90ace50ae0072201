"""Scenes: sharp photos laid out in depth, and how a lens with a finite aperture sees them.

Everything here is linear light. Radii are signed: negative on one side of focus, positive on the other. The background
carries a smooth field of them (constant, a tilted plane, or soft bumps); in front of it stand cut-out layers, each at
its own radius and each cut from another photo, so that what they hide is real. Layers are composited far to near,
``C ← P∗(αF) + (1 − P∗α)·C``, with colour and matte blurred by the same PSF P: edges of a blurred occluder become
translucent, as in a camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from deblurcli.synthesis.devices import to_device
from deblurcli.synthesis.psf import Lens, otf, psf

FIELD_LEVELS = 9  # pre-blurred copies, at most, between which a smooth field interpolates
LEVEL_STEP = 0.35  # and how far apart they need not be closer, in log(1 + radius)
PIXELS_AT_ONCE = 2**25  # of such copies, so that a photo of any size fits into memory


@dataclass(frozen=True)
class RadiusPrior:
    """How often which blur radius occurs. The knob that decides most about what a network learns to remove.

    Attributes:
        sharp: share of surfaces that are exactly in focus.
        smallest, largest: px; in between the logarithm of the radius is uniform.
    """

    sharp: float = 0.2
    smallest: float = 0.5
    largest: float = 16.0

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) signed radii in px, as many before as beyond focus."""
        u = torch.rand(count, generator=generator)
        radius = self.smallest * (self.largest / self.smallest) ** u
        side = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
        return side * radius * (torch.rand(count, generator=generator) >= self.sharp)


@dataclass(frozen=True)
class Scene:
    """B scenes before the lens. Pictures may be on any device, radii stay on the CPU.

    Attributes:
        background: (B, 3, H, W) linear light.
        field: (B, 1, H, W) signed blur radius of the background, px; on the CPU.
        layers: cut-outs from far to near.
    """

    background: Tensor
    field: Tensor
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Layer:
    """One cut-out in front of some of the scenes.

    Attributes:
        scene: (N,) which scenes have it; on the CPU.
        colour: (N, 3, H, W) linear light.
        matte: (N, 1, H, W) 1 where the layer is, 0 where it is not.
        radius: (N,) px, signed; on the CPU.
    """

    scene: Tensor
    colour: Tensor
    matte: Tensor
    radius: Tensor


def smooth_noise(count: int, size: int, cells: int, generator: torch.Generator) -> Tensor:
    """(count, 1, size, size) smooth random surfaces with about ``cells`` bumps a side, each stretched to [0, 1]."""
    coarse = torch.rand(count, 1, cells, cells, generator=generator)
    surface = interpolate(coarse, (size, size), mode="bicubic", align_corners=True)
    low, high = surface.amin((2, 3), keepdim=True), surface.amax((2, 3), keepdim=True)
    return (surface - low) / (high - low).clamp(min=1e-6)


def random_fields(count: int, size: int, prior: RadiusPrior, flat_share: float, generator: torch.Generator) -> Tensor:
    """Signed blur-radius fields, (count, 1, size, size) px.

    Some are constant; of the others half are tilted planes, some of them through focus, and half soft bumps on one
    side of it.
    """
    axis = torch.linspace(-0.5, 0.5, size)
    angle = 2 * math.pi * torch.rand(count, 1, 1, 1, generator=generator)
    ramp = 0.5 + (axis.view(1, 1, 1, -1) * torch.cos(angle) + axis.view(1, 1, -1, 1) * torch.sin(angle)) / math.sqrt(2)
    bumps = smooth_noise(count, size, 4, generator)
    is_ramp = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
    relief = torch.where(is_ramp, ramp, bumps)
    one, other = prior.draw(count, generator).view(-1, 1, 1, 1), prior.draw(count, generator).view(-1, 1, 1, 1)
    through_focus = is_ramp & (torch.rand(count, 1, 1, 1, generator=generator) < 0.3)
    far = torch.where(through_focus, -other.abs(), other.abs()) * torch.where(one < 0, -1.0, 1.0)
    field = torch.lerp(one.expand_as(relief), far.expand_as(relief), relief)
    is_flat = torch.rand(count, 1, 1, 1, generator=generator) < flat_share
    return torch.where(is_flat, one, field)


def random_mattes(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Cut-out shapes: (count, 1, size, size) in {0…1}, one pixel soft: blobs, half-planes, bars and discs."""
    axis = torch.linspace(-1, 1, size)
    y, x = axis.view(1, 1, -1, 1), axis.view(1, 1, 1, -1)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)

    angle = uniform(0, 2 * math.pi)
    cx, cy = uniform(-0.7, 0.7), uniform(-0.7, 0.7)
    along = (x - cx) * torch.cos(angle) + (y - cy) * torch.sin(angle)
    across = (y - cy) * torch.cos(angle) - (x - cx) * torch.sin(angle)
    blob = (smooth_noise(count, size, 5, generator) - uniform(0.45, 0.65)) / 3
    half_plane = along
    bar = uniform(0.03, 0.25) - along.abs()
    ellipse = uniform(0.15, 0.6) - torch.sqrt(along**2 + (across * uniform(0.5, 2.0)) ** 2)
    shapes = torch.stack([blob, half_plane, bar, ellipse])
    kind = torch.randint(0, len(shapes), (count,), generator=generator)
    distance = shapes[kind, torch.arange(count)]
    return (distance * size / 2 + 0.5).clamp(0, 1)


def blur(picture: Tensor, radius: Tensor, lens: Lens, owner: Tensor | None = None) -> Tensor:
    """Convolves with each lens's PSF at the given radius, wrapping at the borders (cut a margin off afterwards).

    Args:
        picture: (B, 3, H, W) linear light.
        radius: (N,) px, signed; on the CPU, or the size of the kernels has to be waited for.
        lens: N lenses.
        owner: (N,) which picture each radius is for; None if N == B, one each.
    """
    height, width = picture.shape[-2:]
    # 1.5 R is 3 σ of a Gaussian and more than the softest disc reaches.
    size = 2 * math.ceil(1.5 * float(radius.abs().max()) + 2) + 1
    size = min(size, min(height, width) - 1 | 1)
    spectrum = torch.fft.rfft2(picture)
    if owner is not None:
        spectrum = spectrum[owner]
    kernels = psf(to_device(radius, picture.device), lens, size)
    return torch.fft.irfft2(spectrum * otf(kernels, height, width), s=(height, width))


def blur_by_field(picture: Tensor, field: Tensor, lens: Lens) -> Tensor:
    """Blurs each pixel by its own radius, interpolating between copies blurred as a whole.

    The copies stand closer together near focus, where a little more radius changes more: evenly in ±log(1 + |R|).

    Args:
        picture: (B, 3, H, W) linear light.
        field: (B, 1, H, W) radius, px, signed; on the CPU, or its extents have to be waited for.
        lens: B lenses.
    """

    def scaled(radius: Tensor) -> Tensor:
        return radius.sign() * torch.log1p(radius.abs())

    owner: list[int] = []
    levels: list[Tensor] = []
    step: list[float] = []
    extents = scaled(torch.stack([field.amin((1, 2, 3)), field.amax((1, 2, 3))], 1)).tolist()
    for i, (low, high) in enumerate(extents):
        # Where the radius hardly varies a single copy serves, with weight 1 everywhere.
        count = 1 if high - low < 0.02 else min(FIELD_LEVELS, 2 + int((high - low) / LEVEL_STEP))
        owner += [i] * count
        levels.append(torch.linspace(low, high, count))
        step += [(high - low) / (count - 1) if count > 1 else math.inf] * count
    field = scaled(to_device(field, picture.device))
    seen = torch.zeros_like(picture)
    at_once = max(1, PIXELS_AT_ONCE // picture[0, 0].numel())
    copies = (torch.tensor(owner), torch.cat(levels), torch.tensor(step))
    for part in zip(*(values.split(at_once) for values in copies), strict=True):
        radius = part[1].sign() * torch.expm1(part[1].abs())
        index, level, spacing = (to_device(values, picture.device) for values in part)
        blurred = blur(picture, radius, lens.pick(index), index)
        distance = (field[index] - level.view(-1, 1, 1, 1)).abs() / spacing.view(-1, 1, 1, 1)
        seen.index_add_(0, index, blurred * (1 - distance).clamp(min=0))
    return seen


def render(scene: Scene, lens: Lens) -> tuple[Tensor, Tensor, Tensor]:
    """What the camera sees, and the truth behind it.

    Returns:
        blurred (B, 3, H, W) and sharp (B, 3, H, W), both linear light, and the blur radius (B, 1, H, W) in px, ≥ 0.
        Within a largest radius of the border the blurred picture wraps around and is to be cut off.
    """
    device = scene.background.device
    sharp, radius = scene.background.clone(), to_device(scene.field, device).abs()
    blurred = blur_by_field(scene.background, scene.field, lens)
    for layer in scene.layers:
        at, distance = to_device(layer.scene, device), to_device(layer.radius.abs(), device)
        its_lens = lens.pick(at)
        colour = blur(layer.colour * layer.matte, layer.radius, its_lens)
        coverage = blur(layer.matte.expand(-1, 3, -1, -1), layer.radius, its_lens)
        blurred[at] = colour + (1 - coverage) * blurred[at]
        sharp[at] = torch.lerp(sharp[at], layer.colour, layer.matte)
        radius[at] = torch.where(layer.matte > 0.5, distance.view(-1, 1, 1, 1), radius[at])
    return blurred, sharp, radius
