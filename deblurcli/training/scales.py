"""What ``deblurcli.scales`` does with a photo, with gradients: pairs at several sizes, and changes that become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import NetworkSpec
from deblurcli.synthesis.pairs import Pairs


def scales_of(picture: Tensor, most: int, spec: NetworkSpec) -> int:
    """How many times, at most ``most``, a picture (B, 3, H, W) can be halved for a network, itself counted."""
    count, sides = 1, picture.shape[-2:]
    while count < most and all(s >= spec.min_size << count and s % (spec.multiple_of << count) == 0 for s in sides):
        count += 1
    return count


def halved(pairs: Pairs) -> Pairs:
    """The same scenes at half their size; H and W are even. A blur has half its radius there."""
    return Pairs(avg_pool2d(pairs.blurred, 2), avg_pool2d(pairs.sharp, 2), avg_pool2d(pairs.radius, 2) / 2)


def restored_at_scales(restore: Callable[..., Restored], picture: Tensor, scales: int, maps: bool) -> list[Restored]:
    """A network's results for a picture and its halved copies, from the finest on; each knows the coarser ones.

    Args:
        picture: (B, 3, H, W), whose copies suit the network.
    """
    results: list[Restored] = []
    change: Tensor | None = None
    copies = [picture]
    for _ in range(scales - 1):
        copies.append(avg_pool2d(copies[-1], 2))
    for copy in reversed(copies):
        result = restore(copy.contiguous(memory_format=torch.channels_last), maps=maps)
        own = result.picture - copy
        if change is not None:
            trust = 0.5 if result.trust is None else result.trust
            missing = (1 - trust) * (change - avg_pool2d(own, 2))
            own = own + interpolate(missing, scale_factor=2, mode="bilinear", align_corners=False)
        change = own
        results.insert(0, replace(result, picture=copy + change))
    return results
