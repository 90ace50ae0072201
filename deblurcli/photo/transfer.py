"""Code values ↔ floats (the only rounding rule of the project) and the sRGB transfer curve.

The curve functions work on NumPy arrays and on PyTorch tensors alike and import neither library's twin.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from deblurcli.arrays import Picture, Pixels

Array = TypeVar("Array", bound=Any)


def to_float(pixels: Pixels) -> Picture:
    """Codes of any depth → float32 where 1.0 is white. Floats are passed through unclipped, as float32.

    Args:
        pixels: any shape; uint8 (0…255), uint16 (0…65535) or float.
    """
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    return pixels.astype(np.float32) * np.float32(1 / np.iinfo(pixels.dtype).max)


def to_codes(picture: Picture, dtype: np.dtype | type) -> Pixels:
    """Floats where 1.0 is white → codes: clipped to [0, 1], then rounded to the nearest code (half to even).

    For a float ``dtype`` the values are kept as they are, not clipped. ``to_codes(to_float(p), p.dtype)`` is ``p``
    for every code of every depth. Not-a-number becomes 0.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return picture.astype(dtype, copy=False)
    scaled = np.fmax(picture, 0)  # of a number and not-a-number it is the number
    np.minimum(scaled, 1, out=scaled)
    scaled *= np.float32(np.iinfo(dtype).max)
    return np.rint(scaled, out=scaled).astype(dtype)


def as_depth(codes: Pixels, dtype: np.dtype | type) -> Pixels:
    """The same values as codes of another depth, or a copy of them; a few rows at a time are floats."""
    made = np.empty(codes.shape, dtype)
    for top in range(0, len(codes), 256):
        made[top : top + 256] = to_codes(to_float(codes[top : top + 256]), dtype)
    return made


def full_range(codes: Pixels, bits: int) -> Pixels:
    """Codes 0…2**bits - 1 → the nearest ones over the full range of their type. (8 or 16 bits stay as they are.)"""
    if bits == codes.dtype.itemsize * 8:
        return codes
    table = np.rint(np.linspace(0, np.iinfo(codes.dtype).max, 2**bits)).astype(codes.dtype)
    return table[codes]


def from_video_range(codes: Pixels) -> Pixels:
    """Codes of video's narrow range (16 is black, 235 white in 8 bits) → the full range of their type.

    What is darker than black or lighter than white becomes black and white.
    """
    step = 2 ** (codes.dtype.itemsize * 8 - 8)
    every = np.arange(np.iinfo(codes.dtype).max + 1, dtype=np.float32)
    return to_codes((every - 16 * step) / np.float32(219 * step), codes.dtype)[codes]


def srgb_to_linear(encoded: Array) -> Array:
    """sRGB-encoded [0, 1] → linear light [0, 1] (IEC 61966-2-1). Values outside are extended, not clipped."""
    low = encoded <= 0.04045
    return low * (encoded / 12.92) + ~low * (((abs(encoded) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Array) -> Array:
    """Linear light [0, 1] → sRGB-encoded [0, 1] (IEC 61966-2-1). Values outside are extended, not clipped."""
    low = linear <= 0.0031308
    return low * (linear * 12.92) + ~low * (1.055 * abs(linear) ** (1 / 2.4) - 0.055)
