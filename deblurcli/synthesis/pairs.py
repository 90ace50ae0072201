"""Training pairs, drawn fresh for every step: photos → scenes → lens → sensor → (blurred, sharp, radius)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from deblurcli.synthesis.devices import to_device
from deblurcli.synthesis.procedural import text_mattes
from deblurcli.synthesis.psf import LensPrior
from deblurcli.synthesis.scene import Layer, RadiusPrior, Scene, random_fields, random_mattes, render
from deblurcli.synthesis.sensor import develop, expose, jpeg, quantise, random_noise_levels, sharpen, undevelop


@dataclass(frozen=True)
class SynthesisConfig:
    """What is drawn, and how often.

    Attributes:
        radius: how often which blur radius occurs.
        lens: how often which family of lenses.
        flat_share: backgrounds with one radius everywhere; the others vary smoothly.
        layer_shares: probabilities of 0, 1, 2 … cut-out layers in front.
        lettered_share: layers cut out as letters or as thin strokes instead of as plain shapes.
        identity_share: pairs whose input is sharp all over (but as noisy and compressed as the others).
        highlight_share: scenes whose clipped highlights get back up to four times white that the sensor lost.
        tone_share: cameras whose tone curve is not sRGB's.
        software_share: photos blurred after they were developed, as portrait modes and picture editors do.
        largest_shot: the noisiest sensor; variance at white in linear light.
        sharpened_share: inputs, other than identities, that the camera sharpened a little.
        jpeg_share: inputs that went through JPEG, at quality 70…98.
        exposure: how many times darker or brighter than in the photo a scene is; from, to.
    """

    radius: RadiusPrior = field(default_factory=RadiusPrior)
    lens: LensPrior = field(default_factory=LensPrior)
    flat_share: float = 0.5
    layer_shares: tuple[float, ...] = (0.5, 0.3, 0.15, 0.05)
    lettered_share: float = 0.2
    identity_share: float = 0.08
    highlight_share: float = 0.5
    tone_share: float = 0.5
    software_share: float = 0.05
    largest_shot: float = 1e-3
    sharpened_share: float = 0.15
    jpeg_share: float = 0.4
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


def sharpness(pictures: Tensor) -> Tensor:
    """Energy of the finest octave over that of the next: how sharp pictures are at their own scale.

    About 0.8 for sharp photos whatever they show, 0.36 for those blurred by 2 px, and 0.25 at the least.

    Args:
        pictures: (B, 3, H, W) in [0, 1].

    Returns:
        (B,)
    """
    fine = pictures.mean(1, keepdim=True)
    middle = avg_pool2d(fine, 2)
    coarse = avg_pool2d(middle, 2)
    first, second, third = (band.square().mean((1, 2, 3)) for band in (fine, middle, coarse))
    return (first - second) / (second - third + 1e-6)


def random_crops(
    photos: Tensor, count: int, size: int, generator: torch.Generator, halved: float = 0.5, softest: float = 0.45
) -> Tensor:
    """Random squares of random photos, flipped and turned at random.

    What lies out of focus in a photo must not be taught as sharp: squares below the sharpness ``softest`` are drawn
    again, up to three times, and the share ``halved`` is cut twice as large and halved, where the photo allows.

    Args:
        photos: (N, 3, H, W) uint8, sRGB.

    Returns:
        (count, 3, size, size) float32, display-referred.
    """

    def integer(end: int) -> int:
        return int(torch.randint(0, end, (1,), generator=generator))

    def square() -> Tensor:
        n, _, height, width = photos.shape
        half = 2 * size <= min(height, width) and float(torch.rand(1, generator=generator)) < halved
        side = 2 * size if half else size
        top, left, turn = integer(height - side + 1), integer(width - side + 1), integer(8)
        crop = torch.rot90(photos[integer(n), :, top : top + side, left : left + side], turn % 4, (1, 2)).float() / 255
        return avg_pool2d(crop.flip(2) if turn >= 4 else crop, 2 if half else 1)

    crops = torch.stack([square() for _ in range(count)])
    for _ in range(3):
        soft = torch.nonzero(sharpness(crops) < softest).flatten().tolist()  # a GPU is waited for here
        if not soft:
            break
        crops[soft] = torch.stack([square() for _ in soft])
    return crops


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
    boost = 4 * torch.rand(count, 1, 1, 1, generator=generator)
    boosted = torch.rand(count, 1, 1, 1, generator=generator) < config.highlight_share
    boost = to_device(torch.where(boosted, boost, 0.0), device)

    def light(encoded: Tensor, at: Tensor) -> Tensor:
        clipped = (20 * (encoded.amin(1, keepdim=True) - 0.95)).clamp(0, 1)
        return undevelop(encoded, tone[at]) * gain[at] + boost[at] * clipped

    everywhere = torch.arange(count, device=device)
    background = light(crops(count), everywhere)
    radii = random_fields(count, size, config.radius, config.flat_share, generator)
    layer_count = torch.multinomial(torch.tensor(config.layer_shares), count, replacement=True, generator=generator)
    layers = []
    for nth in range(1, len(config.layer_shares)):
        at = torch.nonzero(layer_count >= nth).squeeze(1)
        if len(at):
            layers.append(
                Layer(
                    scene=at,
                    colour=light(crops(len(at)), to_device(at, device)),
                    matte=to_device(_mattes(len(at), size, config.lettered_share, generator), device),
                    radius=config.radius.draw(len(at), generator),
                )
            )
    return Scene(background, radii, tuple(layers))


def draw_pairs(photos: Tensor, count: int, crop: int, config: SynthesisConfig, generator: torch.Generator) -> Pairs:
    """Draws training pairs. The same generator state gives the same pairs on the same device.

    Args:
        photos: (N, 3, H, W) uint8 sRGB, sharp; H and W at least crop plus twice the margin (32 px by default).
        count: how many pairs.
        crop: their height and width, px.
    """

    def chosen(share: float) -> Tensor:
        return torch.rand(count, generator=generator) < share

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def sent(drawn: Tensor) -> Tensor:
        return to_device(drawn, photos.device)

    margin = -(-int(config.radius.largest * 1.5 + 1) // 8) * 8
    size = crop + 2 * margin
    tone = sent(random_tones(count, config, generator))
    identity = chosen(config.identity_share)
    scene = draw_scene(lambda n: random_crops(photos, n, size, generator), tone, size, config, generator)
    scene = _in_focus(scene, identity)
    lens = config.lens.draw(count, generator).to(photos.device)
    blurred, sharp, radius = (t[..., margin:-margin, margin:-margin] for t in render(scene, lens))

    shot, read = (sent(variance) for variance in random_noise_levels(count, config.largest_shot, generator))
    blurred = develop(expose(blurred, shot, read, generator), tone)
    amount = torch.where(chosen(config.sharpened_share) & ~identity, uniform(0.2, 0.8), 0.0)
    blurred = quantise(sharpen(blurred, sent(uniform(0.7, 1.5)), sent(amount)))
    compressed = torch.nonzero(chosen(config.jpeg_share)).squeeze(1)
    quality = uniform(70, 98)
    if len(compressed):
        at = sent(compressed)
        blurred[at] = jpeg(blurred[at], sent(quality[compressed]))
    return Pairs(blurred, develop(sharp, tone), radius.contiguous())


def _mattes(count: int, size: int, lettered_share: float, generator: torch.Generator) -> Tensor:
    """(count, 1, size, size) cut-outs of either kind."""
    mattes = random_mattes(count, size, generator)
    lettered = torch.nonzero(torch.rand(count, generator=generator) < lettered_share).squeeze(1)
    if len(lettered):
        mattes[lettered] = text_mattes(len(lettered), size, generator)
    return mattes


def _in_focus(scene: Scene, chosen: Tensor) -> Scene:
    """The scene with everything in focus in the ``chosen`` (B,) pictures."""
    layers = tuple(
        Layer(layer.scene, layer.colour, layer.matte, torch.where(chosen[layer.scene], 0.0, layer.radius))
        for layer in scene.layers
    )
    field = torch.where(chosen.view(-1, 1, 1, 1), 0.0, scene.field)
    return Scene(scene.background, field, layers)
