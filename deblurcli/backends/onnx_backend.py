"""Runs networks with ONNX Runtime: CPU, CUDA, CoreML. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.arrays import Maps, Picture
from deblurcli.backends.memory import BYTES_PER_PIXEL, cpu_budget
from deblurcli.errors import DeblurError, DeviceError, TileTooLargeError, UsageError, WeightsError
from deblurcli.networks.spec import NetworkSpec

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}


def runtime() -> Any:
    """The module ``onnxruntime``. Raises DeblurError if it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DeblurError(
            "ONNX Runtime is not installed", "pip install onnxruntime (or onnxruntime-gpu), or use --backend torch."
        ) from error
    onnxruntime.set_default_logger_severity(3)  # errors come as exceptions; warnings are about its own affairs
    return onnxruntime


def choose_provider(device: str) -> tuple[str, dict[str, str]]:
    """The execution provider for a device, and its options; "auto" takes CUDA where there is a GPU, else the CPU.

    Raises:
        DeviceError: this ONNX Runtime has none for it.
    """
    available = runtime().get_available_providers()
    kind, _, index = device.partition(":")
    if kind == "auto":
        # That the CUDA provider is in the package does not mean that there is a GPU: the session tells.
        kind = "cuda" if PROVIDERS["cuda"] in available else "cpu"
    provider = PROVIDERS[kind]
    if provider not in available:
        raise DeviceError(
            f"no device '{device}': this ONNX Runtime has no {provider}", "Use --device cpu, or --backend torch."
        )
    return provider, {"device_id": index or "0"} if kind == "cuda" else {}


class OnnxBackend:
    """An ONNX file of ``onnx_export``'s contract on a device; see ``backends.backend.Backend``."""

    name = "onnx"

    def __init__(self, path: Path, spec: NetworkSpec, device: str = "auto", precision: str = "auto") -> None:
        """Opens the file.

        Raises:
            DeblurError: ONNX Runtime is not installed. DeviceError: the device is not there.
            UsageError: the precision is not the file's. WeightsError: the file is damaged.
        """
        if precision not in ("auto", "fp32"):
            raise UsageError(f"the ONNX backend computes in fp32, not in {precision}", "Use --backend torch.")
        ort = runtime()
        self.spec, self.precision = spec, "fp32"
        provider, options = choose_provider(device)
        try:
            self._session = ort.InferenceSession(str(path), providers=[(provider, options)])
        except Exception as error:  # it has an exception class per cause, and no common one
            raise WeightsError(f"{path}: ONNX Runtime cannot use it ({error})", "Export it again.") from error
        got = self._session.get_providers()[0]
        if got != provider and device != "auto":
            raise DeviceError(f"no device '{device}': ONNX Runtime fell back to {got}", "Use --device cpu.")
        kind = next(kind for kind, name in PROVIDERS.items() if name == got)
        self.device = f"cuda:{options.get('device_id', '0')}" if kind == "cuda" else kind
        self._only_what_is_asked = ort.RunOptions()
        self._only_what_is_asked.only_execute_path_to_fetches = True
        self._averages = {i.name: i.shape[1] for i in self._session.get_inputs() if i.name != "picture"}

    def run(
        self, picture: Picture, maps: bool = False, statistics: Sequence[NDArray[Any]] = ()
    ) -> tuple[Picture, Maps]:
        """See ``Backend.run``."""
        averages = list(statistics)
        while len(averages) < self.spec.statistics:
            averages.append(self.statistic(picture, averages).mean((0, 1), dtype=np.float64))
        names = [m.name for m in self.spec.maps] if maps else []
        image, *planes = self._fetch(["restored", *names], picture, averages)
        return np.ascontiguousarray(image.transpose(1, 2, 0)), dict(zip(names, planes, strict=True))

    def statistic(self, picture: Picture, known: Sequence[NDArray[Any]] = ()) -> NDArray[Any]:
        """See ``Backend.statistic``."""
        (look,) = self._fetch([f"look_{len(known)}"], picture, known)
        return look.transpose(1, 2, 0)

    def _fetch(self, names: list[str], picture: Picture, averages: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Outputs of these names, (C, H, W) each."""
        fed = {name: np.zeros((1, channels, 1, 1), np.float32) for name, channels in self._averages.items()}
        fed |= {f"average_{k}": np.float32(a).reshape(1, -1, 1, 1) for k, a in enumerate(averages)}
        fed["picture"] = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        try:
            return [output[0] for output in self._session.run(names, fed, self._only_what_is_asked)]
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            height, width = picture.shape[:2]
            what = f"{self.device} is out of memory on a tile of {width} × {height} px"
        raise TileTooLargeError(what, "Close other programs, or use --device cpu.")

    def memory_budget(self) -> int:
        """See ``Backend.memory_budget``. ONNX Runtime does not say what a GPU has free: its tiles are those of CPUs."""
        return cpu_budget(self.spec)

    def bytes_per_pixel(self, maps: bool = False) -> float:
        """See ``Backend.bytes_per_pixel``."""
        planes = sum(spec.channels for spec in self.spec.maps) if maps else 0
        return BYTES_PER_PIXEL.get(self.spec.name, 4000.0) + 16 * planes


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "failed to allocate memory" in text or "out of memory" in text
