"""Chance comes from the CPU, pictures may be on a GPU: how one gets to the other without waiting.

A GPU works through its orders while the CPU prepares the next ones, until the CPU reads a value back. So what decides
on shapes (radii, shares, who has which layer) stays on the CPU, and a GPU gets copies of it where pictures meet it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``, which need not have finished what it was asked to do before."""
    # CUDA takes its own copy of ordinary memory before the call returns; other devices may not.
    return tensor.to(device, non_blocking=device.type == "cuda")


def normal(shape: torch.Size, device: torch.device, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, drawn on ``device``.

    Args:
        generator: on the CPU. Its state decides which numbers come, on each device others.
    """
    if device != generator.device:
        seed = int(torch.randint(2**62, (1,), generator=generator))
        generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device)
