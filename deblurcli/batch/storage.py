"""Photos that are not files of this machine: ``s3://bucket/photo.jpg`` and whatever else fsspec knows."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from deblurcli.errors import PhotoError, installs

MARK = "://"


def place(name: str) -> Path:
    """A path, or what behaves like one and lies elsewhere (universal-pathlib's UPath).

    Raises:
        PhotoError: there is no such kind of place, or a package for it is missing.
    """
    if MARK not in name:
        return Path(name)
    try:
        from upath import UPath

        path = UPath(name)
        if isinstance(path, os.PathLike):
            return Path(path.path)
        _ = path.fs  # is made when it is asked for, of a package that may be missing
    except ImportError as error:
        packages = _packages(name.partition(MARK)[0])
        if not packages and error.name and error.name != "upath":
            packages = [error.name]
        what = f"needs Python packages that are not installed: {', '.join(packages) or 'universal-pathlib'}"
        raise PhotoError(name, what, installs("cluster", *packages)) from error
    except Exception as error:  # of whatever kind the storage's library has
        raise _unreachable(name, error) from error
    return path  # type: ignore[return-value]


def _packages(kind: str) -> list[str]:
    """What a kind of storage needs besides the extra, as far as fsspec says so."""
    try:
        from fsspec.registry import known_implementations
    except ImportError:
        return []
    known = known_implementations.get(kind, {})
    package = known.get("class", "").partition(".")[0]
    return re.findall(r'"([\w-]+)"', known.get("err", "")) if package == "fsspec" else [package] * bool(package)


def _unreachable(name: str, error: Exception) -> PhotoError:
    return PhotoError(name, f"cannot be reached ({_reason(error)})", "Is its address right?")


def is_remote(path: Path) -> bool:
    """Whether a place is elsewhere."""
    return not isinstance(path, os.PathLike)


def is_folder(path: Path) -> bool:
    """``Path.is_dir``, with errors in words.

    Raises:
        PhotoError: whoever keeps the files cannot be asked.
    """
    if not is_remote(path):
        return path.is_dir()
    try:
        return path.is_dir()
    except Exception as error:  # of whatever kind the storage's library has
        raise _unreachable(str(path) or MARK, error) from error


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
        except Exception as error:  # of whatever kind the storage's library has
            raise PhotoError(path, f"cannot be read: {_reason(error)}") from error
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
        except Exception as error:
            raise PhotoError(path, f"cannot be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())


@contextmanager
def _named(copy: Path, path: Path) -> Iterator[None]:
    try:
        yield
    except PhotoError as error:
        if error.path != copy:
            raise
        raise PhotoError(path, str(error).removeprefix(f"{copy}: "), error.hint) from error
