"""Writes an integration's files: all of them or none, and never over what somebody else wrote."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from deblurcli.errors import PhotoError
from deblurcli.integrations.offers import MARK
from deblurcli.photo.atomic import replacing


def install(paths: Sequence[Path], contents: Sequence[bytes], *, overwrite: bool = False) -> None:
    """Writes files that may be started, and makes their folders.

    Args:
        overwrite: also over files that are not from here.

    Raises:
        PhotoError: one cannot be written, or there is another in its place: then none is.
    """
    before = {path: _content(path) for path in paths}
    for path, content in before.items():
        if content is not None and not _is_ours(content) and not overwrite:
            raise PhotoError(path, "exists already and was not made by deblur", "--overwrite replaces it.")
    try:
        for path, content in zip(paths, contents, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(content)
            path.chmod(0o755)
    except BaseException as error:
        for path, content in before.items():
            with suppress(OSError):
                if content is None:
                    path.unlink()
                elif path.read_bytes() != content:
                    path.write_bytes(content)
        if isinstance(error, OSError):
            raise PhotoError(error.filename or paths[0], f"cannot be written ({error.strerror})") from error
        raise


def _content(path: Path) -> bytes | None:
    """What is there; None for nothing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PhotoError(path, f"is in the way and cannot be read ({error.strerror})") from error


def _is_ours(content: bytes) -> bool:
    return any(MARK.encode(code) in content for code in ("utf-8", "utf-16-le"))
