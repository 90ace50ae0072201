"""Runs networks with ONNX Runtime: CPU, CUDA, TensorRT, DirectML, CoreML. Needs no PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Picture
from deblurcli.backends import may_have_gpu
from deblurcli.backends.backend import Answer, Wanted
from deblurcli.backends.memory import bytes_per_pixel, cpu_budget
from deblurcli.backends.onnx_outputs import only, outputs
from deblurcli.backends.onnx_runtime import onnxruntime
from deblurcli.errors import DeviceError, TileTooLargeError, WeightsError
from deblurcli.networks.spec import NetworkSpec

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "mps": "CoreMLExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
}

# Measured peak of a run without maps, per pixel of the tile.
BYTES_PER_PIXEL = {
    "iniknet": 3200.0,
    "iniknet-fast": 300.0,
    "ggkmnet": 1500.0,
    "ggkmnet-large": 1300.0,
    "gkmnet": 1150.0,
    "p2ikt": 2900.0,
    "kpac-2": 1750.0,
    "kpac-3": 1750.0,
    "tiny": 120.0,
}
LEANER = 150 * 2**20
"""Bytes that ONNX Runtime takes less than PyTorch before there is a tile: tiles get them."""


def choose_provider(device: str) -> tuple[str, dict[str, str]]:
    """The execution provider for a device, and its options; "auto" takes CUDA where there is a GPU, else the CPU.

    Raises:
        DeviceError: this ONNX Runtime has none for it.
    """
    available = onnxruntime.get_available_providers()
    kind, _, index = device.partition(":")
    if kind == "auto":
        # That the CUDA provider is in the package does not mean that there is a GPU: the session tells.
        kind = "cuda" if PROVIDERS["cuda"] in available and may_have_gpu() else "cpu"
    provider = PROVIDERS[kind]
    if provider not in available:
        raise DeviceError(
            f"no device '{device}': this ONNX Runtime has no {provider}",
            "Use --device cpu, --backend torch, or a package of ONNX Runtime that has it.",
        )
    if kind in ("cuda", "tensorrt") and not may_have_gpu():  # which ONNX Runtime would say in a page of its own
        raise DeviceError(f"no device '{device}': there is no driver of NVIDIA's here", "Use --device cpu.")
    return provider, {} if kind in ("cpu", "mps") else {"device_id": index or "0"}


class OnnxBackend:
    """An ONNX file of ``onnx_export``'s contract on a device; see ``backends.backend.Backend``."""

    name = "onnx"

    def __init__(self, path: Path, spec: NetworkSpec, device: str = "auto") -> None:
        """Opens the file.

        Raises:
            DeviceError: the device is not there. WeightsError: the file is damaged.
        """
        self.spec = spec
        self._path = path
        provider, options = choose_provider(device)
        self._providers = [(provider, options)]
        if provider == PROVIDERS["tensorrt"]:
            self._providers.append((PROVIDERS["cuda"], options))  # for operators that TensorRT does not have
        if provider in (PROVIDERS["cuda"], PROVIDERS["tensorrt"]):
            onnxruntime.preload_dlls()  # finds CUDA where pip put it
        self._sessions: dict[tuple[str, ...], onnxruntime.InferenceSession] = {}
        self._beginning = Lock()
        session = self._session("restored", "trust")  # which makes those of them that the file has
        self._made = [output.name for output in session.get_outputs()]
        self._sessions[tuple(self._made)] = session
        got = session.get_providers()[0]
        if got != provider and device != "auto":
            raise DeviceError(f"no device '{device}': ONNX Runtime fell back to {got}", "Use --device cpu.")
        kind = next(kind for kind, name in PROVIDERS.items() if name == got)
        self.device = f"{kind}:{options['device_id']}" if kind == "cuda" else kind
        self.at_once = 2 if kind in ("cuda", "tensorrt") else 1
        self.precision = session.get_modelmeta().custom_metadata_map.get("precision", "fp32")
        self._averages = {i.name: i.shape[1] for i in session.get_inputs() if i.name != "picture"}

    def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
        """See ``Backend.run``."""
        names = [m.name for m in self.spec.maps if maps is True or (maps and m.name in maps)]
        trusted = "trust" in self._made
        image, *planes = self._fetch([*self._made, *names], picture, statistics)
        trust = planes.pop(0)[0] if trusted else None
        return Answer(np.ascontiguousarray(image.transpose(1, 2, 0)), dict(zip(names, planes, strict=True)), trust)

    def statistic(self, picture: Picture, known: Sequence[NDArray[Any]] = ()) -> NDArray[Any]:
        """See ``Backend.statistic``."""
        (look,) = self._fetch([f"look_{len(known)}"], picture, known)
        return look.transpose(1, 2, 0)

    def kernels(self) -> dict[str, NDArray[Any]]:
        """See ``Backend.kernels``."""
        names = [name for name in outputs(self._path.read_bytes()) if name.startswith("kernels_")]
        side = self.spec.min_size
        picture = np.zeros((side, side, 3), np.float32)  # they do not depend on it, but it has to be there
        found = self._fetch(names, picture, ()) if names else []
        return {name.removeprefix("kernels_"): kernel for name, kernel in zip(names, found, strict=True)}

    def _fetch(self, names: list[str], picture: Picture, averages: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Outputs of these names, (C, H, W) each."""
        fed = {name: np.full((1, channels, 1, 1), np.nan, np.float32) for name, channels in self._averages.items()}
        fed |= {f"average_{k}": np.float32(a).reshape(1, -1, 1, 1) for k, a in enumerate(averages)}
        fed["picture"] = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        try:
            return [np.asarray(output)[0] for output in self._session(*names).run(names, fed)]
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            height, width = picture.shape[:2]
            what = f"{self.device} is out of memory on a tile of {width} × {height} px"
        raise TileTooLargeError(what, "Close other programs, or use --device cpu.")

    def _session(self, *names: str) -> onnxruntime.InferenceSession:
        """What makes these outputs and no others: ONNX Runtime computes all that a file has, asked for or not."""
        with self._beginning:
            if names not in self._sessions:
                try:
                    content = only(self._path, names)
                    session = onnxruntime.InferenceSession(content, _settings(), providers=self._providers)
                except Exception as error:  # it has an exception class per cause, and no common one
                    what = f"{self._path}: ONNX Runtime cannot use it ({error})"
                    raise WeightsError(what, "Export it again.") from error
                self._sessions[names] = session
            return self._sessions[names]

    def memory_budget(self) -> int:
        """See ``Backend.memory_budget``. ONNX Runtime does not say what a GPU has free: its tiles are those of CPUs."""
        return cpu_budget(self.spec) + LEANER

    def bytes_per_pixel(self, maps: bool = False) -> float:
        """See ``Backend.bytes_per_pixel``."""
        return bytes_per_pixel(BYTES_PER_PIXEL, self.spec, maps)


def _settings() -> onnxruntime.SessionOptions:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # errors come as exceptions; warnings are about its own affairs
    # Tensors come and go one by one. By default they share one block, which is twice as large as it has to be, and
    # those of equal shape share a place that is kept from the first of them to the last.
    settings.enable_mem_pattern = settings.enable_mem_reuse = False
    # As PyTorch does. The variable may hold a number for each level of nested teams. 0 is all cores.
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    settings.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    return settings


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "failed to allocate memory" in text or "out of memory" in text
