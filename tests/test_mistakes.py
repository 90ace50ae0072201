"""What newcomers mistype or leave out, and that they are told what to do; nothing is restored or lost meanwhile."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_cli import CODES, deblur, run

from deblurcli import read_photo
from deblurcli.cli import defaults
from deblurcli.cli.values import FormatType
from deblurcli.errors import UsageError
from deblurcli.photo.formats.table import FORMATS, format_for


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with photo.png in it; the user's file of defaults is not there yet."""
    folder = tmp_path / "here"
    folder.mkdir()
    Image.fromarray(CODES).save(folder / "photo.png")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(defaults, "places", lambda: (tmp_path / "deblur.toml", Path("deblur.toml")))
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def only_the_photo(folder: Path) -> bool:
    return [path.name for path in folder.iterdir()] == ["photo.png"]


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("typed", "meant"), [("prevew", "preview"), ("Inspct", "inspect"), ("doktor", "doctor")])
def test_a_mistyped_command_is_no_photo(typed: str, meant: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(typed, "photo.png") == 2
    assert f"no command '{typed}'" in (told := said(capsys)) and f"Did you mean '{meant}'?" in told
    assert only_the_photo(here)


def test_a_folder_that_is_called_nearly_as_a_command(here: Path) -> None:
    (here / "prevew").mkdir()
    (here / "photo.png").rename(here / "prevew" / "photo.png")
    assert deblur("prevew", "-o", "sharp") == 0
    assert (here / "sharp" / "photo.png").is_file()


@pytest.mark.parametrize("name", ["gone/", "gone", "gone.jpg"])
def test_what_is_missing_is_named_before_the_output_is(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deblur(name, "-o", "x") == 1
    told = said(capsys)
    assert told.startswith(f"error: {name}: there is no such file") and "suffix" not in told
    assert deblur("photo.png", "-o", "x") == 2
    assert "For a folder, write x/." in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "iniknet-fst"], "Did you mean 'iniknet-fast'?"),
        (["--format", "jpgg"], "Did you mean 'jpg'?"),
        (["--backend", "onx"], "Did you mean 'onnx'?"),
        (["--maps", "blur-radius", "-m", "tiny"], "Did you mean 'blur_radius'? There are: mu,"),
    ],
)
def test_names_of_values(arguments: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("photo.png", *arguments) == 2
    assert words in said(capsys)
    assert only_the_photo(here)


def test_a_mistyped_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("integrate", "nautlus") == 2
    assert "Did you mean 'nautilus'?" in said(capsys)
    assert run("integrate", "Nautilus") == 0


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--amount", "50%", "'50%' is not a number from 0 to 1.5, such as 0.5"),
        ("--amount", "0,5", "'0,5' is not a number from 0 to 1.5, such as 0.5"),
        ("--amount", "nan", "is not a number"),
        ("--quality", "101", "'101' is not a whole number from 1 to 100, such as 90"),
        ("--jobs", "0", "'0' is not a whole number from 1 on, such as 2"),
        ("--keep-bokeh", "wide", "must be a number of pixels such as 4, or auto, strict or off"),
        ("--tile", "2,5", "must be a number of pixels such as 512"),
        ("--region", "1,2", "'1,2' is not a region: four numbers are needed, X,Y,W,H"),
    ],
)
def test_values(option: str, value: str, words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur("photo.png", option, value) == 2
    assert words in (told := said(capsys)) and "range" not in told
    assert only_the_photo(here)


def test_words_in_any_case(here: Path) -> None:
    words = ("--keep-bokeh", "OFF", "--tile", "Auto", "--scales", "AUTO", "--depth", "Auto", "--backend", "Torch")
    assert run("photo.png", *words, "-m", "Tiny", "--device", "CPU") == 0


@pytest.mark.parametrize("name", ["jpg", "JPEG", ".jpg", "jpe", "tif", "TIFF", "png", "dib"])
def test_formats_by_any_name(name: str, here: Path) -> None:
    assert deblur("photo.png", "--format", name, "-o", "out.file") == 0
    kind = format_for("", name)
    assert Image.open(here / "out.file").format == kind.upper()


def test_the_list_of_formats_is_the_tables() -> None:
    assert FormatType.words == tuple(FORMATS)
    with pytest.raises(UsageError, match="not a format"):
        format_for("", "gif")


def test_depths_of_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur("photo.png", "-o", "out.jpg", "--depth", 16) == 2
    assert "PNG, TIFF and JPEG XL can." in said(capsys)


# ---- --compare -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photo.png", "--compare", "x.png", "-o", "out.png"], "put an equals sign before it: --compare=x.png"),
        (["photo.png", "-o", "sharp/", "--compare", "page.html"], "--compare=page.html"),
        (["--compare=photo.png", "-o", "out.png"], "--compare=photo.png names the picture to write. Put a space"),
        (["photo.png", "-o", "out.png", "--compare=out.png"], "out.png: is the name of the result"),
        (["photo.png", "-o", "out.png", "--compare=photo.png", "--overwrite"], "photo.png: is an original"),
        (["photo.png", "-o", "out.png", "--report", "photo.png"], "photo.png: is an original"),
        (["-o", "out.png"], "no photo is named"),
    ],
)
def test_compare(arguments: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / "photo.png").read_bytes()
    assert deblur(*arguments) == 2
    assert words in said(capsys)
    assert only_the_photo(here) and (here / "photo.png").read_bytes() == before


def test_compare_with_a_file_that_is_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "other.png").write_bytes(b"mine")
    assert deblur("photo.png", "-o", "out.png", "--compare=other.png") == 1
    assert "--compare names the picture of before and after" in said(capsys)
    assert (here / "other.png").read_bytes() == b"mine"


# ---- preview -------------------------------------------------------------------------------------------------------


def test_preview_takes_a_bare_keep_bokeh_for_strict(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = kept_by_previews(monkeypatch)
    for arguments in (["--keep-bokeh", "photo.png"], ["photo.png", "--keep-bokeh"], ["photo.png", "--keep-bokeh", "3"]):
        assert deblur("preview", *arguments, "-o", "look.png", "--overwrite") == 0
    assert asked == ["strict", "strict", 3.0]


def test_preview_knows_profiles(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "quality = 80\nkeep-bokeh = 'off'\n[profile.portrait]\nkeep-bokeh = 5\nregion = '0,0,9,9'\n"
    (tmp_path / "deblur.toml").write_text(text)
    asked = kept_by_previews(monkeypatch)
    for profile in ([], ["--profile", "portrait"], ["--profile", "none"]):
        assert deblur("preview", "photo.png", "-o", "look.png", "--overwrite", *profile) == 0
    assert asked == ["off", 5.0, "auto"]
    told = said(capsys)
    assert told.count("sets region, which deblur preview does not know") == 1
    assert deblur("preview", "photo.png", "--profile", "portrat") == 2
    assert "Did you mean 'portrait'?" in said(capsys)


def kept_by_previews(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What previews from now on are asked to keep."""
    from deblurcli.restore import Deblurrer

    asked: list[object] = []
    parts = Deblurrer.parts

    def watched(self: Deblurrer, *places: object, **how: object) -> object:
        asked.append(how["keep_bokeh"])
        return parts(self, *places, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Deblurrer, "parts", watched)
    return asked


def test_preview_replaces_no_original(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (here / "photo.png").read_bytes()
    assert deblur("preview", "photo.png", "-o", "photo.png", "--overwrite") == 2
    assert "is an original" in said(capsys)
    assert (here / "photo.png").read_bytes() == before


@pytest.mark.parametrize("command", [["preview"], ["restore"]])
def test_camera_raw_without_its_reader(
    command: list[str], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (here / "a.nef").write_bytes(b"II*\0" + bytes(60))
    assert deblur(*command, "a.nef") == 1
    assert "a.nef: is a camera raw file" in (told := said(capsys)) and "pip install rawpy" in told
    assert deblur(*command, "photo.png", "-o", "out.png") == 0  # which has no need of it


# ---- what is in the way --------------------------------------------------------------------------------------------


def test_many_outputs_that_exist_are_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "shots").mkdir()
    for number in range(8):
        (here / "shots" / f"{number}.png").write_bytes((here / "photo.png").read_bytes())
    (here / "sharp").mkdir()
    for number in range(7):
        (here / "sharp" / f"{number}.png").write_bytes(b"mine")
    assert deblur("shots", "-o", "sharp", "--json", "--report", "failed.txt") == 3
    told = capsys.readouterr()
    assert told.err.count("exist already") == 1 and "7 outputs exist already" in told.err
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert sum("exists already" in row.get("error", "") for row in rows) == 7 and len(rows) == 8
    assert len((here / "failed.txt").read_text().splitlines()) == 7
    assert read_photo(here / "sharp" / "7.png").pixels.shape == CODES.shape
    assert (here / "sharp" / "0.png").read_bytes() == b"mine"
    assert deblur("shots", "-o", "sharp", "--skip-existing") == 3
    assert capsys.readouterr().err.count("exist already") == 1
    for number in range(2, 8):
        (here / "sharp" / f"{number}.png").unlink()
    assert deblur("shots", "-o", "sharp") == 3
    assert capsys.readouterr().err.count("exists already") == 2


def test_who_skips_is_said_where_nobody_typed_it(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deblur.toml"
    file.write_text("skip-existing = true\n")
    assert deblur("photo.png", "-o", "out.png") == 0
    capsys.readouterr()
    assert deblur("photo.png", "-o", "out.png", "--overwrite", "-v") == 0
    assert f"was done before with the same options (skip-existing is set in {file}; --profile none" in said(capsys)
    assert deblur("photo.png", "-o", "out.png", "--amount", 0.2) == 1
    assert f"skip-existing is set in {file}" in said(capsys)
    file.unlink()
    assert deblur("photo.png", "-o", "out.png", "--skip-existing", "-v") == 0
    assert "is set in" not in said(capsys)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which the system makes no files")
def test_a_folder_that_takes_no_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert deblur("photo.png", "-o", "/proc/x.jpg") == 1
    assert "no files in the folder /proc" in (told := said(capsys)) and "does not exist" not in told
