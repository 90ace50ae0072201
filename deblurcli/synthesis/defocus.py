"""One photo, as a lens that is not in focus everywhere would have taken it, with the truth beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from deblurcli.arrays import Picture
from deblurcli.errors import UsageError
from deblurcli.synthesis.pairs import SynthesisConfig, draw_scene
from deblurcli.synthesis.psf import LensPrior
from deblurcli.synthesis.scene import Layer, RadiusPrior, Scene, render
from deblurcli.synthesis.sensor import develop, expose, jpeg, quantise, random_noise_levels

MID_GRAY, SLOPE = 0.214, 1.08  # the linear light of displayed 0.5, and how steep sRGB's curve is there


@dataclass(frozen=True)
class Defocused:
    """A photo out of focus.

    Attributes:
        blurred, sharp: (H, W, 3) in [0, 1]. ``sharp`` is the photo itself, apart from cut-outs in front of it.
        radius: (H, W) circle-of-confusion radius, px.
        drawn: all that chance decided about lens, layers and sensor, as JSON values.
    """

    blurred: Picture
    sharp: Picture
    radius: NDArray[np.float32]
    drawn: dict[str, Any]


def scenes(largest: float, lens: str | None = None) -> SynthesisConfig:
    """Random scenes, as training has them, but as bright as the photo and none of them sharp all over.

    Args:
        largest: blur radius, px.
        lens: family, a field of ``LensPrior``; None for any.
    """
    families = LensPrior.__dataclass_fields__
    return SynthesisConfig(
        radius=RadiusPrior(sharp=0.0, smallest=min(1.0, largest), largest=largest),
        lens=LensPrior(**{name: float(name == lens) for name in families}) if lens else LensPrior(),
        flat_share=0.25,
        exposure=(1.0, 1.0),
    )


def plain(radius: float, lens: str | None = None) -> SynthesisConfig:
    """Nothing in front, and the same blur ``radius`` (px, 0 is sharp) everywhere; ``lens`` as in ``scenes``."""
    prior = RadiusPrior(sharp=float(radius == 0), smallest=radius or 1.0, largest=radius or 1.0)
    return replace(scenes(1.0, lens), radius=prior, flat_share=1.0, layer_shares=(1.0,))


def defocus(
    picture: Picture, config: SynthesisConfig, noise: float | None, quality: int | None, generator: torch.Generator
) -> Defocused:
    """Lays the photo out in depth and photographs it. The same generator state gives the same pictures.

    Layers in front are cut from the photo itself, mirrored.

    Args:
        picture: (H, W, 3) in [0, 1], sRGB or near it.
        config: what to draw: ``scenes`` or ``plain``. Its tone curves and sharpening are not used.
        noise: standard deviation at mid-gray in 1/255; None draws it, as ``config`` says.
        quality: of JPEG, 1…100; None for none.

    Raises:
        UsageError: the photo is smaller than the blur reaches.
    """
    height, width = picture.shape[:2]
    margin = math.ceil(1.5 * config.radius.largest) + 3
    if min(height, width) <= margin:
        raise UsageError(f"{width} × {height} px is too small for a blur that reaches {margin} px", "Use less blur.")
    photo = torch.from_numpy(picture.clip(0, 1)).permute(2, 0, 1).unsqueeze(0)
    photo = pad(photo, (margin,) * 4, mode="reflect")
    scene, tone = _scene(photo, config, generator), torch.ones(1)
    lens = config.lens.draw(1, generator)
    blurred, sharp, radius = (t[..., margin:-margin, margin:-margin] for t in render(scene, lens))

    shot, read = random_noise_levels(1, config.largest_shot, generator)
    if noise is not None:
        shot, read = torch.full((1,), (noise / 255 / SLOPE) ** 2 / MID_GRAY), torch.zeros(1)
    blurred = develop(expose(blurred, shot, read, generator), tone)
    if quality is not None:
        blurred = jpeg(quantise(blurred), torch.tensor([float(quality)]))
    drawn = {
        "lens": {name: value.item() for name, value in vars(lens).items()},
        "radius": {"smallest": float(radius.min()), "largest": float(radius.max())},
        "layers": [layer.radius.item() for layer in scene.layers],
        "noise": {"shot": shot.item(), "read": read.item()},
        "jpeg": quality,
    }
    return Defocused(_picture(blurred), _picture(develop(sharp, tone)), radius[0, 0].numpy(), drawn)


def _scene(photo: Tensor, config: SynthesisConfig, generator: torch.Generator) -> Scene:
    """A random scene behind whose layers is the photo (1, 3, H, W), display-referred."""
    height, width = photo.shape[-2:]
    side = max(height, width)
    views = (photo.flip(axes) for axes in ((), (3,), (2,), (2, 3)))

    def crops(count: int) -> Tensor:
        assert count == 1
        return pad(next(views), (0, side - width, 0, side - height))

    def cut(square: Tensor) -> Tensor:
        return square[..., :height, :width]

    scene = draw_scene(crops, torch.ones(1), side, config, generator)
    layers = tuple(Layer(layer.scene, cut(layer.colour), cut(layer.matte), layer.radius) for layer in scene.layers)
    return Scene(cut(scene.background), cut(scene.field), layers)


def _picture(tensor: Tensor) -> Picture:
    return np.ascontiguousarray(tensor[0].permute(1, 2, 0).numpy(), dtype=np.float32)
