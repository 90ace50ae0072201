"""Maps as data: what is in the folder, that kernels put together from it are what the network applied, and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from untrained_networks import untrained

import deblurcli
from deblurcli.errors import PhotoError
from deblurcli.evaluation.maps import maps_summary, spearman
from deblurcli.evaluation.rows import Row
from deblurcli.maps.export import PICTURE, expected_size, export_maps, new_folder
from deblurcli.maps.kernels import Mixture
from deblurcli.maps.pictures import colour_map
from deblurcli.networks.spec import NETWORKS, NetworkSpec
from deblurcli.photo.photo import Photo
from deblurcli.restoration import Restoration
from deblurcli.restore import Deblurrer
from deblurcli.weights.store import calibration, catalog

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)


def exported(folder: Path, name: str, scale: int = 2) -> tuple[Restoration, Deblurrer]:
    deblurrer = untrained(name)
    photo = Photo(RNG.integers(0, 256, (40, 51, 3), dtype=np.uint8))
    result = deblurrer.restore(photo, maps=True, maps_scale=scale)
    kernels = deblurrer.backend.kernels()
    export_maps(folder, result.maps, deblurrer.backend.spec.maps, kernels, photo, result.photo, {"amount": 1})
    return result, deblurrer


@pytest.mark.parametrize("name", ["iniknet", "iniknet-fast", "ggkmnet", "gkmnet", "p2ikt", "kpac-2"])
def test_folder(name: str, tmp_path: Path) -> None:
    result, deblurrer = exported(tmp_path, name)
    spec = deblurrer.backend.spec
    about = {row["name"]: row for row in json.loads((tmp_path / "maps.json").read_text())["maps"]}
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert arrays.keys() == {m.name for m in spec.maps} | deblurrer.backend.kernels().keys()
    assert about.keys() == {m.name for m in spec.maps}
    for m in spec.maps:
        full = m.channels == 1
        shape = (1, 1) if m.per_photo else (40, 51) if full else (20, 26)
        assert arrays[m.name].shape == (m.channels, *shape) == tuple(about[m.name]["shape"])
        assert arrays[m.name].dtype == (np.float32 if full or m.per_photo else np.float16)
        np.testing.assert_allclose(arrays[m.name], result.maps[m.name], rtol=1e-3, atol=1e-6)
        assert len(about[m.name]["planes"]) == m.channels
        assert about[m.name]["unit"] == m.unit and about[m.name]["meaning"] == m.meaning
        if not m.per_photo:
            assert Image.open(tmp_path / f"{m.name}.png").width > 200
        if full:
            np.testing.assert_array_equal(tifffile.imread(tmp_path / f"{m.name}.tif"), result.maps[m.name][0])
    for key, kernel in deblurrer.backend.kernels().items():
        np.testing.assert_array_equal(arrays[key], kernel)
    assert Image.open(tmp_path / "overview.png").width > 1000


def test_folder_holds_maps_of_copies(tmp_path: Path) -> None:
    """Those of a photo of 129 × 134 px at 1/2, too; blocks of 2 × 2 px are a pixel there."""
    deblurrer = untrained("tiny")
    photo = Photo(RNG.integers(0, 256, (129, 134, 3), dtype=np.uint8))
    result = deblurrer.restore(photo, maps=True, maps_scale=2, scales=2)
    spec, kernels = deblurrer.backend.spec, deblurrer.backend.kernels()
    export_maps(tmp_path, result.maps, spec.maps, kernels, photo, result.photo, {}, result.coarse)
    rows = {row["name"]: row for row in json.loads((tmp_path / "maps.json").read_text())["maps"]}
    with np.load(tmp_path / "maps.npz") as file:
        arrays = dict(file)
    assert len(rows) == 2 * len(spec.maps) == len(arrays) - len(kernels)
    sizes = {1: (129, 134), 2: (65, 67)}
    for (part, size), maps in zip(sizes.items(), (result.maps, *result.coarse), strict=True):
        for m in spec.maps:
            name = m.name if part == 1 else f"{m.name}_{part}"
            shape = (65, 67) if part == 1 and m.channels > 1 else size
            assert rows[name]["scale"] == 1 / part
            assert rows[name]["shape"] == [m.channels, *shape] == list(arrays[name].shape)
            assert rows[name]["meaning"].startswith(m.meaning)
            np.testing.assert_allclose(arrays[name], maps[m.name], rtol=1e-3, atol=1e-6)
            assert (tmp_path / f"{name}.png").exists() == (part == 1)
    assert rows["mu"]["each value is"] == "the mean of 2 × 2 px"
    assert rows["mu_2"]["each value is"] == "the mean of 1 × 1 px of the photo at 1/2"
    assert rows["blur_radius_2"]["meaning"].endswith("In px of the photo at 1/2 of its size.")


def test_only_maps_that_are_wanted() -> None:
    deblurrer = untrained("tiny")
    photo = Photo(RNG.integers(0, 256, (129, 134, 3), dtype=np.uint8))
    every, some = (deblurrer.restore(photo, maps=maps, scales=2) for maps in (True, ("blur_radius", "mu")))
    np.testing.assert_array_equal(some.photo.pixels, every.photo.pixels)
    for few, all_of in zip((some.maps, *some.coarse), (every.maps, *every.coarse), strict=True):
        assert set(few) == {"mu", "blur_radius"}
        for name, planes in few.items():
            np.testing.assert_array_equal(planes, all_of[name])


def test_size_is_known_before(tmp_path: Path) -> None:
    deblurrer = untrained("tiny")
    photo = Photo(RNG.integers(0, 256, (400, 300, 3), dtype=np.uint8))
    result = deblurrer.restore(photo, maps=True, maps_scale=2, scales=2)
    specs = deblurrer.backend.spec.maps
    export_maps(tmp_path, result.maps, specs, {}, photo, result.photo, {}, result.coarse)
    size = sum(file.stat().st_size for file in tmp_path.iterdir() if file.suffix in (".npz", ".tif"))
    expected = expected_size(specs, 400, 300, 2, 2) - (1 + len(specs)) * PICTURE
    assert 0.5 < expected / size < 2


@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_every_map_is_explained(spec: NetworkSpec) -> None:
    for m in spec.maps:
        low, high = m.colours
        assert low < high
        assert m.symbol and m.unit and m.meaning.endswith(".")
        assert len(set(m.labels)) == m.channels
        # White, the middle of diverging colours, is zero.
        assert colour_map(m) != "RdBu_r" or low == -high


@pytest.mark.parametrize("name", ["iniknet", "iniknet-fast", "gkmnet", "kpac-2", "kpac-3"])
def test_defocus_size_is_the_mean_of_sizes(name: str) -> None:
    deblurrer = untrained(name)
    _, maps = deblurrer(RNG.random((64, 64, 3), np.float32), maps=True)
    spec = deblurrer.backend.spec.maps[0]
    weights = np.abs(maps[spec.name])
    if name == "gkmnet":
        sizes = np.array(2 * [np.mean([1 + (j + 22 * c) // 3 for c in range(3)]) for j in range(22)])
    else:
        each = [1 if c == "none" else float(c.removesuffix(" px")) for c in spec.columns]
        levels = [2**level if name == "iniknet-fast" else 1 for level in range(len(spec.rows))]
        sizes = np.array([size * (level if size > 1 else 1) for level in levels for size in each])
    share = weights / weights.sum(0)
    mean = (share * sizes[:, None, None]).sum(0)
    spread = np.sqrt((share * (sizes[:, None, None] - mean) ** 2).sum(0))
    # KPAC interpolates the mean, not the weights; it is exact in its blocks' middles only.
    tolerance = 3.0 if name.startswith("kpac") else 1e-3
    np.testing.assert_allclose(maps["defocus_size"][0], mean, rtol=1e-3, atol=tolerance)
    np.testing.assert_allclose(maps["defocus_spread"][0], spread, rtol=1e-3, atol=2 * tolerance)


def test_kernel_is_what_the_network_applied() -> None:
    """With the released weights: the kernel laid over the photo gives the restored brightness, all sizes included."""
    deblurrer = deblurcli.load("iniknet-fast", device="cpu")
    picture = deblurcli.read_photo(ROOT / "examples/photo.jpg").picture[:248, :240]
    restored, maps = deblurrer(picture, maps=True)
    mixture = Mixture.of(deblurrer.backend.kernels())
    assert mixture
    reach = mixture.reach(4)
    for row, column in ((120, 120), (123, 117), (101, 138), (70, 71)):
        kernel = mixture.kernel([maps], row, column)
        around = picture[row - reach : row + reach + 1, column - reach : column + reach + 1]
        light = np.array([0.299, 0.587, 0.114])  # takes all of the change, colours their share
        assert np.tensordot(kernel, around @ light, 2) == pytest.approx(restored[row, column] @ light, abs=1e-5)
        assert np.abs(restored[row, column] - picture[row, column]).max() > 1e-4
        assert kernel.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("scales", [2, 3])
def test_kernel_across_scales(scales: int) -> None:
    """As above, and copies of the photo are part of the kernel; borders that are mirrored lie beyond its reach.

    Contrast is as low as in photos: what is changed in copies is kept in half precision.
    """
    deblurrer = untrained("iniknet-fast")
    mixture = Mixture.of(deblurrer.backend.kernels())
    assert mixture
    reach = mixture.reach(4, scales)
    side = 2 * reach + 32
    light = np.random.default_rng(0).uniform(0.35, 0.65, (side, side)).astype(np.float32)
    photo = Photo(np.repeat(light[..., None], 3, axis=2))
    result = deblurrer.restore(photo, scales=scales, maps=True)
    alone = deblurrer.restore(photo, scales=1)
    copies = [result.maps, *result.coarse]
    assert result.scales == scales == len(copies)
    by_copies = np.abs(result.photo.pixels - alone.photo.pixels)[..., 0]
    assert np.median(by_copies[reach:-reach, reach:-reach]) > 1e-3
    for row, column in ((side // 2, side // 2), (side // 2 + 3, side // 2 - 6), (reach + 1, reach + 8)):
        kernel = mixture.kernel(copies, row, column)
        around = light[row - reach : row + reach + 1, column - reach : column + reach + 1]
        pixel = result.photo.pixels[row, column].mean()
        assert (kernel * around).sum() == pytest.approx(pixel, abs=1e-5)
        assert kernel.sum() == pytest.approx(1, abs=1e-5)


def test_kernel_of_iniknet_on_gray() -> None:
    deblurrer = untrained("iniknet")
    picture = np.repeat(RNG.random((64, 64, 1), np.float32), 3, axis=2)
    restored, maps = deblurrer(picture, maps=True)
    mixture = Mixture.of(deblurrer.backend.kernels())
    assert mixture and mixture.reach(1) == 7
    network = deblurrer.backend._network  # type: ignore[attr-defined]
    bias = float(network.contract.bias.detach().mean())
    kernel = mixture.kernel([maps], 30, 33)
    applied = float((kernel * picture[23:38, 26:41, 0]).sum()) + bias
    assert applied == pytest.approx(float(restored[30, 33].mean()), abs=1e-4)
    assert abs(applied - picture[30, 33, 0]) > 1e-3


def test_files_hold_what_memory_would(tmp_path: Path) -> None:
    deblurrer = deblurcli.load("tiny", device="cpu")
    photo = Photo(RNG.integers(0, 256, (300, 330, 3), dtype=np.uint8))
    inside = deblurrer.restore(photo, tile=160, maps=True, maps_scale=4)
    files = deblurrer.restore(photo, tile=160, maps=True, maps_scale=4, maps_folder=tmp_path)
    whole = deblurrer.restore(photo, tile="none", maps=True, maps_scale=4)
    assert inside.tiles > 4
    for name, plane in files.maps.items():
        np.testing.assert_array_equal(plane, inside.maps[name])
        np.testing.assert_allclose(plane, whole.maps[name], atol=1e-2, rtol=1e-3)  # no seams
        assert isinstance(plane, np.memmap)


def test_maps_need_no_memory_of_their_own(tmp_path: Path) -> None:
    deblurrer = deblurcli.load("tiny", device="cpu")
    photo = Photo(np.zeros((900, 1200, 3), np.uint8))

    def peak(**maps: Any) -> int:
        tracemalloc.start()
        deblurrer.restore(photo, tile=256, keep_bokeh="off", **maps)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak()  # modules imported on first use are not counted below
    in_files = {"maps": True, "maps_scale": 1, "maps_folder": tmp_path}
    whole = 8 * 900 * 1200 * 4
    assert peak(**in_files) - peak() < whole / 8


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "out.maps"
    with pytest.raises(KeyError), new_folder(folder) as partial:
        (partial / "maps.json").write_text("{}")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    for content in ("one", "two"):
        with new_folder(folder) as partial:
            (partial / "maps.json").write_text(content)
    assert (folder / "maps.json").read_text() == "two"


def test_other_folders_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/love.txt").write_text("mine")
    with pytest.raises(PhotoError, match="not a folder of maps"), new_folder(tmp_path / "letters"):
        pass
    assert (tmp_path / "letters/love.txt").read_text() == "mine"


def test_spearman() -> None:
    from scipy.stats import spearmanr

    one, other = RNG.integers(0, 9, 500).astype(float), RNG.normal(size=500)
    other += one
    expected: Any = spearmanr(one, other)[0]
    assert spearman(one, other) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_suite_of_maps_ranks_and_calibrates() -> None:
    """On maps that are true but for a power, all ranks are right and the power is found."""
    rows = []
    for radius in (1.0, 2.0, 4.0, 8.0):
        truth = np.full(50, radius)
        size = 1 + (truth / 0.25) ** (1 / 0.9)
        rows.append(even_row(radius, np.stack([truth, size, truth])))
    truth = RNG.uniform(1, 8, 400)
    pixels = np.stack([truth, 1 + (truth / 0.25) ** (1 / 0.9), truth[::-1]])
    rows.append(
        Row({"photo": "b", "kind": "scene"}, {"Spearman": {"defocus_size": 1.0, "blur_radius": 0.0}}, pixels=pixels)
    )
    summary = maps_summary(rows)
    assert summary["Spearman"]["defocus_size"] == pytest.approx(1)
    assert abs(summary["Spearman, scenes"]["blur_radius"]) < 0.2
    assert summary["calibration a"]["defocus_size"] == pytest.approx(0.25)
    assert summary["calibration b"]["defocus_size"] == pytest.approx(0.9)
    assert summary["error in scenes, px"]["defocus_size"] == pytest.approx(0, abs=1e-9)
    assert summary["error in scenes, px"]["blur_radius"] > 1


def even_row(radius: float, pixels: np.ndarray) -> Row:
    medians = {"defocus_size": float(np.median(pixels[1])), "blur_radius": float(np.median(pixels[2]))}
    return Row({"photo": "a", "kind": "even", "radius": radius}, {"median": medians}, pixels=pixels)


def test_released_weights_rank_right_and_are_calibrated_as_measured() -> None:
    measured = json.loads((ROOT / "results/quality.json").read_text())
    summary = measured["suites"]["maps"]["summary"]
    assert summary["Spearman"]["defocus_size"] >= 0.8
    assert summary["Spearman"]["blur_radius"] >= 0.8
    (release,) = (r for r in catalog() if measured["network"].startswith(f"{r.network} · {r.tag} "))
    fitted = [summary[f"calibration {letter}"]["defocus_size"] for letter in "ab"]
    assert release.calibration == pytest.approx(fitted, abs=0.005)
    assert f"{release.calibration[0]:g} · (S" in str(calibration(release.network, release.tag))
    assert calibration(release.network, "other") is None


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_without_arguments_say_how_they_are_used(example: Path) -> None:
    done = subprocess.run([sys.executable, example], capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert example.name in done.stderr and "Traceback" not in done.stderr
