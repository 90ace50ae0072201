"""Help in sections, and what the shell completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from test_cli import run

from deblurcli.cli import cli
from deblurcli.cli.restore import restore
from deblurcli.cli.sections import ORDER, OTHER, by_title


def test_every_option_of_the_main_job_has_its_section() -> None:
    sections = dict(by_title(restore, click.Context(restore)))
    assert [option.opts[-1] for option in sections[OTHER]] == ["--help"]  # and -h, where it is known
    assert list(sections) == [title for title in ORDER if title in sections]


def test_help_shows_the_sections_in_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("restore", "--help") == 0
    said = capsys.readouterr().out
    assert said.index("Everyday:") < said.index("  --amount") < said.index("Many photos:") < said.index("  --recursive")
    assert said.index("Camera raw:") < said.index("  --raw-wb") < said.index("Network and speed:")
    assert "\x1b" not in said and said.isascii()


def completions(*words: str) -> set[str]:
    *before, last = words
    found = ShellComplete(cli, {}, "deblur", "_DEBLUR_COMPLETE").get_completions(list(before), last)
    return {item.value if item.type == "plain" else item.type for item in found}


def test_completions_know_the_main_job() -> None:
    assert {"inspect", "completion", "file"} <= completions("")
    assert "--amount" in completions("--am")
    assert completions("photo.jpg", "--am") == {"--amount"}
    assert completions("photo.jpg", "--depth", "") == {"auto", "8", "16", "32"}
    assert "--suite" in completions("evaluate", "--s")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_and_installed(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert run("completion", shell) == 0
    printed = capsys.readouterr().out
    assert "_DEBLUR_COMPLETE" in printed
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    assert run("completion", "--install") == 0
    path = Path(capsys.readouterr().out.splitlines()[0])
    assert path.is_relative_to(tmp_path) and path.read_text() == printed


def test_a_shell_nobody_knows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SHELL", "/bin/dash")
    assert run("completion") == 2
    assert "bash|fish|zsh" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("completion", "bash") == 0
    program = tmp_path / "deblur"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m deblurcli "$@"\n')
    program.chmod(0o755)
    script = (
        capsys.readouterr().out
        + """
COMP_WORDS=(deblur photo.jpg --amo) COMP_CWORD=2
_deblur_completion deblur
echo "${COMPREPLY[@]}"
"""
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.stdout.strip() == "--amount", done.stderr
