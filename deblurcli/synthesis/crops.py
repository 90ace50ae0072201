"""Squares to lay scenes out with, cut from sharp pictures: how often from which, and which are not to be taught."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


@dataclass(frozen=True)
class Pictures:
    """Sharp pictures, all of one size.

    Attributes:
        tiles: (N, 3, H, W) uint8, sRGB.
        share: (N,) how often each is drawn, adding up to 1; on the CPU.
        in_focus: (N,) whether what is soft in it is soft by nature (skin, sky, shading), not out of focus; on the CPU.
    """

    tiles: Tensor
    share: Tensor
    in_focus: Tensor

    @staticmethod
    def mixed(*groups: tuple[Tensor, float, bool]) -> Pictures:
        """Pictures of several kinds: of each its tiles, its share of all, and whether it is in focus everywhere.

        The shares of those that are there are stretched to add up to 1.
        """
        groups = tuple(group for group in groups if len(group[0]) and group[1])
        total = sum(share for _, share, _ in groups)
        return Pictures(
            torch.cat([tiles for tiles, _, _ in groups]),
            torch.cat([torch.full((len(tiles),), share / total / len(tiles)) for tiles, share, _ in groups]),
            torch.cat([torch.full((len(tiles),), in_focus) for tiles, _, in_focus in groups]),
        )


def sharpness(pictures: Tensor) -> Tensor:
    """Energy of the finest octave over that of the next: how sharp pictures are at their own scale.

    About 0.8 for sharp photos whatever they show, 0.36 for those blurred by 2 px, and 0.25 at the least.

    Args:
        pictures: (B, 3, H, W) in [0, 1].

    Returns:
        (B,)
    """
    fine = pictures.mean(1, keepdim=True)
    middle = avg_pool2d(fine, 2)
    coarse = avg_pool2d(middle, 2)
    first, second, third = (band.square().mean((1, 2, 3)) for band in (fine, middle, coarse))
    return (first - second) / (second - third + 1e-6)


def random_crops(
    pictures: Pictures, count: int, size: int, generator: torch.Generator, halved: float = 0.5, softest: float = 0.45
) -> Tensor:
    """Random squares of random pictures, flipped and turned at random.

    What lies out of focus in a photo must not be taught as sharp: squares below the sharpness ``softest`` are drawn
    again, up to three times, unless their picture is in focus. The share ``halved`` is cut twice as large and halved,
    where the picture allows.

    Returns:
        (count, 3, size, size) float32, display-referred.
    """

    def integer(end: int) -> int:
        return int(torch.randint(0, end, (1,), generator=generator))

    def squares(at: Tensor) -> Tensor:
        return torch.stack([square(which) for which in at.tolist()])

    def square(which: int) -> Tensor:
        height, width = pictures.tiles.shape[2:]
        half = 2 * size <= min(height, width) and float(torch.rand(1, generator=generator)) < halved
        side = 2 * size if half else size
        top, left, turn = integer(height - side + 1), integer(width - side + 1), integer(8)
        crop = pictures.tiles[which, :, top : top + side, left : left + side]
        crop = torch.rot90(crop, turn % 4, (1, 2)).float() / 255
        return avg_pool2d(crop.flip(2) if turn >= 4 else crop, 2 if half else 1)

    def any_of_them(number: int) -> Tensor:
        return torch.multinomial(pictures.share, number, replacement=True, generator=generator)

    which = any_of_them(count)
    crops = squares(which)
    for _ in range(3):
        soft = (sharpness(crops) < softest).cpu() & ~pictures.in_focus[which]  # a GPU is waited for here
        if not soft.any():
            break
        which[soft] = any_of_them(int(soft.sum()))
        crops[soft.to(crops.device)] = squares(which[soft])
    return crops
