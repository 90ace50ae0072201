"""The whole data flow, to be read aloud: photo → scales → tiles → even blur → network → fuse → blend → photo."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from math import ceil, inf, log2, prod
from mmap import mmap
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Maps, Picture
from deblurcli.backends.backend import Answer, Backend
from deblurcli.careful import Careful, is_careful, look
from deblurcli.errors import TileTooLargeError, UsageError
from deblurcli.focus import KeepBokeh, Where, blended, in_blocks, radius_map, what_to_keep
from deblurcli.guard import is_sound
from deblurcli.lopsided import FEWEST, Lopsided, lopsided
from deblurcli.maps.block_means import Planes
from deblurcli.parts import Part, around, at_half
from deblurcli.patterns import keep_patterns
from deblurcli.photo.curves import Transfer, View, view_of
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import as_depth, to_codes, to_float
from deblurcli.restoration import Restoration
from deblurcli.scales import Scales, fused, fused_size, halved, scales_of
from deblurcli.tiling import (
    LARGEST_TILE,
    Beside,
    Plan,
    Progress,
    Region,
    average,
    mirrored,
    passes,
    tiled,
    window,
    with_smaller_tiles,
)

log = logging.getLogger(__name__)

Tile = Literal["auto", "none"] | int
Show = Callable[[NDArray[Any]], Picture]
Averages = list[NDArray[np.float64]]  # over the whole picture, (C,) each
TAUGHT = 1680  # px, width of the photos that published weights were taught with
GLANCE = 0.6  # of the halo that tiles have; takes two thirds of the time
SMALL = 200_000  # px, of a copy that tells wide blur
MOST_AMOUNT = 1.5
# Pixels above USUAL take memory themselves, of which smaller tiles make up some bytes for each.
USUAL, MADE_UP = 24_000_000, 3
DTYPES = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16), 32: np.dtype(np.float32)}


class Deblurrer:
    """A network with its weights, on a device, ready for photos of any size.

    Attributes:
        backend: what runs the network. weights: tag of its weights.
    """

    def __init__(
        self,
        backend: Backend,
        weights: str,
        in_full: Callable[[], Backend] | None = None,
        guide: Callable[[], Deblurrer] | None = None,
    ) -> None:
        """``in_full``: the same backend in full precision; ``guide``: who tells if blur is lopsided, if not this."""
        self.backend = backend
        self.weights = weights
        self._in_full = cache(in_full) if in_full else None
        self._guide = cache(guide) if guide else None
        self._hinted = False

    def __str__(self) -> str:
        """For example ``iniknet-fast · synth_v3 · torch · cpu · fp32``."""
        b = self.backend
        return " · ".join((b.spec.name, self.weights, b.name, b.device, b.precision))

    @overload
    def __call__(self, picture: Picture, maps: Literal[False] = False, **how: Any) -> Picture: ...

    @overload
    def __call__(self, picture: Picture, maps: Literal[True], **how: Any) -> tuple[Picture, Maps]: ...

    def __call__(self, picture: Picture, maps: bool = False, **how: Any) -> Picture | tuple[Picture, Maps]:
        """Restores an array, as the command does a photo.

        Args:
            picture: (H, W, 3) float32 RGB as displayed, nominally in [0, 1].
            maps: also return the coefficient maps, name → (C, H, W).
            how: ``amount``, ``careful``, ``even_out``, ``scales``, ``keep_bokeh``, ``keep_focus``, ``mask`` and
                ``region``, as for ``restore``.

        Returns:
            The restored picture, same shape, not clipped; with ``maps``, a pair of both.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype.kind != "f" or 0 in picture.shape:
            raise UsageError(
                f"a picture is (H, W, 3) floats, not {picture.shape} {picture.dtype}", "See deblurcli.arrays."
            )
        result = self.restore(Photo(picture.astype(np.float32, copy=False)), maps=maps, **how)
        restored = to_float(result.photo.pixels)
        return (restored, result.maps) if maps else restored

    def plan(
        self, height: int, width: int, tile: Tile = "auto", maps: bool = False, wanted: Region | None = None
    ) -> Plan:
        """How a photo of this size is cut into tiles: as memory allows, not at all, or of a given side in px.

        Only those for what is ``wanted``, unless the network has to see the whole picture.
        """
        spec = self.backend.spec
        side, wanted = None if isinstance(tile, str) else tile, None if spec.looks_everywhere else wanted
        sizes = {"halo": spec.halo, "multiple_of": spec.multiple_of, "min_size": spec.min_size}
        plan = Plan(height, width, side, **sizes, wanted=wanted)
        if tile != "auto":
            return plan
        # A network that has to see the whole picture is shown it wherever memory allows.
        largest = inf if spec.context == "global" else LARGEST_TILE
        budget = self.backend.memory_budget()
        if not spec.looks_everywhere:
            budget -= min(budget // 2, MADE_UP * max(height * width - USUAL, 0))
        return plan.fitted(budget, self.backend.bytes_per_pixel(maps), largest=largest)

    def restore(
        self,
        photo: Photo,
        *,
        amount: float = 1.0,
        careful: Careful = "auto",
        even_out: bool = True,
        tile: Tile = "auto",
        scales: Scales = "auto",
        depth: Literal["auto", 8, 16, 32] = "auto",
        maps: bool | Collection[str] = False,
        maps_scale: int = 1,
        maps_folder: Path | None = None,
        progress: Progress | None = None,
        transfer: Transfer = "auto",
        keep_bokeh: KeepBokeh = "auto",
        keep_focus: bool | None = None,
        mask: NDArray[np.uint8] | None = None,
        region: Region | None = None,
    ) -> Restoration:
        """Restores a photo. Runs again with smaller tiles when the device is out of memory.

        Args:
            amount: 0 leaves every code value as it is, 1 is the network's answer, between them is a blend; up to 1.5
                exaggerates.
            careful: the mean of what the network makes of the photo and of the photo mirrored three ways; "auto" for
                copies of it that are small (``careful.LITTLE``). Maps are those of the photo as it is.
            even_out: blur that is lopsided all over the photo is evened out first (``lopsided``), where the network
                or its guide knows how wide it is. Maps are those of the photo with its blur evened out.
            tile: "auto", "none", or the side of the tiles, px.
            scales: at how many sizes of the photo, itself counted; "auto" is as many as its size allows for networks
                made for it, else 1. There are never more.
            depth: bits per channel of the result: as the photo has, or 8, 16, or 32 (floats, not clipped).
            maps: also return the coefficient maps, or those of these names.
            maps_scale: maps of several channels are averaged over blocks of this side, px; those of one are not.
            maps_folder: where maps are kept in files, so that they need no memory: of those returned, only what is
                looked at is read, and they last as long as the files. None keeps them in memory.
            progress: called with tiles done and tiles in all, every scale and pass over the picture counted.
            transfer: the curve of the photo's values: "srgb", "linear", or "auto" for what its profile says.
            keep_bokeh: leave alone what is blurred wider than this radius, px; "auto" and "strict" go by the photo
                (``focus.limit_for``), unless a mask or region says where, or the network does not know; or "off".
            keep_focus: leave alone what is in focus (``focus.in_focus``); None does, where the network knows, unless a
                radius, "strict", a mask or a region says what is to be restored.
            mask: (h, w) of any size, scaled to the photo: 255 restores, 0 does not.
            region: restore only here, with a soft border inside. No more is computed than that takes.
        """
        if not 0 <= amount <= MOST_AMOUNT:
            raise UsageError(f"amount must be between 0 and {MOST_AMOUNT:g}, not {amount:g}")
        if scales != "auto" and scales < 1:
            raise UsageError(f"scales must be at least 1, not {scales}")
        spec = self.backend.spec
        height, width = photo.pixels.shape[:2]
        keep_bokeh, keep_focus = what_to_keep(keep_bokeh, keep_focus, not (mask is None and region is None))
        where = Where(height, width, keep_bokeh, keep_focus is not False, mask, region)
        sized = radius_map(spec, keep_bokeh, keep_focus)
        view = view_of(photo, transfer)
        dtype = photo.pixels.dtype if depth == "auto" else DTYPES[depth]
        # Without maps there is nothing to compute: not even a value beyond [0, 1] changes.
        if amount == 0 and not maps:
            return Restoration(photo, tiles=0, tile_shape=(0, 0))

        wanted = tuple(m for m in spec.maps if maps is True or (maps and m.name in maps))
        asked = (*wanted, *(m for m in sized if m not in wanted))
        block = 1 if maps else where.side
        count = scales_of(height, width, spec, scales)

        def attempt(plan: Plan) -> Restoration:
            copies = self._copies(photo.pixels, view, plan, count, progress)
            tiles = [len(copy.plan.tiles) for copy in copies]
            log.info("%s, %s tiles of %d × %d px", self, " + ".join(map(str, tiles)), *reversed(plan.tile_shape))
            uneven = self._lopsided(copies) if even_out else None
            found: list[Maps] = []
            faults: list[list[str]] = []
            made: NDArray[Any] | None = None
            while copies:  # from coarse to fine
                copy, coarser = copies.pop(), made
                planes = Planes(asked, copy.plan.height, copy.plan.width, copy.level, maps_scale, maps_folder, block)
                faults.insert(0, [])
                network = self._network(copy, planes, self._averages(copy), faults[0], careful)
                if copy.level == 0:
                    network = _finished(network, amount, photo.gray, view)
                    made = np.empty(copy.codes.shape, dtype) if plan.wanted is None else as_depth(copy.codes, dtype)
                else:  # the change, and the sizes that the next finer copy is told
                    made = np.zeros((*copy.codes.shape[:2], 3 + len(planes.sizes)), np.float16)
                beside, at_once = copy.beside(coarser, uneven), self.backend.at_once
                for part, values in tiled(copy.codes, network, copy.plan, copy.progress, at_once, beside):
                    made[part.slices] = to_codes(values[..., : made.shape[2]], made.dtype)
                    planes.add(part, values[..., 3:])
                found.insert(0, planes.maps())
            assert made is not None
            patterns = keep_patterns(photo.pixels, made, lambda codes: _seen(codes, view), amount)
            radius = found[0][sized[0].name][0] if sized else None
            kept = where.apply(photo.pixels, made, lambda codes: _seen(codes, view), radius, plan.covered)
            alpha = None if photo.alpha is None else as_depth(photo.alpha, dtype)
            returned = [{m.name: of_copy[m.name] for m in wanted} for of_copy in found]
            return Restoration(
                replace(photo, pixels=made, alpha=alpha),
                tiles=sum(tiles),
                tile_shape=plan.tile_shape,
                scales=count,
                maps=returned[0],
                coarse=tuple(returned[1:]) if maps else (),
                approximate=spec.context == "global" and max(tiles) > 1,
                patterns=patterns,
                kept=kept,
                lean=uneven.lean if uneven else 0.0,
                stretched=where.stretched,
                repeated=sum(of_copy.count("repeated") for of_copy in faults),
                unrestored=sum(of_copy.count("unrestored") for of_copy in faults),
                failed=faults[0].count("unrestored") == tiles[0],
            )

        plan = self.plan(height, width, tile, bool(maps), None if maps else where.wanted)
        result = with_smaller_tiles(attempt, plan)
        useful = scales_of(height, width, spec, 1 + ceil(log2(max(height, width) / TAUGHT)))
        if scales == "auto" and useful > count and not self._hinted:
            self._hinted = True
            result = replace(result, hint=f"restored at one size, as in papers; --scales {useful} removes wider blur")
        for warning in result.warnings:
            log.warning("%s: %s", spec.name, warning)
        return result

    def parts(
        self,
        photo: Photo,
        regions: Sequence[Region],
        *,
        amount: float = 1.0,
        careful: Careful = "auto",
        even_out: bool = True,
        scales: Scales = "auto",
        transfer: Transfer = "auto",
        keep_bokeh: KeepBokeh = "auto",
        keep_focus: bool | None = None,
    ) -> list[Part]:
        """What ``restore`` makes of some regions, for a look before the whole: only what they need is computed.

        That is what the whole has there, but for a few code values: a network that looks far sees a little less around
        them than in tiles. One that looks at the whole picture sees no more of it, either. What is bokeh is known from
        a small copy of the photo, what is in focus from the regions alone: borders may be a little elsewhere.

        Args:
            regions: inside the photo. amount, careful, even_out and so on: as for ``restore``.
        """
        spec = self.backend.spec
        height, width = photo.pixels.shape[:2]
        view = view_of(photo, transfer)
        told = tuple(m for m in spec.maps if m.across_scales)
        plan = Plan(height, width, halo=round(GLANCE * spec.halo), multiple_of=spec.multiple_of, min_size=spec.min_size)
        copies = self._copies(photo.pixels, view, plan, scales_of(height, width, spec, scales), None)
        keep_bokeh, keep_focus = what_to_keep(keep_bokeh, keep_focus)
        where = Where(height, width, keep_bokeh, keep_focus is not False)
        kept = bool(radius_map(spec, keep_bokeh, keep_focus))
        small = (
            next((c.level for c in copies if c.codes[..., 0].size <= SMALL), len(copies) - 1) if kept else len(copies)
        )
        uneven = self._lopsided(copies) if even_out else None
        needed = [list(regions)]
        for copy in copies[1:]:
            needed.append([at_half(region, copy.plan.photo) for region in needed[-1]])
        needed[small:] = [[copy.plan.photo] for copy in copies[small:]]
        made: NDArray[Any] = np.empty(0)
        radius: NDArray[Any] = np.empty(0)
        light: Picture | None = None
        while copies:  # from coarse to fine
            copy, coarser = copies.pop(), made if made.size else None
            planes = Planes(told, *copy.plan.photo.shape, copy.level, 1, None)
            network = self._network(copy, planes, [], [], careful)
            if copy.level == 0:
                network = _finished(network, amount, photo.gray, view)
            # As large as the copy, though of memory that is never written to there is none. NumPy's own would come in
            # pages of 2 MB, which takes a while.
            shape = (*copy.codes.shape[:2], 3 + len(told))
            made = np.frombuffer(mmap(-1, 4 * prod(shape)), np.float32).reshape(shape)
            beside = copy.beside(coarser, uneven)
            for region in needed.pop():
                made[region.slices] = window(copy.codes, network, around(region, copy.plan), beside)
            if copy.level == small:
                radius = made[..., 3] * 2**small
            if kept and 2**copy.level == where.side:
                light = to_float(copy.codes)
        if kept and light is None:
            light = in_blocks(photo.pixels, where.side, lambda codes: _seen(codes, view))
        strengths: Sequence[NDArray[np.float32] | None] = [None] * len(regions)
        if light is not None:
            shown = [in_blocks(photo.pixels[r.slices], where.side, lambda codes: _seen(codes, view)) for r in regions]
            own = [in_blocks(made[r.slices][..., 3:4], where.side, to_float)[..., 0] for r in regions]
            strengths = where.in_parts(light, radius, regions, list(zip(shown, own, strict=True)))
        return [
            self._part(photo.pixels[region.slices], made[region.slices], region, strength, view, amount)
            for region, strength in zip(regions, strengths, strict=True)
        ]

    def _part(
        self,
        before: NDArray[Any],
        made: NDArray[np.float32],
        region: Region,
        strength: NDArray[np.float32] | None,
        view: View | None,
        amount: float,
    ) -> Part:
        """A part from what the network made of it, (h, w, 3 or more), patterns and bokeh left as they were."""
        after = to_codes(made[..., :3], before.dtype)
        keep_patterns(before, after, lambda codes: _seen(codes, view), amount)
        if strength is not None:
            after = blended(before, after, strength)
        return Part(region, before, after, made[..., 3] if made.shape[2] > 3 else None)

    def _copies(
        self, pixels: NDArray[Any], view: View | None, plan: Plan, count: int, progress: Progress | None
    ) -> list[_Copy]:
        """The photo, and halved copies of it, ``count`` in all; the coarsest, which comes first to work on, is last."""
        plans = [plan]
        while len(plans) < count:
            plans.append(plans[-1].halved)
        # A tile cannot know what the whole picture has on average, and is told: that is a pass for each average.
        looks = [self.backend.spec.statistics if len(p.tiles) > 1 else 0 for p in plans]
        sizes = [len(p.tiles) for p, n in zip(plans, looks, strict=True) for _ in range(n + 1)]
        reports = iter(passes(progress, sizes[::-1])[::-1])
        copies: list[_Copy] = []
        for level, (p, n) in enumerate(zip(plans, looks, strict=True)):
            codes = halved(copies[-1].codes, copies[-1].show) if copies else pixels
            report, *before = islice(reports, n + 1)
            plain = view is None and pixels.dtype.kind != "f"
            show = to_float if copies or plain else lambda codes: _seen(codes, view)
            copies.append(_Copy(level, codes, show, p, before[::-1], report))
        return copies

    def _averages(self, copy: _Copy) -> Averages:
        """What the network averages over the whole picture; every pass over its tiles finds one."""
        known: Averages = []

        def look(codes: NDArray[Any]) -> NDArray[Any]:
            seen = copy.show(codes)
            found = self.backend.statistic(seen, known)
            return found if np.isfinite(found).all() or not self._in_full else self._in_full().statistic(seen, known)

        for progress in copy.looks:
            known.append(average(copy.codes, look, copy.plan, progress, self.backend.at_once))
        return known

    def _lopsided(self, copies: Sequence[_Copy]) -> Lopsided | None:
        """Whether the blur is lopsided, as far as the network, or its guide, can tell."""
        if prod(copies[0].plan.photo.shape) < FEWEST:  # no guide is loaded for those
            return None
        teller = self._guide() if self._guide else self
        if not radius_map(teller.backend.spec, "auto"):
            return None

        def restored(picture: Picture) -> tuple[Picture, NDArray[np.float32]]:
            once: dict[str, Any] = {"careful": False, "even_out": False, "keep_bokeh": "off", "keep_focus": False}
            (part,) = teller.parts(Photo(picture), [Region(0, 0, *picture.shape[:2])], **once)
            assert part.radius is not None
            return part.after, part.radius

        most = teller.backend.memory_budget() / teller.backend.bytes_per_pixel(maps=False)
        while most >= FEWEST:
            try:
                found = lopsided([(*copy.plan.photo.shape, copy.cut) for copy in copies], restored, most)
            except (TileTooLargeError, MemoryError):
                most /= 4
            else:
                log.info("blur is %s", f"lopsided, by {found.lean:+.2f}" if found else "the same on all sides")
                return found
        return None

    def _network(
        self, copy: _Copy, planes: Planes, averages: Averages, faults: list[str], careful: Careful
    ) -> Callable[..., NDArray[np.float32]]:
        """From a tile's codes (h, w, 3), and what is ``beside`` them, to its change and maps, (h, w, 3 + channels).

        Unsound tiles are added to ``faults``.
        """

        carefully = is_careful(careful, self.backend, *copy.plan.photo.shape)

        def network(
            codes: NDArray[Any], coarser: NDArray[Any] | None, evening: NDArray[np.float32] | None
        ) -> NDArray[np.float32]:
            seen = copy.show(codes)
            even = seen if evening is None else seen + evening[..., None]
            restored, maps, trust = self._sound(seen, even, planes.names, averages, faults, carefully)
            values = np.empty((*seen.shape[:2], 3 + planes.channels), np.float32)
            change = np.subtract(restored, seen, out=values[..., :3])
            if coarser is not None:
                fused(change, trust, coarser[..., :3])
                for k, name in enumerate(planes.sizes, start=3):
                    maps[name] = fused_size(maps[name][0], coarser[..., k])[None]
            planes.lay(maps, values[..., 3:])
            return values

        return network

    def _sound(
        self, seen: Picture, even: Picture, maps: Sequence[str], averages: Averages, faults: list[str], careful: bool
    ) -> Answer:
        """What the network makes of a tile whose blur is ``even``; what cannot be right is computed in full precision.

        If that is not right either, it is the tile as it was seen.
        """
        answer = look(self.backend, even, maps, averages, careful)
        if is_sound(seen, answer.restored):
            return answer
        if self._in_full:
            answer = look(self._in_full(), even, maps, averages, careful)
            if is_sound(seen, answer.restored):
                faults.append("repeated")
                return answer
        faults.append("unrestored")
        left = np.ones((seen.shape[0] // 2, seen.shape[1] // 2), np.float32)  # by the coarser copies, too
        return Answer(seen, {name: np.nan_to_num(plane) for name, plane in answer.maps.items()}, left)


@dataclass(frozen=True)
class _Copy:
    """The photo at 1/2 ** ``level`` of its size, (h, w, 3).

    ``show`` makes of its codes what the network sees; ``looks`` and ``progress`` are reported to, by a pass over its
    tiles for each average, and by the last.
    """

    level: int
    codes: NDArray[Any]
    show: Show
    plan: Plan
    looks: list[Progress]
    progress: Progress

    def cut(self, part: Region) -> Picture:
        """What the network sees of a part of the copy."""
        return self.show(mirrored(self.codes, part))

    def beside(self, coarser: NDArray[Any] | None, uneven: Lopsided | None) -> Beside:
        """From a part of the copy to what came of the ``coarser`` ones there, and what evens its blur out."""
        return lambda part: (
            None if coarser is None else mirrored(coarser, part.halved),
            uneven and uneven.change(self.cut, part, self.level),
        )


def _finished(
    network: Callable[..., NDArray[np.float32]], amount: float, gray: bool, view: View | None
) -> Callable[..., NDArray[np.float32]]:
    """``network`` for the photo itself: in the place of the change, the photo with as much of it as is wanted."""

    def finished(codes: NDArray[Any], *beside: NDArray[Any] | None) -> NDArray[np.float32]:
        values = network(codes, *beside)
        change = values[..., :3]
        if view:  # where the network changes nothing, not a bit of the photo does, however it had to be shown
            seen = _seen(codes, view)
            change[:] = view.back(seen + change) - view.back(seen)
        if gray:
            change[:] = change.mean(axis=2, keepdims=True)
        # In place: to map memory for one more tile takes longer than to compute with it. What floats hold beyond white
        # is kept, and changed as its clipped neighbour is.
        change *= np.float32(amount)
        change += to_float(codes)
        return values

    return finished


def _seen(codes: NDArray[Any], view: View | None) -> Picture:
    """What the network is shown: it was taught values in [0, 1], display-referred with the curve of sRGB."""
    picture = to_float(codes)
    clipped = np.clip(np.nan_to_num(picture), 0, 1) if codes.dtype.kind == "f" else picture
    return view.show(clipped) if view else clipped
