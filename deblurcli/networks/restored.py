"""What every network returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor


@dataclass
class Restored:
    """The restored picture and what the network predicted to get there.

    Attributes:
        picture: (B, 3, H, W), the network's channel order, nominally [0, 1], not clipped.
        maps: coefficient maps (B, C, H, W) under the names of the network's spec; empty unless asked for.
        coarse: restored pictures at 1/2, 1/4 … for multi-scale training losses; empty at inference.
        reblurred: the blurred pictures at 1, 1/2, 1/4 … as the network makes them up again from its own results, for
            self-reconstruction losses; empty at inference, and for networks that do not do so.
        auxiliary: further pictures at 1, 1/2 …, which only a loss of their own looks at; empty at inference.
        scaling: how the network scales its input down for them: bilinear interpolation without antialiasing, or by
            leaving out pixels (nearest).
        trust: (B, 1, H/2, W/2) in [0, 1]: how far the network trusts what it made of that which a halved copy of the
            picture shows as well, against what comes of the copy (α in ``scales``). None for ½ everywhere.
    """

    picture: Tensor
    maps: dict[str, Tensor] = field(default_factory=dict)
    coarse: list[Tensor] = field(default_factory=list)
    reblurred: list[Tensor] = field(default_factory=list)
    auxiliary: list[Tensor] = field(default_factory=list)
    scaling: Literal["bilinear", "nearest"] = "bilinear"
    trust: Tensor | None = None
