"""Room to grow: a network takes over what a smaller one of its kind has learned, and computes what that computed."""

from __future__ import annotations

import torch
from torch import nn

SAME = 1e-5  # of white: sums over more channels are added up in another order


def grown(small: nn.Module, large: nn.Module) -> bool:
    """Gives ``large``, freshly drawn, the weights of ``small``, which may be narrower, shallower or have fewer levels.

    What the smaller one has lies in the first channels, and these do not look at new ones. New channels and blocks
    keep what they were drawn with, so that they have something to learn from; a new block starts as the identity
    (``networks.blocks.Block``). Deeper, the network computes the same to the last bit.

    Returns:
        Whether ``large`` restores as ``small`` does; if it has no room or the arguments are of another kind, not.
    """
    state = large.state_dict()
    for key, old in small.state_dict().items():
        new = state.get(key)
        if new is None or new.ndim != old.ndim or any(n < o for n, o in zip(new.shape, old.shape, strict=True)):
            return False
        if old.ndim > 1:  # (out, in, …): old outputs see no new inputs
            new[: len(old)] = 0
        new[tuple(map(slice, old.shape))] = old
    picture = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before, after = (network.eval()(picture).picture for network in (small, large))
    return bool((before - after).abs().max() <= SAME)
