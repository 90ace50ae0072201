"""Reads the files that networks' authors publish: numbers only, never code."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Mapping
from typing import Any, BinaryIO
from zipfile import ZipFile, is_zipfile

import torch
from numpy.typing import NDArray
from torch import Tensor

from deblurcli.errors import WeightsError
from deblurcli.weights.published.object_arrays import LIMIT, read_object_arrays

NESTINGS = ("state_dict", "model_state_dict", "model", "network", "net", "params")
"""Where training programs put the state dict in a larger file."""

SAVE_ALONE = "save its state dict alone with torch.save."


def git_blob(file: BinaryIO) -> str:
    """The id under which git knows this content."""
    size = file.seek(0, os.SEEK_END)
    # Names content and guards against accidents; what a file may do is limited by how it is read.
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    file.seek(0)
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def read_authors_file(file: BinaryIO, name: str) -> dict[str, Tensor] | list[NDArray[Any]]:
    """What is in a PyTorch file (by key) or in an ``.npz`` list of arrays (by position). The content decides which.

    A state dict may lie under one of ``NESTINGS``; the ``module.`` that DataParallel puts before each key is removed.

    Args:
        file: the file, open. name: what errors call it.

    Raises:
        WeightsError: the file is damaged, is of another kind, or asks for code.
    """
    file.seek(0)
    if not file.read(1):
        raise WeightsError(f"{name}: is empty", "Fetch or copy it again.")
    try:
        if is_zipfile(file):
            entries = ZipFile(file).infolist()
            _check_size(sum(entry.file_size for entry in entries), name)
            if any(entry.filename.endswith(".npy") for entry in entries):
                return read_object_arrays(file, name)
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickles: what matters is whether they can be read
            content = torch.load(file, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # damaged files make these readers raise almost anything
        if asked := re.search(r"GLOBAL ([\w.]*\w)", str(error)):
            raise WeightsError(
                f"{name}: refused, because it asks for {asked[1]}",
                f"Only numbers are read from such files. If you trust it, {SAVE_ALONE}",
            ) from error
        raise WeightsError(
            f"{name}: cannot be read ({type(error).__name__}): damaged, or neither a PyTorch file nor .npz",
            "Fetch or copy it again.",
        ) from error
    return _state_dict(content, name)


def _state_dict(content: Any, name: str) -> dict[str, Tensor]:
    for _ in range(3):  # a pickle may hold itself
        if isinstance(content, Mapping):
            content = next((content[key] for key in NESTINGS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{name}: holds no state dict", "Tensors by name are looked for, or a list of arrays.")
    others = [str(key) for key, value in content.items() if not _is_plain(value)]
    if others:
        raise WeightsError(f"{name}: {', '.join(others[:3])} is no plain tensor", f"If you trust it, {SAVE_ALONE}")
    # Many tensors may be views of one number.
    _check_size(sum(value.numel() * value.element_size() for value in content.values()), name)
    prefix = "module." if all(str(key).startswith("module.") for key in content) else ""
    return {str(key).removeprefix(prefix): value for key, value in content.items()}


def _check_size(size: int, name: str) -> None:
    if size > LIMIT:
        raise WeightsError(f"{name}: would unpack to more than {LIMIT / 1e6:.0f} MB", "No network here is so large.")


def _is_plain(value: Any) -> bool:
    """Whether this is a tensor of real numbers, all of which are there."""
    if not isinstance(value, Tensor) or value.is_quantized or value.is_complex():
        return False
    return value.layout is torch.strided and value.device.type == "cpu"
