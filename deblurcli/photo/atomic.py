"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from deblurcli.errors import PhotoError

FULL = ("cannot be written: the disk is full", "Make room, or write somewhere else.")
LOCKED = ("cannot be written: no permission to write in this folder", "Choose another place with --output.")
MISSING = ("cannot be written: its folder does not exist", "Create the folder first.")
EXISTS = ("exists already", "Pass --overwrite to replace it.")
_WORDS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: LOCKED,
    errno.EPERM: LOCKED,
    errno.EROFS: ("cannot be written: the disk is read-only", "Choose another place with --output."),
    errno.ENOENT: MISSING,
    errno.ENOTDIR: MISSING,
    errno.EEXIST: EXISTS,
    errno.EFBIG: ("cannot be written: the file would be too large for this disk", "Choose a smaller format."),
}


@contextmanager
def replacing(path: str | PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A new file, open for writing and reading, that takes the place of ``path`` when the with-block ends well.

    It is written beside its target under a hidden name. Whatever ends the block early, a Ctrl-C included, removes
    it and leaves the target untouched. Where ``overwrite`` is false a target that exists, or comes to exist in the
    meantime, is an error.

    Raises:
        PhotoError: the file cannot be written (or an OSError of the with-block, put into words).
    """
    target = Path(os.path.realpath(path))  # a link is written through, not replaced
    temporary = target.with_name(f".deblur-{secrets.token_hex(6)}.part")
    try:
        if target.is_dir():
            raise PhotoError(path, "cannot be written: it is a folder", "Name a file.")
        if target.exists():
            if not overwrite:
                raise PhotoError(path, *EXISTS)
            if not target.is_file():
                raise PhotoError(path, "cannot be written: it is not a regular file", "Name a file.")
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        _rename(temporary, target, overwrite)
    except OSError as error:
        words = _WORDS.get(error.errno or 0, (f"cannot be written: {error.strerror or error}",))
        raise PhotoError(path, *words) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _rename(temporary: Path, target: Path, overwrite: bool) -> None:
    if not overwrite:
        try:
            target.hardlink_to(temporary)  # unlike a rename, fails where the target exists
            return
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):  # a file system without hard links: claim the name first
            target.open("xb").close()
    temporary.replace(target)
