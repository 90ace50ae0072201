"""What the program says to people: on stderr and, errors and warnings apart, only to a terminal; tables on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120  # columns of a table where there is no terminal: a file or a pipe has no width of its own


def table_console() -> Console:
    """Where results that people asked for are printed as tables."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH)


def say(text: str, *, verbosity: int = 0) -> None:
    """A message nobody needs in a log file; ``verbosity`` is -1 after ``-q``, 1 after ``-v``."""
    if verbosity > 0 or (verbosity == 0 and sys.stderr.isatty()):
        print(printable(text), file=sys.stderr)


def report(error: str, hint: str = "") -> None:
    """An error and what to do about it."""
    _marked("error", "bold red", error)
    if hint:
        print(printable(f"       {hint}"), file=sys.stderr)


def warn(text: str) -> None:
    """Something that had to be changed or left out."""
    _marked("warning", "yellow", text)


def failures_table(rows: list[tuple[str, str, str]]) -> None:
    """What failed, why, and what to do, side by side."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("failed", "why", "what to do"):
        table.add_column(title, overflow="fold")
    for photo, why, todo in rows:
        why = why.removeprefix(f"{photo}: ")
        table.add_row(*(Text(printable(text)) for text in (photo, why, todo)))
    Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDTH).print(table)


def _marked(mark: str, style: str, text: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble((mark, style), ": ", printable(text)))


def printable(text: str) -> str:
    """File names may hold bytes that are no text, and control characters; neither must reach a terminal."""
    shown = text.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in shown)
