"""The shape that every file of this folder has: ``read``, ``write`` where it can be written, and ``FORMAT``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeAlias

from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.photo import TITLES, Part, Photo

Held: TypeAlias = Part | Literal["gray", "cicp"]


@dataclass(frozen=True)
class Format:
    """What a file format can hold.

    Attributes:
        title: what people call it.
        suffixes: of its files, the usual one first.
        depths: bits per channel.
        largest: pixels along a side.
        holds: what of a photo, beside its colours.
        limits: bytes of those that have to be small.
        resolution_in_exif: whether it has no other place for the resolution.
    """

    title: str
    suffixes: tuple[str, ...]
    depths: tuple[int, ...]
    largest: int
    holds: frozenset[Held]
    limits: Mapping[Part, int] = field(default_factory=dict)
    resolution_in_exif: bool = False

    @property
    def cannot_carry(self) -> tuple[Part, ...]:
        """What of a photo is lost in it."""
        return tuple(part for part in TITLES if part not in self.holds)


class Readable(Protocol):
    """A file of this folder."""

    def read(self, path: Path, file: BinaryIO, max_pixels: int | None, /) -> Decoded:
        """Decode a file.

        Raises:
            PhotoError: it is refused. Anything else: it is damaged.
        """
        ...


class Writable(Readable, Protocol):
    """A file of this folder whose format can be written, too."""

    FORMAT: Format

    def write(self, file: BinaryIO, samples: Samples, photo: Photo, quality: int, /) -> list[str]:
        """Encode (H, W) or (H, W, C) samples with the metadata of ``photo``, which ``fit`` has made fit.

        ``quality`` is 1…100; lossless formats have no use for it.

        Returns:
            What had to be changed or dropped all the same, one sentence each.
        """
        ...


class Parts:
    """What lies in a file, part by part: what its reader does not take is left, and told to people by ``Decoded``.

    Args:
        found: name and content of each part.
        storage: names of those that say how pixels are stored, or are out of date when pixels change: no loss.
        titles: what people call parts, where it is not their name.
    """

    def __init__(
        self,
        found: Iterable[tuple[str, bytes | memoryview]],
        storage: Collection[str],
        titles: Mapping[str, str] | None = None,
    ) -> None:
        self._left: dict[str, list[bytes | memoryview]] = {}
        for name, content in found:
            if name not in storage:
                self._left.setdefault(name, []).append(content)
        self._titles = titles or {}

    def take(self, name: str) -> bytes | None:
        """The first part of this name, or None."""
        found = self._left.get(name)
        return bytes(found.pop(0)) if found else None

    def take_all(self, name: str) -> list[bytes | memoryview]:
        """All parts of this name."""
        return self._left.pop(name, [])

    def __iter__(self) -> Iterator[str]:
        """The titles of what is left."""
        return (self._titles.get(name, name.strip()) for name, found in self._left.items() if found)
