"""Every error a user can meet, with the exit code it ends in and a hint on what to do.

Exit codes: 0 done · 1 nothing could be done · 2 wrong usage · 3 some photos failed · 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from os import PathLike

NO_RUNTIME = "nothing is installed that can run the network"

NOTHING_DONE, WRONG_USAGE, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130


class DeblurError(Exception):
    """Something a user can understand and act on. ``str()`` says what is wrong, ``hint`` what to do about it."""

    exit_code = NOTHING_DONE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(DeblurError):
    """The command or call contradicts itself or names something that does not exist."""

    exit_code = WRONG_USAGE


class PhotoError(DeblurError):
    """One file cannot be read or written. The message names the file and what is wrong with it."""

    def __init__(self, path: str | PathLike[str], what: str, hint: str = "") -> None:
        super().__init__(f"{path}: {what}", hint)
        self.path = path


class OutputLostError(PhotoError):
    """Nothing can be written any more, of whatever photo: the disk is full or gone."""


class WeightsError(DeblurError):
    """Weights are missing, damaged, or made for another network."""


class DeviceError(DeblurError):
    """A device or backend asked for by name is not there."""


class TileTooLargeError(DeblurError):
    """The device ran out of memory on a tile of this size; smaller tiles may fit."""


def installs(extra: str, *packages: str) -> str:
    """The command that installs an extra, and packages that are in none.

    The constraints are part of it: without them, some extras bring gigabytes that nobody asked for.
    """
    wanted = " ".join([f"'.[{extra}]'", *packages])
    return f"pip install -c constraints.txt {wanted} (in the folder of deblur's source)"


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """A question about what is written most alike; nothing if nothing is."""
    near = get_close_matches(text.lower(), list(known), n=1)
    return f"Did you mean '{near[0]}'?" if near else ""


def unexpected(error: BaseException) -> DeblurError:
    """What nobody thought of, in a line."""
    what = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return DeblurError("not enough memory", "Close other programs, or use a smaller --tile.")
    if isinstance(error, OSError) and error.strerror:
        return DeblurError(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return DeblurError(
        f"{type(error).__name__}: {what}", "This is a bug in deblur; please report it with DEBLUR_TRACEBACK=1 set."
    )


def failure(error: BaseException, photo: str | PathLike[str]) -> DeblurError:
    """Any failure of one photo as an error that names it."""
    if isinstance(error, DeblurError):
        return error
    if isinstance(error, MemoryError):
        return PhotoError(photo, "not enough memory", "Use a smaller --tile, or close other programs.")
    return PhotoError(photo, f"{type(error).__name__}: {error}", "This is a bug in deblur; please report it.")
