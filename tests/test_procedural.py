"""Procedural pictures: sharp, varied, never empty, and the same again from the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from deblurcli.photo.transfer import linear_to_srgb
from deblurcli.synthesis import lettering, procedural
from deblurcli.synthesis.procedural import procedural_tiles, round_bodies, text_mattes

KINDS = ("_leaves", "_page", "_texture", "_chart", "_bodies")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def steepness(pictures: Tensor) -> Tensor:
    """(B, C, H, W) → (B,) mean square of the differences between neighbours."""
    return pictures.diff(dim=2).square().mean((1, 2, 3)) + pictures.diff(dim=3).square().mean((1, 2, 3))


@pytest.mark.parametrize("size", [96, 129])
def test_tiles_are_pictures_of_any_size(size: int) -> None:
    tiles = procedural_tiles(3, size, seeded(0))
    assert tiles.shape == (3, 3, size, size)
    assert tiles.dtype == torch.uint8


def test_same_seed_same_bytes() -> None:
    for draw in (procedural_tiles, text_mattes):
        one, other, third = (draw(4, 96, seeded(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, other)
        assert not torch.equal(one, third)
        assert all(not torch.equal(one[0], tile) for tile in one[1:])


def test_a_tile_does_not_depend_on_those_after_it() -> None:
    assert torch.equal(procedural_tiles(2, 64, seeded(5)), procedural_tiles(5, 64, seeded(5))[:2])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_sharp_and_not_empty(kind: str) -> None:
    """A blur of one pixel's radius takes much from the gradients, which it would not from a picture already soft."""
    drawn = [getattr(procedural, kind)(128, np.random.default_rng(seed)) for seed in range(12)]
    tiles = torch.from_numpy(linear_to_srgb(np.stack(drawn))).permute(0, 3, 1, 2)
    assert 0 <= tiles.min() <= tiles.max() <= 1.001
    assert (tiles.std((2, 3)).amax(1) > 0.02).all()
    assert (tiles.amax((1, 2, 3)) > 0.3).all()
    assert (steepness(tiles) > 1.8 * steepness(avg_pool2d(tiles, 3, 1))).all()
    assert steepness(tiles).min() > 1e-4


def test_leaves_hide_the_ground_and_their_colours_vary_as_in_photos() -> None:
    tiles = procedural_tiles(24, 128, seeded(3)).float() / 255
    mean = tiles.mean((2, 3))
    assert 0.15 < float(mean.mean()) < 0.6
    assert float(mean.std(0).min()) > 0.05
    assert (mean.mean(0) - mean.mean()).abs().max() < 0.1  # of no colour on average


def test_edges_of_charts_are_antialiased_where_they_lie() -> None:
    """Bars of 8 px, gaps included, shifted by a quarter pixel: coverage is exact."""
    position = np.arange(16, dtype=np.float32)
    bars = procedural._bars((position + 0.25) / 8, 8.0)
    assert bars.mean() == pytest.approx(0.5)
    assert sorted(set(np.round(bars, 3).tolist())) == [0.0, 0.25, 0.75, 1.0]


def test_text_is_set_in_many_fonts() -> None:
    fonts = lettering._fonts()
    assert None in fonts
    assert len(fonts) >= 10
    for font in fonts:
        assert lettering._font(font, 24).getlength("Ag") > 10


def test_mattes_cover_a_part_and_have_sharp_edges() -> None:
    mattes = text_mattes(40, 160, seeded(0))
    assert mattes.shape == (40, 1, 160, 160)
    assert mattes.dtype == torch.float32
    assert mattes.min() == 0
    assert mattes.max() == 1
    covered = mattes.mean((1, 2, 3))
    assert covered.min() > 0.001
    assert covered.max() < 0.8
    between = ((mattes > 0.05) & (mattes < 0.95)).float().sum((1, 2, 3))
    outline = mattes.diff(dim=2).abs().sum((1, 2, 3)) + mattes.diff(dim=3).abs().sum((1, 2, 3))
    assert (between < 1.2 * outline).all()  # one soft pixel for each step from 0 to 1


def test_bodies_are_round() -> None:
    """Light falls off to all sides, without an edge inside."""
    colours, mattes = round_bodies(16, 96, seeded(1))
    assert colours.shape == (16, 3, 96, 96)
    assert mattes.shape == (16, 1, 96, 96)
    assert 0 <= min(colours.min(), mattes.min()) <= max(colours.max(), mattes.max()) <= 1
    inside = avg_pool2d(mattes, 5, 1) == 1
    inner = colours[..., 2:-2, 2:-2].mean(1, keepdim=True)
    assert (
        sum(float(picture[where].std()) > 0.01 for picture, where in zip(inner, inside, strict=True) if where.any()) > 8
    )
