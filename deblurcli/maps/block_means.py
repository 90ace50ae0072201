"""Maps of whole photos, put together tile by tile and small enough to keep. NumPy only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Maps
from deblurcli.networks.spec import MapSpec
from deblurcli.tiling import Region

Floats = NDArray[np.float32]


class BlockMeans:
    """A map put together from regions, each block of ``scale`` × ``scale`` px averaged: few bytes for many channels.

    Args:
        channels, height, width: of the map, px.
        scale: side of the blocks, px.
        file: a new .npy file that holds it, float32, so that memory does not have to; None for memory.
    """

    def __init__(self, channels: int, height: int, width: int, scale: int, file: Path | None = None) -> None:
        self.scale, self.file = scale, file
        # How many pixels blocks have along each axis: those at the end may have fewer.
        self._heights, self._widths = (
            np.diff(np.r_[np.arange(0, side, scale), side]).astype(np.float32) for side in (height, width)
        )
        shape = channels, len(self._heights), len(self._widths)
        if file:
            np.lib.format.open_memmap(file, "w+", np.float32, shape)  # zeros
        else:
            self._means = np.zeros(shape, np.float32)

    def add(self, region: Region, values: Floats) -> None:
        """Adds (region.height, region.width, C); every pixel of the map is to be added once."""
        rows, columns = self._blocks(region.top, region.bottom), self._blocks(region.left, region.right)
        by_row = np.add.reduceat(values, self._starts(rows, region.top), axis=0)
        sums = np.add.reduceat(by_row, self._starts(columns, region.left), axis=1)
        rows, columns = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
        sums /= (self._heights[rows, None] * self._widths[columns])[..., None]
        self._open("r+")[:, rows, columns] += np.moveaxis(sums, -1, 0)

    def means(self) -> Floats:
        """(C, ⌈H/scale⌉, ⌈W/scale⌉); of a file, what is looked at is read."""
        return self._open("r")

    def _open(self, mode: Literal["r", "r+"]) -> Floats:
        # Opened for each region and not kept open: pages that stay mapped count as memory of the program's.
        return np.lib.format.open_memmap(self.file, mode) if self.file else self._means

    def _blocks(self, first: int, end: int) -> range:
        return range(first // self.scale, -(-end // self.scale))

    def _starts(self, blocks: range, offset: int) -> list[int]:
        return [max(block * self.scale - offset, 0) for block in blocks]


class Planes:
    """The maps of a photo, or of a halved copy of it, put together from those of its tiles.

    Args:
        specs: those asked for.
        height, width: of the copy, px. level: how many times it was halved.
        scale: side of the blocks that maps of several channels are averaged over, px of the photo.
        folder: where they are kept in files; None for memory.
        single: side of the blocks that maps of one channel are averaged over, px of the photo.

    Attributes:
        names: of all. channels: of those with a value per pixel.
        sizes: names of those that tell the next finer copy lengths in px. They come first.
    """

    def __init__(
        self,
        specs: tuple[MapSpec, ...],
        height: int,
        width: int,
        level: int,
        scale: int,
        folder: Path | None,
        single: int = 1,
    ) -> None:
        self.specs, self.names = specs, [m.name for m in specs]
        self._local = sorted((m for m in specs if not m.per_photo), key=lambda m: not m.across_scales)
        self.sizes = [m.name for m in self._local if m.across_scales]
        self.channels = sum(m.channels for m in self._local)
        self._constants: dict[str, list[Floats]] = {m.name: [] for m in specs if m.per_photo}
        self._planes: dict[str, BlockMeans] = {}
        for m in self._local:
            file = folder and folder / (f"{m.name}-{level}.npy" if level else f"{m.name}.npy")
            side = max((scale if m.channels > 1 else single) >> level, 1)
            self._planes[m.name] = BlockMeans(m.channels, height, width, side, file)

    def lay(self, maps: Maps, layers: Floats) -> None:
        """Puts a tile's maps side by side, (h, w, channels); notes down what has one value for the whole photo."""
        for name, values in self._constants.items():
            values.append(maps[name])
        first = 0
        for m in self._local:
            layers[..., first : first + m.channels] = np.moveaxis(maps[m.name], 0, -1)
            first += m.channels

    def add(self, region: Region, values: Floats) -> None:
        """What was laid side by side, in a region of the copy: (h, w, channels)."""
        first = 0
        for m in self._local:
            self._planes[m.name].add(region, values[..., first : first + m.channels])
            first += m.channels

    def maps(self) -> Maps:
        """All of them. Tiles have the same constants, unless the result is approximate."""
        found = {name: np.mean(values, axis=0) for name, values in self._constants.items()}
        found |= {name: plane.means() for name, plane in self._planes.items()}
        return {m.name: found[m.name] for m in self.specs}
