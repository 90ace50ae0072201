"""Authors' files become checkpoints of ours; files that are something else, or would run code, become nothing."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from golden_vectors import load_golden
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors.torch import load_file
from test_cli import run
from test_readme import OTHERS
from torch import Tensor

from deblurcli.errors import WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import NETWORKS
from deblurcli.weights import importers
from deblurcli.weights.checkpoint import read_header
from deblurcli.weights.importers import IMPORTERS, Importer, import_weights
from deblurcli.weights.published.files import git_blob, read_authors_file
from deblurcli.weights.published.iniknet import from_authors
from deblurcli.weights.store import Published, published

RNG = np.random.default_rng(0)
ARRAYS = [RNG.random((5, 5, 3, 4), dtype=np.float32), RNG.random(4), np.arange(6, dtype=np.int32).reshape(2, 3)]
WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}


def import_(file: Path, output: Path, *more: object) -> int:
    return run("weights", "import", file, "--network", "iniknet", "-o", output, *more)


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def opened(path: Path) -> Any:
    with path.open("rb") as file:
        return read_authors_file(file, path.name)


# ---- from file to file --------------------------------------------------------------------------------------------


def test_what_the_readme_says(authors_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(authors_file.parent)
    assert run(*OTHERS["import"].split()[1:]) == 0
    result = authors_file.with_name("mine.safetensors")
    expected = from_authors(load_golden("iniknet").weights)
    tensors = load_file(result)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], expected[key]) for key in expected)
    header = read_header(result)
    assert (header.network, header.tag, header.licence) == ("iniknet", "imported", "not stated")
    assert header.note.startswith("Imported from INIKNet.pth (git blob ")
    monkeypatch.chdir(tmp_path)
    assert run("weights", "info", "iniknet", result, "--card") == 0
    result.unlink()


def test_a_known_file_gets_its_tag_and_licence(
    authors_file: Path, tmp_path: Path, published: Callable[..., Published]
) -> None:
    row = published(licence="Do What Thou Wilt", tag="theirs")
    output = tmp_path / "out.safetensors"
    assert import_(authors_file, output) == 0
    header = read_header(output)
    assert (header.tag, header.licence) == ("theirs", "Do What Thou Wilt")
    assert row.url in header.note and row.blob in header.note
    assert import_(authors_file, output, "--overwrite", "--tag", "mine", "--licence", "CC0") == 0
    assert (read_header(output).tag, read_header(output).licence) == ("mine", "CC0")


def test_an_imported_file_restores_photos(authors_file: Path, tmp_path: Path) -> None:
    from PIL import Image

    assert import_(authors_file, tmp_path / "mine.safetensors") == 0
    assert str(authors_file.parent) not in read_header(tmp_path / "mine.safetensors").note
    Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "in.png")
    assert run(tmp_path / "in.png", "-o", tmp_path / "out.png", "--weights", tmp_path / "mine.safetensors") == 0
    assert b"iniknet, imported" in (tmp_path / "out.png").read_bytes()


def test_doubles_become_floats(tmp_path: Path) -> None:
    weights = {key: tensor.double() for key, tensor in load_golden("iniknet").weights.items()}
    assert import_(saved(weights, tmp_path / "a.pth"), tmp_path / "a.safetensors") == 0
    assert {tensor.dtype for tensor in load_file(tmp_path / "a.safetensors").values()} == {torch.float32}


# ---- PyTorch files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"state_dict": WEIGHTS, "epoch": 7, "loss": torch.tensor(0.1)},
        {"epoch": 7, "model": {"state_dict": WEIGHTS}},
        {f"module.{key}": tensor for key, tensor in WEIGHTS.items()},
        {"params": {f"module.{key}": tensor for key, tensor in WEIGHTS.items()}},
    ],
)
@pytest.mark.parametrize("modern", [True, False])
def test_nestings(content: Any, modern: bool, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=modern)
    found = opened(tmp_path / "a.pth")
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[key], WEIGHTS[key]) for key in WEIGHTS)


def test_a_name_that_begins_like_module_stays(tmp_path: Path) -> None:
    assert opened(saved({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "a.pth")).keys() == {
        "module.a",
        "b",
    }


def holding_itself() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


@pytest.mark.parametrize("content", [holding_itself(), {}, {"epoch": 3}, torch.ones(3), [torch.ones(3)], "text"])
def test_no_state_dict(content: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"a\.pth: holds no state dict"):
        opened(saved(content, tmp_path / "a.pth"))


@pytest.mark.parametrize(
    "odd", [3, "text", None, torch.ones(2, device="meta"), torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.cfloat)]
)
def test_things_beside_tensors(odd: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"a\.pth: odd is no plain tensor"):
        opened(saved({**WEIGHTS, "odd": odd}, tmp_path / "a.pth"))


# ---- lists of arrays ----------------------------------------------------------------------------------------------


def object_array(items: list[Any]) -> NDArray[Any]:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def npz(path: Path, pickled: bytes, count: int = len(ARRAYS)) -> Path:
    """A file as ``numpy.savez(path, params=...)`` writes it, with a given pickle."""
    content = io.BytesIO()
    npy.write_array_header_1_0(content, {"descr": "|O", "fortran_order": False, "shape": (count,)})
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("params.npy", content.getvalue() + pickled)
    return path


def by_python_2(array: NDArray[Any]) -> bytes:
    """A pickle whose bytes are written as Python 2 wrote its strings."""
    pickled = pickle.dumps(array, protocol=3)
    # Opcode, length in one byte or four, bytes: C or B in Python 3, U or T in Python 2.
    ends: dict[int, bytes] = {}
    for opcode, _, place in pickletools.genops(pickled):
        if opcode.name in ("SHORT_BINBYTES", "BINBYTES"):
            ends[place or 0] = b"U" if opcode.name == "SHORT_BINBYTES" else b"T"
    return b"".join(ends.get(place, pickled[place : place + 1]) for place in range(len(pickled)))


def with_names_of_numpy(version: int, pickled: bytes) -> bytes:
    """The module that holds ``_reconstruct`` moved with numpy 2."""
    new, old = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    assert new in pickled or old in pickled
    return pickled.replace(new, old) if version == 1 else pickled.replace(old, new)


@pytest.mark.parametrize("numpy_version", [1, 2])
@pytest.mark.parametrize("dump", [by_python_2, *(lambda a, p=p: pickle.dumps(a, protocol=p) for p in (2, 3))])
def test_arrays_of_every_age(dump: Callable[[NDArray[Any]], bytes], numpy_version: int, tmp_path: Path) -> None:
    found = opened(npz(tmp_path / "a.npz", with_names_of_numpy(numpy_version, dump(object_array(ARRAYS)))))
    assert [array.dtype for array in found] == [array.dtype for array in ARRAYS]
    for array, expected in zip(found, ARRAYS, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_arrays_of_the_numpy_that_is_here(tmp_path: Path) -> None:
    odd = [np.asfortranarray(ARRAYS[2]), ARRAYS[1].astype(">f8"), np.float32(3), np.zeros((0, 3), np.float32)]
    np.savez(tmp_path / "a.npz", params=object_array([*ARRAYS, *odd]))
    found = opened(tmp_path / "a.npz")
    assert found[4].dtype == np.float64 and found[4].dtype.isnative
    for array, expected in zip(found, [*ARRAYS, *odd], strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"weights": np.ones(3)}, "holds weights.npy, not one list 'params' of arrays"),
        ({"params": np.ones(3)}, "'params' is one array of float64, not a list of arrays"),
        ({"params": object_array([{"a": 1}])}, "'params' is not a list of arrays"),
        ({"params": object_array([object_array([np.ones(2)])])}, "'params' holds lists within lists"),
        ({"params": object_array([np.array(["text"])])}, "ValueError"),
    ],
)
def test_other_arrays(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(WeightsError) as caught:
        opened(tmp_path / "a.npz")
    assert "a.npz" in str(caught.value) and words in str(caught.value)


def from_list(arrays: list[NDArray[Any]], scale: float) -> dict[str, Tensor]:
    """An importer for the tiny network, whose file holds its tensors in order."""
    keys = build_network("tiny").state_dict().keys()
    return {key: scale * torch.from_numpy(array) for key, array in zip(keys, arrays, strict=True)}


def test_arrays_reach_their_importer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(IMPORTERS, "tiny", Importer(f"{__name__}:from_list", list, {"scale": 2.0}))
    expected = build_network("tiny").state_dict()
    np.savez(tmp_path / "a.npz", params=object_array([tensor.numpy() / 2 for tensor in expected.values()]))
    with (tmp_path / "a.npz").open("rb") as file:
        tensors, header = import_weights(file, "a.npz", "tiny", tag="mine")
    assert (header.network, header.tag) == ("tiny", "mine")
    assert all(torch.equal(tensors[key], expected[key]) for key in expected)
    # A state dict is none of its files, as a list is none of INIKNet's.
    assert run("weights", "import", tmp_path / "a.npz", "-m", "iniknet", "-o", tmp_path / "a.safetensors") == 1
    with pytest.raises(WeightsError, match=r"a\.pth: holds tensors by name, which Tiny's file does not"):
        import_weights(saved(WEIGHTS, tmp_path / "a.pth").open("rb"), "a.pth", "tiny")


# ---- files that would run code ------------------------------------------------------------------------------------


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.sprung),)


@pytest.mark.parametrize("name", ["trap.pth", "old.pth", "trap.npz"])
def test_traps_are_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trap, path = Trap(tmp_path / "sprung"), tmp_path / name
    if name == "trap.npz":
        np.savez(path, params=object_array([ARRAYS[0], trap]))
    else:
        torch.save({**WEIGHTS, "trap": trap}, path, _use_new_zipfile_serialization=name == "trap.pth")
    assert import_(path, tmp_path / "out.safetensors") == 1
    said = capsys.readouterr().err
    assert f"{name}: refused, because it asks for {os.mkdir.__module__}.mkdir" in said
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "out.safetensors").exists()
    # It is a trap: whoever reads it carelessly falls into it.
    if name == "trap.npz":
        np.load(path, allow_pickle=True)["params"]
    else:
        torch.load(path, weights_only=False)
    assert (tmp_path / "sprung").is_dir()


@pytest.mark.parametrize("asked", ["numpy._core.multiarray fromstring", "numpy load", "builtins getattr", "numpy x.y"])
def test_only_a_few_names_of_numpy_are_known(asked: str, tmp_path: Path) -> None:
    module, name = asked.split()
    pickled = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(t)]) + t for t in (module.encode(), name.encode())) + b"\x93."
    with pytest.raises(WeightsError, match=rf"refused, because it asks for {module}\.{name}"):
        opened(npz(tmp_path / "a.npz", pickled))


# ---- files that are something else --------------------------------------------------------------------------------


def test_differences_are_named_and_few(authors_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = torch.load(authors_file)
    shape = "unet.feat_extract.0.main.0.weight"
    almost = {**weights, shape: torch.ones(32, 4, 3, 3), "extra": torch.ones(1)}
    del almost["sum.bias"]
    assert import_(saved(almost, tmp_path / "a.pth"), tmp_path / "out.safetensors") == 1
    said = capsys.readouterr().err
    assert "a.pth: " in said and "missing sum.bias; unknown extra" in said
    assert f"{shape} is (32, 4, 3, 3), not (32, 3, 3, 3)" in said and " more" not in said
    assert import_(saved(WEIGHTS, tmp_path / "b.pth"), tmp_path / "out.safetensors") == 1
    said = capsys.readouterr().err
    assert f"and {len(weights) + 2 - importers.SHOWN} more" in said
    assert "--network" in said and len(said) < 500
    assert not list(tmp_path.glob("*.safetensors"))


def test_values_that_are_not_numbers(authors_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = torch.load(authors_file)
    for key, value in (("sum.bias", torch.nan), ("sum.weight", 1e300)):  # no number; none of 32 bits
        changed = {**weights, key: torch.full_like(weights[key], value, dtype=torch.float64)}
        assert import_(saved(changed, tmp_path / "a.pth"), tmp_path / "out.safetensors") == 1
        assert "a.pth: holds values that are not numbers" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("source", ["torch", "npz"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.999])
def test_cut_short(source: str, keep: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.pth"
    with path.open("wb") as file:
        if source == "torch":
            torch.save(WEIGHTS, file)
        else:
            np.savez(file, params=object_array(ARRAYS))
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert import_(path, tmp_path / "out.safetensors") == 1
    assert "cut.pth: " in (said := capsys.readouterr().err)
    assert ("is empty" if keep == 0 else "damaged") in said
    assert not (tmp_path / "out.safetensors").exists()


def test_any_damage_is_an_error_or_harmless(tmp_path: Path) -> None:
    """Every byte changed in turn: nothing but errors of ours comes out of it."""
    np.savez(tmp_path / "whole.npz", params=object_array([np.arange(3, dtype=np.float32)]))
    with ZipFile(tmp_path / "whole.npz") as archive:
        whole = archive.read("params.npy")
    begin = whole.index(b"\n") + 1
    refused = 0
    for place in range(begin, len(whole)):
        damaged = whole[begin:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :]
        try:
            opened(npz(tmp_path / "a.npz", damaged, 1))
        except WeightsError:
            refused += 1
    assert refused > (len(whole) - begin) / 2


@pytest.mark.parametrize("content", [b"Dear diary,\n" * 50, b"<html></html>", b"PK\x03\x04" + bytes(200), b"\x80"])
def test_other_files(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    assert import_(tmp_path / "a.pkl", tmp_path / "out.safetensors") == 1
    assert "a.pkl: cannot be read" in capsys.readouterr().err


def test_no_files(authors_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.safetensors"
    for path, words in ((tmp_path / "gone.pth", "No such file"), (tmp_path, "directory")):
        assert import_(path, output) == 1
        assert f"{path}: cannot be read" in (said := capsys.readouterr().err) and words in said
    assert import_(authors_file, tmp_path / "nowhere" / "out.safetensors") == 1
    assert "folder does not exist" in capsys.readouterr().err
    output.write_bytes(b"mine")
    assert import_(authors_file, output) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert output.read_bytes() == b"mine"
    assert import_(authors_file, tmp_path / "out.pth") == 2
    assert ".safetensors" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"out.safetensors"}


@pytest.mark.parametrize("network", ["tiny", "iniknet-fast", "nonsense"])
def test_networks_that_nobody_published(network: str, authors_file: Path, tmp_path: Path) -> None:
    assert run("weights", "import", authors_file, "-m", network, "-o", tmp_path / "a.safetensors") == 2


# ---- the tables ---------------------------------------------------------------------------------------------------


def test_published_weights_have_importers() -> None:
    assert {row.network for row in published()} == IMPORTERS.keys()
    assert len({row.name for row in published()}) == len({row.blob for row in published()}) == len(published())
    for row in published():
        assert row.url.startswith("https://raw.githubusercontent.com/") and len(row.blob) == 40 and row.licence


@pytest.mark.parametrize("network", sorted(IMPORTERS.keys() & NETWORKS.keys()))
def test_importers_are_there(network: str) -> None:
    from importlib import import_module

    module, _, function = IMPORTERS[network].function.partition(":")
    assert callable(getattr(import_module(module), function))


def test_git_blob() -> None:
    # What `printf 'hello\n' | git hash-object --stdin` says.
    assert git_blob(io.BytesIO(b"hello\n")) == "ce013625030ba8dba906f756967f9e9ca394464a"
