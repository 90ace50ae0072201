"""ONNX Runtime returns what PyTorch does, for every network, size and tile, and works without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import deblurcli
from deblurcli.backends import onnx_backend
from deblurcli.backends.onnx_backend import OnnxBackend, choose_provider
from deblurcli.backends.onnx_files import onnx_file
from deblurcli.backends.torch_backend import TorchBackend
from deblurcli.errors import DeblurError, DeviceError, TileTooLargeError, UsageError, WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import NETWORKS, network_spec
from deblurcli.restore import Deblurrer
from deblurcli.weights.checkpoint import Header, save_checkpoint
from deblurcli.weights.store import cache_folder


@pytest.fixture(scope="module")
def tiny() -> Deblurrer:
    """Through ONNX Runtime; its file is made on first use."""
    return deblurcli.load("tiny", backend="onnx", device="cpu")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).random((height, width, 3), dtype=np.float32)


@pytest.fixture(scope="module", params=[name for name, spec in NETWORKS.items() if name != "ggkmnet-large"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TorchBackend, OnnxBackend]:
    """A network with weights none of which is zero, in both runtimes. The larger GGKMNet has the graph of the other."""
    spec = network_spec(request.param)
    torch.manual_seed(0)
    network = build_network(spec.name).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(std=0.02)
    path = tmp_path_factory.mktemp("onnx") / "weights.safetensors"
    save_checkpoint(path, network.state_dict(), Header(spec.name, "made-up"))
    file, tag = onnx_file(spec, str(path))
    assert tag == "made-up" and file.parent == cache_folder() / "onnx"
    return TorchBackend(network, spec, "cpu"), OnnxBackend(file, spec, "cpu")


def test_equals_torch(both: tuple[TorchBackend, OnnxBackend]) -> None:
    ours, theirs = both
    spec = ours.spec
    for steps in (1, 2):
        side = max(spec.min_size, 64) * steps
        picture = noise(side, side + spec.multiple_of)
        (expected, maps), (found, planes) = ours.run(picture, maps=True), theirs.run(picture, maps=True)
        assert np.abs(expected - picture).max() > 1e-3  # it does something
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(float(np.ptp(expected)), 1), rtol=0)
        assert maps.keys() == planes.keys()
        for name, plane in maps.items():
            np.testing.assert_allclose(planes[name], plane, atol=1e-5 * max(float(np.ptp(plane)), 1), rtol=0)
        known: list[np.ndarray] = []
        for _ in range(spec.statistics):
            expected, found = ours.statistic(picture, known), theirs.statistic(picture, known)
            np.testing.assert_allclose(found, expected, atol=1e-5 * max(float(np.ptp(expected)), 1), rtol=0)
            known.append(expected.mean((0, 1)) + 0.1)  # not this picture's own
        expected, _ = ours.run(picture, statistics=known)
        found, _ = theirs.run(picture, statistics=known)
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(float(np.ptp(expected)), 1), rtol=0)


def test_atoms_are_constants(tiny: Deblurrer) -> None:
    path, _ = onnx_file(network_spec("tiny"))
    model = onnx.load(path)
    assert "Sin" not in {node.op_type for node in model.graph.node}
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["network"] == "tiny" and about["multiple_of"] == "8" and about["format"] == "deblur-onnx-1"


def test_whole_photos(tiny: Deblurrer) -> None:
    picture = noise(150, 210)
    by_torch = deblurcli.load("tiny", backend="torch", device="cpu")
    assert str(tiny) == "tiny · random · onnx · cpu · fp32"
    np.testing.assert_allclose(tiny(picture), by_torch(picture), atol=1e-5, rtol=0)


def test_out_of_memory_is_recognised(tiny: Deblurrer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def run(self, *_: object) -> None:
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer")

    monkeypatch.setattr(tiny.backend, "_session", Session())
    with pytest.raises(TileTooLargeError, match="cpu is out of memory on a tile of 64 × 64 px"):
        tiny.backend.run(noise(64, 64))


def test_devices_are_had_or_refused(tiny: Deblurrer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_provider("cpu") == ("CPUExecutionProvider", {})
    with pytest.raises(DeviceError, match="no device 'mps'"):
        choose_provider("mps")

    class WithGPU:
        """An ONNX Runtime that has the CUDA provider, and falls back without a word where there is no GPU."""

        RunOptions = onnxruntime.RunOptions

        @staticmethod
        def get_available_providers() -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        @staticmethod
        def InferenceSession(path: str, providers: object) -> object:  # noqa: N802
            return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    path, _ = onnx_file(network_spec("tiny"))
    monkeypatch.setattr(onnx_backend, "runtime", WithGPU)
    assert choose_provider("cuda:1") == ("CUDAExecutionProvider", {"device_id": "1"})
    with pytest.raises(DeviceError, match="fell back to CPUExecutionProvider"):
        OnnxBackend(path, network_spec("tiny"), "cuda")
    assert OnnxBackend(path, network_spec("tiny"), "auto").device == "cpu"


def test_what_cannot_be_used_is_refused(tiny: Deblurrer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="fp32, not in bf16"):
        deblurcli.load("tiny", backend="onnx", precision="bf16")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"damaged\.onnx: ONNX Runtime cannot use it"):
        OnnxBackend(damaged, network_spec("tiny"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeblurError, match="ONNX Runtime is not installed"):
        deblurcli.load("tiny", backend="onnx")


def test_released_weights_have_their_file() -> None:
    """The default network runs where PyTorch is not: its file is beside its weights, and of these weights."""
    path, tag = onnx_file(network_spec("iniknet-fast"))
    assert (path.suffix, path.parent.name) == (".onnx", "weights")
    picture = noise(128, 192)
    by_torch = deblurcli.load("iniknet-fast", tag, backend="torch", device="cpu")
    found, _ = OnnxBackend(path, network_spec("iniknet-fast"), "cpu").run(picture)
    np.testing.assert_allclose(found, by_torch.backend.run(picture)[0], atol=1e-5, rtol=0)


def test_without_torch(tmp_path: Path) -> None:
    """``auto`` is then ONNX Runtime."""
    deblurcli.write_photo(tmp_path / "in.png", deblurcli.Photo((noise(70, 90) * 255).astype(np.uint8)))
    hidden = "import sys; sys.modules['torch'] = None; from deblurcli.cli import main; main()"
    command = [sys.executable, "-c", hidden, str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"backend": "onnx"' in done.stdout and (tmp_path / "out.png").is_file()


def test_export(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    command = [sys.executable, "-m", "deblurcli", "weights", "export", "tiny", "-o", str(path)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    before = path.read_bytes()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "exists already" in again.stderr
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
