"""The inverse kernel that was applied at a pixel, put together from the maps of all copies of the photo, and its atoms.

What a pixel became is a weighted sum. So it is followed backwards: from the pixel to what was changed in each copy
(``scales``), from there to the responses of atoms to ever smaller pictures, and from these to the photo's pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Maps

Floats = NDArray[np.float32]
Weights = defaultdict[tuple[int, int], float]  # how much pixels count
Responses = Mapping[tuple[int, int], NDArray[np.float64]]  # by pixel


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

    def reach(self, levels: int, scales: int = 1) -> int:
        """How far kernels reach around their pixel at most, px.

        Args:
            levels: how many sizes (1, 1/2, 1/4 …) of each copy atoms are applied to. scales: how many copies there are.
        """
        half, step = self.atoms[-1].shape[-1] // 2, 2 ** (levels - 1)
        return (half * step + ceil(1.5 * (step - 1)) + 2) * 2 ** (scales - 1) - 2

    def kernel(self, copies: Sequence[Maps], row: int, column: int, scale: int = 1) -> NDArray[np.float64]:
        """The kernel at a pixel, to be laid over the photo's pixels around it and summed (correlation).

        All copies and all interpolation between their pixels are part of it, so that it is exact for gray, and for the
        brightness of colours, up to where the photo's border is mirrored.

        Args:
            copies: the maps of the photo and, where there are any, its copies at 1/2, 1/4 …: "mu", (L · (1 + R), h, w),
                at each level the null kernel first, "omega", (L · N, h, w), and perhaps "coarse_trust", (1, h, w).
            row, column: of the pixel in the photo.
            scale: each value of "mu" and "omega" is that of a block that covers so many px of the photo each way, at
                least one of its copy's.

        Returns:
            (2 reach + 1, 2 reach + 1), the pixel in the middle.
        """
        reach = self.reach(len(copies[0]["omega"]) // len(self.atoms[0]), len(copies))
        kernel = np.zeros((2 * reach + 1,) * 2)
        kernel[reach, reach] = 1
        for halved, responses in self._responses(copies, row, column, scale).items():
            step, side = 2**halved, self.atoms[-1].shape[-1]
            top, left = (min(places) for places in zip(*responses, strict=True))
            bottom, right = (max(places) + side for places in zip(*responses, strict=True))
            taps = np.zeros((bottom - top, right - left))
            for (i, j), response in responses.items():
                taps[i - top : i - top + side, j - left : j - left + side] += response
            spread = np.kron(taps, np.ones((step, step))) / step**2
            first, second = ((q - side // 2) * step - at + reach for q, at in ((top, row), (left, column)))
            kernel[first : first + len(spread), second : second + spread.shape[1]] += spread
        return kernel

    def _responses(self, copies: Sequence[Maps], row: int, column: int, scale: int) -> Mapping[int, Responses]:
        """What is done to the photo halved 0, 1, 2 … times: the pixels of that, and a kernel (k, k) around each."""
        found: Mapping[int, Responses] = defaultdict(lambda: defaultdict(lambda: np.zeros(self.atoms[-1].shape[-2:])))
        weights: Weights = defaultdict(float, {(row, column): 1.0})  # of D in this copy
        for nth, maps in enumerate(copies):
            mu, omega, trust = maps["mu"], maps["omega"], maps.get("coarse_trust")
            block = max(scale >> nth, 1)
            height, width = (blocks * block for blocks in mu.shape[1:]) if trust is None else trust.shape[1:]
            # D = Δ + ↑((1 − α) · (C − ↓Δ)), backwards: these are of C, and those of D become those of Δ.
            coarser: Weights = defaultdict(float)
            if nth + 1 < len(copies):
                for (i, j), weight in weights.items():
                    for a, b, share in _between(i, j, 2, height, width):
                        missing = 0.5 if trust is None else 1 - float(trust[0, 2 * a, 2 * b])
                        coarser[a, b] += weight * share * missing
                for (a, b), weight in coarser.items():
                    for i, j in product((2 * a, 2 * a + 1), (2 * b, 2 * b + 1)):
                        weights[i, j] -= weight / 4
            for level in range(len(omega) // len(self.atoms[0])):
                for (i, j), shares in self._shares(weights, mu, level, block, height, width).items():
                    step, n = 2**level, len(self.atoms[0])
                    strength = _at(omega[level * n : (level + 1) * n], i * step, j * step, block)
                    taps = found[nth + level][i, j]
                    for share, weight, atoms in zip(shares, self.weights, self.atoms, strict=True):
                        edge = (len(taps) - atoms.shape[-1]) // 2
                        inner = slice(edge, len(taps) - edge)
                        taps[inner, inner] += share * np.tensordot(weight * strength, atoms, 1)
            weights = coarser
        return found

    def _shares(self, weights: Weights, mu: Floats, level: int, block: int, height: int, width: int) -> Responses:
        """How much each kernel size counts, (R,), at pixels of a copy (height, width) halved ``level`` times."""
        sizes = len(self.atoms)
        used = mu[level * (1 + sizes) + 1 : (level + 1) * (1 + sizes)]
        found: Responses = defaultdict(lambda: np.zeros(sizes))
        for (i, j), weight in weights.items():
            shares = weight * _at(used, i, j, block)
            for a, b, share in _between(i, j, 2**level, height, width):
                found[a, b] += share * shares
        return found


def _at(planes: Floats, row: int, column: int, block: int) -> NDArray[np.float64]:
    """Values (C,) of maps (C, h, w) in the block that a pixel lies in; beyond the last they are the last one's."""
    i, j = (min(at // block, blocks - 1) for at, blocks in zip((row, column), planes.shape[1:], strict=True))
    return planes[:, i, j].astype(np.float64)


def _between(row: int, column: int, step: int, height: int, width: int) -> Iterator[tuple[int, int, float]]:
    """The pixels of a picture (height, width) scaled down by ``step`` that bilinear interpolation takes; weights."""
    for (i, down), (j, right) in product(_along(row, step, height), _along(column, step, width)):
        yield i, j, down * right


def _along(at: int, step: int, length: int) -> list[tuple[int, float]]:
    place = (at + 0.5) / step - 0.5
    first, part = floor(place), place - floor(place)
    last = (length - 1) // step
    found = [(min(max(q, 0), last), weight) for q, weight in ((first, 1 - part), (first + 1, part))]
    return [(q, weight) for q, weight in found if weight]
