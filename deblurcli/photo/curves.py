"""What the network is shown: its values are display-referred with the curve of sRGB, those of a file may not be.

Only the curve is exchanged. Primaries stay: in a wider space the same photo is a little less saturated, which networks
know well, while a matrix would push the most saturated colours out of the range that they see.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

from deblurcli.arrays import Picture
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import PQ, SPACES, Space
from deblurcli.photo.transfer import linear_to_srgb

POINTS = 4096
NEAR = 0.035
"""Curves that differ less from sRGB's, encoded, are seen as they are: a pure 2.2 does, in the blackest shadows only."""
_NAMES = (b"rTRC", b"gTRC", b"bTRC")

Channel = NDArray[np.float64]
"""(POINTS,) values at evenly spaced codes from 0 to 1."""


Transfer = Literal["auto", "srgb", "linear"]


class View:
    """From a file's values to what the network is shown, channel by channel, and back."""

    def __init__(self, shown: Sequence[Channel]) -> None:
        """``shown``: for red, green and blue, what is shown for evenly spaced codes; in [0, 1], never falling."""
        codes = np.linspace(0, 1, POINTS)
        self._there = [(codes, channel) for channel in shown]
        # Where many codes look the same, as beyond the brightest that can be shown, the way back leads to the first.
        rising = (np.concatenate([[True], np.diff(channel) > 0]) for channel in shown)
        self._back = [(channel[which], codes[which]) for channel, which in zip(shown, rising, strict=True)]

    def show(self, picture: Picture) -> Picture:
        """(H, W, 3) values of the file → what is shown, both in [0, 1]."""
        return _mapped(picture, self._there)

    def back(self, shown: Picture) -> Picture:
        """The way back. What is beyond [0, 1] goes on as steeply as the curve ends."""
        return _mapped(shown, self._back)


def _mapped(picture: Picture, tables: list[tuple[Channel, Channel]]) -> Picture:
    result = np.empty_like(picture)
    for c, (x, y) in enumerate(tables):
        values = picture[..., c]
        inside = np.interp(values, x, y)
        for end, inner in ((0, 1), (-1, -2)):
            beyond = values - x[end]
            slope = (y[inner] - y[end]) / (x[inner] - x[end])
            inside += slope * (np.minimum(beyond, 0) if end == 0 else np.maximum(beyond, 0))
        result[..., c] = inside
    return result


def view_of(photo: Photo, transfer: Transfer = "auto") -> View | None:
    """How a photo has to be shown to a network; None for as it is.

    Args:
        transfer: "srgb" is as it is, "linear" for values in linear light, and "auto" for what its profile says; values
            without one are taken for sRGB's.
    """
    if transfer == "srgb":
        return None
    if transfer == "linear":
        return _view([np.linspace(0, 1, POINTS)] * 3)
    if photo.cicp:
        # HLG was made to be shown on screens that know nothing of it; PQ is shown as if it were HLG of 1000 cd/m².
        return View([_hlg(_pq(np.linspace(0, 1, POINTS)) * 10)] * 3) if photo.cicp[1] == PQ else None
    curves = read_curves(photo.icc) if photo.icc else None
    return _view(curves) if curves and max(map(_difference, curves)) > NEAR else None


def _view(curves: list[Channel]) -> View:
    return View([np.maximum.accumulate(linear_to_srgb(np.clip(curve, 0, 1))) for curve in curves])


def _difference(curve: Channel) -> float:
    """How far apart the same light is encoded, at most, by this curve and by sRGB's."""
    light = np.linspace(0, 1, POINTS)
    return float(np.abs(np.interp(light, curve, np.linspace(0, 1, POINTS)) - linear_to_srgb(light)).max())


def decode(space: Space, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Encoded values of a space → linear light; values outside [0, 1] are mirrored at 0 and extended."""
    values = list(space.curve)
    linear = parametric(np.abs(encoded), 3 if len(values) > 1 else 0, values)
    return np.copysign(linear, encoded).astype(np.float32)


def known_space(icc: bytes) -> Space | None:
    """The one of ``profiles.SPACES`` that a profile describes, as closely as profiles of one space agree."""
    curves = read_curves(icc)
    return next((s for s in SPACES.values() if curves and _describes(icc, curves, s)), None)


def _describes(icc: bytes, curves: list[Channel], space: Space) -> bool:
    codes = np.linspace(0, 1, POINTS)
    own = decode(space, codes.astype(np.float32))
    if max(float(np.abs(curve - own).max()) for curve in curves) > 0.004:
        return False
    if icc[16:20] == b"GRAY":
        return space == SPACES["srgb"]
    profile: Any = ImageCms.ImageCmsProfile(BytesIO(icc)).profile
    found = (profile.red_colorant, profile.green_colorant, profile.blue_colorant)
    colorants = (space.adaptation() @ space.to_xyz()).T
    return None not in found and bool(np.abs(np.array([colorant[0] for colorant in found]) - colorants).max() < 0.003)


def read_curves(icc: bytes) -> list[Channel] | None:
    """The three channels' curves, encoded → linear light; None for a profile of another kind, or a damaged one.

    Profiles of printers and scanners have tables in the place of curves; what they describe is display-referred.
    """
    try:
        tags = read_tags(icc)
        names = (b"kTRC",) * 3 if icc[16:20] == b"GRAY" else _NAMES
        if icc[16:20] not in (b"RGB ", b"GRAY") or not set(names) <= tags.keys():
            return None
        return [_curve(tags[name]) for name in names]
    except (struct.error, ValueError, IndexError, ZeroDivisionError, FloatingPointError):
        return None


def read_tags(icc: bytes) -> dict[bytes, bytes]:
    """Name → content of a profile's tags. Raises struct.error where it is damaged."""
    (number,) = struct.unpack_from(">I", icc, 128)
    table = (struct.unpack_from(">4sII", icc, 132 + 12 * n) for n in range(min(number, 1000)))
    return {name: icc[start : start + length] for name, start, length in table}


def _curve(tag: bytes) -> Channel:
    codes = np.linspace(0, 1, POINTS)
    if tag[:4] == b"curv":
        (number,) = struct.unpack_from(">I", tag, 8)
        if number == 0:
            return codes
        if number == 1:
            return codes ** (struct.unpack_from(">H", tag, 12)[0] / 256)
        table = np.frombuffer(tag, ">u2", number, 12) / 65535
        return np.interp(codes, np.linspace(0, 1, number), table)
    if tag[:4] != b"para":
        raise ValueError("a curve of no known kind")
    (kind,) = struct.unpack_from(">H", tag, 8)
    number = (1, 3, 4, 5, 7)[kind]
    values = [value / 65536 for value in struct.unpack_from(f">{number}i", tag, 12)]
    return parametric(codes, kind, values)


def parametric(codes: Channel, kind: int, values: list[float]) -> Channel:
    """The curves of ICC.1:2010, 10.16: encoded → linear light."""
    g, a, b, c, d, e, f = (values + [0.0] * 7)[:7] if kind else (values[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    if kind in (1, 2):
        c, d, e, f = 0.0, -b / a, c, c
    elif kind == 3:
        e = f = 0.0
    return np.where(codes >= d, np.maximum(a * codes + b, 0) ** g + e, c * codes + f)


def _pq(codes: Channel) -> Channel:
    """SMPTE ST 2084: encoded → light, 1 is 10000 cd/m²."""
    root = codes ** (1 / 78.84375)
    return (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)


def _hlg(light: Channel) -> Channel:
    """ARIB STD-B67: light, cut at 1 → encoded."""
    light = np.clip(light, 0, 1)
    high = 0.17883277 * np.log(np.maximum(12 * light, 1) - 0.28466892) + 0.55991073
    return np.where(light <= 1 / 12, np.sqrt(3 * light), high)
