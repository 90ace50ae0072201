"""Training pairs, drawn fresh for every step: photos → scenes → lens → sensor → (blurred, sharp, radius)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear
from deblurcli.synthesis.psf import Lens
from deblurcli.synthesis.scene import Layer, RadiusPrior, Scene, random_fields, random_mattes, render
from deblurcli.synthesis.sensor import expose, jpeg, quantise, random_noise_levels


@dataclass(frozen=True)
class SynthesisConfig:
    """What is drawn, and how often.

    Attributes:
        radius: how often which blur radius occurs.
        lens_shares: relative frequencies of round apertures, polygons and Gaussians.
        flat_share: backgrounds with one radius everywhere; the others vary smoothly.
        layer_shares: probabilities of 0, 1, 2 … cut-out layers in front.
        identity_share: pairs whose input is sharp all over (but as noisy and compressed as the others).
        largest_shot: the noisiest sensor; variance at white in linear light.
        jpeg_share: inputs that went through JPEG, at quality 70…98.
    """

    radius: RadiusPrior = field(default_factory=RadiusPrior)
    lens_shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    flat_share: float = 0.6
    layer_shares: tuple[float, ...] = (0.55, 0.3, 0.15)
    identity_share: float = 0.08
    largest_shot: float = 1e-3
    jpeg_share: float = 0.3


@dataclass(frozen=True)
class Pairs:
    """B training pairs, display-referred RGB.

    Attributes:
        blurred: (B, 3, H, W) in [0, 1]: what a camera would have saved.
        sharp: (B, 3, H, W) in [0, 1]: the same picture in focus everywhere, without noise.
        radius: (B, 1, H, W) circle-of-confusion radius, px.
    """

    blurred: Tensor
    sharp: Tensor
    radius: Tensor


def random_crops(photos: Tensor, count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random squares of random photos, flipped and turned at random, in linear light.

    Args:
        photos: (N, 3, H, W) uint8, sRGB.

    Returns:
        (count, 3, size, size) float32.
    """
    n, _, height, width = photos.shape
    which = torch.randint(0, n, (count,), generator=generator).tolist()
    tops = torch.randint(0, height - size + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(0, width - size + 1, (count,), generator=generator).tolist()
    turns = torch.randint(0, 8, (count,), generator=generator).tolist()
    crops = []
    for i, top, left, turn in zip(which, tops, lefts, turns, strict=True):
        crop = photos[i, :, top : top + size, left : left + size]
        crop = torch.rot90(crop, turn % 4, (1, 2))
        crops.append(crop.flip(2) if turn >= 4 else crop)
    return srgb_to_linear(torch.stack(crops).float() / 255)


def draw_scene(photos: Tensor, count: int, size: int, config: SynthesisConfig, generator: torch.Generator) -> Scene:
    """``count`` random scenes of ``size`` × ``size`` px (see ``SynthesisConfig``)."""
    device = photos.device
    background = random_crops(photos, count, size, generator)
    # One exposure for the whole scene, brighter or darker than the photo was.
    gain = 0.6 + 0.6 * torch.rand(count, 1, 1, 1, generator=generator).to(device)
    radii = random_fields(count, size, config.radius, config.flat_share, generator)
    layer_count = torch.multinomial(torch.tensor(config.layer_shares), count, replacement=True, generator=generator)
    layers = []
    for nth in range(1, len(config.layer_shares)):
        at = torch.nonzero(layer_count >= nth).squeeze(1)
        if len(at):
            layers.append(
                Layer(
                    scene=at.to(device),
                    colour=random_crops(photos, len(at), size, generator) * gain[at.to(device)],
                    matte=random_mattes(len(at), size, generator).to(device),
                    radius=config.radius.draw(len(at), generator).to(device),
                )
            )
    return Scene(background * gain, radii.to(device), tuple(layers))


def draw_pairs(photos: Tensor, count: int, crop: int, config: SynthesisConfig, generator: torch.Generator) -> Pairs:
    """Draws training pairs. The same generator state gives the same pairs.

    Args:
        photos: (N, 3, H, W) uint8 sRGB, sharp; H and W at least crop plus twice the margin (32 px by default).
        count: how many pairs.
        crop: their height and width, px.
    """
    device = photos.device
    margin = -(-int(config.radius.largest * 1.5 + 1) // 8) * 8
    scene = draw_scene(photos, count, crop + 2 * margin, config, generator)
    identity = (torch.rand(count, generator=generator) < config.identity_share).to(device)
    scene = _in_focus(scene, identity)
    lens = Lens.random(count, config.lens_shares, generator).to(device)
    blurred, sharp, radius = (t[..., margin:-margin, margin:-margin] for t in render(scene, lens))

    shot, read = (v.to(device) for v in random_noise_levels(count, config.largest_shot, generator))
    blurred = quantise(linear_to_srgb(expose(blurred, shot, read, generator).clamp(0, 1)))
    compressed = torch.rand(count, generator=generator) < config.jpeg_share
    quality = 70 + 28 * torch.rand(count, generator=generator)
    if compressed.any():
        at = torch.nonzero(compressed).squeeze(1).to(device)
        blurred[at] = jpeg(blurred[at], quality.to(device)[at])
    return Pairs(blurred, linear_to_srgb(sharp.clamp(0, 1)), radius.contiguous())


def _in_focus(scene: Scene, chosen: Tensor) -> Scene:
    """The scene with everything in focus in the ``chosen`` (B,) pictures."""
    layers = tuple(
        Layer(layer.scene, layer.colour, layer.matte, torch.where(chosen[layer.scene], 0.0, layer.radius))
        for layer in scene.layers
    )
    field = torch.where(chosen.view(-1, 1, 1, 1), 0.0, scene.field)
    return Scene(scene.background, field, layers)
