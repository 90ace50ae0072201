"""Files that appear whole or not at all, even if the power fails, and nothing unfinished that stays."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from deblurcli.errors import OutputLostError, PhotoError

try:
    import fcntl
except ImportError:  # Windows, where files that are open cannot be removed anyway
    fcntl = None

FULL = ("cannot be written: the disk is full", "Make room, or write somewhere else.")
ELSEWHERE = "Choose another place with --output."
LOCKED = ("cannot be written: no permission to write in the folder {folder}", ELSEWHERE)
MISSING = ("cannot be written: its folder does not exist: {folder}", "Create the folder first.")
NO_FILES = ("cannot be written: the system makes no files in the folder {folder}", ELSEWHERE)
EXISTS = ("exists already", "Pass --overwrite to replace it.")
_WORDS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: LOCKED,
    errno.EPERM: LOCKED,
    errno.EROFS: ("cannot be written: the disk is read-only", ELSEWHERE),
    errno.ENOENT: MISSING,
    errno.ENOTDIR: MISSING,
    errno.EEXIST: EXISTS,
    errno.ENOTCONN: ("cannot be written: its disk is gone", "Connect it again."),
    errno.ESTALE: ("cannot be written: its disk is gone", "Connect it again."),
    errno.EIO: ("cannot be written: input/output error of its disk", "Check the disk and its cable."),
    errno.EFBIG: ("cannot be written: the file would be too large for this disk", "Choose a smaller format."),
}
_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOTCONN, errno.ESTALE, errno.EIO}


@contextmanager
def replacing(path: str | PathLike[str], *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A new file, open for writing and reading, that takes the place of ``path`` when the with-block ends well.

    It is written beside its target under a hidden name. Whatever ends the block early, a Ctrl-C included, removes
    it and leaves the target untouched. Where ``overwrite`` is false a target that exists, or comes to exist in the
    meantime, is an error.

    Raises:
        PhotoError: the file cannot be written (or an OSError of the with-block, put into words).
        OutputLostError: nor can any other: the disk is full or gone.
    """
    target = Path(os.path.realpath(path))  # a link is written through, not replaced
    temporary = _unfinished(target.parent)
    try:
        if target.is_dir():
            raise PhotoError(path, "cannot be written: it is a folder", "Name a file.")
        if target.exists():
            if not overwrite:
                raise PhotoError(path, *EXISTS)
            if not target.is_file():
                raise PhotoError(path, "cannot be written: it is not a regular file", "Name a file.")
        with temporary.open("x+b") as file:
            _claim(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        _rename(temporary, target, overwrite)
        _sync(target.parent)
    except OSError as error:
        words = _WORDS.get(error.errno or 0, (f"cannot be written: {error.strerror or error}",))
        words = NO_FILES if words is MISSING and target.parent.is_dir() else words
        said = (text.replace("{folder}", str(target.parent)) for text in words)
        raise (OutputLostError if error.errno in _LOST else PhotoError)(path, *said) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new hidden folder to make files in before they take their places; removed at the end, whatever ends it."""
    folder = _unfinished(parent)
    folder.mkdir(parents=True)
    lock = os.open(folder, os.O_RDONLY) if fcntl else None
    try:
        if lock is not None:
            _claim(lock)
        yield folder
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether a file is the caller's to make, and no other's who asks as well, for the time of the with-block.

    A hidden file beside it is locked meanwhile. Where there are no locks everybody may make it.
    """
    place = _unfinished(path.parent, hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12])
    try:
        file = os.open(place, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError:  # that nothing can be written here is for the writing to tell
        yield True
        return
    mine = _is_free(file)
    try:
        yield mine
    finally:
        with suppress(OSError):
            if mine:
                place.unlink()
        os.close(file)


def _is_free(file: int) -> bool:
    if not fcntl:
        return True
    for _ in range(5):  # who removes what was abandoned holds it for a moment, too
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:  # a file system without locks
            return True
    return False


def remove_abandoned(folder: Path) -> list[Path]:
    """Removes from a folder what programs were killed over, and nothing that a running one still writes.

    Returns:
        What was removed.
    """
    removed = []
    for path in folder.glob(_unfinished(folder, "*").name):
        with suppress(OSError):
            if fcntl:
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
                finally:
                    os.close(file)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed.append(path)
    return removed


def _unfinished(folder: Path, name: str = "") -> Path:
    return folder / f".deblur-{name or secrets.token_hex(6)}.part"


def _claim(file: int) -> None:
    """Tells other programs that what this descriptor has open is being written; ends with the program, however."""
    with suppress(OSError):  # a file system without locks
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)


def _sync(folder: Path) -> None:
    """Makes names in a folder last, should the power fail."""
    with suppress(OSError):  # Windows opens no folders, some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
