"""RGB colour spaces, and ICC profiles of them: three primaries and a curve, as ICC.1:2010 (version 4.3) has them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""g, a, b, c, d of IEC 61966-2-1: encoded x → (a x + b)^g from d on, c x below."""

D50 = (0.9642, 1.0, 0.8249)
"""XYZ of the white that all ICC profiles refer to."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Space:
    """An RGB colour space.

    Attributes:
        title: its name, which viewers show.
        primaries: CIE x, y of red, green and blue. white: CIE x, y of the white point.
        curve: the exponent of a pure power, or the five numbers of a curve like sRGB's: encoded → linear.
    """

    title: str
    primaries: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    white: tuple[float, float]
    curve: tuple[float, ...]

    def named(self) -> Space:
        """The same space from ``SPACES``, give or take rounding, if it is there, or this one."""
        return next((s for s in SPACES.values() if self._resembles(s)), self)

    def _resembles(self, other: Space) -> bool:
        own, others = ((*np.ravel(s.primaries), *s.white, *s.curve) for s in (self, other))
        return len(own) == len(others) and bool(np.allclose(own, others, rtol=0, atol=1e-4))

    def to_xyz(self) -> NDArray[np.float64]:
        """The matrix (3, 3) from linear RGB to XYZ under this space's own white (SMPTE RP 177)."""
        corners = np.array([_xyz(*corner) for corner in self.primaries]).T
        return corners * np.linalg.solve(corners, _xyz(*self.white))

    def adaptation(self) -> NDArray[np.float64]:
        """The matrix (3, 3) that takes XYZ under this space's white to XYZ under D50 (Bradford)."""
        cones = (BRADFORD @ D50) / (BRADFORD @ _xyz(*self.white))
        return np.linalg.inv(BRADFORD) @ np.diag(cones) @ BRADFORD


D65 = (0.3127, 0.3290)
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
SPACES = {
    "srgb": Space("sRGB IEC61966-2.1", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), D65, SRGB_CURVE),
    "p3": Space("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), D65, SRGB_CURVE),
    "adobe": Space("Adobe RGB (1998)", ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, (563 / 256,)),
    # ROMM RGB, with the plain power that the usual profiles of it have.
    "prophoto": Space("ProPhoto RGB", ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (0.3457, 0.3585), (1.8,)),
}


# ITU-T H.273: numbers of primaries and of transfer characteristics, as PNG, AVIF and HEIF files give them.
_CICP_PRIMARIES = {
    1: SPACES["srgb"].primaries,
    9: BT2020,
    12: SPACES["p3"].primaries,
}
_CICP_CURVES = {4: (2.2,), 5: (2.8,), 8: (1.0,), 13: SRGB_CURVE, **dict.fromkeys((1, 6, 14, 15), BT709_CURVE)}
UNSPECIFIED, PQ, HLG = 2, 16, 18


def means_colours(primaries: int, transfer: int) -> bool:
    """Whether these numbers are known to mean colours, be it HDR."""
    if transfer in (PQ, HLG):
        return True
    try:
        icc_of_cicp(primaries, transfer)
    except ValueError:
        return False
    return UNSPECIFIED not in (primaries, transfer)


def icc_of_cicp(primaries: int, transfer: int) -> bytes | None:
    """An ICC profile that says what these numbers do; None for sRGB, which needs none.

    Raises:
        ValueError: they mean something that no such profile can say, as PQ and HLG do.
    """
    primaries, transfer = (1 if primaries == UNSPECIFIED else primaries), (13 if transfer == UNSPECIFIED else transfer)
    if (primaries, transfer) == (1, 13):
        return None
    if primaries not in _CICP_PRIMARIES or transfer not in _CICP_CURVES:
        raise ValueError(f"colour primaries {primaries} with transfer characteristics {transfer}")
    space = Space(f"CICP {primaries}-{transfer}", _CICP_PRIMARIES[primaries], D65, _CICP_CURVES[transfer])
    return profile_of(space.named())


def icc_profile(name: str) -> bytes:
    """The ICC profile of one of ``SPACES``."""
    return profile_of(SPACES[name])


@cache
def profile_of(space: Space) -> bytes:
    """An ICC profile of a space; the same bytes each time."""
    adaptation = space.adaptation()
    colorants = (adaptation @ space.to_xyz()).T
    kind = 0 if len(space.curve) == 1 else 3
    curve = struct.pack(">4s4xHH", b"para", kind, 0) + b"".join(map(_fixed, space.curve))
    tags = {
        b"desc": _text(space.title),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz_type(D50),
        b"chad": b"sf32\0\0\0\0" + b"".join(_fixed(v) for v in adaptation.flat),
        **{letter + b"XYZ": _xyz_type(values) for letter, values in zip((b"r", b"g", b"b"), colorants, strict=True)},
        **{letter + b"TRC": curve for letter in (b"r", b"g", b"b")},
    }
    return _assemble(tags)


def _assemble(tags: dict[bytes, bytes]) -> bytes:
    """A display profile of these tags; equal ones share their place."""
    table, body, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        if content not in places:
            places[content] = start + len(body)
            body += content + bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, places[content], len(content))
    size = start + len(body)
    header = struct.pack(">I4xI4s4s4s", size, 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp")  # no clock: equal spaces, equal bytes
    header = header.ljust(68, b"\0") + b"".join(map(_fixed, D50))
    return header.ljust(128, b"\0") + table + body


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz_type(values: tuple[float, ...] | NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(float(v)) for v in values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(encoded), 28) + encoded
