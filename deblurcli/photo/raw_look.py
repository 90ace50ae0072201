"""How light and contrasty camera raw files come out: as the camera's own picture of them, by one smooth curve."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deblurcli.arrays import Pixels
from deblurcli.photo.limits import MAX_PIXELS
from deblurcli.photo.profiles import SPACES, SRGB_CURVE, Space
from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear

SHARES = np.arange(10, 91, 10)  # percent of the pixels; what is darker or lighter differs too much between developers
MIDDLE_GRAY = 0.18
USUAL_STOPS = 0.7  # cameras expose darker than their pictures come out, to spare the lights
USUAL_CONTRAST = 1.2
CONTRAST = (0.7, 1.6)
LIFT = (1 / 16, 32)
SIDE = 512  # px, enough to know how light a picture is
BAND = 256  # rows

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Look:
    """A curve for values as sRGB encodes them: the odds v / (1 − v) become ``lift`` · odds ** ``contrast``.

    Black stays black and white white, and nothing else becomes either, however far the rest is lifted.
    """

    lift: float
    contrast: float

    @classmethod
    def like(cls, light: Floats, shown: Floats) -> Look:
        """What makes a picture as light and contrasty as another of the same scene.

        Args:
            light, shown: luminance of the two, sRGB-encoded in [0, 1], of any sizes.
        """
        ours, theirs = (np.percentile(picture, SHARES) for picture in (light, shown))
        useful = (np.minimum(ours, theirs) > 0.01) & (np.maximum(ours, theirs) < 0.97)
        if not useful.any():
            return cls.usual()
        x, y = (np.log(v[useful] / (1 - v[useful])) for v in (ours, theirs))
        spread = np.var(x)
        contrast = (
            float(np.clip(np.mean((x - x.mean()) * (y - y.mean())) / spread, *CONTRAST)) if spread > 0.01 else 1.0
        )
        return cls(float(np.clip(np.exp(y.mean() - contrast * x.mean()), *LIFT)), contrast)

    @classmethod
    def usual(cls, stops: float = 0.0) -> Look:
        """Of most cameras, so many stops lighter: for files that hold no picture to go by."""
        target = min(MIDDLE_GRAY * 2.0 ** (USUAL_STOPS + np.clip(stops, -3, 3)), 0.8)
        before, after = (v / (1 - v) for v in linear_to_srgb(np.array([MIDDLE_GRAY, target])))
        return cls(float(after / before**USUAL_CONTRAST), USUAL_CONTRAST)

    def table(self, space: str, exposure: float) -> NDArray[np.uint16]:
        """What becomes of each 16-bit code of a colour space, (65536,); ``exposure``, in stops, spares the lights."""
        curve = SPACES[space].curve
        encoded = np.linspace(0, 1, 2**16)
        seen = linear_to_srgb(_linear(encoded, SPACES[space]))
        with np.errstate(divide="ignore"):
            odds = self.lift * (seen / (1 - seen)) ** self.contrast
            light = srgb_to_linear(np.where(np.isinf(odds), 1, odds / (1 + odds)))
        light = 2**exposure * light / (1 + (2**exposure - 1) * light)
        encoded = linear_to_srgb(light) if curve == SRGB_CURVE else light ** (1 / curve[0])
        return np.rint(encoded * 65535).astype(np.uint16)

    def apply(self, samples: Pixels, space: str, exposure: float) -> None:
        """Changes a developed picture (H, W, 3) in place."""
        table = self.table(space, exposure)
        for top in range(0, len(samples), BAND):  # an index takes four times the memory of what it picks
            band = samples[top : top + BAND]
            band[:] = table[band]


def luminance(samples: Pixels, space: str) -> Floats:
    """How light the middle of a developed picture (H, W, C) is, sRGB-encoded in [0, 1], at most ``SIDE`` on a side."""
    middle = _middle(samples)
    step = -(-max(middle.shape) // SIDE)
    linear = _linear(middle[::step, ::step] / 65535, SPACES[space])
    weights = SPACES[space].to_xyz()[1] if linear.shape[2] == 3 else np.ones(1)  # sensors without colours have one
    return linear_to_srgb(np.clip(linear @ weights, 0, 1))


def luminance_of_preview(preview: bytes | Pixels) -> Floats | None:
    """The same of a preview, a JPEG file or pixels (H, W, 3); None if it cannot be read."""
    try:
        if isinstance(preview, bytes):
            image = Image.open(BytesIO(preview), formats=["JPEG"])
            if image.width * image.height > MAX_PIXELS:
                return None
            image.draft("RGB", (SIDE, SIDE))
            preview = np.asarray(image.convert("RGB"))
        middle = _middle(preview)
        step = -(-max(middle.shape) // SIDE)
        linear = srgb_to_linear(middle[::step, ::step] / 255)
        return linear_to_srgb(linear @ SPACES["srgb"].to_xyz()[1])
    except (OSError, ValueError, SyntaxError, IndexError):
        return None


def _middle(picture: Pixels) -> Pixels:
    """Without the rim, where small previews have black bars."""
    height, width = picture.shape[:2]
    return picture[height // 10 : height - height // 10, width // 10 : width - width // 10]


def _linear(encoded: Floats, space: Space) -> Floats:
    return srgb_to_linear(encoded) if space.curve == SRGB_CURVE else encoded ** space.curve[0]
