"""Finds weights: the released ones that come with the program, and files of one's own."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deblurcli.errors import WeightsError
from deblurcli.weights.checkpoint import Header, read_header

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Release:
    """A row of ``catalog.toml``. The first row of a network is its default."""

    network: str
    tag: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the file is: inside the installed package, or at the top of a source tree."""
        name = f"{self.network}.{self.tag}.safetensors"
        packaged = _HERE / "released" / name
        return packaged if packaged.is_file() else _HERE.parents[1] / "weights" / name

    def verify(self) -> None:
        """Raises WeightsError unless the file is there and is, byte for byte, what was released."""
        if not self.path.is_file():
            raise WeightsError(f"{self.path}: released weights are missing", "Reinstall deblur.")
        if hashlib.sha256(self.path.read_bytes()).hexdigest() != self.sha256:
            raise WeightsError(f"{self.path}: not the weights that were released", "Reinstall deblur.")


@cache
def catalog() -> tuple[Release, ...]:
    """All released weights."""
    rows = tomllib.loads((_HERE / "catalog.toml").read_text()).get("weights", [])
    return tuple(Release(**row) for row in rows)


def find(network: str, weights: str | None = None) -> tuple[Path, Header]:
    """The weights file for ``network`` and its header.

    Args:
        weights: a tag ("synth_v2"), a file, or None for the network's default.

    Raises:
        WeightsError: there are none, the file is damaged, or it belongs to another network.
    """
    if weights and (weights.endswith(".safetensors") or Path(weights).is_file()):
        path = Path(weights)
        header = read_header(path)
        if header.network != network:
            raise WeightsError(
                f"{path}: weights for '{header.network}', not for '{network}'", f"Use --network {header.network}."
            )
        return path, header
    released = [release for release in catalog() if release.network == network]
    if not released:
        raise WeightsError(
            f"there are no trained weights for '{network}' yet",
            f"Use {_trained()}, or give a file with --weights.",
        )
    for release in released:
        if weights in (None, release.tag):
            release.verify()
            return release.path, read_header(release.path)
    tags = ", ".join(release.tag for release in released)
    raise WeightsError(f"'{network}' has no weights called '{weights}'", f"There are: {tags}; or give a file.")


def _trained() -> str:
    names = dict.fromkeys(release.network for release in catalog())
    return " or ".join(f"--network {name}" for name in names) or "a network of your own"
