"""What runs a network: one small protocol, one module per runtime."""

import sys
from pathlib import Path

BACKENDS = ("auto", "torch", "onnx")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ONNX_DEVICES = ("tensorrt", "directml")  # that PyTorch does not know


def chosen_precision(precision: str) -> str:
    """One of ``PRECISIONS`` → what is computed in: "auto" is single precision, everywhere."""
    return "fp32" if precision == "auto" else precision


def may_have_gpu() -> bool:
    """Whether PyTorch could find a GPU here: False is certain, and told without starting it, which takes seconds."""
    if sys.platform == "darwin" or Path("/dev/kfd").exists():  # Apple's, AMD's
        return True
    import ctypes  # here, as every start imports this module

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
