"""A restored photo and how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field

from deblurcli.arrays import Maps
from deblurcli.focus import Kept
from deblurcli.photo.photo import Photo

WORTH_SAYING = 0.01  # of the photo


@dataclass(frozen=True)
class Restoration:
    """A restored photo and how it came about.

    Attributes:
        photo: as the input, with other pixels.
        maps: coefficient maps by name, (C, H, W), those with one value for the whole photo (C, 1, 1); empty unless
            asked for.
        tiles: how many there were, of all copies. tile_shape: height and width of what the network saw at once, px.
        scales: at how many sizes the photo was restored (``scales``).
        coarse: maps of the copies at 1/2, 1/4 … of the size, as ``maps``.
        approximate: the network looks at the whole picture but was shown tiles: the result is near to what it should
            be, not equal to it.
        repeated: tiles that came out unsound in half precision and were computed again in single.
        unrestored: tiles that stayed unsound, where the photo was left as it is.
        patterns: share of the photo where fine patterns are as they were (``patterns``).
        kept: what was left alone, being bokeh or in focus (``focus``); nothing if the network does not know.
        lean: how lopsided the blur was that was evened out (``lopsided``); 0 if it was not.
        stretched: the mask has another shape than the photo.
        failed: the network made nothing of the photo that can be right: the result is a copy.
        hint: what might do more for this photo; said once.
    """

    photo: Photo
    tiles: int
    tile_shape: tuple[int, int]
    scales: int = 1
    maps: Maps = field(default_factory=dict)
    coarse: tuple[Maps, ...] = ()
    approximate: bool = False
    repeated: int = 0
    unrestored: int = 0
    patterns: float = 0.0
    kept: Kept = field(default_factory=Kept)
    lean: float = 0.0
    stretched: bool = False
    failed: bool = False
    hint: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people have to be told about the result, one sentence each."""
        said = []
        if self.approximate:
            said.append(
                f"cut into {self.tiles} tiles, although this network looks at the whole picture, so the result differs "
                "slightly from that (use --tile none if there is enough memory)"
            )
        if self.repeated:
            said.append(
                f"{self.repeated} of {self.tiles} tiles were too much for half precision and were computed in fp32"
            )
        if self.unrestored:
            said.append(
                f"{self.unrestored} of {self.tiles} tiles are as they were: the network's result was unusable "
                "there (try other weights, another --device, or --precision fp32)"
            )
        if self.patterns > WORTH_SAYING:
            said.append(
                f"fine patterns are as they were, in {self.patterns:.0%} of the photo: the network took them for blur"
            )
        if self.stretched:
            said.append("the mask has another shape than the photo and was stretched to it")
        return (*said, *filter(None, [self.hint]))
