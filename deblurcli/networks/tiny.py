"""A miniature network with random weights: everything around networks can be tested with it in seconds."""

from __future__ import annotations

from torch import nn

from deblurcli.networks.iniknet_fast import INIKNetFast


class Tiny(INIKNetFast):
    """INIKNet-fast with few channels, one level and random heads, so that it changes every picture a little."""

    def __init__(self) -> None:
        super().__init__(widths=(8, 8, 8), depths=(1, 1, 1), atoms=2, sizes=(3, 5), levels=1)
        nn.init.normal_(self.mu_head.weight, std=0.3)
        nn.init.normal_(self.omega_heads[0].weight, std=0.5)  # type: ignore[arg-type]
