"""What runs a network: one small protocol, one module per runtime."""

BACKENDS = ("auto", "torch")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
