"""Standard input, output and error, which a program may find closed, full, or unable to show a letter."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, TextIO

from deblurcli.errors import DeblurError

INPUT, OUTPUT = "standard input", "standard output"
_WORDS = {
    errno.EBADF: ("is closed", "Start deblur with it open, or use files."),
    errno.ENOSPC: ("cannot be written: its disk is full", "Make room, or send it somewhere else."),
    errno.EDQUOT: ("cannot be written: its disk is full", "Make room, or send it somewhere else."),
}
_PLAIN = {"→": "->", "×": "x", "·": "*", "…": "...", "±": "+-", "²": "^2", "σ": "sigma", "μ": "mu", "ω": "omega"}


class StreamError(DeblurError):
    """A standard stream is needed and cannot be used."""

    def __init__(self, name: str, error: OSError) -> None:
        what, hint = _WORDS.get(error.errno or 0, (f"cannot be used: {error.strerror or error}", "Use files."))
        super().__init__(f"{name}: {what}", hint)


class _Stream(io.RawIOBase):
    """A raw stream whose failures say which one it is; those of a stream without a name are passed over."""

    def __init__(self, raw: Any, name: str) -> None:
        self._raw, self._name = raw, name

    def readinto(self, buffer: Any) -> int | None:
        try:
            return self._raw.readinto(buffer)
        except OSError as error:
            raise StreamError(self._name, error) from error

    def write(self, data: Any) -> int | None:
        try:
            return self._raw.write(data)
        except OSError as error:
            if not self._name:
                return len(data)
            if isinstance(error, BrokenPipeError):
                raise
            raise StreamError(self._name, error) from error

    def readable(self) -> bool:
        return self._raw.readable()

    def writable(self) -> bool:
        return self._raw.writable()

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()


def prepare_streams() -> None:
    """Puts streams that fail in words in the place of Python's own. Those that somebody else put there stay.

    A closed stream's number is taken, or the next file to be opened, a photo perhaps, would get it, and with it all
    that libraries print. What is written to standard error matters to nobody who closed it: nothing is said then.
    """
    codecs.register_error("deblur", _in_other_letters)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None or stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _stream(stream, number))


def finish_output() -> None:
    """Writes what is still to be written to standard output, or lets it go: Python would complain once more."""
    try:
        sys.stdout.flush()
    except (StreamError, OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        sys.stdout.flush()


def _stream(own: TextIO | None, number: int) -> TextIO:
    """The stream of this number; ``own`` is Python's, None where it is closed."""
    buffer: Any = own.buffer if own else _closed(number)
    raw: Any = _Stream(getattr(buffer, "raw", buffer), (INPUT, OUTPUT, "")[number])
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if number else io.BufferedReader(raw),
        encoding=own.encoding if own else "utf-8",
        errors="deblur" if number else "surrogateescape",
        line_buffering=number == 2 or raw.isatty(),
    )


def _closed(number: int) -> io.FileIO:
    """What is in the place of a closed stream: reading or writing it is an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    return io.FileIO(number, "r" if number == 0 else "w", closefd=False)


def _in_other_letters(error: UnicodeError) -> tuple[str, int]:
    """What a stream's encoding does not have, in letters that all have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    shown = (_PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters)
    return "".join(shown), error.end
