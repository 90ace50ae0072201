"""How fast training runs, and what holds it up."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deblurcli.evaluation.timing import calibration

WARM_UP = 5  # steps that are slower than all others: memory is allocated, convolutions are chosen, networks compiled


def computes_in_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself. CPUs that do not take up to four times as long as in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Older versions of PyTorch cannot tell; then it is float32, which is never slow.
    found = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(found.get(name) for name in ("avx512_bf16", "amx_bf16"))


class Stopwatch:
    """Adds up what the parts of a step take.

    GPUs work through a queue while the program goes on. An ``exact`` stopwatch waits for the queue after every part,
    so that each part's time is its own; that slows training a little. Any other tells the truth only on CPUs.
    """

    def __init__(self, device: torch.device, exact: bool) -> None:
        self._waits = exact and device.type == "cuda"
        self._last = 0.0
        self.steps = self._begun = 0
        self.seconds: dict[str, float] = {}

    def start(self) -> None:
        """A step begins. What was between the last one and now is not counted."""
        self._begun += 1
        if self._begun == WARM_UP + 1:
            self.seconds, self.steps = {}, 0
        self.steps += 1
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """``part`` of the step is done."""
        if self._waits:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now

    def rate(self, batch: int) -> float:
        """Samples per second."""
        return self.steps * batch / max(sum(self.seconds.values()), 1e-9)


def bottleneck(watch: Stopwatch, network: nn.Module, blurred: Tensor, autocast: torch.dtype | None) -> str:
    """What bounds training, in a sentence: shares of a step, and the network's speed beside the device's.

    Args:
        blurred: one batch (B, 3, H, W) as the network is trained on, on its device.
        autocast: dtype that the network runs in, None for float32.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(blurred[:1])
    total = sum(watch.seconds.values())
    # A backward pass takes two products for each one of the forward pass.
    speed = 3 * counter.get_total_flops() * len(blurred) * watch.steps / watch.seconds["network"] / 1e9
    possible = calibration(blurred.device, autocast or torch.float32)
    parts = ", ".join(f"{seconds / total:.0%} {part}" for part, seconds in watch.seconds.items())
    return (
        f"{watch.rate(len(blurred)):.1f} samples/s: {parts}; the network at {speed:,.0f} GFLOP/s, "
        f"{speed / possible:.0%} of the {possible:,.0f} that a 3×3 convolution reaches here"
    )
