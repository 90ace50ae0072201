"""Defaults from deblur.toml: which count, which are refused, and that they are recorded as if they had been typed."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image
from test_cli import deblur, run

from deblurcli.cli import defaults
from deblurcli.cli.restore import restore


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, which is not there yet; the current folder holds photo.png."""
    here = tmp_path / "here"
    here.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(here / "photo.png")
    monkeypatch.chdir(here)
    path = tmp_path / "config" / "deblur.toml"
    path.parent.mkdir()
    monkeypatch.setattr(defaults, "places", lambda: (path, Path("deblur.toml")))
    return path


PORTRAIT = """
amount = 0.9
skip-existing = true
[profile.portrait]
amount = 0.6
"""


def amount(capsys: pytest.CaptureFixture[str], *arguments: object) -> float:
    assert deblur("photo.png", "--overwrite", "--json", *arguments) == 0
    return json.loads(capsys.readouterr().out)["amount"]


def test_what_counts_for_more(users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users.write_text(PORTRAIT)
    assert amount(capsys) == 0.9
    assert amount(capsys, "--profile", "portrait") == 0.6
    assert amount(capsys, "--profile", "portrait", "--amount", 0.3) == 0.3
    assert amount(capsys, "--profile", "none") == 1
    Path("deblur.toml").write_text("amount = 0.8\n[profile.soft]\namount = 0.2\n")
    assert amount(capsys) == 0.8
    assert amount(capsys, "--profile", "portrait") == 0.6
    assert amount(capsys, "--profile", "soft") == 0.2


def test_recorded_as_if_typed(users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users.write_text(PORTRAIT)
    assert deblur("photo.png", "-o", "out.png", "--profile", "portrait") == 0
    assert deblur("photo.png", "-o", "out.png", "--profile", "none", "--amount", 0.6, "--skip-existing", "--json") == 0
    assert json.loads(capsys.readouterr().out)["skipped"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("amont = 1", ("'amont' is not an option", "'amount'")),
        ("max_pixels = 1", ("'max_pixels' is not an option", "'max-pixels'")),
        ("[profile.portrait]\nqualty = 3", ("'qualty' of profile 'portrait'", "'quality'")),
        ("amount = 7", ("'amount'", "7")),
        ("tile = -3", ("'tile'", "-3")),
        ("device = 'gpu'", ("'device'", "gpu")),
        ("recursive = 1", ("'recursive' is either true or false",)),
        ("depth = true", ("'depth' is a text or a number",)),
        ("output = 'out.png'", ("'output' is not an option",)),
        ("profile = 'portrait'", ("[profile.portrait]",)),
        ("amount = ", ("cannot be read",)),
        ("[profile.none]", ("'none'",)),
    ],
)
def test_mistakes_name_the_file(
    content: str, words: tuple[str, ...], users: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users.write_text(content)
    assert deblur("photo.png") == 2
    said = capsys.readouterr().err
    assert str(users) in said and all(word in said for word in words)
    assert [path.name for path in Path().iterdir()] == ["photo.png"]


def test_a_profile_that_nobody_wrote(users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users.write_text(PORTRAIT)
    assert deblur("photo.png", "--profile", "portrat") == 2
    assert "'portrat'" in (said := capsys.readouterr().err) and "'portrait'" in said


@pytest.mark.parametrize("name", sorted(defaults.FOR_USERS_ONLY - {"compare", "mask"}))
def test_a_folder_does_not_say_what_is_overwritten(name: str, users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("deblur.toml").write_text(f"{name} = true" if name == "overwrite" else f"{name} = 'ray'")
    assert deblur("photo.png") == 2
    assert f"'{name}' may not come with a folder" in capsys.readouterr().err


def test_doctor_says_which_files_count(users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from importlib import import_module

    doctor = import_module("deblurcli.cli.doctor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "places", defaults.places)
        assert doctor._settings().state == doctor.ABSENT
    users.write_text(PORTRAIT)
    assert str(users) in (said := doctor._settings().details) and "amount" in said and "profile portrait" in said
    users.write_text("amont = 1")
    assert doctor._settings().state == doctor.BROKEN


def test_help_needs_no_valid_file(users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users.write_text("amont = 1")
    assert run("restore", "--help") == 0


def test_a_home_that_is_closed_has_no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "is_file", closed)
    assert defaults.read_settings(restore, click.Context(restore)) == []
