"""The inverse kernel that a network applied at a pixel, put together from its maps and its atoms."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mixture:
    """What inverse kernels are mixed of: k† = δ + Σ_r μ_r Σ_n w_rn ω_n v_n^r, at one or more sizes of the photo.

    Attributes:
        atoms: v, one (N, k, k) for each kernel size r, smallest first.
        weights: w, (R, N): what the network multiplies atoms by, for gray: the sum over colours that go in, averaged
            over those that come out.
    """

    atoms: tuple[Floats, ...]
    weights: Floats

    @classmethod
    def of(cls, kernels: dict[str, Floats]) -> Mixture | None:
        """The mixture that a backend's kernels belong to; None if the network mixes no atoms."""
        sizes = sorted(int(name.removeprefix("atoms_")) for name in kernels if name.startswith("atoms_"))
        if not sizes:
            return None
        atoms = tuple(kernels[f"atoms_{size}"] for size in sizes)
        colours = kernels.get("contraction")  # (3, R, 3, N)
        weights = np.ones((len(atoms), len(atoms[0])), np.float32) if colours is None else colours.sum(2).mean(0)
        return cls(atoms, weights)

    def reach(self, levels: int) -> int:
        """How far kernels at ``levels`` sizes of the photo (1, 1/2, 1/4 …) reach around their pixel, px."""
        half, step = self.atoms[-1].shape[-1] // 2, 2 ** (levels - 1)
        return half * step + ceil(1.5 * (step - 1))

    def kernel(self, mu: Floats, omega: Floats, row: int, column: int, scale: int = 1) -> NDArray[np.float64]:
        """The kernel at a pixel, to be laid over the photo's pixels around it and summed (correlation).

        At 1/2, 1/4 …, a pixel's value is interpolated between four responses to averages of the photo. All of that is
        part of the kernel, so that it is exact up to where the photo's border is mirrored.

        Args:
            mu: (L · (1 + R), h, w), at each level the null kernel first. omega: (L · N, h, w).
            row, column: of the pixel in the photo.
            scale: each value of the maps is that of a block of this side, px.

        Returns:
            (2 reach + 1, 2 reach + 1), the pixel in the middle.
        """
        levels = len(omega) // len(self.atoms[0])
        reach, half = self.reach(levels), self.atoms[-1].shape[-1] // 2
        kernel = np.zeros((2 * reach + 1,) * 2)
        kernel[reach, reach] = 1
        shares = mu[:, row // scale, column // scale].reshape(levels, -1)[:, 1:].astype(np.float64)
        strengths = omega.reshape(levels, -1, *omega.shape[1:])
        for level in range(levels):
            step = 2**level
            for i, down in _between(row, step, scale, mu.shape[1]):
                for j, right in _between(column, step, scale, mu.shape[2]):
                    strength = strengths[level, :, i * step // scale, j * step // scale]
                    taps = np.zeros((2 * half + 1,) * 2)
                    for share, weight, atoms in zip(shares[level], self.weights, self.atoms, strict=True):
                        edge = half - atoms.shape[-1] // 2
                        inner = slice(edge, 2 * half + 1 - edge)
                        taps[inner, inner] += share * np.tensordot(weight * strength, atoms, 1)
                    top, left = ((q - half) * step - at + reach for q, at in ((i, row), (j, column)))
                    side = len(taps) * step
                    averaged = np.kron(taps, np.ones((step, step))) / step**2
                    kernel[top : top + side, left : left + side] += down * right * averaged
        return kernel


def _between(at: int, step: int, scale: int, blocks: int) -> list[tuple[int, float]]:
    """The pixels of a picture scaled down by ``step`` that bilinear interpolation takes for pixel ``at``; weights."""
    place = (at + 0.5) / step - 0.5
    first, part = floor(place), place - floor(place)
    last = (blocks * scale - 1) // step
    found = [(min(max(q, 0), last), weight) for q, weight in ((first, 1 - part), (first + 1, part))]
    return [(q, weight) for q, weight in found if weight]
