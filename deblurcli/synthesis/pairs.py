"""Training pairs, drawn fresh for every step: photos → scenes → lens → sensor → (blurred, sharp, radius)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from deblurcli.synthesis.crops import Pictures, random_crops
from deblurcli.synthesis.devices import to_device
from deblurcli.synthesis.procedural import round_bodies, text_mattes
from deblurcli.synthesis.psf import LensPrior
from deblurcli.synthesis.scene import Layer, RadiusPrior, Scene, random_fields, random_mattes, render
from deblurcli.synthesis.sensor import develop, expose, jpeg, quantise, random_noise_levels, sharpen, undevelop

SMALL_LIGHTS = 0.01  # of a picture's area: lamps and glints, not skies


@dataclass(frozen=True)
class SynthesisConfig:
    """What is drawn, and how often.

    Attributes:
        radius: how often which blur radius occurs.
        lens: how often which family of lenses.
        flat_share: backgrounds with one radius everywhere; the others vary smoothly.
        layer_shares: probabilities of 0, 1, 2 … cut-out layers in front.
        lettered_share: layers cut out as letters or as thin strokes instead of as plain shapes.
        body_share: layers that are round bodies in falling light.
        identity_share: pairs whose input is sharp all over (but as noisy and compressed as the others).
        highlight_share: scenes whose clipped highlights get back what the sensor lost, up to ``highlight`` times white
            where they are small, as lamps are, and up to four times where they are large.
        tone_share: cameras whose tone curve is not sRGB's.
        software_share: photos blurred after they were developed, as portrait modes and picture editors do.
        enlarged_share: batches of photos whose lens and sensor are soft at their own pixels, as most are at full size:
            what is sharp in them is as soft as if it had been enlarged, up to ``enlarged`` times.
        largest_shot: the noisiest sensor; variance at white in linear light.
        sharpened_share: inputs, other than identities, that the camera sharpened a little.
        grain_share: inputs whose noise went through a camera's and an editor's filters: coarser, more so in colour.
        jpeg_share: inputs that went through JPEG, at a quality of ``jpeg_quality``, from … to.
        full_chroma_share: those of them whose colours are stored at full size (4:4:4).
        exposure: how many times darker or brighter than in the photo a scene is; from, to.
    """

    radius: RadiusPrior = field(default_factory=RadiusPrior)
    lens: LensPrior = field(default_factory=LensPrior)
    flat_share: float = 0.5
    layer_shares: tuple[float, ...] = (0.5, 0.3, 0.15, 0.05)
    lettered_share: float = 0.2
    body_share: float = 0.0
    identity_share: float = 0.08
    highlight_share: float = 0.5
    highlight: float = 4.0
    tone_share: float = 0.5
    software_share: float = 0.05
    enlarged_share: float = 0.0
    enlarged: float = 1.6
    largest_shot: float = 1e-3
    sharpened_share: float = 0.15
    grain_share: float = 0.0
    jpeg_share: float = 0.4
    jpeg_quality: tuple[float, float] = (70.0, 98.0)
    full_chroma_share: float = 0.0
    exposure: tuple[float, float] = (0.6, 1.2)


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


def random_tones(count: int, config: SynthesisConfig, generator: torch.Generator) -> Tensor:
    """(count,) exponents of tone curves, see ``sensor.develop``."""
    tone = 0.8 + 0.5 * torch.rand(count, generator=generator)
    tone = torch.where(torch.rand(count, generator=generator) < config.tone_share, tone, 1.0)
    # To blur what was developed already is to blur 'light' that is the display's own values: about x^(1/2.2).
    return torch.where(torch.rand(count, generator=generator) < config.software_share, 1 / 2.2, tone)


def draw_scene(
    crops: Callable[[int], Tensor], tone: Tensor, size: int, config: SynthesisConfig, generator: torch.Generator
) -> Scene:
    """A random scene of ``size`` × ``size`` px for each of the tone curves (B,) (see ``SynthesisConfig``).

    Args:
        crops: gives so many pictures to lay out, (n, 3, size, size) display-referred: first the B backgrounds, then
            those of the layers.
    """
    device, count = tone.device, len(tone)
    # One exposure for the whole scene, brighter or darker than the photo was, and one amount of lost highlights.
    darkest, brightest = config.exposure
    gain = to_device(darkest + (brightest - darkest) * torch.rand(count, 1, 1, 1, generator=generator), device)
    boost = torch.rand(count, 1, 1, 1, generator=generator)
    boosted = torch.rand(count, 1, 1, 1, generator=generator) < config.highlight_share
    boost = to_device(torch.where(boosted, boost, 0.0), device)

    def light(encoded: Tensor, at: Tensor) -> Tensor:
        clipped = (20 * (encoded.amin(1, keepdim=True) - 0.95)).clamp(0, 1)
        small = clipped.mean((1, 2, 3), keepdim=True) < SMALL_LIGHTS
        brightest = torch.where(small, config.highlight, min(4.0, config.highlight))
        return undevelop(encoded, tone[at]) * gain[at] + brightest * boost[at] * clipped

    everywhere = torch.arange(count, device=device)
    background = light(crops(count), everywhere)
    radii = random_fields(count, size, config.radius, config.flat_share, generator)
    layer_count = torch.multinomial(torch.tensor(config.layer_shares), count, replacement=True, generator=generator)
    layers = []
    for nth in range(1, len(config.layer_shares)):
        at = torch.nonzero(layer_count >= nth).squeeze(1)
        if len(at):
            colour, matte = _cut_outs(crops(len(at)), config, generator)
            layers.append(
                Layer(
                    scene=at,
                    colour=light(colour, to_device(at, device)),
                    matte=matte,
                    radius=config.radius.draw(len(at), generator),
                )
            )
    return Scene(background, radii, tuple(layers))


def draw_pairs(pictures: Pictures, count: int, crop: int, config: SynthesisConfig, generator: torch.Generator) -> Pairs:
    """Draws training pairs. The same generator state gives the same pairs on the same device.

    Args:
        pictures: sharp ones; H and W at least crop plus twice the margin (32 px by default).
        count: how many pairs.
        crop: their height and width, px.
    """

    def chosen(share: float) -> Tensor:
        return torch.rand(count, generator=generator) < share

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def sent(drawn: Tensor) -> Tensor:
        return to_device(drawn, pictures.tiles.device)

    margin = -(-int(config.radius.largest * 1.5 + 1) // 8) * 8
    side = _side(crop, config, generator)
    size = side + 2 * margin
    tone = sent(random_tones(count, config, generator))
    identity = chosen(config.identity_share)
    scene = draw_scene(lambda n: random_crops(pictures, n, size, generator), tone, size, config, generator)
    scene = _in_focus(scene, identity)
    lens = config.lens.draw(count, generator).to(pictures.tiles.device)
    blurred, sharp, radius = (t[..., margin:-margin, margin:-margin] for t in render(scene, lens))
    if side < crop:
        blurred, sharp, radius = (_enlarged(p, crop) for p in (blurred, sharp, radius * (crop / side)))

    shot, read = (sent(variance) for variance in random_noise_levels(count, config.largest_shot, generator))
    grain = torch.where(chosen(config.grain_share), 1.0, 0.0)
    fine, coarse = sent(grain * uniform(0.2, 1.0)), sent(grain * uniform(0.5, 3.0))
    blurred = develop(expose(blurred, shot, read, generator, (fine, coarse)), tone)
    amount = torch.where(chosen(config.sharpened_share) & ~identity, uniform(0.2, 0.8), 0.0)
    blurred = quantise(sharpen(blurred, sent(uniform(0.7, 1.5)), sent(amount)))
    compressed = torch.nonzero(chosen(config.jpeg_share)).squeeze(1)
    quality, full_chroma = uniform(*config.jpeg_quality), chosen(config.full_chroma_share)
    if len(compressed):
        at = sent(compressed)
        blurred[at] = jpeg(blurred[at], sent(quality[compressed]), sent(full_chroma[compressed]))
    return Pairs(blurred, develop(sharp, tone), radius.contiguous())


def _side(crop: int, config: SynthesisConfig, generator: torch.Generator) -> int:
    """The side, px, of scenes that are then enlarged to ``crop`` px."""
    # Where none are, chance is not asked: the suites' pictures are drawn with it.
    if not config.enlarged_share or float(torch.rand(1, generator=generator)) >= config.enlarged_share:
        return crop
    return round(crop / config.enlarged ** float(torch.rand(1, generator=generator)) / 8) * 8


def _enlarged(picture: Tensor, side: int) -> Tensor:
    """(B, C, H, H) in linear light → (B, C, side, side)."""
    return interpolate(picture, size=(side, side), mode="bicubic").clamp(min=0)


def _cut_outs(colour: Tensor, config: SynthesisConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Layers' colours (N, 3, H, H) → the same, some of them round bodies now, and mattes of all kinds (N, 1, H, H)."""
    count, size = len(colour), colour.shape[-1]
    mattes = random_mattes(count, size, generator)
    lettered = torch.nonzero(torch.rand(count, generator=generator) < config.lettered_share).squeeze(1)
    if len(lettered):
        mattes[lettered] = text_mattes(len(lettered), size, generator)
    # Where there are none, chance is not asked: the suites' pictures are drawn with it.
    bodies = torch.nonzero(torch.rand(count if config.body_share else 0, generator=generator) < config.body_share)
    if len(bodies := bodies.squeeze(1)):
        drawn, mattes[bodies] = round_bodies(len(bodies), size, generator)
        colour[to_device(bodies, colour.device)] = to_device(drawn, colour.device)
    return colour, to_device(mattes, colour.device)


def _in_focus(scene: Scene, chosen: Tensor) -> Scene:
    """The scene with everything in focus in the ``chosen`` (B,) pictures."""
    layers = tuple(
        Layer(layer.scene, layer.colour, layer.matte, torch.where(chosen[layer.scene], 0.0, layer.radius))
        for layer in scene.layers
    )
    field = torch.where(chosen.view(-1, 1, 1, 1), 0.0, scene.field)
    return Scene(scene.background, field, layers)
