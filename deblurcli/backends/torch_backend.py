"""Runs networks with PyTorch: CPU, CUDA, MPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deblurcli.arrays import Picture
from deblurcli.backends import ONNX_DEVICES
from deblurcli.backends.backend import Answer, Wanted
from deblurcli.backends.memory import BYTES_PER_PIXEL, bytes_per_pixel, cpu_budget, keep_freed_memory
from deblurcli.errors import DeviceError, TileTooLargeError
from deblurcli.networks.blocks import channels_last, full_precision
from deblurcli.networks.spec import NetworkSpec

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

Result = TypeVar("Result")


def choose_device(device: str) -> torch.device:
    """ "auto" → the best there is; a device asked for by name → exactly that.

    Raises:
        DeviceError: it is not there. Never a silent fall-back.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return _cuda("0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = device.partition(":")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            found = f"PyTorch sees {count} CUDA device{'s' * (count != 1)}"
            raise DeviceError(f"no device '{device}': {found}", "Use --device auto or --device cpu.")
        return _cuda(index or "0")
    if kind in ONNX_DEVICES:
        raise DeviceError(f"no device '{device}': PyTorch has none", "Use --backend onnx.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("no device 'mps': this PyTorch or this machine has no Metal", "Use --device auto or cpu.")
    return torch.device(kind)


def _cuda(index: str) -> torch.device:
    # Where nothing else is said, convolutions of floats keep ten bits of them: inverse filters amplify what is lost.
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(f"cuda:{index}")


class TorchBackend:
    """A network with its weights on a PyTorch device; see ``backends.backend.Backend``."""

    name = "torch"

    def __init__(
        self,
        network: nn.Module,
        spec: NetworkSpec,
        device: str = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        """``compile`` costs a minute or two with the first tile and with the first of another size, less once a machine
        has done it before, and makes all others faster.

        Raises:
            DeviceError: the device is not there.
        """
        self.spec = spec
        self._device = choose_device(device)
        self.device = str(self._device)
        self.precision = precision
        self._network = channels_last(network.to(self._device)).eval()
        self._forward = torch.compile(self._network) if compile else self._network
        self.at_once = 2 if self._device.type == "cuda" and not compile else 1
        if self._device.type == "cpu":
            keep_freed_memory()

    def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
        """See ``Backend.run``."""

        def restore(batch: Tensor) -> Answer:
            given = {"statistics": self._tensors(statistics)} if statistics else {}
            restored = self._forward(batch, maps=maps, **given)
            image = restored.picture.float()
            if self.spec.channel_order == "bgr":
                image = image.flip(1)
            names = restored.maps.keys() if isinstance(maps, bool) else maps
            planes = {name: restored.maps[name][0].float().cpu().numpy() for name in names}
            trust = None if restored.trust is None else restored.trust[0, 0].float().cpu().numpy()
            return Answer(image[0].permute(1, 2, 0).cpu().numpy(), planes, trust)

        return self._on_device(restore, picture)

    def statistic(self, picture: Picture, known: Sequence[NDArray[Any]] = ()) -> NDArray[Any]:
        """See ``Backend.statistic``."""

        def look(batch: Tensor) -> NDArray[Any]:
            values = self._network.statistic(batch, self._tensors(known))  # type: ignore[operator]
            return values[0].float().permute(1, 2, 0).cpu().numpy()

        return self._on_device(look, picture)

    def kernels(self) -> dict[str, NDArray[np.float32]]:
        """See ``Backend.kernels``."""
        with torch.no_grad():
            found: dict[str, Tensor] = self._network.kernels()  # type: ignore[operator]
        return {name: kernel.detach().float().cpu().numpy() for name, kernel in found.items()}

    def _on_device(self, compute: Callable[[Tensor], Result], picture: Picture) -> Result:
        """``compute`` of the picture as a batch (1, 3, H, W) in the network's order of colours, at our precision."""
        try:
            batch = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device).permute(2, 0, 1).unsqueeze(0)
            if self.spec.channel_order == "bgr":
                batch = batch.flip(1)
            with torch.no_grad(), self._autocast():
                return compute(batch)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                what = " ".join(str(error).split())[:200]
                raise DeviceError(
                    f"{self.spec.name} cannot be compiled here ({what})", "Leave out --compile."
                ) from error
            if not _is_out_of_memory(error):
                raise
            height, width = picture.shape[:2]
            what = f"{self.device} is out of memory on a tile of {width} × {height} px"
        # Raised outside the handler: there, the traceback would keep the tile's tensors alive.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        raise TileTooLargeError(what, "Close other programs, or use --device cpu.")

    def _tensors(self, averages: Sequence[NDArray[Any]]) -> list[Tensor]:
        """(C,) each → (1, C, 1, 1) each."""
        return [torch.as_tensor(a, dtype=torch.float32, device=self._device).view(1, -1, 1, 1) for a in averages]

    def _autocast(self):
        if self.precision == "fp32":
            return full_precision(self._device.type)
        return torch.autocast(self._device.type, DTYPES[self.precision])

    def memory_budget(self) -> int:
        """On GPUs most of what is free; on CPUs, see ``cpu_budget``."""
        if self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            return int(0.7 * free) // self.at_once
        return cpu_budget(self.spec)

    def bytes_per_pixel(self, maps: bool = False) -> float:
        """See ``Backend.bytes_per_pixel``."""
        return bytes_per_pixel(BYTES_PER_PIXEL, self.spec, maps)


def _is_out_of_memory(error: BaseException) -> bool:
    # The CPU allocator raises a bare RuntimeError.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
