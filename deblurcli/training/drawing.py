"""Where the pairs of every step come from, and how a GPU does not have to wait for them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import repeat
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deblurcli.errors import UsageError
from deblurcli.synthesis.crops import Pictures
from deblurcli.synthesis.pairs import Pairs, draw_pairs
from deblurcli.synthesis.procedural import procedural_tiles
from deblurcli.training.config import Recipe


def draw_ahead(pictures: Pictures, recipe: Recipe, first: int, ahead: int = 0) -> Generator[Pairs, None, None]:
    """The pairs of step ``first``, of the next, and so on; a step's depend on seed, number and device alone.

    Args:
        ahead: threads that draw the next steps' pairs, so that what a CPU decides about them does not keep a GPU
            waiting. 0 draws only when asked, for CPUs that have enough to do.
    """

    def draw(step: int) -> Pairs:
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        of = wide if wide and float(torch.rand(1, generator=generator)) < recipe.wide_share else recipe
        return draw_pairs(pictures, of.batch, of.crop, of.synthesis, generator)

    wide = recipe.widened() if recipe.wide_share else None

    if not ahead:
        while True:
            yield draw(first)
            first += 1
    with ThreadPoolExecutor(ahead) as pool:
        waiting: deque[Future[Pairs]] = deque()
        while True:
            while len(waiting) < ahead:
                waiting.append(pool.submit(draw, first))
                first += 1
            yield waiting.popleft().result()


def all_pictures(photos: Tensor, smooth: Tensor | None, recipe: Recipe) -> Pictures:
    """``photos``, those among them whose soft squares are kept, and drawn pictures, in the recipe's shares.

    Args:
        photos, smooth: (N, 3, H, H) uint8.

    Raises:
        UsageError: the shares leave nothing to ``photos``, or ``smooth`` has none.
    """
    if smooth is not None and not recipe.smooth:
        raise UsageError("--smooth is given, but the recipe's share of it is 0", "Add --set smooth=0.08, for example.")
    drawn_share, smooth_share = recipe.procedural, recipe.smooth if smooth is not None else 0.0
    rest = 1 - drawn_share - smooth_share
    if min(drawn_share, smooth_share) < 0 or rest <= 0:
        raise UsageError(
            f"procedural = {drawn_share:g}, smooth = {smooth_share:g}: shares of all pictures, together below 1"
        )
    groups = [(photos, rest, False)]
    if smooth is not None:
        groups.append((smooth, smooth_share, True))
    if drawn_share:
        count = math.ceil(len(photos) * drawn_share / rest)
        # A picture takes half a second, hundreds are needed, and drawing is plain Python: one process for each core.
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            seeds = range(1_000_003 * recipe.seed, 1_000_003 * recipe.seed + count)
            drawn = list(pool.map(_draw_one, repeat(photos.shape[-1]), seeds, chunksize=8))
        groups.append((torch.from_numpy(np.stack(drawn)).to(photos.device), drawn_share, True))
    return Pictures.mixed(*groups)


def _draw_one(size: int, seed: int) -> NDArray[np.uint8]:
    return procedural_tiles(1, size, torch.Generator().manual_seed(seed))[0].numpy()
