"""What runs a network: one small protocol, one module per runtime."""

BACKENDS = ("auto", "torch", "onnx")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ONNX_DEVICES = ("tensorrt", "directml")  # that PyTorch does not know


def chosen_precision(precision: str) -> str:
    """One of ``PRECISIONS`` → what is computed in: "auto" is single precision, everywhere."""
    return "fp32" if precision == "auto" else precision
