"""Types of options' values: what is taken, in whatever case, and a plain sentence on what is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from deblurcli.batch.jobs import exists
from deblurcli.batch.storage import MARK as STORAGE_MARK
from deblurcli.errors import UsageError, did_you_mean
from deblurcli.networks.spec import NETWORKS, network_spec


def is_gone(name: str) -> bool:
    """Whether it can only be meant as a file, which there is not: no option, list, pattern or address."""
    return not re.search(r"^[-@]|[*?\[]|://", name) and not exists(Path(name))


class LocalPath(click.Path):
    """A path of this machine: only photos and their results may lie elsewhere."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text → a path."""
        if STORAGE_MARK in str(value):
            self.fail(f"'{value}' is not on this machine, where this has to be", param, ctx)
        return super().convert(value, param, ctx)


class Word(click.Choice):
    """One of some words."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(list(words), case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text → the word, as it was listed."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            hint = did_you_mean(value, self.choices) or f"There are: {', '.join(self.choices)}."
            self.fail(f"'{value}' is not known. {hint}", param, ctx)


class Number(click.ParamType):
    """A number between two, the lowest excluded if it has to be ``above`` it."""

    name = "number"

    def __init__(
        self, low: float, high: float = inf, *, example: float, whole: bool = False, above: bool = False
    ) -> None:
        self.low, self.high, self.example, self.whole, self.above = low, high, example, whole, above

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text → a number."""
        with suppress(ValueError):
            number = int(value) if self.whole else float(value)
            if self.low <= number <= self.high and not (self.above and number == self.low):
                return number
        kind = "whole number" if self.whole else "number"
        least = f"above {self.low}" if self.above else f"from {self.low}"
        most = f" to {self.high}" if self.high < inf else "" if self.above else " on"
        self.fail(f"'{value}' is not a {kind} {least}{most}, such as {self.example}", param, ctx)


class Spelled(click.ParamType):
    """A value that is shown in ``--help`` as its type is named: its words are written small, as people type them."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The name; click would write it in capitals. Versions before 8.2 know no ``ctx``."""
        return self.name


class TileType(Spelled):
    """auto, none, or a number of pixels."""

    name = "auto|none|PX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """Text → "auto", "none" or a positive integer."""
        if isinstance(value, int):
            return value
        if value.lower() in ("auto", "none"):
            return value.lower()
        if value.isdecimal() and int(value) > 0:
            return int(value)
        self.fail(f"must be a number of pixels such as 512, or auto or none, not '{value}'", param, ctx)


class ScalesType(Spelled):
    """auto, or a number of sizes."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """Text → "auto" or a positive integer."""
        if isinstance(value, int) or value.lower() == "auto":
            return value if isinstance(value, int) else "auto"
        if value.isdecimal() and int(value) > 0:
            return int(value)
        self.fail(f"must be a number of sizes such as 3, or auto, not '{value}'", param, ctx)


class BokehType(Spelled):
    """auto, strict, off, or a blur radius in pixels."""

    name = "auto|strict|off|PX"
    words = ("auto", "strict", "off")

    @classmethod
    def is_one(cls, text: str) -> bool:
        """Whether it is meant for this option, though perhaps not right, and is not another option or a photo."""
        if text.lower() in cls.words or re.fullmatch(r"-?[\d.]+", text):
            return True
        return bool(text) and is_gone(text)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        """Text → a word or a positive number."""
        if isinstance(value, float):
            return value
        if value.lower() in self.words:
            return value.lower()
        with suppress(ValueError):
            if 0 < float(value) < inf:
                return float(value)
        self.fail(f"must be a number of pixels such as 4, or auto, strict or off, not '{value}'", param, ctx)


class AreaType(click.ParamType):
    """A part of every photo."""

    name = "X,Y,W,H"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text → ``focus.Area``."""
        from deblurcli.focus import Area

        return value if isinstance(value, Area) else Area(value)


class FormatType(click.ParamType):
    """A format that can be written, by its name or by any suffix that it has."""

    name = "format"
    words = ("jpeg", "png", "tiff", "webp", "avif", "jxl", "bmp")  # the table's, which takes time to load

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text → a name in the table."""
        from deblurcli.photo.formats.table import format_for

        try:
            return format_for("", value)
        except UsageError as error:
            self.fail(f"{error}. {error.hint}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin so."""
        return [CompletionItem(word) for word in self.words if word.startswith(incomplete)]


class NetworkType(click.ParamType):
    """The name of a network, reserved ones included."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text → a name in the table."""
        name = value.lower()
        try:
            return network_spec(name if name in NETWORKS else value).name
        except UsageError as error:
            self.fail(f"{error}. {error.hint}", param, ctx)


class ShardType(click.ParamType):
    """K/N, one part of N."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Text → part and number of parts, 1 ≤ part ≤ parts."""
        if isinstance(value, tuple):
            return value
        part, _, parts = value.partition("/")
        if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
            return int(part), int(parts)
        self.fail(f"'{value}' is not a part of a whole, such as 3/16 for the third of sixteen parts", param, ctx)
