"""The header of a JPEG XL code stream: how large the picture is, and what its colours are (ISO/IEC 18181-1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deblurcli.photo.profiles import BT709_CURVE, BT2020, D65, SPACES, SRGB_CURVE, Space

_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_WHITES = {1: D65, 10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}
_PRIMARIES = {1: SPACES["srgb"].primaries, 9: BT2020, 11: SPACES["p3"].primaries}
_CURVES = {1: BT709_CURVE, 8: (1.0,), 13: SRGB_CURVE, 17: (2.6,)}
_CUSTOM, _ALPHA, _GRAY = 2, 0, 1
_XY = ((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_DEPTH = ((8, 0), (10, 0), (12, 0), (1, 6))
_FLOAT_DEPTH = ((32, 0), (16, 0), (24, 0), (1, 6))


@dataclass
class Header:
    """What a code stream says of itself before the pixels.

    ``space`` is None for sRGB and for gray with its curve; ``cicp`` as in Photo; ``profile`` tells of an ICC profile.
    ``depth``, ``colours`` and ``end`` are bit positions: where these parts begin and end, and the header ends.
    """

    width: int = 0
    height: int = 0
    animated: bool = False
    channels: int = 3
    space: Space | None = None
    cicp: tuple[int, int] | None = None
    profile: bool = False
    gray: bool = False
    turned: bool = False
    depth: tuple[int, int] = (0, 0)
    colours: tuple[int, int] = (0, 0)
    end: int = 0


class _Bits:
    """Numbers from a code stream, lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.position, self.end = int.from_bytes(data, "little"), 0, 8 * len(data)

    def __call__(self, count: int) -> int:
        value = self.value >> self.position & ((1 << count) - 1)
        self.position += count
        if self.position > self.end:
            raise ValueError("its header is cut short")
        return value

    def choice(self, *ways: tuple[int, int]) -> int:
        """One of four (offset, bits): the offset plus a number of so many bits."""
        offset, bits = ways[self(2)]
        return offset + self(bits)

    def enum(self) -> int:
        return self.choice(*_ENUM)

    def xy(self) -> tuple[float, float]:
        x, y = (self.choice(*_XY) for _ in range(2))
        return tuple((v >> 1 ^ -(v & 1)) / 1e6 for v in (x, y))  # type: ignore[return-value]


def read_header(codestream: bytes) -> Header:
    """The header of a code stream, from its first bytes. Raises ValueError where it makes no sense."""
    if codestream[:2] != b"\xff\x0a":
        raise ValueError("no JPEG XL code stream")
    bits, header = _Bits(codestream[2:]), Header()
    header.width, header.height = _size(bits)
    if bits(1):  # all as usual
        return header
    if bits(1):
        header.turned = bits(3) != 0  # the decoder turns it
        if bits(1):
            _size(bits)
        if bits(1):
            raise ValueError("it has a preview, which is not supported")
        header.animated = bool(bits(1))
        if header.animated:
            _skip_animation(bits)
    header.depth = bits.position, _skip_depth(bits)
    bits(1)
    extra = bits.choice((0, 0), (1, 0), (2, 4), (1, 12))
    for _ in range(extra):
        _skip_extra_channel(bits)
    bits(1)  # whether colours are stored as XYB
    start = bits.position
    _read_colours(bits, header)
    header.colours = start, bits.position
    header.channels += extra
    return header


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits(1)

    def side() -> int:
        return (bits(5) + 1) * 8 if small else bits.choice((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits(3)
    width = height * _RATIOS[ratio][0] // _RATIOS[ratio][1] if ratio else side()
    return width, height


def _skip_animation(bits: _Bits) -> None:
    bits.choice((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.choice((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.choice((0, 0), (0, 3), (0, 16), (0, 32))
    bits(1)


def _skip_depth(bits: _Bits) -> int:
    if bits(1):
        bits.choice(*_FLOAT_DEPTH)
        bits(4)
    else:
        bits.choice(*_DEPTH)
    return bits.position


def _skip_extra_channel(bits: _Bits) -> None:
    if bits(1):  # alpha of 8 bits
        return
    kind = bits.enum()
    _skip_depth(bits)
    bits.choice((0, 0), (3, 0), (4, 0), (1, 3))
    bits(8 * bits.choice((0, 0), (0, 4), (16, 5), (48, 10)))
    if kind == _ALPHA:
        bits(1)
    elif kind in (2, 5):
        raise ValueError("it has spot colours or a mosaic, which is not supported")


def _read_colours(bits: _Bits, header: Header) -> None:
    if bits(1):  # sRGB
        return
    header.profile = bool(bits(1))
    kind = bits.enum()
    header.gray = kind == _GRAY
    header.channels = 1 if header.gray else 3
    if header.profile:
        return
    if kind > 1:
        raise ValueError("its colours are of no known kind")
    white_number = bits.enum()
    white = bits.xy() if white_number == _CUSTOM else _WHITES[white_number]
    primaries, number = SPACES["srgb"].primaries, 1
    if kind == 0:
        number = bits.enum()
        primaries = (bits.xy(), bits.xy(), bits.xy()) if number == _CUSTOM else _PRIMARIES[number]
    if bits(1):
        curve: tuple[float, ...] = (1e7 / bits(24),)
    elif (transfer := bits.enum()) in (16, 18):
        header.cicp = ({11: 12}.get(number, number), transfer)
        bits.enum()
        return
    else:
        curve = _CURVES[transfer]
    space = Space("JPEG XL colours", primaries, white, curve).named()
    bits.enum()  # rendering intent
    header.space = None if space == SPACES["srgb"] else space


def restated(codestream: bytes, space: Space, depth: int) -> bytes:
    """A code stream whose header states other colours and another depth: 8, 16, or 32 for floats.

    Pixels stay as they are, so they have to be of that space already, or stored as XYB, which is independent of it.
    Raises ValueError where the header holds more than encoders usually write.
    """
    header = read_header(codestream[:1024])
    bits = _Bits(codestream[2:1026])
    bits.position = header.colours[1]
    if not header.colours[1] or bits(2) or not bits(1):
        raise ValueError("its header is of an unusual kind")
    end = bits.position
    old = f"{bits.value & ((1 << end) - 1):0{end}b}"[::-1]
    (first, last), (start, stop) = header.depth, header.colours
    new = old[:first] + _depth_bits(depth) + old[last:start] + _colour_bits(space, header.gray) + old[stop:end]
    packed = int(new[::-1], 2).to_bytes((len(new) + 7) // 8, "little")
    return codestream[:2] + packed + codestream[2 + (end + 7) // 8 :]


def _number(value: int, count: int) -> str:
    return f"{value:0{count}b}"[::-1] if count else ""


def _choice(value: int, ways: tuple[tuple[int, int], ...]) -> str:
    place = next(n for n, (offset, bits) in enumerate(ways) if offset <= value < offset + (1 << bits))
    offset, bits = ways[place]
    return _number(place, 2) + _number(value - offset, bits)


def _depth_bits(depth: int) -> str:
    return "1" + _choice(32, _FLOAT_DEPTH) + _number(7, 4) if depth == 32 else "0" + _choice(depth, _DEPTH)


def _colour_bits(space: Space, gray: bool) -> str:
    def xy(corner: tuple[float, float]) -> str:
        return "".join(_choice(round(value * 1e6) * 2, _XY) for value in corner)

    def named(value: object, names: dict[int, Any], custom: str) -> str:
        number = next((n for n, known in names.items() if known == value), _CUSTOM)
        return _choice(number, _ENUM) + custom * (number == _CUSTOM)

    text = "00" + _choice(int(gray), _ENUM) + named(space.white, _WHITES, xy(space.white))
    if not gray:
        text += named(space.primaries, _PRIMARIES, "".join(map(xy, space.primaries)))
    if space.curve in _CURVES.values():
        text += "0" + named(space.curve, _CURVES, "")
    else:
        text += "1" + _number(round(1e7 / space.curve[0]), 24)
    return text + _choice(1, _ENUM)  # relative colorimetric
