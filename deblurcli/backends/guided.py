"""A network that cannot tell how wide blur is, and the default one beside it, which can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from math import lcm
from typing import Any

from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.backends.backend import Answer, Backend, Wanted
from deblurcli.networks.spec import DEFAULT_NETWORK, NetworkSpec, network_spec

GUIDE = network_spec(DEFAULT_NETWORK)
RADIUS = next(m for m in GUIDE.maps if m.across_scales)


def needs_guide(spec: NetworkSpec) -> bool:
    """Whether a network has no such map; what papers have published restores as in the papers, and needs none."""
    return spec.coarse_to_fine and not any(m.across_scales for m in spec.maps)


def with_radius(spec: NetworkSpec) -> NetworkSpec:
    """The network with the guide's map of the blur radius, and tiles that both can work on."""
    radius = replace(RADIUS, meaning=f"{RADIUS.meaning} That is what {GUIDE.name} says.")
    sizes = {"multiple_of": lcm(spec.multiple_of, GUIDE.multiple_of), "min_size": max(spec.min_size, GUIDE.min_size)}
    return replace(spec, maps=(*spec.maps, radius), **sizes)


class Guided:
    """A backend whose map of the blur radius is another one's, run only where it is asked for.

    See ``backends.backend.Backend``.
    """

    def __init__(self, backend: Backend, guide: Callable[[], Backend]) -> None:
        """``guide`` is made when it is first needed. It takes less memory than any other network."""
        self.spec = with_radius(backend.spec)
        self.name, self.device, self.precision = backend.name, backend.device, backend.precision
        self.at_once = backend.at_once
        self.statistic, self.kernels = backend.statistic, backend.kernels
        self.memory_budget, self.bytes_per_pixel = backend.memory_budget, backend.bytes_per_pixel
        self._backend, self._guide = backend, cache(guide)

    def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
        """See ``Backend.run``."""
        own = maps if isinstance(maps, bool) else [name for name in maps if name != RADIUS.name]
        answer = self._backend.run(picture, own, statistics)
        if maps is True or (maps and RADIUS.name in maps):
            answer.maps[RADIUS.name] = self._guide().run(picture, [RADIUS.name]).maps[RADIUS.name]
        return answer
