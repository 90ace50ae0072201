"""Options under titles: what ``--help``, the reference and the manual page of a command with many options have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

EVERYDAY = "Everyday"
MANY = "Many photos"
WHERE = "Where in the photo"
LOOK = "Looking at what was done"
RAW = "Camera raw"
FILES = "Files, colour and metadata"
ENGINE = "Network and speed"
OTHER = "Other options"
ORDER = (EVERYDAY, MANY, WHERE, LOOK, RAW, FILES, ENGINE, OTHER)


def all_of(command: Any, *options: Callable[[Any], Any], title: str = OTHER) -> Any:
    """The command with these options, which ``--help`` lists in this order, under this title."""
    for option in reversed(options):
        command = option(command)
    for parameter in command.__click_params__[-len(options) :]:
        parameter.title = title
    return command


def by_title(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, list[click.Parameter]]]:
    """Titles in order, each with its options; one without any is left out."""
    found: dict[str, list[click.Parameter]] = {title: [] for title in ORDER}
    for parameter in command.get_params(ctx):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            found[getattr(parameter, "title", OTHER)].append(parameter)
    return ((title, parameters) for title, parameters in found.items() if parameters)


class Sectioned(click.Command):
    """A command whose ``--help`` lists its options under titles."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, but in sections."""
        for title, parameters in by_title(self, ctx):
            with formatter.section(title):
                formatter.write_dl([row for p in parameters if (row := p.get_help_record(ctx))])
