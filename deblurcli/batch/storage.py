"""Photos that are not files of this machine: ``s3://bucket/photo.jpg`` and whatever else fsspec knows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from deblurcli.errors import PhotoError

MARK = "://"


def place(name: str) -> Path:
    """A path, or what behaves like one and lies elsewhere (universal-pathlib's UPath).

    Raises:
        ModuleNotFoundError: a package for this kind of place is missing. PhotoError: there is no such kind.
    """
    if MARK not in name:
        return Path(name)
    from upath import UPath

    try:
        path = UPath(name)
    except ValueError as error:
        raise PhotoError(name, f"is in no known kind of storage ({error})") from error
    return Path(path.path) if isinstance(path, os.PathLike) else path  # type: ignore[return-value]


def is_remote(path: Path) -> bool:
    """Whether a place is elsewhere."""
    return not isinstance(path, os.PathLike)


@contextmanager
def fetched(path: Path) -> Iterator[Path]:
    """A file of this machine with the same content, for the time of the with-block.

    Raises:
        PhotoError: it cannot be had; those of the with-block name the place and not the copy.
    """
    if not is_remote(path):
        yield path
        return
    with TemporaryDirectory(prefix="deblur-") as folder:
        copy = Path(folder, path.name)
        try:
            with path.open("rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
        except OSError as error:
            raise PhotoError(path, f"cannot be read: {error.strerror or error}") from error
        with _named(copy, path):
            yield copy


@contextmanager
def published(path: Path, overwrite: bool) -> Iterator[Path]:
    """A new file of this machine, which takes its place, whole or not at all, when the with-block ends well.

    Raises:
        PhotoError: it cannot be written, or exists and may not be replaced.
    """
    if not is_remote(path):
        yield path
        return
    with TemporaryDirectory(prefix="deblur-") as folder:
        copy = Path(folder, path.name)
        with _named(copy, path):
            yield copy
        if path.exists() and not overwrite:
            raise PhotoError(path, "exists already", "--overwrite replaces it.")
        system, name = path.fs, path.path  # type: ignore[attr-defined]
        try:
            system.makedirs(system._parent(name), exist_ok=True)
            with copy.open("rb") as source, system.transaction, system.open(name, "wb") as target:
                shutil.copyfileobj(source, target)
        except OSError as error:
            raise PhotoError(path, f"cannot be written: {error.strerror or error}") from error


@contextmanager
def _named(copy: Path, path: Path) -> Iterator[None]:
    try:
        yield
    except PhotoError as error:
        if error.path != copy:
            raise
        raise PhotoError(path, str(error).removeprefix(f"{copy}: "), error.hint) from error
