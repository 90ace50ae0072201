"""Networks that look at the whole picture: averages are found for the tiles, and what tiles cannot mend is said."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from test_cli import run as deblur
from torch import Tensor, nn

from deblurcli.backends import memory, torch_backend
from deblurcli.backends.backend import Wanted
from deblurcli.backends.memory import free_memory
from deblurcli.backends.torch_backend import TorchBackend
from deblurcli.errors import TileTooLargeError
from deblurcli.evaluation.bench import Bench
from deblurcli.evaluation.suites import run_suites
from deblurcli.networks.build import build_network
from deblurcli.networks.restored import Restored
from deblurcli.networks.spec import NETWORKS, NetworkSpec, network_spec
from deblurcli.photo import metadata
from deblurcli.photo.decode import read_photo
from deblurcli.photo.photo import Photo
from deblurcli.restore import Deblurrer

TINY = network_spec("tiny")


class Nested(nn.Module):
    """A small network that takes two averages, the second of what it made of the first."""

    SPEC = replace(TINY, name="nested", multiple_of=4, min_size=8, context=15, halo=15, maps=(), statistics=2)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(3, 6, 4, stride=4)
        self.first, self.second = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)

    def statistic(self, x: Tensor, known: list[Tensor]) -> Tensor:
        x = self.down(x)
        for layer, mean in zip((self.first, self.second), known, strict=False):
            x = torch.tanh(layer(x) * 20 * mean)
        return x

    def forward(self, x: Tensor, maps: bool = False, statistics: list[Tensor] | None = None) -> Restored:
        known = list(statistics or ())
        while len(known) < self.SPEC.statistics:
            known.append(self.statistic(x, known).mean((2, 3), keepdim=True))
        return Restored(x + 0.1 * F.interpolate(self.statistic(x, known)[:, :3], scale_factor=4))


def nested(spec: NetworkSpec = Nested.SPEC) -> Deblurrer:
    return Deblurrer(TorchBackend(Nested().eval(), spec, "cpu"), "random")


def kpac(name: str, **changes: Any) -> Deblurrer:
    """With random weights that change the picture, and shape attention that heeds the averages it is given."""
    torch.manual_seed(0)
    network = build_network(name)
    weights = network.state_dict()  # shares the network's memory
    nn.init.normal_(weights["last.fuse.weight"], std=0.005)
    for block in range(2):
        weights[f"blocks.{block}.shape_head.weight"].mul_(10)
    return Deblurrer(TorchBackend(network, replace(network_spec(name), **changes), "cpu"), "random")


def photo(height: int, width: int, dtype: type = np.float32) -> Photo:
    """Noise that is brighter to the right and at the bottom, so that no tile is like the whole."""
    rng = np.random.default_rng(height * 1000 + width)
    ramp = np.linspace(0, 0.7, height)[:, None, None] * np.linspace(0, 1, width)[:, None]
    floats = (0.3 * rng.random((height, width, 3)) + ramp).astype(np.float32)
    return Photo(floats if dtype is np.float32 else np.rint(floats * np.iinfo(dtype).max).astype(dtype))


def difference(deblurrer: Deblurrer, photo: Photo, tile: int) -> float:
    """The largest between tiled and untiled, in codes or, of floats, in 1/255."""
    whole, tiles = (deblurrer.restore(photo, tile=t).photo.pixels.astype(np.float64) for t in ("none", tile))
    return float(np.abs(whole - tiles).max()) * (255 if photo.depth == 32 else 1)


# ---- averages -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 150), st.integers(1, 190), st.integers(68, 130), st.sampled_from([np.uint8, np.uint16, np.float32])
)
@example(1, 1, 68, np.uint8)
@example(149, 187, 68, np.uint16)
@example(149, 187, 100, np.float32)
def test_tiled_equals_untiled(height: int, width: int, tile: int, dtype: type) -> None:
    # Sums are rounded otherwise, which may tip the rounding of a code.
    assert difference(nested(), photo(height, width, dtype), tile) <= (0.001 if dtype is np.float32 else 1)


def test_tiles_that_are_not_told_differ() -> None:
    """What the tests here would otherwise not notice."""
    deblurrer = nested(replace(Nested.SPEC, statistics=0))
    assert difference(deblurrer, photo(149, 187), 100) > 0.5


@pytest.mark.parametrize(
    ("name", "shape", "tile", "dtype", "most"),
    [
        ("kpac-2", (61, 407), 300, np.uint8, 1),
        ("kpac-2", (333, 45), 256, np.uint16, 1),
        ("kpac-2", (61, 407), 256, np.float32, 0.002),
        ("kpac-3", (43, 601), 400, np.float32, 0.002),
    ],
)
def test_kpac_tiled_equals_untiled(name: str, shape: tuple[int, int], tile: int, dtype: type, most: float) -> None:
    assert difference(kpac(name), photo(*shape, dtype), tile) <= most


def test_kpac_is_exact_with_its_whole_context() -> None:
    assert difference(kpac("kpac-2", halo=182), photo(29, 711), 450) < 0.001


def test_kpac_tiles_that_are_not_told_differ() -> None:
    assert difference(kpac("kpac-2", statistics=0), photo(61, 407), 256) > 0.05


def test_every_pass_counts_and_is_repeated_when_memory_runs_out() -> None:
    class Small(TorchBackend):
        """Has memory for averages, but not for the picture above 100 px."""

        looks = 0

        def run(self, picture: NDArray[Any], maps: Wanted = False, statistics: Any = ()) -> Any:
            assert len(statistics) == (2 if picture.shape[1] < 400 else 0)
            if picture.shape[1] > 100:
                raise TileTooLargeError("full")
            return super().run(picture, maps, statistics)

        def statistic(self, picture: NDArray[Any], known: Any = ()) -> Any:
            self.looks += 1
            return super().statistic(picture, known)

    blurred, seen = photo(90, 399), list[tuple[int, int]]()
    backend = Small(Nested().eval(), Nested.SPEC, "cpu")
    result = Deblurrer(backend, "random").restore(blurred, progress=lambda *numbers: seen.append(numbers))
    assert result.tiles > 1 and not result.approximate and result.warnings == ()
    assert backend.looks > 2 * result.tiles  # an attempt with larger tiles came before, and nothing of it was used
    last = list(dict.fromkeys(seen))[-3 * result.tiles - 1 :]
    assert last == [(done, 3 * result.tiles) for done in range(3 * result.tiles + 1)]
    expected = nested().restore(blurred, tile="none").photo.pixels
    np.testing.assert_allclose(result.photo.pixels, expected, atol=1e-5)


def test_a_single_tile_finds_its_own_averages() -> None:
    seen: list[tuple[int, int]] = []
    nested().restore(photo(90, 120), progress=lambda *numbers: seen.append(numbers))
    assert seen == [(0, 1), (1, 1)]


# ---- what averages cannot mend ------------------------------------------------------------------------------------


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> NetworkSpec:
    """The tiny network, said to look everywhere."""
    spec = replace(TINY, context="global")
    monkeypatch.setitem(NETWORKS, "tiny", spec)
    return spec


def deblurrer_of(spec: NetworkSpec) -> Deblurrer:
    torch.manual_seed(0)
    return Deblurrer(TorchBackend(build_network("tiny"), spec, "cpu"), "random")


def test_the_whole_picture_is_preferred(everywhere: NetworkSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 40 * 2**30)
    assert len(deblurrer_of(TINY).plan(1500, 2000).tiles) > 1
    assert len(nested().plan(1500, 2000).tiles) == 1
    assert len(deblurrer_of(everywhere).plan(4000, 6000).tiles) == 1
    monkeypatch.setattr(memory, "free_memory", lambda: 10 * 2**30)
    height, width = deblurrer_of(everywhere).plan(4000, 6000).tile_shape
    assert 2048**2 < height * width <= 5 * 2**30 / torch_backend.BYTES_PER_PIXEL["tiny"]


def test_free_memory_is_less_than_there_is() -> None:
    assert 0 < free_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_container_may_have_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (
        ("memory.max", "3000\n"),
        ("memory.current", "2500\n"),
        ("memory.stat", "anon 9\ninactive_file 700"),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "meminfo").write_text("MemTotal:  900 kB\nMemAvailable:  500 kB\n")
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    monkeypatch.setattr(memory, "SYSTEM", tmp_path / "meminfo")
    assert free_memory() == 3000 - 2500 + 700
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() == 500 * 1024


def test_tiles_are_owned_up_to(everywhere: NetworkSpec, caplog: pytest.LogCaptureFixture) -> None:
    deblurrer = deblurrer_of(everywhere)
    with caplog.at_level(logging.WARNING):
        whole = deblurrer.restore(photo(200, 300))
    assert whole.tiles == 1 and not whole.approximate and not whole.warnings and not caplog.messages
    with caplog.at_level(logging.WARNING):
        tiles = deblurrer.restore(photo(200, 300), tile=160)
    assert tiles.approximate
    (warning,) = tiles.warnings
    assert f"cut into {tiles.tiles} tiles" in warning and "--tile none" in warning
    assert caplog.messages == [f"tiny: {warning}"]


def test_running_out_of_memory_is_owned_up_to(everywhere: NetworkSpec) -> None:
    class Small(TorchBackend):
        def run(self, picture: NDArray[Any], maps: Wanted = False, statistics: Any = ()) -> Any:
            if picture.shape[1] > 200:
                raise TileTooLargeError("full")
            return super().run(picture, maps, statistics)

    backend = Small(build_network("tiny"), everywhere, "cpu")
    assert Deblurrer(backend, "random").restore(photo(200, 300), tile="none").approximate


def test_the_command_tells_everyone(
    everywhere: NetworkSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo(200, 300, np.uint8).pixels).save(source)
    rows, errors, software = [], [], []
    for tile in ("160", "none"):
        target = tmp_path / f"{tile}.png"
        assert (
            deblur(
                source,
                "-o",
                target,
                "-m",
                "tiny",
                "--device",
                "cpu",
                "--tile",
                tile,
                "--json",
                "-q",
                "--keep-bokeh",
                "off",
            )
            == 0
        )
        out, err = capsys.readouterr()
        rows.append(json.loads(out))
        errors.append(err)
        exif = read_photo(target).exif
        assert exif
        software.append(metadata.software(exif))
    assert [row["approximate"] for row in rows] == [True, False]
    assert "although this network looks at the whole picture" in rows[0]["warnings"][0] and not rows[1]["warnings"]
    assert errors[0].count("looks at the whole picture") == 1 and str(source) in errors[0] and not errors[1]
    assert software[0].rpartition(", settings ")[0].endswith(f"amount 1, approximate: in {rows[0]['tiles']} tiles")
    assert software[1].rpartition(", settings ")[0].endswith("amount 1")


def test_seams_can_be_measured(everywhere: NetworkSpec, tmp_path: Path) -> None:
    Image.fromarray(photo(300, 310, np.uint8).pixels).save(tmp_path / "a.png")
    for deblurrer in (deblurrer_of(everywhere), nested()):
        measured = run_suites(("seams",), Bench(deblurrer, tmp_path)).summaries()["seams"]
        assert 0 <= measured["largest"]["deblur"] < 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept() -> None:
    """Most large tensors are not mapped anew: they take the pages that others left."""
    script = """
import resource, torch
from deblurcli.backends.memory import keep_freed_memory
assert keep_freed_memory()
faults = []
for _ in range(32):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensor = torch.ones(2**26)  # 256 MB
    del tensor
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(*faults)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    faults = [int(word) for word in done.stdout.split()]
    assert sum(faults) < max(faults) * len(faults) / 2
