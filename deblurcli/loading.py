"""Which network, weights, runtime, device and precision: what ``load`` decides before the first photo."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from deblurcli.backends import BACKENDS, ONNX_DEVICES, PRECISIONS, chosen_precision, may_have_gpu
from deblurcli.backends.backend import Backend
from deblurcli.backends.guided import Guided, needs_guide, with_radius
from deblurcli.errors import NO_RUNTIME, DeviceError, UsageError, installs
from deblurcli.networks.spec import DEFAULT_NETWORK, NetworkSpec, network_spec
from deblurcli.restore import Deblurrer


def load(
    network: str | None = None,
    weights: str | None = None,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    compile: bool = False,
) -> Deblurrer:
    """A network ready to restore photos.

    Args:
        network: name in the table of networks; None for the default, or for what the ``weights`` file was made for.
        weights: a released tag or a ``.safetensors`` file; None for the network's default.
        backend: "auto", "torch" or "onnx". ``auto`` is ONNX Runtime on CPUs for weights whose file comes with the
            program: it starts a second or two faster and measured as fast afterwards, with less memory. For others it
            is PyTorch where it is installed, unless the device is one of ONNX Runtime's own.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps", with ONNX Runtime also "tensorrt" or "directml". Named ones
            are used or refused, never replaced.
        precision: "auto" (fp32), "fp32", "bf16" (PyTorch only) or "fp16".
        compile: have PyTorch compile the network, which takes up to two minutes with the first photo and needs a C++
            compiler; then it is faster.

    Raises:
        UsageError: no such network or option. WeightsError: no fitting weights. DeviceError: no such device.
        ModuleNotFoundError: PyTorch is needed and not installed.
    """
    for value, known in ((backend, BACKENDS), (precision, PRECISIONS)):
        if value not in known:
            raise UsageError(f"'{value}' is not one of {', '.join(known)}")
    spec = choose_network(network, weights)
    precision = chosen_precision(precision)
    if backend == "auto":
        from deblurcli.backends.onnx_files import is_released

        has_onnx, has_torch = find_spec("onnxruntime") is not None, find_spec("torch") is not None
        if not has_onnx and not has_torch:
            raise DeviceError(NO_RUNTIME, f"{installs('cpu')}; with an NVIDIA graphics card, gpu in the place of cpu")
        alone = device in ONNX_DEVICES or not has_torch
        on_cpu = device == "cpu" or (device == "auto" and not may_have_gpu())
        ready = has_onnx and on_cpu and precision == "fp32" and not compile and is_released(spec, weights)
        backend = "onnx" if alone or ready else "torch"
    if backend == "onnx":
        from deblurcli.backends.onnx_backend import OnnxBackend
        from deblurcli.backends.onnx_files import onnx_file

        if compile:
            raise UsageError("only PyTorch compiles networks", "Leave out --compile, or use --backend torch.")
        if precision == "bf16":
            raise UsageError("ONNX Runtime does not compute in bf16", "Use --precision fp16, or --backend torch.")

        def onnx(precision: str) -> tuple[Backend, str]:
            path, tag = onnx_file(spec, weights, precision)
            return OnnxBackend(path, as_weights_want(spec, tag), device), tag

        runs, tag = onnx(precision)
        in_full = None if precision == "fp32" else lambda: onnx("fp32")[0]
    else:
        from deblurcli.backends.torch_backend import TorchBackend
        from deblurcli.weights.load import load_network

        module, tag = load_network(spec, weights)
        spec = as_weights_want(spec, tag)
        runs = TorchBackend(module, spec, device, precision, compile)
        in_full = None if precision == "fp32" else lambda: TorchBackend(module, spec, device)
    if not needs_guide(runs.spec):
        return Deblurrer(runs, tag, in_full)
    guide = cache(lambda: load(backend=backend, device=device))
    guided = partial(Guided, guide=lambda: guide().backend)
    return Deblurrer(guided(runs), tag, in_full and (lambda: guided(in_full())), guide)


def as_loaded(spec: NetworkSpec, tag: str) -> NetworkSpec:
    """The network that ``load`` makes of these, with its maps, before anything is loaded."""
    spec = as_weights_want(spec, tag)
    return with_radius(spec) if needs_guide(spec) else spec


def as_weights_want(spec: NetworkSpec, tag: str) -> NetworkSpec:
    """The network as it is used with these weights: those from papers restore at one size, as in the papers."""
    from deblurcli.weights.store import published

    theirs = any(row.tag == tag for row in published(spec.name))
    return replace(spec, coarse_to_fine=False) if theirs else spec


def choose_network(network: str | None, weights: str | None) -> NetworkSpec:
    """The network of this name; or else that which the weights, if they are a file, were made for; or the default.

    Raises:
        UsageError: there is none of this name. WeightsError: the file is no weights file.
    """
    from deblurcli.weights.checkpoint import read_header

    if network is None and weights and weights.endswith(".safetensors"):
        network = read_header(Path(weights)).network
    return network_spec(network or DEFAULT_NETWORK)
