"""Weights files that lie about themselves: each is refused by name, and none takes memory or time first."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from fuzz import MEMORY, SECONDS
from safetensors.torch import load, save
from seeds import pytorch, safetensors
from watched import run_watched

from deblurcli.errors import WeightsError
from deblurcli.networks.spec import network_spec
from deblurcli.weights.load import load_network
from deblurcli.weights.published.files import read_authors_file

WHOLE = safetensors()
LENGTH = int.from_bytes(WHOLE[:8], "little")
HEADER, NUMBERS = json.loads(WHOLE[8 : 8 + LENGTH]), WHOLE[8 + LENGTH :]
FIRST, SECOND = [key for key in HEADER if key != "__metadata__"][:2]


def file(header: Any, numbers: bytes = NUMBERS, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


def with_entry(key: str, **changes: Any) -> bytes:
    return file(HEADER | {key: HEADER[key] | changes})


def with_metadata(**changes: str) -> bytes:
    return with_entry("__metadata__", **changes)


def with_tensors(change: Callable[[torch.Tensor], torch.Tensor]) -> bytes:
    return save({key: change(tensor) for key, tensor in load(WHOLE).items()}, HEADER["__metadata__"])


HOSTILE = {
    "a header of terabytes": file(HEADER, length=2**40),
    "a header of all bytes": file(HEADER, length=2**64 - 1),
    "a deep header": file(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "overlapping tensors": with_entry(SECOND, data_offsets=HEADER[FIRST]["data_offsets"]),
    "too few numbers": file(HEADER, NUMBERS[:-4]),
    "too many numbers": file(HEADER, NUMBERS + bytes(4)),
    "a shape beyond counting": with_entry(FIRST, shape=[2**40, 2**40]),
    "a negative shape": with_entry(FIRST, shape=[-1]),
    "an unknown kind of number": with_entry(FIRST, dtype="F7"),
    "no numbers": with_tensors(lambda t: t * torch.nan if t.is_floating_point() else t),
    "infinite in 32 bits": with_tensors(lambda t: t.double() * 1e300 if t.is_floating_point() else t),
    "integers": with_tensors(lambda t: t.long()),
    "truth values": with_tensors(lambda t: t.bool()),
    "complex numbers": with_tensors(lambda t: t.to(torch.complex64)),
    "settings that are a list": with_metadata(config="[1]"),
    "settings that are a number": with_metadata(config="3"),
    "deep settings": with_metadata(config="[" * 100_000),
    "unknown settings": with_metadata(config='{"nope": 1}'),
    "settings that are no number": with_metadata(config='{"depth": NaN}'),
    "scores that are text": with_metadata(scores='{"psnr": "high"}'),
    "another network": with_metadata(network="../../tiny"),
}
OTHER_NETWORK = {
    "a network of terabytes": with_metadata(network="iniknet-fast", config='{"widths": [4000, 4000, 4000]}'),
    "more than there is memory": with_metadata(network="iniknet-fast", config='{"widths": [100000, 100000, 100000]}'),
    "atoms without end": with_metadata(network="iniknet-fast", config='{"atoms": 1000000000}'),
}


def read(path: Path) -> tuple[str, str]:
    """What comes of loading weights."""
    try:
        load_network(network_spec("iniknet-fast" if path.stem in OTHER_NETWORK else "tiny"), str(path))
    except WeightsError as error:
        return "refused", str(error)
    return "read", ""


def test_hostile_checkpoints_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in HOSTILE | OTHER_NETWORK]
    for path in paths:
        path.write_bytes((HOSTILE | OTHER_NETWORK)[path.stem])
    # Networks without memory make torch import a great deal once.
    results = list(run_watched(read, paths, seconds=4 * SECONDS, memory=MEMORY))
    assert [result for result in results if result.kind != "refused" or str(result.case) not in result.detail] == []
    assert len(results) == len(paths)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_other_widths_are_converted(dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(with_tensors(lambda t: t.to(dtype) if t.is_floating_point() else t))
    network, _ = load_network(network_spec("tiny"), str(path))
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def refused(content: bytes) -> str:
    with pytest.raises(WeightsError) as caught:
        read_authors_file(io.BytesIO(content), "a.pth")
    assert str(caught.value).startswith("a.pth: ")
    return str(caught.value)


def test_zip_bombs_are_not_unpacked() -> None:
    whole, bomb = ZipFile(io.BytesIO(pytorch(modern=True))), io.BytesIO()
    with ZipFile(bomb, "w", ZIP_DEFLATED) as archive:
        for entry in whole.infolist():
            archive.writestr(entry.filename, whole.read(entry))
        with archive.open("archive/data/99", "w") as stream:
            for _ in range(1100):
                stream.write(bytes(2**20))
    assert "would unpack to more than" in refused(bomb.getvalue())


def test_views_of_one_number_are_not_unpacked() -> None:
    file = io.BytesIO()
    torch.save({"a": torch.ones(1).expand(100_000, 100_000)}, file)
    assert len(file.getvalue()) < 2000
    assert "would unpack to more than" in refused(file.getvalue())
