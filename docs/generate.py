"""Writes what is generated in README.md and docs/: python docs/generate.py, or make docs. A test compares."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from deblurcli import __version__
from deblurcli.cli import cli
from deblurcli.cli.sections import Sectioned, by_title
from deblurcli.evaluation.results import results_tables, summary_table
from deblurcli.integrations.offers import OFFERS
from deblurcli.weights.table import networks_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def generated() -> dict[str, str]:
    """File, from the root → its content as it should be."""
    return {
        "README.md": with_block("README.md", "results", summary_table(RESULTS)),
        "docs/results.md": with_block("docs/results.md", "results", results_tables(RESULTS)),
        "docs/networks.md": with_block("docs/networks.md", "networks", networks_table()),
        "docs/reference.md": reference(),
        "docs/deblur.1": manual(),
        "docs/editors.md": with_block("docs/editors.md", "editors", editors_table()),
    }


def editors_table() -> str:
    """What ``deblur integrate`` knows, and what of it was tried."""
    rows = [f"| `{name}` | {o.title} | {', '.join(o.systems)} | {o.tried} |" for name, o in OFFERS.items()]
    return "\n".join(["| name | for | on | tried |", "|---|---|---|---|", *rows])


def with_block(name: str, block: str, content: str) -> str:
    """A file's text with ``content`` between the marks of a generated block. Raises ValueError if there is not one."""
    text = (ROOT / name).read_text(encoding="utf-8")
    parts = re.split(rf"(<!-- {block}: .*? -->\n)(?:.*?)(<!-- end of {block} -->)", text, flags=re.DOTALL)
    before, begin, end, after = parts
    return f"{before}{begin}\n{content}\n\n{end}{after}"


# ---- the command line -----------------------------------------------------------------------------------------------


def commands(group: click.Group, parent: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """All commands that can be typed, those of groups after them."""
    for name, command in group.commands.items():
        context = click.Context(command, parent=parent, info_name=name, help_option_names=["-h", "--help"])
        yield command, context
        if isinstance(command, click.Group):
            yield from commands(command, context)


def paragraphs(command: click.Command) -> Iterator[tuple[str, bool]]:
    """A command's help, and of each paragraph whether its lines stay as they are."""
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        as_is = paragraph.startswith("\b")
        yield (paragraph.removeprefix("\b\n") if as_is else " ".join(paragraph.split())), as_is


def options(command: click.Command, context: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Sections of a command, each with its options and what they do; few options are in one without a title."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for title, parameters in by_title(command, context):
        rows = [p.get_help_record(context) for p in parameters if "--help" not in p.opts]
        if rows := [row for row in rows if row]:
            sections.setdefault(title if isinstance(command, Sectioned) else "", []).extend(rows)
    return sections


def reference() -> str:
    """All commands and options as Markdown."""
    lines = ["# Reference", "", "All commands and options, as `--help` lists them. `make docs` writes this page.", ""]
    for command, context in commands(cli, click.Context(cli, info_name="deblur")):
        lines += [f"## {context.command_path}", ""]
        for text, as_is in paragraphs(command):
            lines += ["```text", text, "```", ""] if as_is else [text, ""]
        for title, rows in options(command, context).items():
            lines += [f"### {title}", ""] if title else []
            lines += ["| option | what it does |", "|---|---|"]
            lines += [f"| `{cell(option)}` | {cell(text)} |" for option, text in rows]
            lines += [""]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Text within a table."""
    return " ".join(text.split()).replace("|", "\\|")


def manual() -> str:
    """The manual page, for man: the main job in full, the other commands by name."""
    root = click.Context(cli, info_name="deblur")
    found = list(commands(cli, root))
    main, context = found[0]
    lines = [f'.TH DEBLUR 1 "" "deblur {__version__}" "User Commands"', ".SH NAME"]
    lines += ["deblur \\- take the defocus blur out of photos", ".SH SYNOPSIS"]
    lines += [".B deblur", roff(" ".join(main.collect_usage_pieces(context))), ".br", ".B deblur", "COMMAND ..."]
    lines += [".SH DESCRIPTION"]
    for text, as_is in paragraphs(main):
        lines += [".PP", *((".nf", roff(text), ".fi") if as_is else (roff(text),))]
    lines += [".SH OPTIONS"]
    for title, rows in options(main, context).items():
        lines += [f".SS {roff(title)}"]
        for option, text in rows:
            lines += [".TP", f".B {roff(option)}", roff(" ".join(text.split()))]
    lines += [".SH COMMANDS"]
    for command, of in found:
        lines += [".TP", f".B {roff(of.command_path)}", roff(command.get_short_help_str(200))]
    lines += [".SH FILES", ".TP", ".B deblur.toml", roff(FILES)]
    return "\n".join(lines) + "\n"


FILES = (
    "Defaults, in the current folder and in your settings; 'deblur doctor' says where that is. Names of options "
    "without dashes in front, and profiles: [profile.portrait] for --profile portrait."
)


def roff(text: str) -> str:
    """Text as troff takes it."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.splitlines())


if __name__ == "__main__":
    for name, text in generated().items():
        (ROOT / name).write_text(text, encoding="utf-8")
