"""ONNX Runtime returns what PyTorch does, for every network, size and tile, and works without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx.external_data_helper import uses_external_data
from safetensors.numpy import load_file
from torch import nn

import deblurcli
from deblurcli import loading
from deblurcli.backends import onnx_backend, onnx_export
from deblurcli.backends.onnx_backend import OnnxBackend, choose_provider
from deblurcli.backends.onnx_export import export_onnx
from deblurcli.backends.onnx_files import onnx_file
from deblurcli.backends.onnx_outputs import only, outputs
from deblurcli.backends.onnx_runtime import onnxruntime
from deblurcli.backends.torch_backend import TorchBackend
from deblurcli.cli import cli
from deblurcli.errors import DeblurError, DeviceError, TileTooLargeError, UsageError, WeightsError
from deblurcli.networks import ggkmnet, gkmnet
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import DEFAULT_NETWORK, NETWORKS, network_spec
from deblurcli.restore import Deblurrer
from deblurcli.weights.store import Release, catalog

# As few of everything as there can be: exporting takes minutes for each network as it is. Those left out have the
# graph of another with other numbers. ``thinned`` leaves out what repeats itself.
SMALL: dict[str, dict[str, Any]] = {
    "iniknet": {"sizes": (1, 3, 5), "atoms": 2, "width": 8, "blocks": 1},
    "iniknet-fast": {"widths": (8, 8, 8), "depths": (1, 1, 1), "atoms": 3, "sizes": (5, 9), "levels": 2},
    "ggkmnet": {"width": 8},
    "gkmnet": {"gaussians": 2, "width": 8},
    "p2ikt": {"gaussians": 1, "kernel_size": 3, "kernel_width": 8, "width": 8, "deep": 16, "heads": 2},
    "kpac-3": {},
    "tiny": {},
}


@pytest.fixture(scope="module")
def tiny() -> Deblurrer:
    """Through ONNX Runtime; its file is made on first use."""
    return deblurcli.load("tiny", backend="onnx", device="cpu")


def blurred(height: int, width: int) -> np.ndarray:
    """(height, width, 3) in [0, 1]; sharp pictures might come back as they were."""
    noise = torch.rand(1, 3, height // 4 + 1, width // 4 + 1, generator=torch.Generator().manual_seed(1))
    return F.interpolate(noise, (height, width), mode="bicubic")[0].clamp(0, 1).permute(1, 2, 0).numpy()


def thinned(network: nn.Module) -> nn.Module:
    """One block of each kind where several follow one another, and triplet attention at one level."""
    for parts in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        kinds = [type(part) for part in parts.children()]
        for at in reversed(range(1, len(parts))):
            if list(parts[at].parameters()) and kinds[at] in kinds[:at]:
                del parts[at]
    for stage in [module for module in network.modules() if isinstance(module, gkmnet.Stage)][1:]:
        for name in ("attention", "second"):
            setattr(stage, name, nn.Identity())
    return network


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(float(np.ptp(expected)), 1), rtol=0)


def test_small_ones_stand_for_all() -> None:
    built = {spec.build for spec in NETWORKS.values()}
    assert built == {NETWORKS[name].build for name in SMALL}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_equals_torch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = network_spec(name)
    monkeypatch.setattr(ggkmnet, "GROUPS", 3)
    torch.manual_seed(0)
    network = thinned(build_network(name, SMALL[name])).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # much of what starts at zero would hide what is wrong behind it
            parameter += 0.02 * torch.randn_like(parameter)
    path = tmp_path / "network.onnx"
    path.write_bytes(export_onnx(network, spec, "made-up", "MIT"))
    ours, theirs = TorchBackend(network, spec, "cpu"), OnnxBackend(path, spec, "cpu")
    kernels = ours.kernels()
    assert kernels.keys() == theirs.kernels().keys()
    for kernel, values in theirs.kernels().items():
        close(values, kernels[kernel])
    for steps in (1, 2):
        side = max(spec.min_size, 64) * steps
        picture = blurred(side, side + 3 * spec.multiple_of)
        (expected, maps, _), (found, planes, _) = ours.run(picture, maps=True), theirs.run(picture, maps=True)
        assert np.abs(expected - picture).max() > 1e-4  # it does something
        close(found, expected)
        assert list(planes) == list(maps) == [m.name for m in spec.maps]
        for plane in maps:
            close(planes[plane], maps[plane])
        known: list[np.ndarray] = []
        for _ in range(spec.statistics):
            expected, found = ours.statistic(picture, known), theirs.statistic(picture, known)
            close(found, expected)
            known.append(expected.mean((0, 1)) + 0.1)  # not this picture's own
        close(theirs.run(picture, statistics=known)[0], ours.run(picture, statistics=known)[0])


def test_atoms_are_constants(tiny: Deblurrer) -> None:
    path, _ = onnx_file(network_spec("tiny"))
    model = onnx.load(path)
    assert "Sin" not in {node.op_type for node in model.graph.node}
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["network"] == "tiny" and about["multiple_of"] == "8" and about["format"] == "deblur-onnx-1"


def test_only_what_is_asked_for_is_computed(tiny: Deblurrer) -> None:
    path, _ = onnx_file(network_spec("tiny"))
    content = path.read_bytes()
    whole, part = onnx.load_from_string(content), onnx.load_from_string(only(path, ["blur_radius"]))
    onnx.checker.check_model(part)
    assert outputs(content) == [output.name for output in whole.graph.output] != ["blur_radius"]
    assert [output.name for output in part.graph.output] == ["blur_radius"]
    made = {name for node in part.graph.node for name in node.output}
    used = {name for node in part.graph.node for name in node.input} | {"blur_radius"}
    assert made <= used
    assert 0 < len(part.graph.node) < len(whole.graph.node) / 2
    assert [node for node in whole.graph.node if set(node.output) & made] == list(part.graph.node)
    del part.graph.output[:], part.graph.node[:], whole.graph.output[:], whole.graph.node[:]
    assert part == whole


@pytest.mark.parametrize("release", [r for r in catalog() if r.onnx_path], ids=lambda r: f"{r.network}.{r.tag}")
def test_released_files_leave_their_weights_beside_them(release: Release, tmp_path: Path) -> None:
    """What comes with the program comes once, and ONNX Runtime is given all of it."""
    assert release.onnx_path
    graph = onnx.load(release.onnx_path, load_external_data=False).graph
    own = sum(len(t.raw_data) for t in graph.initializer if not uses_external_data(t))
    assert own < release.path.stat().st_size / 20  # kernels made ready to be applied, and small numbers
    for path in (release.path, release.onnx_path):
        (tmp_path / path.name).symlink_to(path)
    file = tmp_path / release.onnx_path.name
    alone = onnx.load_from_string(only(file, outputs(file.read_bytes())))
    assert not any(map(uses_external_data, alone.graph.initializer))
    ours = {t.tobytes() for t in load_file(release.path).values()}
    theirs = [t.raw_data for t in alone.graph.initializer]
    assert sum(len(data) for data in theirs if data in ours) > 0.8 * release.path.stat().st_size
    assert theirs == [t.raw_data for t in onnx.load(release.onnx_path).graph.initializer]  # found in its own way

    (tmp_path / release.path.name).unlink()
    (tmp_path / release.path.name).write_bytes(release.path.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match="is not the file that it was made with"):
        OnnxBackend(file, network_spec(release.network), "cpu")


def test_weights_are_left_only_in_a_file_beside(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot leave its weights"):
        cli.main(
            ["weights", "export", DEFAULT_NETWORK, "--leave-weights", "-o", str(tmp_path / "x.onnx")],
            standalone_mode=False,
        )


def test_sums_stand_behind_what_they_add() -> None:
    path, _ = onnx_file(network_spec(DEFAULT_NETWORK))
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    sizes, levels = 3, 4
    assert kinds[::-1].index("Conv") > sizes * levels  # from the end
    assert kinds[-kinds[::-1].index("Conv") :].count("Add") >= sizes * levels


@pytest.mark.parametrize(
    ("gpu", "options", "expected"),
    [
        (False, {}, "onnx"),
        (True, {}, "torch"),
        (True, {"device": "cpu"}, "onnx"),
        (False, {"network": "tiny"}, "torch"),  # its file would have to be made
        (False, {"precision": "fp16"}, "torch"),
        (False, {"compile": True}, "torch"),
    ],
)
def test_auto(gpu: bool, options: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "may_have_gpu", lambda: gpu)
    assert deblurcli.load(**options).backend.name == expected


def test_whole_photos(tiny: Deblurrer) -> None:
    picture = blurred(150, 210)
    by_torch = deblurcli.load("tiny", backend="torch", device="cpu")
    assert str(tiny) == "tiny · random · onnx · cpu · fp32"
    close(tiny(picture), by_torch(picture))


def test_half_precision() -> None:
    half = deblurcli.load("tiny", backend="onnx", precision="fp16")
    assert half.backend.precision == "fp16"
    picture = blurred(128, 192)
    exact = deblurcli.load("tiny", backend="torch", device="cpu").backend.run(picture).restored
    difference = 255 * np.abs(half.backend.run(picture)[0] - exact)
    assert 0 < difference.mean() <= 0.5 and difference.max() <= 4
    assert onnx_file(network_spec("tiny"), None, "fp16") != onnx_file(network_spec("tiny"))


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_files_in_half_precision_are_half_as_large(precision: str) -> None:
    """… that of what is computed, or, if that is single, of weights that come so."""
    spec = network_spec("iniknet-fast")
    # Wide enough that its weights outweigh what is computed in 32 bit.
    network = build_network("iniknet-fast", SMALL["iniknet-fast"] | {"widths": (32, 32, 32)}).eval()
    if precision == "fp32":
        network.half().float()

    model = onnx.load_model_from_string(export_onnx(network, spec, "made-up", "MIT", precision))
    numbers = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert sum(n.nbytes for n in numbers) < 0.6 * sum(4 * n.size for n in numbers)


def test_a_file_is_kept_only_if_it_is_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEBLUR_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(onnx_export, "TOLERANCES", {"fp32": (1e-12, 1e-12)})
    with pytest.raises(DeblurError, match=r"tiny: ONNX Runtime's 'restored' is .* nothing was written"):
        deblurcli.load("tiny", backend="onnx")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_out_of_memory_is_recognised(tiny: Deblurrer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def run(self, *_: object) -> None:
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer")

    monkeypatch.setattr(tiny.backend, "_session", lambda *names: Session())
    with pytest.raises(TileTooLargeError, match="cpu is out of memory on a tile of 64 × 64 px"):
        tiny.backend.run(blurred(64, 64))


def test_devices_are_had_or_refused(tiny: Deblurrer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_provider("cpu") == ("CPUExecutionProvider", {})
    with pytest.raises(DeviceError, match="no device 'mps'"):
        choose_provider("mps")

    class WithGPU:
        """An ONNX Runtime that has the CUDA provider, and falls back without a word where there is no GPU."""

        SessionOptions = onnxruntime.SessionOptions
        preload_dlls = staticmethod(lambda: None)

        @staticmethod
        def get_available_providers() -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        @staticmethod
        def InferenceSession(path: str, settings: object, providers: object) -> object:  # noqa: N802
            return onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])

    path, _ = onnx_file(network_spec("tiny"))
    monkeypatch.setattr(onnx_backend, "onnxruntime", WithGPU)
    monkeypatch.setattr(onnx_backend, "may_have_gpu", lambda: False)
    assert choose_provider("auto") == ("CPUExecutionProvider", {})
    with pytest.raises(DeviceError, match="no driver of NVIDIA's"):
        choose_provider("cuda:1")
    monkeypatch.setattr(onnx_backend, "may_have_gpu", lambda: True)
    assert choose_provider("cuda:1") == ("CUDAExecutionProvider", {"device_id": "1"})
    with pytest.raises(DeviceError, match="fell back to CPUExecutionProvider"):
        OnnxBackend(path, network_spec("tiny"), "cuda")
    assert OnnxBackend(path, network_spec("tiny"), "auto").device == "cpu"


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not compute in bf16"):
        deblurcli.load("tiny", backend="onnx", precision="bf16")
    with pytest.raises(DeviceError, match="no device 'directml': this ONNX Runtime has no Dml"):
        deblurcli.load("tiny", device="directml")
    with pytest.raises(DeviceError, match="no device 'tensorrt': PyTorch has none"):
        deblurcli.load("tiny", device="tensorrt", backend="torch")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"damaged\.onnx: ONNX Runtime cannot use it"):
        OnnxBackend(damaged, network_spec("tiny"))


@pytest.mark.parametrize("name", sorted({DEFAULT_NETWORK, *(release.network for release in catalog())}))
def test_released_weights_have_their_file(name: str) -> None:
    """Networks with weights run where PyTorch is not: their files are beside their weights, and of these weights."""
    spec = network_spec(name)
    path, tag = onnx_file(spec)
    assert (path.suffix, path.parent.name) == (".onnx", "weights")
    picture = blurred(128, 192)
    expected = deblurcli.load(spec.name, tag, backend="torch", device="cpu").backend.run(picture).restored
    assert np.abs(expected - picture).max() > 0.05
    close(OnnxBackend(path, spec, "cpu").run(picture)[0], expected)


def run_without_torch(*arguments: str) -> subprocess.CompletedProcess[str]:
    hidden = "import sys; sys.modules['torch'] = None; from deblurcli.cli import main; main()"
    return subprocess.run([sys.executable, "-c", hidden, *arguments], capture_output=True, text=True)


def test_without_torch(tmp_path: Path) -> None:
    """``auto`` is then ONNX Runtime."""
    deblurcli.write_photo(tmp_path / "in.png", deblurcli.Photo((blurred(70, 90) * 255).astype(np.uint8)))
    done = run_without_torch(str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), "--json", "--export-maps")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backend"] == "onnx" and (tmp_path / "out.png").is_file()
    assert (tmp_path / "out.maps" / "maps.npz").is_file()


@pytest.mark.parametrize("arguments", [["-m", "tiny"], ["--backend", "torch"], ["--precision", "fp16"]])
def test_what_needs_torch_says_so(arguments: list[str], tmp_path: Path) -> None:
    deblurcli.write_photo(tmp_path / "in.png", deblurcli.Photo((blurred(70, 90) * 255).astype(np.uint8)))
    # In a cache of its own: elsewhere the file may have been made.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEBLUR_WEIGHTS", str(tmp_path / "cache"))
        done = run_without_torch(str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), *arguments)
    assert done.returncode == 1 and not (tmp_path / "out.png").exists()
    assert "error: this needs the Python package torch, which is not installed" in done.stderr
    assert "pip install -c constraints.txt '.[torch]'" in done.stderr


@pytest.mark.parametrize(("missing", "backend"), [(("torch",), "onnx"), (("onnxruntime",), "torch")])
def test_one_runtime_is_enough(missing: tuple[str, ...], backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    if backend == "torch":
        monkeypatch.delitem(sys.modules, "deblurcli.backends.onnx_runtime", raising=False)
    assert deblurcli.load("iniknet-fast", device="cpu").backend.name == backend


def test_without_any_runtime(tmp_path: Path) -> None:
    deblurcli.write_photo(tmp_path / "in.png", deblurcli.Photo((blurred(70, 90) * 255).astype(np.uint8)))
    hidden = (
        "import sys; sys.modules['torch'] = sys.modules['onnxruntime'] = None; from deblurcli.cli import main; main()"
    )
    command = [sys.executable, "-c", hidden, str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: nothing is installed that can run the network"
    assert "'.[cpu]'" in done.stderr and "gpu" in done.stderr


def export(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deblurcli", "weights", "export", "tiny", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def darktable_model(path: Path) -> tuple[dict[str, Any], onnxruntime.InferenceSession]:
    """The description in a file for darktable, and its network, which has passed the checker."""
    name = "denoise-deblur-tiny"
    with ZipFile(path) as archive:
        config, content = json.loads(archive.read(f"{name}/config.json")), archive.read(f"{name}/model.onnx")
    assert (config["id"], config["task"]) == (name, "denoise")
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [20]
    session = onnxruntime.InferenceSession(content)
    assert [len(session.get_inputs()), len(session.get_outputs())] == [1, 1]
    return config, session


def test_tiles_of_one_size_for_darktable(tmp_path: Path) -> None:
    """The way darktable goes: tiles of this size that overlap by 64 px, whose borders are cut off."""
    path, side, overlap = tmp_path / "tiny.dtmodel", 256, 64
    done = export("-o", str(path), "--format", "dtmodel", "--tile-size", str(side))
    assert done.returncode == 0 and "at one size" in done.stdout
    config, session = darktable_model(path)
    assert config["attributes"] == {"input_sizes": [side]}
    assert session.get_inputs()[0].shape == session.get_outputs()[0].shape == [1, 3, side, side]

    core = side - 2 * overlap
    picture = blurred(2 * core, 3 * core)
    padded = np.pad(picture, ((overlap, overlap), (overlap, overlap), (0, 0)), "reflect").transpose(2, 0, 1)[None]
    found = np.empty_like(picture)
    for top in range(0, 2 * core, core):
        for left in range(0, 3 * core, core):
            tile = padded[:, :, top : top + side, left : left + side]
            (restored,) = session.run(None, {"picture": tile})
            inside = np.asarray(restored)[0, :, overlap:-overlap, overlap:-overlap]
            found[top : top + core, left : left + core] = inside.transpose(1, 2, 0)
    expected = deblurcli.load("tiny", backend="torch", device="cpu")(picture, scales=1).clip(0, 1)
    inner = slice(overlap, -overlap)  # where no tile sees beyond the picture's edge, at which networks pad as they like
    assert np.abs(expected - picture)[inner, inner].max() > 0.01
    close(found[inner, inner], expected[inner, inner])

    for wrong in (["--tile-size", "100", "--format", "dtmodel"], ["--tile-size", "128"]):
        name = "wrong.dtmodel" if "dtmodel" in wrong else "wrong.onnx"
        assert export("-o", str(tmp_path / name), *wrong).returncode == 2


def test_export_for_darktable(tmp_path: Path) -> None:
    path = tmp_path / "tiny.dtmodel"
    assert export("-o", str(path), "--format", "dtmodel").returncode == 0
    config, session = darktable_model(path)
    assert not config["attributes"]
    picture = blurred(64, 96)
    found = np.asarray(session.run(None, {"picture": picture.transpose(2, 0, 1)[None]})[0])
    expected = deblurcli.load("tiny", backend="torch", device="cpu").backend.run(picture).restored
    close(found[0].transpose(1, 2, 0), expected.clip(0, 1))

    before = path.read_bytes()
    again = export("-o", str(path), "--format", "dtmodel")
    assert again.returncode == 1 and "exists already" in again.stderr
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    wrong = export("-o", str(tmp_path / "tiny.zip"))
    assert wrong.returncode == 2 and "has to end in .onnx" in wrong.stderr
