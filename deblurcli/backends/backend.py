"""What restoring needs from whatever runs the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Maps, Picture
from deblurcli.networks.spec import NetworkSpec

Wanted: TypeAlias = bool | Sequence[str]
"""All maps, none, or those of these names."""


class Answer(NamedTuple):
    """What a network makes of a tile.

    Attributes:
        restored: the tile, (H, W, 3), not clipped.
        maps: by name, (C, H, W), those with one value for the whole photo (C, 1, 1); empty if not wanted.
        trust: (H/2, W/2), see ``scales``; None where the network does not say.
    """

    restored: Picture
    maps: Maps
    trust: NDArray[np.float32] | None = None


class Backend(Protocol):
    """One network with its weights on one device.

    Attributes:
        spec: row in the table of networks.
        name: of the runtime ("torch"). device: as chosen ("cpu", "cuda:0"). precision: "fp32", "bf16" or "fp16".
        at_once: how many tiles it is to be given at the same time, from several threads: a GPU computes one while the
            processor prepares the next and looks at the last, which takes it longer than a fast network.
    """

    spec: NetworkSpec
    name: str
    device: str
    precision: str
    at_once: int

    def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
        """One tile through the network.

        Args:
            picture: (H, W, 3) RGB float32 in [0, 1]; H and W as the spec demands.
            maps: whether the coefficient maps are wanted, which cost memory, or the names of those that are.
            statistics: the whole picture's averages, (C,) each, as many as the spec says; without them the network
                takes those of ``picture``.

        Raises:
            TileTooLargeError: the device is out of memory.
        """
        ...

    def statistic(self, picture: Picture, known: Sequence[NDArray[Any]] = ()) -> NDArray[Any]:
        """What has to be averaged over the picture for statistic number ``len(known)``; see ``NetworkSpec``.

        Args:
            picture: one tile, as for ``run``.
            known: the averages before this one, (C,) each.

        Returns:
            (H / s, W / s, C), where s divides the spec's ``multiple_of``.

        Raises:
            TileTooLargeError: the device is out of memory.
        """
        ...

    def kernels(self) -> dict[str, NDArray[np.float32]]:
        """The fixed kernels that the maps weigh, by name, (N, k, k) each; empty if they are not applied to the photo.

        ``atoms_5``, ``atoms_9`` …: the atoms of kernels of these sizes. ``contraction`` (3, sizes, 3, N), output and
        input colour in the network's order: what the network multiplies them by, where that is not 1.
        """
        ...

    def memory_budget(self) -> int:
        """Bytes one tile may take while it runs, and others of ``at_once`` beside it."""
        ...

    def bytes_per_pixel(self, maps: bool = False) -> float:
        """Bytes that running takes for each pixel of a tile."""
        ...
