"""Pairs are found as each data set lays them out, crops are the papers', and what does not fit is refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deblurcli.datasets.layouts import CROPS, LAYOUTS, crop
from deblurcli.datasets.pairs import find_pairs
from deblurcli.errors import PhotoError, UsageError


def make(folder: Path, *names: str, size: tuple[int, int] = (3, 2)) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "gray").save(folder / name)
    return folder


def found(folder: Path, layout: str = "auto") -> list[tuple[str, str, str]]:
    """Name, reference below the folder, group."""
    pairs = find_pairs(folder, layout)
    assert len({pair.name for pair in pairs}) == len(pairs)
    return [(p.name, p.sharp.relative_to(folder).as_posix() if p.sharp else "", p.group) for p in pairs]


@pytest.mark.parametrize("layout", ["auto", "multifocus"])
def test_suffixes(layout: str, tmp_path: Path) -> None:
    make(tmp_path, "a_1_blur.png", "a_1_sharp.png", "b_blur.jpg", "b_sharp.tif", "unrelated.png", "below/c_blur.png")
    assert found(tmp_path, layout) == [("a_1", "a_1_sharp.png", "a"), ("b", "b_sharp.tif", "b")]


@pytest.mark.parametrize("layout", ["auto", "multifocus"])
def test_folders_of_pairs_are_sets(layout: str, tmp_path: Path) -> None:
    names = {
        "phone": ("p1", "p2"),
        "camera": ("camera_1", "camera_2"),
        "mixed": ("x_1", "x_2", "y_1", "y_2"),
        "uneven": ("x_1", "x_2", "z_1"),
    }
    for name, pairs in names.items():
        make(tmp_path / name, *(f"{pair}_{kind}.png" for pair in pairs for kind in ("blur", "sharp")))
    make(tmp_path, "single/portrait.jpg", "half/a_blur.png")
    groups = {"phone": "phone", "camera": "camera", "mixed/x": "x", "mixed/y": "y", "uneven": "uneven"}
    assert found(tmp_path, layout) == [
        (f"{name}/{pair}", f"{name}/{pair}_sharp.png", groups.get(f"{name}/{pair[0]}") or groups[name])
        for name in sorted(names)
        for pair in names[name]
    ]
    assert [group for *_, group in found(tmp_path / "phone", layout)] == ["p1", "p2"]
    make(tmp_path, "phone/p3_blur.png")
    with pytest.raises(UsageError, match=r"p3_blur\.png: has no reference"):
        find_pairs(tmp_path, layout)


@pytest.mark.parametrize("layout", ["auto", "dpdd"])
def test_dpdd_tests_on_the_combined_picture(layout: str, tmp_path: Path) -> None:
    make(
        tmp_path, *(f"{part}/{side}/1.png" for part in ("train_c", "test_l", "test_c") for side in ("source", "target"))
    )
    assert found(tmp_path, layout) == [("1", "test_c/target/1.png", "test_c")]
    assert found(tmp_path / "train_c", layout) == [("1", "target/1.png", "train_c")]


@pytest.mark.parametrize("layout", ["dpdd", "realdof", "rtf", "ded"])
@pytest.mark.parametrize(("blurred", "sharp"), [("source", "target"), ("input", "GT"), ("Blur", "ground_truth")])
def test_two_folders(layout: str, blurred: str, sharp: str, tmp_path: Path) -> None:
    make(tmp_path, f"{blurred}/2.png", f"{blurred}/1.png", f"{sharp}/1.jpg", f"{sharp}/2.png", f"{sharp}/._1.jpg")
    expected = [("1", f"{sharp}/1.jpg", tmp_path.name), ("2", f"{sharp}/2.png", tmp_path.name)]
    assert found(tmp_path, layout) == found(tmp_path) == expected


def test_order_pairs_only_when_the_layout_is_named(tmp_path: Path) -> None:
    make(tmp_path, "source/a1.png", "source/a3.png", "target/b2.png", "target/b4.png")
    expected = [("a1", "target/b2.png", tmp_path.name), ("a3", "target/b4.png", tmp_path.name)]
    assert found(tmp_path, "rtf") == expected
    with pytest.raises(UsageError, match=r"a1\.png: has no reference among the 2 photos"):
        find_pairs(tmp_path)
    make(tmp_path, "source/a5.png")
    with pytest.raises(UsageError, match=r"a1\.png: has no reference"):
        find_pairs(tmp_path, "rtf")


@pytest.mark.parametrize("layout", ["auto", "lfdof"])
@pytest.mark.parametrize("slices", [("in_1_0", "in_1_1", "out_0"), ("in_1/0", "in_1/1", "out/0")])
def test_slices_of_a_scene_share_a_reference(layout: str, slices: tuple[str, ...], tmp_path: Path) -> None:
    test = tmp_path / "test"
    make(test, *(f"input/{name}.png" for name in slices), "ground_truth/in_1.png", "ground_truth/out.png")
    scenes = ["in_1", "in_1", "out"]
    assert found(test, layout) == [(n, f"ground_truth/{s}.png", s) for n, s in zip(slices, scenes, strict=True)]
    with pytest.raises(UsageError, match="has no reference"):
        find_pairs(test, "dpdd")


def test_photos_without_reference(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    assert found(tmp_path, "cuhk") == [("a", "", tmp_path.name), ("b", "", tmp_path.name)]
    with pytest.raises(UsageError, match="no sharp reference"):
        find_pairs(tmp_path, "cuhk")[0].read()
    with pytest.raises(UsageError, match="no pairs here, but 2 photos and no folders") as refused:
        find_pairs(tmp_path)
    assert "NAME_blur" in refused.value.hint and "source and target" in refused.value.hint


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no layout is called 'DPD'") as refused:
        find_pairs(tmp_path, "DPD")
    assert "dpdd" in refused.value.hint
    with pytest.raises(UsageError, match="0 photos and no folders"):
        find_pairs(tmp_path, "cuhk")
    lonely = make(tmp_path / "lonely", "x_blur.png", "x_sharpened.png")
    with pytest.raises(UsageError, match=r"x_blur\.png: has no reference"):
        find_pairs(lonely)
    double = make(tmp_path / "double", "x_blur.png", "x_blur.jpg", "x_sharp.png")
    with pytest.raises(UsageError, match=r"there is also x_blur\.jpg"):
        find_pairs(double)
    several = make(tmp_path / "several", *(f"{part}/{side}/1.png" for part in "ab" for side in ("input", "gt")))
    with pytest.raises(UsageError, match="a/input and a/gt; b/input and b/gt"):
        find_pairs(several)


def test_reading_a_pair(tmp_path: Path) -> None:
    make(tmp_path, "source/a.png", "target/a.png", size=(50, 40))
    (pair,) = find_pairs(tmp_path)
    blurred, sharp = pair.read("iniknet")
    assert blurred.shape == sharp.shape == (32, 32, 3)
    assert blurred.dtype == np.float32 and blurred.max() == pytest.approx(128 / 255)
    make(tmp_path, "target/a.png", size=(50, 41))
    with pytest.raises(PhotoError, match=r"differs in size from its reference a\.png: 50 × 40 px and 50 × 41 px"):
        pair.read()


def test_crops_are_those_of_the_papers() -> None:
    def cropped(layout: str, protocol: str) -> tuple[int, ...]:
        size = LAYOUTS[layout].size
        assert size
        return crop(np.zeros((*size, 3), np.uint8), protocol).shape[:2]

    assert cropped("dpdd", "iniknet") == (1120, 1664)
    assert cropped("ded", "p2ikt") == (400, 608)
    assert cropped("rtf", "p2ikt") == (352, 352)
    assert cropped("lfdof", "p2ikt") == cropped("lfdof", "whole") == (688, 1008)
    with pytest.raises(UsageError, match="no crop is called 'half'"):
        crop(np.zeros((4, 4, 3)), "half")


@pytest.mark.parametrize("protocol", CROPS)
def test_a_crop_keeps_the_top_left(protocol: str) -> None:
    picture = np.random.default_rng(0).random((70, 90, 3), np.float32)
    part = crop(picture, protocol)
    np.testing.assert_array_equal(part, picture[: part.shape[0], : part.shape[1]])
