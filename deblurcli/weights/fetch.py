"""Fetches weights from where their authors published them, checks and converts them, and keeps the result."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from deblurcli.errors import UsageError, WeightsError
from deblurcli.weights.checkpoint import read_header, save_checkpoint
from deblurcli.weights.download import Progress, download
from deblurcli.weights.importers import import_weights
from deblurcli.weights.published.files import git_blob
from deblurcli.weights.store import FOLDER_VARIABLE, Published


def fetch(row: Published, mirror: str | None = None, progress: Progress | None = None) -> Path:
    """The file of weights that ``row`` describes, brought here unless it is here already.

    It appears whole or not at all. What was downloaded before an interruption is used by the next call.

    Args:
        mirror: an address that takes the place of the server's, paths below it being the same.

    Raises:
        UsageError: the mirror's address is none.
        WeightsError: the file cannot be had, or what came is not what the authors published.
        PhotoError: it cannot be written.
    """
    url = mirrored(row.url, mirror) if mirror else row.url
    if fetched(row):
        return row.path
    # Named after its content, so that no row can go on with the beginnings of another.
    partial = row.path.with_name(f"{row.name}.{row.blob[:12]}.partial")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        begun = partial.is_file() and partial.stat().st_size > 0
        came = _attempt(row, url, partial, progress)
        if not came and begun:  # what an earlier call left may be to blame
            came = _attempt(row, url, partial, progress)
    except OSError as error:
        raise WeightsError(
            f"{partial.parent}: cannot be written ({error.strerror})",
            f"Set {FOLDER_VARIABLE} to a folder that you can write to.",
        ) from error
    if not came:
        raise WeightsError(
            f"{url}: not the file that the authors of '{row.network}' published",
            f"Its git blob id is not {row.blob}. A proxy or mirror may have sent something else.",
        )
    return row.path


def _attempt(row: Published, url: str, partial: Path, progress: Progress | None) -> bool:
    """Downloads into ``partial`` and converts it, if it has become the right file; if it has not, removes it."""
    with open(partial, "r+b", opener=_made_if_missing) as file:
        download(url, file, progress)
        if came := git_blob(file) == row.blob:
            save_checkpoint(row.path, *import_weights(file, url, row.network))
    with suppress(PermissionError):  # on Windows, while another process has it open; that one removes it
        partial.unlink(missing_ok=True)
    return came


def _made_if_missing(path: str, flags: int) -> int:
    """Opens without emptying: an earlier call, or another process at this moment, may have written to it."""
    return os.open(path, flags | os.O_CREAT, 0o644)


def fetched(row: Published) -> bool:
    """Whether the weights are here, undamaged as far as can be told without reading them all."""
    try:
        return read_header(row.path).network == row.network
    except WeightsError:
        return False


def mirrored(url: str, mirror: str) -> str:
    """``url`` on another server: ``https://there/a/b.pth`` becomes ``mirror/a/b.pth``.

    Raises:
        UsageError: ``mirror`` is no web address.
    """
    parts = urlsplit(mirror)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise UsageError(f"{mirror}: not a mirror's address", "It begins with http:// or https://, without a password.")
    return mirror.rstrip("/") + urlsplit(url).path
