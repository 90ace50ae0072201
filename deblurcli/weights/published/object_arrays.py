"""Lists of arrays as numpy pickles them, read without running anything that a pickle may name.

``numpy.load(allow_pickle=True)`` would call whatever the file asks for. Here the few names that numpy writes lead to
stand-ins of ours, which only collect bytes and check them, and any other name is refused.
"""

from __future__ import annotations

import pickle
from math import prod
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from deblurcli.errors import WeightsError

LIMIT = 2**30  # bytes unpacked; the largest published file has 8 million
HINT = "Only numbers are read from such files. If you trust it, save its arrays alone."


def read_object_arrays(file: BinaryIO, name: str) -> list[NDArray[Any]]:
    """The arrays of an ``.npz`` file that holds them as one object array ``params``, in order.

    Args:
        file: the file, open. name: what errors call it.

    Raises:
        WeightsError: the archive holds something else, or its pickle asks for more than arrays of numbers.
        Whatever ``zipfile`` and ``pickle`` raise: it is damaged.
    """
    with ZipFile(file) as archive:
        names = archive.namelist()
        if names != ["params.npy"]:
            raise WeightsError(f"{name}: holds {', '.join(names[:4]) or 'nothing'}, not one list 'params' of arrays")
        if archive.getinfo("params.npy").file_size > LIMIT:
            raise WeightsError(f"{name}: would unpack to more than {LIMIT / 1e6:.0f} MB")
        with archive.open("params.npy") as stream:
            version = npy.read_magic(stream)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            _, _, dtype = header(stream)
            if dtype != np.dtype(object):
                raise WeightsError(f"{name}: 'params' is one array of {dtype}, not a list of arrays")
            content = _Unpickler(stream, name).load()
    items = content.value if isinstance(content, _Array) else content
    if not isinstance(items, list) or not all(isinstance(item, _Array) for item in items):
        raise WeightsError(f"{name}: 'params' is not a list of arrays")
    arrays = [item.value for item in items]
    if any(isinstance(array, list) for array in arrays):
        raise WeightsError(f"{name}: 'params' holds lists within lists")
    return arrays


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: Any, name: str) -> None:
        # Pickles of Python 2 hold bytes as text; latin-1 keeps every byte.
        super().__init__(stream, encoding="latin1")
        self.name = name

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise WeightsError(f"{self.name}: refused, because it asks for {module}.{name}", HINT)
        return _ALLOWED[module, name]


class _Dtype:
    """Stands in for ``numpy.dtype``: numbers and objects only."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def real(self) -> np.dtype[Any]:
        dtype = np.dtype(self.code).newbyteorder("<")
        if dtype.kind not in "fiub":
            raise ValueError(f"an array of {dtype}")
        return dtype.newbyteorder(">") if self.order == ">" else dtype


class _Array:
    """Stands in for ``numpy.ndarray``; an array of objects becomes a list."""

    value: NDArray[Any] | list[Any]

    def __init__(self, *_: object) -> None:
        self.value = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if dtype.code.startswith("O"):
            if not isinstance(content, list) or len(content) != prod(shape):
                raise ValueError("a list of another length than it says")
            self.value = content
        else:
            content = content.encode("latin1") if isinstance(content, str) else content
            flat = np.frombuffer(content, dtype.real())
            self.value = flat.astype(flat.dtype.newbyteorder("=")).reshape(shape, order="F" if fortran else "C")


def _scalar(dtype: _Dtype, content: bytes | str) -> _Array:
    array = _Array()
    array.__setstate__((1, (), dtype, False, content))
    return array


def _encode(text: str, encoding: str) -> bytes:
    """What Python 3 asks for where the oldest protocols must hold bytes."""
    if encoding != "latin1":
        raise ValueError(f"text in {encoding}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # numpy 1, numpy 2
    _ALLOWED |= {(_module, "_reconstruct"): _Array, (_module, "scalar"): _scalar}
