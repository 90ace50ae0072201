"""Defaults from files: ``deblur.toml`` in the user's settings and in the current folder, with profiles by name."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from deblurcli.cli.messages import say, warn
from deblurcli.errors import UsageError, did_you_mean

NAME = "deblur.toml"
NONE = "none"  # the profile that no file counts with
NEVER = {"output", "profile", "help"}
FILES = "deblur.files"  # in click's notes: parameter → the file that its value is from
SEEN = re.compile("mask$|region$|transfer$|raw-")  # options that change what a photo looks like
# What a folder brings, which may come from anyone, says how photos look and not what is written where, or what runs.
FOR_USERS_ONLY = {"cluster", "compare", "maps-dir", "mask", "overwrite", "report", "weights"}


@dataclass
class Settings:
    """One file. ``profiles`` are by name; options are named as on the command line, without dashes in front."""

    path: Path
    options: dict[str, Any] = field(default_factory=dict)
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)


def places() -> tuple[Path, Path]:
    """Where files may lie: what is in the second counts for more."""
    from platformdirs import site_config_path, user_config_path

    try:
        users = user_config_path("deblur", appauthor=False)
    except RuntimeError:  # the user, as in some containers, has no home folder
        users = site_config_path("deblur", appauthor=False)
    return users / NAME, Path(NAME)


def read_settings(command: click.Command, ctx: click.Context) -> list[Settings]:
    """The files that there are, checked against the command's options. Raises UsageError, which names the file."""
    users, folders = places()
    return [_read(path, command, ctx, own=path == users) for path in (users, folders) if _is_file(path)]


def _is_file(path: Path) -> bool:
    """Whether there is a file, as far as the user may look there."""
    try:
        return path.is_file()
    except PermissionError:
        return False


def use_defaults(ctx: click.Context, parameter: click.Parameter, profile: str | None) -> None:
    """Callback of ``--profile``: puts what the files say in the place of the defaults, as if it had been typed.

    Files are about the main job. Another command takes the options that it has as well.
    """
    if ctx.resilient_parsing or profile == NONE:
        return
    program = ctx.find_root().command
    main_job = program.commands["restore"] if isinstance(program, click.Group) else ctx.command
    files = read_settings(main_job, ctx)
    known = {name for file in files for name in file.profiles}
    if profile is not None and profile not in known:
        paths = " or ".join(str(path) for path in places())
        hint = did_you_mean(profile, sorted(known)) or f"Write one in {paths}."
        raise UsageError(f"there is no profile '{profile}'", hint)
    chosen: dict[str, tuple[Any, Path]] = {}
    for file in files:
        chosen |= {name: (value, file.path) for name, value in file.options.items()}
    for file in files:
        chosen |= {name: (value, file.path) for name, value in file.profiles.get(profile or "", {}).items()}
    for file in files:
        if file.path == places()[1]:  # where people may not expect it
            say(f"with the defaults in {file.path}")
    parameters = _parameters(ctx.command)
    ctx.default_map = {str(parameters[name].name): value for name, (value, _) in chosen.items() if name in parameters}
    ctx.meta[FILES] = {str(parameters[name].name): path for name, (_, path) in chosen.items() if name in parameters}
    if left := sorted(name for name in chosen if name not in parameters and SEEN.match(name)):
        path = chosen[left[0]][1]
        warn(f"{path}: sets {' and '.join(left)}, which deblur {ctx.info_name} does not know")


def file_of(ctx: click.Context, name: str) -> Path | None:
    """The file that a parameter's value is from; None if it was typed, or nobody chose it."""
    from_file = ctx.get_parameter_source(name) == ParameterSource.DEFAULT_MAP
    return ctx.meta[FILES][name] if from_file else None


profile_option = click.option(
    "--profile",
    metavar="NAME",
    is_eager=True,
    expose_value=False,
    callback=use_defaults,
    help="Use the defaults that deblur.toml has under this name; none ignores that file.",
)


def _read(path: Path, command: click.Command, ctx: click.Context, own: bool) -> Settings:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}", "docs/guide.md shows such a file.") from error
    profiles = content.pop("profile", {})
    if not isinstance(profiles, dict) or not all(isinstance(profile, dict) for profile in profiles.values()):
        raise UsageError(f"{path}: a profile is a table", "Begin it with a line such as [profile.portrait].")
    if NONE in profiles:
        raise UsageError(f"{path}: no profile may be called '{NONE}'", f"--profile {NONE} leaves out all files.")
    known = _parameters(command)
    for where, options in (("", content), *((f" of profile '{name}'", options) for name, options in profiles.items())):
        for name, value in options.items():
            options[name] = _value(f"{path}: '{name}'{where}", known, name, value, ctx, own)
    return Settings(path, content, profiles)


def _value(what: str, known: dict[str, click.Option], name: str, value: Any, ctx: click.Context, own: bool) -> Any:
    """What click would take from the command line for this option."""
    if name not in known:
        near = did_you_mean(name.replace("_", "-"), sorted(known))
        raise UsageError(f"{what} is not an option", near or "deblur restore --help lists them.")
    if name in FOR_USERS_ONLY and not own:
        raise UsageError(f"{what} may not come with a folder", f"Type it, or write it in {places()[0]}.")
    option = known[name]
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{what} is either true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"{what} is a text or a number")
    try:
        option.process_value(ctx, str(value))
    except (click.UsageError, UsageError) as error:
        said = error.message if isinstance(error, click.UsageError) else str(error)
        raise UsageError(f"{what}: {said}") from error
    return str(value)


def _parameters(command: click.Command) -> dict[str, click.Option]:
    """Options by their long name, without dashes; those that may be in files."""
    options = (parameter for parameter in command.params if isinstance(parameter, click.Option))
    named = {max(option.opts, key=len).lstrip("-"): option for option in options}
    return {name: option for name, option in named.items() if name not in NEVER}
