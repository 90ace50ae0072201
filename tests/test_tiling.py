"""Tiling: whatever the photo, the network's demands and the memory, tiles must not show."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import count
from threading import Barrier, Semaphore, active_count
from typing import Any

import numpy as np
import pytest
from conftest import PATIENCE
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deblurcli.errors import TileTooLargeError, UsageError
from deblurcli.maps.block_means import BlockMeans
from deblurcli.photo.transfer import to_codes, to_float
from deblurcli.tiling import (
    Padding,
    Plan,
    Region,
    average,
    mirrored,
    passes,
    tiled,
    with_smaller_tiles,
)

property_test = settings(max_examples=250, deadline=None)

shapes = st.one_of(
    st.tuples(st.integers(1, 130), st.integers(1, 90)),
    st.tuples(st.just(1), st.integers(1, 300)),
    st.tuples(st.integers(1, 300), st.just(1)),
)


@st.composite
def plans(draw: st.DrawFn, shape: tuple[int, int] | None = None) -> Plan:
    """Plans for small photos; mostly tiled, and with tiles barely larger than the smallest possible."""
    height, width = shape or draw(shapes)
    untiled = Plan(
        height,
        width,
        halo=draw(st.integers(0, 12)),
        multiple_of=draw(st.sampled_from([1, 2, 3, 4, 8, 16])),
        min_size=draw(st.sampled_from([1, 5, 16, 32])),
        blend=draw(st.integers(0, 12)),
    )
    tile = draw(st.one_of(st.none(), st.integers(0, 40).map(lambda more: untiled.smallest_tile + more)))
    return replace(untiled, tile=tile)


def photo_of(plan: Plan, dtype: type = np.float32, seed: int = 0) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    if dtype is np.float32:
        return random.random((plan.height, plan.width, 3), np.float32)
    return random.integers(0, np.iinfo(dtype).max, (plan.height, plan.width, 3), dtype, endpoint=True)


def joined(source: NDArray[Any], network: Any, plan: Plan) -> NDArray[np.float32]:
    """The whole result in one array; NaN where nothing was written."""
    pieces = list(tiled(source, network, plan))  # all kept, as they must not share memory
    whole = np.full((plan.height, plan.width, pieces[0][1].shape[2]), np.nan, np.float32)
    for region, values in pieces:
        whole[region.slices] = values
    return whole


# ── Regions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_region_algebra() -> None:
    region = Region(2, 3, 4, 5)
    assert (region.bottom, region.right, region.shape) == (6, 8, (4, 5))
    assert region.grow(Padding(1, 2, 3, 4)) == Region(1, 0, 7, 12)
    assert region.shift(-2, 1) == Region(0, 4, 4, 5)
    assert region.intersection(Region(0, 0, 4, 4)) == Region(2, 3, 2, 1)
    assert region.intersection(Region(50, 50, 4, 4)).shape == (0, 0)
    assert np.zeros((10, 10))[region.slices].shape == region.shape


def test_sizes_are_not_negative() -> None:
    with pytest.raises(ValueError, match="negative padding"):
        Padding(left=-1)
    with pytest.raises(ValueError, match="negative size"):
        Region(0, 0, -1, 1)


@property_test
@given(shapes, st.integers(0, 70), st.integers(0, 70))
def test_mirroring_is_numpys_reflection_for_any_size(shape: tuple[int, int], bottom: int, right: int) -> None:
    source = np.arange(shape[0] * shape[1] * 2).reshape(*shape, 2)
    region = Region(0, 0, *shape).grow(Padding(bottom=bottom, right=right))
    expected = np.pad(source, ((0, bottom), (0, right), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(mirrored(source, region), expected)


# ── Plans ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@property_test
@given(plans())
def test_inputs_suit_the_network(plan: Plan) -> None:
    for tile in plan.tiles:
        region = tile.input
        assert all(number % plan.multiple_of == 0 for number in (region.top, region.left, *region.shape))
        assert min(region.shape) >= plan.min_size
        assert region.intersection(plan.canvas) == region
        assert region.shape == plan.tile_shape, "sizes are evened out, there are no slivers"
        assert plan.tile is None or max(region.shape) <= plan.tile


@property_test
@given(plans())
def test_windows_keep_a_halo_from_every_cut(plan: Plan) -> None:
    halo = Padding(plan.halo, plan.halo, plan.halo, plan.halo)
    for tile in plan.tiles:
        needed = tile.window.grow(halo).intersection(plan.canvas)
        assert needed.intersection(tile.input) == needed
        assert tile.core.intersection(tile.window) == tile.core


@property_test
@given(plans())
def test_cores_cover_every_pixel_once(plan: Plan) -> None:
    covered = np.zeros(plan.photo.shape, int)
    for tile in plan.tiles:
        assert min(tile.core.shape) > 0
        covered[tile.core.slices] += 1
    assert (covered == 1).all()


@property_test
@given(plans())
def test_shares_cover_the_canvas_once_and_lie_on_the_grid(plan: Plan) -> None:
    covered = np.zeros(plan.canvas.shape, int)
    # Averages are as exact as pictures are, if a border can be moved on to the grid without leaving the ramp.
    halo = plan.halo if plan.blend >= plan.multiple_of - 1 else 0
    for tile in plan.tiles:
        share = tile.share
        covered[share.slices] += 1
        assert all(number % plan.multiple_of == 0 for number in (share.top, share.left, *share.shape))
        needed = share.grow(Padding(halo, halo, halo, halo)).intersection(plan.canvas)
        assert needed.intersection(tile.input) == needed
    assert (covered == 1).all()


@property_test
@given(plans())
def test_no_tile_is_wasted(plan: Plan) -> None:
    tiles = replace(plan, multiple_of=1, min_size=1).tiles  # no rounding
    for axis in (0, 1):
        length, size = plan.photo.shape[axis], tiles[0].input.shape[axis]
        number = len({(tile.input.top, tile.input.left)[axis] for tile in tiles})
        overlap = 2 * plan.halo + plan.blend
        assert number == 1 or (number - 1) * (plan.tile or 0) - (number - 2) * overlap < length
        assert number * size - (number - 1) * overlap < length + number


def test_whole_picture_and_large_tile_are_the_same_plan() -> None:
    whole = Plan(100, 70, halo=16, multiple_of=16, min_size=32)
    assert whole.tile_shape == (112, 80)
    assert whole.tiles == replace(whole, tile=112).tiles
    assert len(whole.tiles) == 1


def test_tiny_photo_is_mirrored_up_to_the_smallest_input() -> None:
    plan = Plan(1, 1, halo=96, multiple_of=16, min_size=40)
    assert plan.canvas == Region(0, 0, 48, 48)
    assert mirrored(np.full((1, 1, 3), 7, np.uint8), plan.canvas).tolist() == [[[7] * 3] * 48] * 48


def test_tile_too_small_says_what_is_possible() -> None:
    with pytest.raises(UsageError) as caught:
        Plan(5000, 5000, 100, halo=96, multiple_of=16, min_size=32, blend=32)
    assert "100 px" in str(caught.value)
    assert "240 px" in caught.value.hint
    Plan(5000, 5000, 240, halo=96, multiple_of=16, min_size=32, blend=32)


def test_too_small_a_tile_is_an_error_on_small_photos_too() -> None:
    with pytest.raises(UsageError):
        Plan(10, 10, 100, halo=96, multiple_of=16, min_size=32)


@property_test
@given(plans())
def test_smaller_plans_end_at_the_smallest_sensible_tile(plan: Plan) -> None:
    before, smaller = plan, plan.smaller()
    while smaller is not None:
        assert max(smaller.tile_shape) < max(before.tile_shape)
        assert len(smaller.tiles) >= len(before.tiles)
        before, smaller = smaller, smaller.smaller()
    assert max(before.tile_shape) <= plan.smallest_sensible_tile


@property_test
@given(plans(), st.integers(0, 10**6), st.floats(0.5, 500))
def test_fitted_plan_keeps_to_its_budget_if_it_can(plan: Plan, budget: int, bytes_per_pixel: float) -> None:
    fitted = plan.fitted(budget, bytes_per_pixel, largest=200)
    height, width = fitted.tile_shape
    assert height * width <= 200**2 or fitted.tile == fitted.smallest_sensible_tile
    assert height * width * bytes_per_pixel <= budget or fitted.tile == fitted.smallest_sensible_tile


def test_fitted_plan_is_untiled_if_there_is_room() -> None:
    plan = Plan(500, 700, 256, halo=32, multiple_of=16, min_size=32)
    assert plan.fitted(1e9, 100).tile is None
    large = replace(plan, height=5000, width=7000)
    assert large.fitted(1e10, 100, largest=float("inf")).tile is None


def test_fitted_plan_overlaps_least() -> None:
    """Three rows of tiles higher than a square's, as they are less wide: 1379 and not 1467 px."""
    plan = Plan(4000, 6000, halo=96, multiple_of=16, min_size=32)
    square, fitted = replace(plan, tile=1467), plan.fitted(1467**2 * 100, 100)
    assert (square.tile_shape, len(square.tiles)) == ((1168, 1392), 20)
    assert (fitted.tile_shape, len(fitted.tiles)) == ((1488, 1392), 15)


# ── Tiles joined ────────────────────────────────────────────────────────────────────────────────────────────────────


@property_test
@given(plans(), st.sampled_from([np.uint8, np.uint16, np.float32]), st.integers(0, 12), st.sampled_from([1, 2]))
@example(Plan(1, 1, halo=0, multiple_of=16, min_size=32), np.uint8, 0, 1)
@example(Plan(129, 89, 64, halo=8, multiple_of=16, min_size=32, blend=7), np.uint16, 3, 2)
def test_identity_network_is_identity_even_when_memory_runs_out(
    plan: Plan, dtype: type, fails_at: int, at_once: int
) -> None:
    source = photo_of(plan, dtype)
    before, calls = source.copy(), count()

    def network(codes: NDArray[Any]) -> NDArray[np.float32]:
        if next(calls) == fails_at and plan.smaller():
            raise TileTooLargeError("no memory left")
        return to_float(codes)

    def attempt(plan: Plan) -> NDArray[Any]:
        restored = np.full_like(source, 77)
        for region, picture in tiled(source, network, plan, at_once=at_once):
            restored[region.slices] = to_codes(picture, restored.dtype)
            picture.fill(-1)  # it is ours
        return restored

    np.testing.assert_array_equal(with_smaller_tiles(attempt, plan), source)
    np.testing.assert_array_equal(source, before, "the source is not written to")


@property_test
@given(plans())
def test_weights_of_all_tiles_sum_to_one(plan: Plan) -> None:
    tiles, calls = len(plan.tiles), count()
    assume(tiles <= 200)

    def which_tile(codes: NDArray[Any]) -> NDArray[np.float32]:
        one_hot = np.zeros((*codes.shape[:2], tiles), np.float32)
        one_hot[:, :, next(calls)] = 1
        return one_hot

    weights = joined(photo_of(plan), which_tile, plan)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-6)
    for number, tile in enumerate(plan.tiles):
        outside = weights[:, :, number].copy()
        outside[tile.window.slices] = 0
        assert not outside.any(), "a tile has weight in its window only"


@property_test
@given(plans(), st.data())
def test_local_filter_does_not_show_tiles(plan: Plan, data: st.DataObject) -> None:
    radius = data.draw(st.integers(0, plan.halo))
    source = photo_of(plan)

    def box_blur(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        for axis in (0, 1):
            pad = [(0, 0)] * 3
            pad[axis] = (radius, radius)
            wide = np.pad(picture, pad, mode="reflect")
            picture = np.lib.stride_tricks.sliding_window_view(wide, 2 * radius + 1, axis).mean(axis=-1)
        return picture

    untiled = joined(source, box_blur, replace(plan, tile=None))
    np.testing.assert_allclose(joined(source, box_blur, plan), untiled, atol=2e-6)


@property_test
@given(plans())
def test_downsampling_network_does_not_show_tiles(plan: Plan) -> None:
    cell = plan.multiple_of
    assume(plan.halo >= cell - 1)

    def mosaic(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width, channels = picture.shape
        small = picture.reshape(height // cell, cell, width // cell, cell, channels).mean(axis=(1, 3))
        return small.repeat(cell, axis=0).repeat(cell, axis=1)

    source = photo_of(plan)
    untiled = joined(source, mosaic, replace(plan, tile=None))
    np.testing.assert_allclose(joined(source, mosaic, plan), untiled, atol=2e-6)


@property_test
@given(plans(), st.sampled_from([np.uint8, np.uint16, np.float32]), st.data())
def test_average_is_that_of_the_whole_canvas(plan: Plan, dtype: type, data: st.DataObject) -> None:
    stride = data.draw(st.sampled_from([n for n in (1, 2, 3, 4, 8, 16) if plan.multiple_of % n == 0]))
    source = photo_of(plan, dtype)

    def corners(codes: NDArray[Any]) -> NDArray[np.float32]:
        return to_float(codes)[::stride, ::stride]

    expected = corners(mirrored(source, plan.canvas)).mean(axis=(0, 1), dtype=np.float64)
    np.testing.assert_allclose(average(source, corners, plan), expected, rtol=1e-12)


def test_average_refuses_maps_of_other_sizes() -> None:
    plan = Plan(50, 40, halo=0, multiple_of=4, min_size=1)
    for wrong in (lambda codes: codes[::3, ::3], lambda codes: codes[::8, ::8], lambda codes: codes[:, ::2]):
        with pytest.raises(ValueError, match="the network made a map of"):
            average(np.zeros((50, 40, 3)), wrong, plan)


def test_progress_counts_the_tiles_of_all_passes() -> None:
    plan = Plan(100, 200, 64, halo=4, multiple_of=4, min_size=8, blend=8)
    seen: list[tuple[int, int]] = []
    *looks, last = passes(lambda *numbers: seen.append(numbers), [len(plan.tiles)] * 3)
    for look in looks:
        average(photo_of(plan), to_float, plan, look)
    for _ in tiled(photo_of(plan), to_float, plan, last):
        pass
    total = 3 * len(plan.tiles)
    assert list(dict.fromkeys(seen)) == [(done, total) for done in range(total + 1)]
    passes(None, [2])[0](1, 2)  # nobody listens


def test_later_tile_is_faded_in_alike_from_both_sides() -> None:
    plan = Plan(1, 100, 60, halo=3, multiple_of=1, min_size=1, blend=9)
    calls = count()
    weight = joined(photo_of(plan), lambda codes: np.full((*codes.shape[:2], 1), next(calls)), plan)[0, :, 0]
    assert len(plan.tiles) == 2
    ramp = weight[(weight > 0) & (weight < 1)]
    np.testing.assert_array_equal(ramp, plan.ramp)
    np.testing.assert_allclose(ramp + ramp[::-1], 1, atol=1e-7)
    assert (np.diff(weight) >= 0).all()


def test_maps_travel_as_further_channels() -> None:
    plan = Plan(100, 130, 64, halo=4, multiple_of=4, min_size=8, blend=8)
    source = photo_of(plan, np.uint16)

    def network(codes: NDArray[Any]) -> NDArray[np.float32]:
        picture = to_float(codes)
        return np.concatenate([picture, picture.mean(axis=2, keepdims=True), 1 - picture], axis=2)

    np.testing.assert_array_equal(joined(source, network, plan), network(source))


def test_tiles_at_once_and_no_more() -> None:
    """Each network call waits for another one to be in work at the same time."""
    plan = Plan(100, 300, 64, halo=4, multiple_of=4, min_size=8, blend=8)
    assert len(plan.tiles) % 2 == 0
    meeting, inside, most = Barrier(2), Semaphore(2), list[bool]()

    def network(codes: NDArray[Any]) -> NDArray[np.float32]:
        most.append(inside.acquire(blocking=False))
        meeting.wait(timeout=PATIENCE)
        inside.release()
        return to_float(codes)

    source = photo_of(plan)
    for region, picture in tiled(source, network, plan, at_once=2):
        np.testing.assert_array_equal(to_codes(picture, source.dtype), source[region.slices])
    meeting.reset()
    mean = average(source, network, plan, at_once=2)
    np.testing.assert_allclose(mean, average(source, to_float, plan), rtol=1e-12)
    assert most == [True] * 2 * len(plan.tiles)


def test_what_a_network_raises_ends_all_tiles_at_once() -> None:
    plan = Plan(100, 300, 64, halo=4, multiple_of=4, min_size=8, blend=8)
    calls = count()

    def network(codes: NDArray[Any]) -> NDArray[np.float32]:
        if next(calls) == 3:
            raise TileTooLargeError("no memory left")
        return to_float(codes)

    before = active_count()
    with pytest.raises(TileTooLargeError):
        list(tiled(photo_of(plan), network, plan, at_once=2))
    assert next(calls) < len(plan.tiles)
    assert active_count() == before


@pytest.mark.parametrize("at_once", [1, 2])
def test_progress_is_steady_and_complete(at_once: int) -> None:
    plan = Plan(200, 300, 64, halo=4, multiple_of=4, min_size=8, blend=8)
    seen: list[tuple[int, int]] = []
    for _ in tiled(photo_of(plan), to_float, plan, lambda *numbers: seen.append(numbers), at_once):
        pass
    total = len(plan.tiles)
    assert total > 10
    assert seen == [(done, total) for done in range(total + 1)]


def test_progress_begins_anew_with_smaller_tiles() -> None:
    plan = Plan(100, 100, halo=4, multiple_of=4, min_size=8, blend=8)
    seen: list[tuple[int, int]] = []

    def network(codes: NDArray[Any]) -> NDArray[np.float32]:
        if codes.shape[0] > 40:
            raise MemoryError
        return to_float(codes)

    def attempt(plan: Plan) -> Plan:
        for _ in tiled(photo_of(plan), network, plan, lambda *numbers: seen.append(numbers)):
            pass
        return plan

    final = with_smaller_tiles(attempt, plan)
    assert max(final.tile_shape) <= 40
    assert seen[0] == (0, 1)
    last = len(final.tiles)
    assert seen[-last - 1 :] == [(done, last) for done in range(last + 1)]


def test_memory_error_is_passed_on_when_tiles_cannot_shrink() -> None:
    sizes: list[int] = []

    def attempt(plan: Plan) -> None:
        sizes.append(max(plan.tile_shape))
        raise TileTooLargeError("no memory left")

    plan = Plan(1000, 800, halo=16, multiple_of=16, min_size=32)
    with pytest.raises(TileTooLargeError):
        with_smaller_tiles(attempt, plan)
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[0] == 1008
    assert sizes[-1] == plan.smallest_sensible_tile


def test_other_errors_are_not_retried() -> None:
    calls = count()

    def attempt(plan: Plan) -> None:
        next(calls)
        raise UsageError("no")

    with pytest.raises(UsageError):
        with_smaller_tiles(attempt, Plan(1000, 800, halo=16, multiple_of=16, min_size=32))
    assert next(calls) == 1


def test_sizes_that_do_not_agree_are_errors() -> None:
    plan = Plan(50, 40, halo=0, multiple_of=1, min_size=1)
    with pytest.raises(ValueError, match="the plan is for"):
        next(tiled(np.zeros((40, 50, 3)), to_float, plan))
    with pytest.raises(ValueError, match="the network made"):
        next(tiled(np.zeros((50, 40, 3)), lambda codes: codes[:-1], plan))


def test_memory_grows_with_the_tile_not_with_the_photo() -> None:
    plan = Plan(10_000, 20_000, 512, halo=32, multiple_of=16, min_size=32)
    photo = np.broadcast_to(np.uint8(200), (plan.height, plan.width, 3))  # 200 MP that take one byte
    pixels = 0
    tracemalloc.start()
    try:
        for region, _ in tiled(photo, lambda codes: to_float(codes[:, :, :1]), plan):
            pixels += region.height * region.width
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pixels == 200_000_000
    ramps, tiles = plan.blend * plan.width * 4, 4 * 512**2 * 4
    assert peak < 1.2 * ramps + 2 * tiles


@pytest.mark.parametrize("scale", [1, 3, 4, 50])
def test_block_means(scale: int) -> None:
    """Put together from uneven regions, the blocks are the means of the whole."""
    plane = np.random.default_rng(0).random((23, 31, 2), np.float32)
    blocks = BlockMeans(2, 23, 31, scale)
    for top, bottom in ((0, 5), (5, 6), (6, 23)):
        for left, right in ((0, 14), (14, 31)):
            blocks.add(Region(top, left, bottom - top, right - left), plane[top:bottom, left:right])
    means = blocks.means()
    assert means.shape == (2, -(-23 // scale), -(-31 // scale))
    for row in range(means.shape[1]):
        for column in range(means.shape[2]):
            block = plane[row * scale : (row + 1) * scale, column * scale : (column + 1) * scale]
            np.testing.assert_allclose(means[:, row, column], block.mean((0, 1)), rtol=1e-5)
