"""Photos of any size through a network of any appetite: a plan of tiles, and tiles joined without seams. NumPy only.

The photo is thought of as lying in the top left corner of a **canvas**, whose sides suit the network: multiples of
what it downsamples by. Beyond the photo the canvas shows its mirror image. An untiled run is one tile that is the
whole canvas, so tiled and untiled runs see the same pixels on the same downsampling grid. Each tile has four regions:

* ``input``, what the network sees. Inputs of neighbours overlap; all inputs of a plan have the same size.
* ``window``, what is used of its output: core and ramps, at least a halo away from where the picture was cut.
* ``core``, what is final once the tile is done. Cores cover the photo exactly once.
* ``share``, what counts of it in an average: the core, its borders moved right and down to the network's grid. Shares
  cover the canvas exactly once, for that is what an untiled network averages over.

::

    left tile    input  ├────────────────────────────────────┤
                 core   ├────────────────────────┤
    right tile   input                      ├────────────────────────────────────┤
                 core                             ├──────────────────────────────┤
    overlap                                 ├halo┤├ramp┤├halo┤

Neighbours' windows share a ramp of ``blend`` px, where the later tile is faded in over the earlier: ``a + w (b - a)``.
So weights add up to one without being divided by their sum, and where both agree, the result is theirs to the last bit.
Only ramps are kept from one tile to the next: memory grows with the tile and the photo's width, not with its area.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from math import isqrt, prod
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from deblurcli.errors import TileTooLargeError, UsageError

LARGEST_TILE = 2048  # px, of those chosen without being asked for

Floats = NDArray[np.float32]
Network = Callable[..., NDArray[Any]]  # of a part of the photo, and of what else is known of it
Beside = Callable[["Region"], tuple[Any, ...]]
Progress = Callable[[int, int], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Padding:
    """Pixels to add on each side, none negative."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        if min(self.top, self.bottom, self.left, self.right) < 0:
            raise ValueError(f"negative padding: {self}")


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels. It may reach beyond the photo, and may be empty."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 0:
            raise ValueError(f"negative size: {self}")

    @property
    def bottom(self) -> int:
        """First row below."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """First column to the right."""
        return self.left + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of these pixels in an array (H, W, …) whose first pixel is (0, 0)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grow(self, padding: Padding) -> Region:
        """This region and the padding around it."""
        return Region(
            self.top - padding.top,
            self.left - padding.left,
            self.height + padding.top + padding.bottom,
            self.width + padding.left + padding.right,
        )

    def shift(self, rows: int, columns: int) -> Region:
        """This region moved down and to the right."""
        return replace(self, top=self.top + rows, left=self.left + columns)

    @property
    def halved(self) -> Region:
        """The same place in a copy of half the size; all sides must be even."""
        if (self.top | self.left | self.height | self.width) & 1:
            raise ValueError(f"not to be halved: {self}")
        return Region(self.top // 2, self.left // 2, self.height // 2, self.width // 2)

    def intersection(self, other: Region) -> Region:
        """The pixels in both, an empty region if there are none."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Region(top, left, max(bottom - top, 0), max(right - left, 0))


@dataclass(frozen=True)
class Tile:
    """What the network sees, what is used of its output, what is final then, what averages count (see the top)."""

    input: Region
    window: Region
    core: Region
    share: Region


class _Span(NamedTuple):
    """A tile along one axis: its input begins at ``start``, its core is ``first`` … ``end`` (exclusive)."""

    start: int
    first: int
    end: int


@dataclass(frozen=True)
class Plan:
    """How a photo is cut into tiles.

    Attributes:
        height, width: size of the photo, px.
        tile: largest side of what the network sees at once, px; None for everything in one go.
        halo: how far the network looks around a pixel, px. Tiled and untiled results agree if this is true.
        multiple_of: sides and positions of inputs are multiples of this.
        min_size: the smallest side the network accepts, px.
        blend: width of the ramp between neighbours, px. It hides what remains where the network looks beyond the halo.
        wanted: the part of the photo to restore, not empty; there are no tiles for the rest. None for everything.

    Raises:
        UsageError: ``tile`` leaves no room between the halos, or is too small for the network.
    """

    height: int
    width: int
    tile: int | None = None
    _: KW_ONLY
    halo: int
    multiple_of: int
    min_size: int
    blend: int = 32
    wanted: Region | None = None

    def __post_init__(self) -> None:
        # Whatever the size of the photo, so that a folder does not fail at its first large one.
        if self.tile is not None and self.tile < self.smallest_tile:
            raise UsageError(
                f"tiles of {self.tile} px are too small for this network",
                f"The smallest possible tile is {self.smallest_tile} px.",
            )

    @property
    def photo(self) -> Region:
        """All pixels."""
        return Region(0, 0, self.height, self.width)

    @property
    def canvas(self) -> Region:
        """The photo, mirrored on to the right and at the bottom up to a size that suits the network."""
        height, width = (self._round_up(max(side, self.min_size)) for side in self.photo.shape)
        return self.photo.grow(Padding(bottom=height - self.height, right=width - self.width))

    @property
    def smallest_tile(self) -> int:
        """The smallest possible ``tile``, px."""
        return max(self._overlap + self.multiple_of, self._round_up(self.min_size))

    @property
    def smallest_sensible_tile(self) -> int:
        """The smallest ``tile`` chosen without being asked for, px: below it, 8/9 of the work go into overlaps."""
        return max(self._round_up(self._overlap * 3 // 2), self.smallest_tile)

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles, row by row from the top left. Their inputs have the same size."""
        (height, rows), (width, columns) = self._cuts
        fade = Padding(bottom=self.blend, right=self.blend)
        return tuple(
            Tile(
                input=Region(row.start, column.start, height, width),
                window=(core := _rectangle(row, column)).grow(fade).intersection(self.photo),
                core=core,
                share=self._share(core),
            )
            for row in rows
            for column in columns
        )

    @property
    def covered(self) -> Region:
        """The pixels that are final once all tiles are done: at least what is wanted."""
        first, last = self.tiles[0].core, self.tiles[-1].core
        return Region(first.top, first.left, last.bottom - first.top, last.right - first.left)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Height and width of every tile's input, px."""
        return self.tiles[0].input.shape

    @property
    def ramp(self) -> Floats:
        """Weight of the later of two neighbours in each of the pixels that they share, (blend,), in (0, 1)."""
        rise = np.arange(1, self.blend + 1) / (self.blend + 1)
        return ((1 - np.cos(np.pi * rise)) / 2).astype(np.float32)

    def fitted(self, budget: float, bytes_per_pixel: float, *, largest: float = LARGEST_TILE) -> Plan:
        """This plan with the tiles that fit in memory and overlap least, none senselessly small; untiled if possible.

        Args:
            budget: memory for the network to work in, bytes.
            bytes_per_pixel: what the network needs for each pixel of its input.
            largest: no tile has more pixels than a square of this side, however much memory there is.
        """
        side, smallest = int(min(isqrt(int(budget / bytes_per_pixel)), largest)), self.smallest_sensible_tile
        if self.wanted is None and self.canvas.height * self.canvas.width <= side**2:
            return replace(self, tile=None)
        if side <= smallest:
            return replace(self, tile=smallest)
        # Tiles are cut no larger than their number needs, so that a longer one may be narrow enough to fit as well. Of
        # a part of the photo, small ones may cover less that is not wanted.
        sides = range(smallest if self.wanted else side, 2 * side, self.multiple_of)
        plans = (replace(self, tile=longest) for longest in sides)
        return min((plan for plan in plans if plan._tile_pixels <= side**2), key=lambda plan: plan._all_pixels)

    @property
    def halved(self) -> Plan:
        """A plan with tiles no larger for a copy of half the size, and of that what these tiles are told."""
        plan = replace(self, height=-(-self.height // 2), width=-(-self.width // 2), wanted=None)
        if self.wanted is None:
            return plan
        first, last = self.tiles[0].input.halved, self.tiles[-1].input.halved
        seen = Region(first.top, first.left, last.bottom - first.top, last.right - first.left)
        return replace(plan, wanted=seen.intersection(plan.photo))

    def smaller(self) -> Plan | None:
        """This plan with tiles half as long, or None if they cannot sensibly be any smaller."""
        longest = max(self.tile_shape)
        side = max(longest // 2, self.smallest_sensible_tile)
        return replace(self, tile=side) if side < longest else None

    @property
    def _tile_pixels(self) -> int:
        """Pixels of one tile's input."""
        return prod(length for length, _ in self._cuts)

    @property
    def _all_pixels(self) -> int:
        """Pixels of all tiles' inputs, overlaps counted as often as they are computed."""
        return prod(length * len(spans) for length, spans in self._cuts)

    @cached_property
    def _cuts(self) -> tuple[tuple[int, list[_Span]], tuple[int, list[_Span]]]:
        """How both axes are cut, see ``_cut``, and which of the spans are wanted."""
        wanted = self.wanted or self.photo
        sides = zip(self.photo.shape, self.canvas.shape, strict=True)
        (height, rows), (width, columns) = (self._cut(photo, canvas) for photo, canvas in sides)
        rows = [row for row in rows if row.first < wanted.bottom and row.end > wanted.top]
        columns = [column for column in columns if column.first < wanted.right and column.end > wanted.left]
        return (height, rows), (width, columns)

    @property
    def _overlap(self) -> int:
        """How far inputs of neighbours overlap at least: both need their halo beyond the ramp that they share."""
        return self._round_up(2 * self.halo + self.blend)

    def _share(self, core: Region) -> Region:
        """The part of the canvas nearest to a core; at least a halo from cuts if ramps are as wide as the grid."""
        top, left = self._round_up(core.top), self._round_up(core.left)
        bottom = self._round_up(core.bottom) if core.bottom < self.height else self.canvas.height
        right = self._round_up(core.right) if core.right < self.width else self.canvas.width
        return Region(top, left, bottom - top, right - left)

    def _round_up(self, length: int) -> int:
        return -(-length // self.multiple_of) * self.multiple_of

    def _cut(self, photo: int, canvas: int) -> tuple[int, list[_Span]]:
        """Cut one axis into as few tiles as possible, then make them as small as that number allows.

        Args:
            photo, canvas: length of the axis, px.

        Returns:
            The length of every input, and the tiles.
        """
        if self.tile is None or canvas <= self.tile:
            return canvas, [_Span(0, 0, photo)]
        most = self.tile // self.multiple_of * self.multiple_of
        count = -(-(canvas - self._overlap) // (most - self._overlap))
        even = -(-(canvas - self._overlap) // count) + self._overlap
        length = self._round_up(max(even, self.min_size))

        steps = (canvas - length) // self.multiple_of  # to be shared out among count − 1 gaps
        starts = [steps * i // (count - 1) * self.multiple_of for i in range(count)]
        # The ramp lies in the middle of the overlap, so there is at least a halo on both sides of it.
        ramps = [start + (before + length - start - self.blend) // 2 for before, start in pairwise(starts)]
        return length, [_Span(*span) for span in zip(starts, [0, *ramps], [*ramps, photo], strict=True)]


def mirrored(source: NDArray[Any], region: Region) -> NDArray[Any]:
    """The pixels of a region that may reach beyond the photo, where its mirror image lies.

    The border pixel is not repeated (``np.pad``'s "reflect", as the networks pad inside): repeating it would show them
    a flat stripe, which blur never makes. Where the photo ends again, it is mirrored again, so that even a single pixel
    fills any region, and each pixel of the canvas is the same whichever tile asks for it.

    Args:
        source: (H, W, …), any dtype.
        region: in pixels of ``source``.

    Returns:
        (region.height, region.width, …), same dtype; a view where possible, so it must not be written to.
    """
    if region.intersection(Region(0, 0, *source.shape[:2])) == region:
        return source[region.slices]
    rows = _mirrored_index(region.top, region.bottom, source.shape[0])
    columns = _mirrored_index(region.left, region.right, source.shape[1])
    return source[np.ix_(rows, columns)]


def tiled(
    source: NDArray[Any],
    network: Network,
    plan: Plan,
    progress: Progress | None = None,
    at_once: int = 1,
    beside: Beside | None = None,
) -> Iterator[tuple[Region, Floats]]:
    """Put a photo through a network, tile by tile.

    Args:
        source: (H, W, …), any dtype: codes stay codes, so only the tile has to be converted to floats, by ``network``.
        network: from (h, w, …) of ``source`` to (h, w, C); maps can be further channels beside the picture.
        plan: made for H and W.
        progress: called with tiles done and tiles in all: (0, n) first, then after each tile, (n, n) last.
        at_once: how many tiles ``network`` is given at the same time, if more than one, in other threads.
        beside: from a part of the canvas to what else ``network`` is given with it.

    Yields:
        Regions of the photo and their final values, (region.height, region.width, C) float32. Together the regions
        cover the photo, or what the plan has of it, each pixel once.

    Raises:
        ValueError: sizes do not agree, of source and plan or of a network's input and output.
        TileTooLargeError, MemoryError: from ``network``. See ``with_smaller_tiles``.
    """
    if source.shape[:2] != plan.photo.shape:
        raise ValueError(f"the plan is for a photo of {plan.photo.shape}, not {source.shape[:2]}")
    progress = progress or (lambda done, total: None)
    ramp = plan.ramp[:, None]
    left = np.empty(0, np.float32)  # of the tile to the left, what it shares with this one
    above: dict[int, Floats] = {}  # of the row of tiles above, what it shares with this one, by left edge

    progress(0, len(plan.tiles))
    first = plan.tiles[0].core
    windows = _ahead(lambda tile: window(source, network, tile, beside), plan.tiles, at_once)
    for done, (tile, values) in enumerate(windows, start=1):
        core = tile.core
        if core.left > first.left:
            _fade_in(values[:, : plan.blend], left, ramp)
        values, left = values[:, : core.width], values[:, core.width :].copy()
        if core.top > first.top:
            _fade_in(values[: plan.blend], above[core.left], ramp[:, None])
        values, above[core.left] = values[: core.height], values[core.height :].copy()
        yield core, values
        progress(done, len(plan.tiles))


def passes(progress: Progress | None, sizes: Sequence[int]) -> list[Progress]:
    """What each of several passes over ``sizes`` tiles reports to, so that ``progress`` counts those of all."""

    def of_pass(before: int) -> Progress:
        return lambda done, _: progress(before + done, sum(sizes)) if progress else None

    return [of_pass(before) for before in accumulate(sizes[:-1], initial=0)]


def average(
    source: NDArray[Any], network: Network, plan: Plan, progress: Progress | None = None, at_once: int = 1
) -> NDArray[np.float64]:
    """The mean over the whole canvas of a map that a network makes, tile by tile: what an untiled network averages.

    Args:
        source, plan, progress, at_once: as for ``tiled``.
        network: from (h, w, …) of ``source`` to (h / s, w / s, C), where s divides ``plan.multiple_of``.

    Returns:
        (C,), summed in double precision, so that the number of tiles makes no difference.

    Raises:
        ValueError: the map's size is no such fraction of the input's. Otherwise as ``tiled``.
    """
    progress = progress or (lambda done, total: None)
    total, pixels = np.zeros((), np.float64), 0
    progress(0, len(plan.tiles))
    looks = _ahead(lambda tile: network(mirrored(source, tile.input)), plan.tiles, at_once)
    for done, (tile, values) in enumerate(looks, start=1):
        stride = tile.input.height // values.shape[0]
        if plan.multiple_of % stride or values.shape[:2] != tuple(side // stride for side in tile.input.shape):
            raise ValueError(f"the network made a map of {values.shape[:2]} out of {tile.input.shape}")
        share = tile.share.shift(-tile.input.top, -tile.input.left)
        rows, columns = (slice(side.start // stride, side.stop // stride) for side in share.slices)
        counted = values[rows, columns]
        total = total + counted.sum(axis=(0, 1), dtype=np.float64)
        pixels += counted.shape[0] * counted.shape[1]
        progress(done, len(plan.tiles))
    return total / pixels


def with_smaller_tiles(attempt: Callable[[Plan], Result], plan: Plan) -> Result:
    """Call ``attempt(plan)``; when memory runs out, start it again from the beginning with smaller tiles.

    Nothing of a failed attempt is used: tiles of two plans do not fit together.

    Raises:
        TileTooLargeError, MemoryError: the smallest sensible tiles are still too large.
    """
    while True:
        try:
            return attempt(plan)
        except (TileTooLargeError, MemoryError):
            smaller = plan.smaller()
            if smaller is None:
                raise
        plan = smaller  # and only now try again: the error, while it was handled, kept the attempt's arrays alive


def _ahead(compute: Callable[[Tile], Result], tiles: Sequence[Tile], at_once: int) -> Iterator[tuple[Tile, Result]]:
    """All tiles in their order and what is computed of each; several at once in threads, ahead of whoever asks."""
    if at_once == 1:
        yield from ((tile, compute(tile)) for tile in tiles)
        return
    begun: deque[tuple[Tile, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(at_once)
    try:
        for tile in tiles:
            begun.append((tile, pool.submit(compute, tile)))
            if len(begun) > at_once:
                first, future = begun.popleft()
                yield first, future.result()
        yield from ((tile, future.result()) for tile, future in begun)
    finally:
        pool.shutdown(cancel_futures=True)


def window(source: NDArray[Any], network: Network, tile: Tile, beside: Beside | None = None) -> Floats:
    """The network's values in the tile's window, (h, w, C), as an array of their own; see ``tiled``."""
    output = network(mirrored(source, tile.input), *(beside(tile.input) if beside else ()))
    if output.shape[:2] != tile.input.shape:
        raise ValueError(f"the network made {output.shape[:2]} out of {tile.input.shape}")
    return np.array(output[tile.window.shift(-tile.input.top, -tile.input.left).slices], np.float32)


def _fade_in(later: Floats, earlier: Floats, weight: Floats) -> None:
    """``later`` becomes ``earlier + weight * (later - earlier)``, in place."""
    later -= earlier
    later *= weight
    later += earlier


def _rectangle(row: _Span, column: _Span) -> Region:
    return Region(row.first, column.first, row.end - row.first, column.end - column.first)


def _mirrored_index(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Positions start … stop of an endlessly mirrored axis → positions 0 … size - 1."""
    period = max(2 * (size - 1), 1)
    position = np.arange(start, stop) % period
    return np.minimum(position, period - position)
