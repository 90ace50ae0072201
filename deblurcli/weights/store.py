"""Finds weights: the released ones that come with the program, fetched ones, and files of one's own."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from deblurcli.errors import UsageError, WeightsError
from deblurcli.networks.spec import NetworkSpec, network_spec
from deblurcli.weights.checkpoint import Header, read_header

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HERE = Path(__file__).parent
CATALOG = _HERE / "catalog.toml"
FOLDER_VARIABLE = "DEBLUR_WEIGHTS"
RANDOM = "random"
"""The tag of weights that are drawn."""
PERMISSIVE = {"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0"}


@dataclass(frozen=True)
class Release:
    """A ``weights`` row of ``catalog.toml``. The first row of a network is its default.

    Attributes:
        calibration: a and b of the blur radius a · (defocus size − 1)^b, px, that defocus sizes stand for; measured by
            ``deblur evaluate --suite maps``. Empty where it was not.
    """

    network: str
    tag: str
    sha256: str
    onnx_sha256: str | None = None
    calibration: Sequence[float] = ()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._file("safetensors")

    @property
    def onnx_path(self) -> Path | None:
        """Where the same is as an ONNX file, if it comes as one, too."""
        return self._file("onnx") if self.onnx_sha256 else None

    def verify(self) -> None:
        """Raises WeightsError unless the files are there and are, byte for byte, what was released."""
        for path, expected in ((self.path, self.sha256), (self.onnx_path, self.onnx_sha256)):
            if path is None:
                continue
            if not path.is_file():
                raise WeightsError(f"{path}: released weights are missing", "Reinstall deblur.")
            if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                raise WeightsError(f"{path}: not the weights that were released", "Reinstall deblur.")

    def _file(self, suffix: str) -> Path:
        """Inside the installed package, or at the top of a source tree."""
        name = f"{self.network}.{self.tag}.{suffix}"
        packaged = _HERE / "released" / name
        return packaged if packaged.is_file() else _HERE.parents[1] / "weights" / name


@dataclass(frozen=True)
class Published:
    """A ``published`` row of ``catalog.toml``: weights that a network's authors published and that can be fetched.

    Attributes:
        url: their file, at a fixed commit. blob: git's id of its content.
        licence: as stated there.
    """

    network: str
    tag: str
    url: str
    blob: str
    licence: str

    @property
    def name(self) -> str:
        """What ``deblur weights fetch`` calls it."""
        return f"{self.network}.{self.tag}"

    @property
    def path(self) -> Path:
        """Where it lies once fetched."""
        return cache_folder() / f"{self.name}.safetensors"

    @property
    def is_fetched(self) -> bool:
        """Whether it lies there."""
        with suppress(WeightsError, OSError):
            return self.path.is_file()
        return False

    @property
    def permissive(self) -> bool:
        """Whether the licence lets everyone use the weights for anything."""
        return self.licence in PERMISSIVE


def cache_folder() -> Path:
    """Where fetched weights lie: the folder that the environment variable names, or the user's cache.

    Raises:
        WeightsError: the user, as in some containers, has no home folder.
    """
    from platformdirs import user_cache_path

    named = os.environ.get(FOLDER_VARIABLE)
    try:
        return Path(named).expanduser() if named else user_cache_path("deblur", appauthor=False) / "weights"
    except RuntimeError as error:
        hint = f"Set {FOLDER_VARIABLE} to a folder for weights, or HOME to one for everything."
        raise WeightsError("there is no home folder to keep weights in", hint) from error


def make_folder(folder: Path) -> None:
    """Raises WeightsError if the folder is not there and cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"{folder}: cannot be created ({error.strerror})"
        raise WeightsError(what, f"Set {FOLDER_VARIABLE} to a folder that you can write to.") from error


@cache
def _rows(file: Path) -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def catalog() -> tuple[Release, ...]:
    """All released weights."""
    return tuple(Release(**row) for row in _rows(CATALOG).get("weights", []))


def calibration(network: str, tag: str) -> str | None:
    """In words, which blur radius the defocus size of a network with these weights stands for; None if not measured."""
    for release in catalog():
        if (release.network, release.tag) == (network, tag) and release.calibration:
            a, b = release.calibration
            return f"a defocus size S stands for a blur radius of {a:g} · (S − 1)^{b:g} px, up to about 8 px"
    return None


def published(network: str | None = None) -> tuple[Published, ...]:
    """All published weights, or those of one network."""
    rows = (Published(**row) for row in _rows(CATALOG).get("published", []))
    return tuple(row for row in rows if network in (None, row.network))


def published_as(name: str) -> Published:
    """The published weights NETWORK.TAG, or the first of NETWORK.

    Raises:
        UsageError: there is no such network, or it has no such weights.
    """
    network, _, tag = name.partition(".")
    rows = published(network_spec(network).name)
    for row in rows:
        if tag in ("", row.tag):
            return row
    names = ", ".join(row.name for row in published() if row.network == network or not rows)
    raise UsageError(f"there are no published weights called '{name}'", f"There are: {names}.")


def find(network: str, weights: str | None = None) -> tuple[Path, Header]:
    """The weights file for ``network`` and its header.

    Args:
        weights: a tag ("synth_v3"), a file, or None for the network's default: its first released weights, or else
            the first published ones that were fetched.

    Raises:
        WeightsError: there are none, the file is damaged, or it belongs to another network.
    """
    if weights and (weights.endswith(".safetensors") or Path(weights).is_file()):
        return _read(Path(weights), network)
    released = [release for release in catalog() if release.network == network]
    for release in released:
        if weights in (None, release.tag):
            release.verify()
            return release.path, read_header(release.path)
    fetchable = [row for row in published(network) if weights in (None, row.tag)]
    for row in fetchable:
        if row.is_fetched:
            return _read(row.path, network)
    if weights is None:
        raise WeightsError(f"'{network}' has no trained weights here yet", _ways(network))
    if fetchable:
        hint = f"'deblur weights fetch {fetchable[0].name}' gets what its authors published."
        raise WeightsError(f"'{network}' has no weights '{weights}' here yet", hint)
    tags = ", ".join(row.tag for row in (*released, *published(network)))
    hint = f"There are: {tags}; or give a file." if tags else _ways(network)
    raise WeightsError(f"'{network}' has no weights called '{weights}'", hint)


def is_random(spec: NetworkSpec, weights: str | None) -> bool:
    """Whether these are not to be found but drawn: a network for tests has no others."""
    return spec.untrained and weights is None


def tag_of(spec: NetworkSpec, weights: str | None = None) -> str:
    """The tag of a network's weights, as ``find`` finds them, or ``RANDOM``.

    Raises:
        WeightsError: there are none.
    """
    return RANDOM if is_random(spec, weights) else find(spec.name, weights)[1].tag


def _read(path: Path, network: str) -> tuple[Path, Header]:
    header = read_header(path)
    if header.network != network:
        raise WeightsError(
            f"{path}: weights for '{header.network}', not for '{network}'", f"Use --network {header.network}."
        )
    return path, header


def has_weights(network: str) -> bool:
    """Whether there are weights here that a network restores with when none are named."""
    released = any(release.network == network for release in catalog())
    return released or any(row.is_fetched for row in published(network))


def _ways(network: str) -> str:
    """How to get weights for a network that has none here, in words."""
    trained = f"'deblur train {network} --photos DIR -o RUN --minutes 600' trains it"
    theirs = [
        f"'deblur weights fetch {row.name}' gets what its authors published, 'deblur weights import FILE -m {network} "
        f"-o {network}.safetensors' converts their file, "
        for row in published(network)[:1]
    ]
    names = " or ".join(dict.fromkeys(f"-m {release.network}" for release in catalog()))
    return f"{''.join(theirs)}{trained}; --weights names the result. {names} works here and now."
