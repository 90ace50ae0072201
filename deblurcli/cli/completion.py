"""``deblur completion``: the shell completes commands, options and names of files."""

from __future__ import annotations

import os
from pathlib import Path

import click

from deblurcli.cli.values import Word
from deblurcli.errors import UsageError

# Where each shell looks for completions, below a folder that an environment variable names: (variable, else, file).
PLACES = {
    "bash": ("XDG_DATA_HOME", "~/.local/share", "bash-completion/completions/deblur"),
    "zsh": ("ZDOTDIR", "~", ".zfunc/_deblur"),
    "fish": ("XDG_CONFIG_HOME", "~/.config", "fish/completions/deblur.fish"),
}
AFTERWARDS = {
    "bash": "It works in new terminals. The package bash-completion has to be installed.",
    "zsh": "Add this at the end of ~/.zshrc, if it is not there: fpath+=({folder}); autoload -Uz compinit; compinit",
    "fish": "It works in new terminals.",
}


@click.command(short_help="Let the shell complete commands, options and file names.")
@click.argument("shell", required=False, type=Word(sorted(PLACES)))
@click.option("--install", is_flag=True, help="Write it where the shell looks for it, and say where that is.")
@click.pass_context
def completion(ctx: click.Context, shell: str | None, install: bool) -> None:
    """Let the Tab key complete commands, options and file names. This prints the script for that, or installs it.

    \b
    deblur completion --install             installs it for the shell that you use
    deblur completion zsh > _deblur         prints it, for you to put where you like
    """
    from click.shell_completion import get_completion_class

    shell = shell or Path(os.environ.get("SHELL", "")).name
    completer = get_completion_class(shell) if shell in PLACES else None
    if completer is None:
        raise UsageError(
            "it is not clear which shell you use", f"Name it: deblur completion {'|'.join(sorted(PLACES))}"
        )
    script = completer(ctx.find_root().command, {}, "deblur", "_DEBLUR_COMPLETE").source()
    if not install:
        print(script)
        return
    variable, otherwise, name = PLACES[shell]
    path = Path(os.environ.get(variable) or otherwise).expanduser() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script + "\n", encoding="utf-8")
    print(f"{path}\n{AFTERWARDS[shell].format(folder=path.parent)}")
