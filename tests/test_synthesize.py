"""``deblur synthesize``: what it writes is what it says, again from the same command, and whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from deblurcli import read_photo, write_photo
from deblurcli.cli import main
from deblurcli.cli.synthesize import LENSES
from deblurcli.datasets.pairs import find_pairs
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_float
from deblurcli.synthesis import scene
from deblurcli.synthesis.defocus import MID_GRAY, SLOPE, defocus, plain, scenes
from deblurcli.synthesis.procedural import procedural_tiles
from deblurcli.synthesis.psf import LensPrior
from deblurcli.synthesis.sensor import develop

CODES = procedural_tiles(1, 96, torch.Generator().manual_seed(1))[0].permute(1, 2, 0).numpy()[:, :80]
CONSTANT = ("--radius", 3, "--lens", "disc", "--noise", 0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def synthesize(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main(["synthesize", *map(str, arguments)])
    return int(exit.value.code or 0)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.fromarray(CODES).save(path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "pairs"


# ---- pictures -----------------------------------------------------------------------------------------------------


def test_even_blur_leaves_the_sharp_photo_alone_and_preserves_light(photo: Path, out: Path) -> None:
    assert synthesize(photo, "-o", out, *CONSTANT) == 0
    blurred, sharp = (read_photo(out / f"cat_0_{kind}.png") for kind in ("blur", "sharp"))
    np.testing.assert_array_equal(sharp.pixels, CODES)
    assert blurred.pixels.shape == CODES.shape
    assert blurred.pixels.dtype == np.uint8
    steps = [np.abs(np.diff(p.picture, axis=0)).mean() for p in (blurred, sharp)]
    assert steps[0] < 0.5 * steps[1]
    radius = tifffile.imread(out / "cat_0_radius.tif")
    assert radius.dtype == np.float32
    assert radius.shape == CODES.shape[:2]
    assert set(np.unique(radius)) == {3.0}


def test_radius_zero_without_noise_is_the_photo(photo: Path, out: Path) -> None:
    assert synthesize(photo, "-o", out, "--radius", 0, "--noise", 0) == 0
    difference = read_photo(out / "cat_0_blur.png").pixels.astype(int) - CODES
    assert np.abs(difference).max() <= 1


def test_scenes_have_depth_within_the_largest_radius() -> None:
    """Of many scenes some vary, some have layers in front, and the sharp picture differs only where a layer is."""
    picture = to_float(CODES)
    made = [defocus(picture, scenes(6.0), 0.0, None, seeded(n)) for n in range(12)]
    assert max(float(one.radius.max()) for one in made) <= 6
    assert min(float(one.radius.max()) for one in made) > 0
    assert any(np.ptp(one.radius) > 1 and not one.drawn["layers"] for one in made)
    assert any(one.drawn["layers"] for one in made)
    for one in made:
        same = np.isclose(one.sharp, picture, atol=1e-4).all()
        assert same or one.drawn["layers"]


def test_the_map_tells_where_it_is_blurred() -> None:
    """White noise blurred by a field keeps more of its contrast where the map says less."""
    picture = np.random.default_rng(0).random((160, 160, 3), dtype=np.float32)
    config = scenes(8.0)
    made = next(one for n in range(40) if np.ptp((one := defocus(picture, config, 0.0, None, seeded(n))).radius) > 4)
    detail = np.abs(np.diff(made.blurred, axis=1)).mean(2)
    radius = made.radius[:, 1:]
    near = radius < (radius.min() + radius.max()) / 2
    assert detail[near].mean() > 1.5 * detail[~near].mean()


def test_noise_is_as_strong_as_asked_for() -> None:
    gray = np.full((128, 128, 3), 0.5, np.float32)
    noisy = defocus(gray, plain(2.0), 3.0, None, seeded(0)).blurred
    assert noisy.std() * 255 == pytest.approx(3.0, rel=0.05)
    steps = [develop(torch.full((1, 1, 1, 1), MID_GRAY + d), torch.ones(1)).item() for d in (-1e-3, 0, 1e-3)]
    assert steps[1] == pytest.approx(0.5, abs=1e-3)
    assert (steps[2] - steps[0]) / 2e-3 == pytest.approx(SLOPE, rel=0.01)


def test_jpeg_adds_its_losses(photo: Path, out: Path) -> None:
    pictures = []
    for quality in ([], ["--jpeg", 90], ["--jpeg", 30]):
        assert synthesize(photo, "-o", out, *CONSTANT, *quality, "--overwrite") == 0
        pictures.append(read_photo(out / "cat_0_blur.png").picture)
    losses = [float(np.square(picture - pictures[0]).mean()) for picture in pictures]
    assert 0 == losses[0] < losses[1] < losses[2]


def test_every_lens_can_be_named() -> None:
    assert set(LENSES) == set(LensPrior.__dataclass_fields__)
    families = {"polygon": "blades", "cats_eye": "vignette", "donut": "hole", "gaussian": "gaussian"}
    for name in LENSES:
        lens = plain(2.0, name).lens.draw(5, seeded(0))
        assert {family for family, sign in families.items() if (getattr(lens, sign) > 0).any()} == {name} - {"disc"}


def test_large_photos_are_blurred_by_few_copies_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = to_float(CODES)
    config = scenes(6.0)
    whole = defocus(picture, config, 0.0, None, seeded(1))
    monkeypatch.setattr(scene, "PIXELS_AT_ONCE", 1)
    np.testing.assert_allclose(defocus(picture, config, 0.0, None, seeded(1)).blurred, whole.blurred, atol=1e-5)


# ---- files --------------------------------------------------------------------------------------------------------


def test_pairs_are_found_by_those_who_evaluate_them(photo: Path, out: Path) -> None:
    assert synthesize(photo, "-o", out, "--count", 2) == 0
    pairs = find_pairs(out)
    assert [(pair.name, pair.group) for pair in pairs] == [("cat_0", "cat"), ("cat_1", "cat")]
    assert len(files(out)) == 8


def test_same_command_same_files_whatever_else_there_is(photo: Path, out: Path, tmp_path: Path) -> None:
    Image.fromarray(255 - CODES).save(tmp_path / "dog.jpg")
    assert synthesize(photo, "-o", out, "--count", 2, "--seed", 5) == 0
    first = files(out)
    assert synthesize(tmp_path / "dog.jpg", photo, "-o", out / "more", "--seed", 5) == 0
    both = files(out / "more")
    assert {name: both[name] for name in both if name.startswith("cat")} == {n: first[n] for n in first if "_0_" in n}
    assert first["cat_0_blur.png"] != first["cat_1_blur.png"]
    assert synthesize(photo, "-o", out, "--seed", 6, "--overwrite") == 0
    assert files(out)["cat_0_blur.png"] != first["cat_0_blur.png"]


def test_json_says_all_that_was_drawn(photo: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesize(photo, "-o", out, *CONSTANT, "--json", "--jpeg", 80) == 0
    drawn: dict[str, Any] = json.loads((out / "cat_0_drawn.json").read_text())
    asked = {"radius": 3.0, "largest": None, "lens": "disc", "noise": 0.0, "jpeg": 80, "seed": 0}
    assert drawn["options"] == asked
    assert drawn["radius"] == {"smallest": 3.0, "largest": 3.0}
    assert drawn["jpeg"] == 80
    assert drawn["noise"] == {"shot": 0.0, "read": 0.0}
    assert drawn["lens"]["blades"] == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"input": str(photo), "output": str(out / "cat_0_blur.png"), "warnings": [], **drawn}


def test_sixteen_bits_stay_sixteen(tmp_path: Path, out: Path) -> None:
    write_photo(tmp_path / "deep.tif", Photo(CODES.astype(np.uint16) * 250 + 7))
    assert synthesize(tmp_path / "deep.tif", "-o", out, *CONSTANT) == 0
    assert read_photo(out / "deep_0_blur.png").pixels.dtype == np.uint16
    np.testing.assert_allclose(read_photo(out / "deep_0_sharp.png").pixels, CODES.astype(int) * 250 + 7, atol=2)


def test_folders_keep_their_tree(photo: Path, tmp_path: Path, out: Path) -> None:
    (tmp_path / "shots/more").mkdir(parents=True)
    for name in ("a.jpg", "more/b.jpg"):
        Image.fromarray(CODES).save(tmp_path / "shots" / name)
    assert synthesize(tmp_path / "shots", "-o", out, "--recursive", *CONSTANT) == 0
    assert {name for name in files(out) if name.endswith("_blur.png")} == {"a_0_blur.png", "more/b_0_blur.png"}


def test_existing_files_are_kept(photo: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out.mkdir()
    (out / "cat_0_drawn.json").write_text("mine")
    assert synthesize(photo, "-o", out, *CONSTANT) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert files(out) == {"cat_0_drawn.json": b"mine"}
    assert synthesize(photo, "-o", out, *CONSTANT, "--overwrite") == 0
    assert len(files(out)) == 4


def test_originals_are_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat.png", "cat_0_sharp.png"):
        Image.fromarray(CODES).save(tmp_path / name)
    before = files(tmp_path)
    assert synthesize(tmp_path, "-o", tmp_path, "--overwrite") == 2
    assert "original" in capsys.readouterr().err
    assert files(tmp_path) == before


def test_whole_or_not_at_all(photo: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    assert synthesize(photo, "-o", out, *CONSTANT) == 1
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_made(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert synthesize(photo, "-o", tmp_path / "file" / "pairs", *CONSTANT) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_one_bad_photo_does_not_stop_the_others(photo: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = photo.with_name("bad.png")
    bad.write_bytes(b"no photo")
    assert synthesize(bad, photo, "-o", out, *CONSTANT, "--json") == 3
    captured = capsys.readouterr()
    assert "bad.png" in captured.err
    assert ["error" in json.loads(line) for line in captured.out.splitlines()] == [True, False]
    assert len(files(out)) == 4


def test_photos_smaller_than_the_blur(photo: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synthesize(photo, "-o", out, "--radius", 90) == 1
    said = capsys.readouterr().err
    assert "cat.png" in said
    assert "80 × 96" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--radius", 3, "--largest", 4], "used together"),
        (["--radius", -1], "radius"),
        (["--lens", "square"], "square"),
        (["--count", 0], "count"),
        (["--jpeg", 101], "jpeg"),
    ],
)
def test_wrong_usage(
    arguments: list[object], words: str, photo: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert synthesize(photo, "-o", out, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_output_is_a_folder(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert synthesize(photo, "-o", tmp_path / "file") == 2
    assert "folder" in capsys.readouterr().err
