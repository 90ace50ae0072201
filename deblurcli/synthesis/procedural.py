"""Sharp pictures out of nothing: dead leaves, text, charts, textures, round bodies; and mattes of text and strokes.

They bring what folders of photos lack: edges sharper than any lens draws, letters, every period and direction, and
shading that is soft though it is in focus.
Colours follow photos (see ``_palette``). What Pillow draws is drawn ``SCALE`` times too large and averaged down in
linear light, as a sensor's pixels do; the rest is antialiased by its distance to the nearest edge.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from deblurcli.photo.transfer import linear_to_srgb, to_codes
from deblurcli.synthesis.lettering import SCALE, log_uniform, strokes, text

Plane: TypeAlias = NDArray[np.floating]  # (H, W), or (H, W, 3) linear light, in [0, 1]

CORNERS = 36  # of a leaf's outline; fewer where it is a polygon
MOST_LEAVES = 4000


def procedural_tiles(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random sharp pictures, to train on beside photos. The same generator state gives the same bytes.

    Returns:
        (count, 3, size, size) uint8, sRGB.
    """
    kinds, shares = (_leaves, _page, _texture, _chart, _bodies), (0.3, 0.2, 0.1, 0.15, 0.25)
    tiles = torch.empty(count, 3, size, size, dtype=torch.uint8)
    for tile, rng in zip(tiles, _generators(count, generator), strict=True):
        linear = kinds[rng.choice(len(kinds), p=shares)](size, rng).astype(np.float32, copy=False)
        encoded = linear_to_srgb(torch.from_numpy(linear).clamp(0, 1))  # PyTorch's powers are faster than NumPy's
        tile.copy_(torch.from_numpy(to_codes(encoded.numpy(), np.uint8)).permute(2, 0, 1))
    return tiles


def text_mattes(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random cut-out shapes: large letters, and strokes as of branches, stalks and wires.

    Returns:
        (count, 1, size, size) float32 in [0, 1]: 1 where the shape is; its edges are one pixel soft.
    """
    mattes = [
        text(size, rng, 0.1 * size, 0.5 * size) if rng.random() < 0.5 else strokes(size, rng)
        for rng in _generators(count, generator)
    ]
    return torch.from_numpy(np.stack(mattes)).unsqueeze(1)


def round_bodies(count: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random balls, heads and cylinders in falling light, to stand before photos.

    Returns:
        Their colours (count, 3, size, size) in [0, 1], display-referred, and their mattes (count, 1, size, size).
    """
    colours, mattes = [], []
    for rng in _generators(count, generator):
        linear, matte = _lit_body(size, rng, _palette(rng, 12)[rng.integers(12)], *_light(rng))
        colours.append(linear)
        mattes.append(matte)
    encoded = linear_to_srgb(torch.from_numpy(np.stack(colours).astype(np.float32)))
    return encoded.permute(0, 3, 1, 2), torch.from_numpy(np.stack(mattes).astype(np.float32)).unsqueeze(1)


def _generators(count: int, generator: torch.Generator) -> list[np.random.Generator]:
    """One of NumPy's for each tile, so that no tile depends on how much chance another one took."""
    seeds = torch.randint(0, 2**62, (count,), generator=generator)
    return [np.random.default_rng(seed) for seed in seeds.tolist()]


# ---- colours ------------------------------------------------------------------------------------------------------


def _palette(rng: np.random.Generator, count: int) -> Plane:
    """Colours that might come from one photo, dark to light: (count, 3) linear light.

    Brightness, red against blue, and green against both vary log-normally about means that vary between photos; how
    much was measured on 300 photos. The lightest colours are as light as an exposure would make them.
    """
    mean = rng.normal((0, 0.17, 0.05), (0, 0.68, 0.18))
    light, red_blue, green = rng.normal(mean, (0.94, 0.59, 0.16), (count, 3)).T
    logs = np.stack([light - green / 3 + red_blue / 2, light + green * 2 / 3, light - green / 3 - red_blue / 2], 1)
    colours = np.exp(logs[np.argsort(light)])
    return (colours / np.quantile(colours, 0.97) * rng.uniform(0.5, 1)).clip(0.003, 1).astype(np.float32)


def _fill(size: int, rng: np.random.Generator, colour: Plane) -> Plane:
    """A surface of about one ``colour`` (3,): plain, shaded towards one side, or rough. (size, size, 3)."""
    other = (colour * math.exp(rng.normal(0, 0.5))).clip(0.003, 1)
    kind = rng.integers(3)
    if kind == 0:
        return np.broadcast_to(colour, (size, size, 3))
    relief = _noise(size, rng, 0.9) if kind == 1 else np.linspace(0, 1, size, dtype=np.float32)[:, None]
    return colour + (other - colour) * (relief if rng.random() < 0.5 else relief.T)[..., None]


def _printed(mask: Plane, rng: np.random.Generator) -> Plane:
    """A ``mask`` (size, size) as a print (size, size, 3): one surface where it is 1, one in contrast where it is 0."""
    colours = _palette(rng, 8)[[0, -1]]
    ink, paper = (_fill(len(mask), rng, c) for c in (colours if rng.random() < 0.65 else colours[::-1]))
    return paper + (ink - paper) * mask[..., None]


# ---- textures, pages and charts -----------------------------------------------------------------------------------


def _noise(size: int, rng: np.random.Generator, exponent: float) -> Plane:
    """Noise with the amplitude spectrum 1/f^exponent, periodic: (size, size) in [0, 1] with mean 1/2."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    white = torch.from_numpy(rng.standard_normal((size, size), dtype=np.float32))
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * torch.from_numpy(frequency**-exponent).float(), s=(size, size))
    return (0.5 + noise / (5 * noise.std())).clamp(0, 1).numpy()


def _bars(phase: Plane, period: Plane | float) -> Plane:
    """Bars and gaps of equal width; ``phase`` counts them, ``period`` is their local width in px, gap included."""
    return ((np.abs(phase % 1 - 0.5) - 0.25) * period + 0.5).clip(0, 1)


def _texture(size: int, rng: np.random.Generator) -> Plane:
    """Rough surfaces of three colours, half of them veined: (size, size, 3)."""
    relief = _noise(size, rng, rng.uniform(0.7, 1.1))
    if rng.random() < 0.5:
        height = _noise(size, rng, rng.uniform(1.6, 2.2)) * rng.uniform(3, 12)
        down, right = np.gradient(height)
        relief = _bars(height, 1 / np.hypot(down, right).clip(1e-3))
    one, other, third = _palette(rng, 9)[[0, 8, 4]]
    surface = one + (other - one) * relief[..., None]
    return surface + (third - surface) * _noise(size, rng, 0.9)[..., None]


def _page(size: int, rng: np.random.Generator) -> Plane:
    """Printed text, letters of 8 to 40 px: (size, size, 3)."""
    return _printed(text(size, rng, 8, 40), rng)


def _pattern(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Bars, waves, checks, a slanted edge, or a Siemens star: (H, W), for coordinates from its middle, px."""
    period, angle, spokes = log_uniform(rng, 3, 40), rng.uniform(0, 2 * np.pi), int(rng.integers(8, 48))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    match int(rng.integers(5)):
        case 0:
            return _bars(along / period, period)
        case 1:
            return 0.5 + 0.5 * np.sin(2 * np.pi * along / period)
        case 2:
            return np.abs(_bars(along / period, period) - _bars(across / period, period))
        case 3:
            return (along + 0.5).clip(0, 1)
        case _:
            return _bars(np.arctan2(y, x) * spokes / (2 * np.pi), 2 * np.pi * np.hypot(x, y) / spokes)


def _chart(size: int, rng: np.random.Generator) -> Plane:
    """One to nine test patterns as a print: (size, size, 3)."""
    cells = int(rng.integers(1, 4))
    side = -(-size // cells)
    axis = np.arange(side, dtype=np.float32) - side / 2 + rng.uniform(-0.5, 0.5)
    x, y = np.meshgrid(axis, axis)
    grid = np.block([[_pattern(x, y, rng) for _ in range(cells)] for _ in range(cells)])
    return _printed(grid[:size, :size], rng)


# ---- round bodies -------------------------------------------------------------------------------------------------


def _bodies(size: int, rng: np.random.Generator) -> Plane:
    """Balls, heads and cylinders in falling light, on black or before something: (size, size, 3).

    Shading is soft and yet no blur: a network that sees only photos' soft squares left out draws lines into it.
    """
    black = np.full((size, size, 3), rng.uniform(0, 0.01), np.float32)
    ground = (lambda: black, lambda: _fill(size, rng, _palette(rng, 3)[1]), lambda: _texture(size, rng))
    picture, light = ground[rng.choice(3, p=(0.4, 0.3, 0.3))](), _light(rng)
    for colour in rng.permuted(_palette(rng, 12), axis=0)[: rng.integers(2, 8)]:
        body, matte = _lit_body(size, rng, colour, *light)
        picture = picture + (body - picture) * matte[..., None]
    return picture


def _light(rng: np.random.Generator) -> tuple[Plane, float]:
    """Where light falls from, (3,) as x, y and z towards the camera, and how bright shadows are.

    At times it comes from behind, so that only a rim is lit.
    """
    light = rng.normal((0, -0.5, 0.5), 1)
    return (light / np.linalg.norm(light)).astype(np.float32), rng.uniform(0, 0.3)


def _lit_body(size: int, rng: np.random.Generator, colour: Plane, light: Plane, ambient: float) -> tuple[Plane, Plane]:
    """A body as it looks (size, size, 3) and its matte (size, size)."""
    matte, normal = _body(size, rng)
    lit = ambient + (1 - ambient) * (normal @ light).clip(0)
    if rng.random() < 0.3:
        gloss = light + np.array((0, 0, 1), np.float32)  # halfway between the light and the eye: Blinn's
        lit = lit + rng.uniform(0.2, 2) * (normal @ gloss / np.linalg.norm(gloss)).clip(0) ** rng.uniform(10, 80)
    if rng.random() < 0.6:  # skin, felt, plaster
        lit = lit * (1 + rng.uniform(0.02, 0.3) * (_noise(size, rng, rng.uniform(0.3, 1.2)) - 0.5))
    return (lit[..., None] * colour).clip(0, 1), matte


def _body(size: int, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """A round body's matte (size, size), and its surface's unit normals (size, size, 3), z to the camera."""
    axis = np.arange(size, dtype=np.float32)
    angle, (left, top) = rng.uniform(0, 2 * np.pi), rng.uniform(0, size, 2)
    x, y = axis[None] - left, axis[:, None] - top
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius = np.float32(log_uniform(rng, size / 20, size / 2))
    if rng.random() < 0.25:  # a cylinder
        distance, outline = np.abs(across), radius
    else:  # a ball, or, with some harmonics in its outline, a head
        distance = np.hypot(along, across * rng.uniform(1, 1.5))
        turn, waves = np.arctan2(across, along), rng.normal(0, 0.05 if rng.random() < 0.6 else 0, 4)
        outline = radius * (1 + sum(a * np.cos(k * turn + k) for k, a in enumerate(waves, 2)))
    height = radius * np.sqrt((1 - (distance / outline) ** 2).clip(0))
    down, right = np.gradient(height)
    normal = np.stack([-right, -down, np.ones_like(height)], -1).astype(np.float32)
    return (outline - distance + 0.5).clip(0, 1), normal / np.linalg.norm(normal, axis=-1, keepdims=True)


# ---- dead leaves --------------------------------------------------------------------------------------------------


def _leaves(size: int, rng: np.random.Generator) -> Plane:
    """Opaque shapes that hide one another, their radius by p(r) ∝ r⁻³ as in photos: (size, size, 3).

    Lee, Mumford and Huang, Occlusion Models for Natural Images (IJCV 2001).
    """
    side = SCALE * size
    finest, largest = SCALE * log_uniform(rng, 1.5, 6), side / 3
    count = int(min(MOST_LEAVES, 8 * (side / finest) ** 2 / (2 * np.pi * math.log(largest / finest))))
    # The undermost are not to be small, or it would take too many to hide the ground.
    smallest = finest * np.where(np.arange(count) < count / 4, 4, 1)
    radius = smallest / np.sqrt(1 - rng.random(count) * (1 - (smallest / largest) ** 2))

    corners = rng.choice((3, 4, 4, 5, 7, CORNERS, CORNERS, CORNERS), count)[:, None]
    turn = 2 * np.pi * np.floor(np.arange(CORNERS) / CORNERS * corners) / corners + rng.uniform(0, np.pi, (count, 1))
    slimness, tilt = rng.uniform(0.3, 1, (count, 1)), rng.uniform(0, np.pi, (count, 1))
    x, y = radius[:, None] * np.cos(turn), radius[:, None] * slimness * np.sin(turn)
    outline = np.stack([x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)], 2)
    outline += rng.uniform(0, side, (count, 1, 2))

    # Drawn are the leaves' numbers; what each pixel shows is looked up by them.
    canvas = Image.new("I", (side, side))
    draw = ImageDraw.Draw(canvas)
    for number, corner in enumerate(outline.reshape(count, -1).tolist()):
        draw.polygon(corner, number)
    leaf = np.asarray(canvas)

    # Half of the leaves are plain, the others pass from one colour to another: in waves (if long, a shade), or roughly.
    palette, kind = _palette(rng, 64), rng.choice(3, count, p=(0.5, 0.3, 0.2))
    first = palette[rng.integers(0, 64, count)]
    second = np.where(kind[:, None] == 0, first, palette[rng.integers(0, 64, count)])
    heading, period = rng.uniform(0, 2 * np.pi, count), 6 * SCALE * (radius / SCALE + 1) ** rng.uniform(0, 1, count)
    wave = (np.exp(1j * heading) * 2 * np.pi / period).astype(np.complex64)[leaf]
    axis = np.arange(side, dtype=np.float32)
    relief = 0.5 + 0.5 * np.sin(wave.real * axis + wave.imag * axis[:, None])
    rough = np.tile(_noise(size, rng, 1.0), (SCALE, SCALE))
    relief = np.where((kind == 2)[leaf], rough, relief)[..., None]
    colour = first.take(leaf, 0) + (second - first).take(leaf, 0) * relief
    parts = [colour[i::SCALE, j::SCALE] for i in range(SCALE) for j in range(SCALE)]
    return np.add.reduce(parts) / len(parts)
