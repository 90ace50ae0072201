"""ONNX Runtime, imported here and nowhere else: before its import, it is told to keep to itself.

From 1.31 on it would otherwise note an identifier of this machine in the user's cache and look for a telemetry server,
which only its environment variable prevents, and only from the start.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime.capi.build_and_package_info import package_name

__all__ = ["onnxruntime", "package_name"]
