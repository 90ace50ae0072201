"""The mean of two weights files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from deblurcli.cli import cli
from deblurcli.errors import UsageError, WeightsError
from deblurcli.networks.build import build_network
from deblurcli.weights.average import average
from deblurcli.weights.checkpoint import Header, read_header, read_tensors, save_checkpoint


def trained(path: Path, seed: int, **about: object) -> Path:
    torch.manual_seed(seed)
    tensors = build_network("tiny").state_dict() | {"steps": torch.tensor(seed)}
    save_checkpoint(path, tensors, Header("tiny", path.stem, **about))  # type: ignore[arg-type]
    return path


def test_mean_lies_between(tmp_path: Path) -> None:
    first = trained(tmp_path / "a.safetensors", 1, recipe={"seed": 1}, data=[{"source": "x"}], limits=["none"])
    second = trained(tmp_path / "b.safetensors", 2, recipe={"seed": 2}, data=[{"source": "x"}, {"source": "y"}])
    mean, header = average(first, second, 0.25, "c")
    one, other = read_tensors(first), read_tensors(second)
    for key, value in mean.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * one[key] + 0.25 * other[key])
    assert int(mean["steps"]) == 1
    assert header.recipe["second"] == {"tag": "b", "seed": 2} and header.recipe["share"] == 0.25
    assert [row["source"] for row in header.data] == ["x", "y"] and header.limits == ["none"]
    assert header.note == "The mean of a and b, which counts for 25%."


def test_different_networks_have_no_mean(tmp_path: Path) -> None:
    first = trained(tmp_path / "a.safetensors", 1)
    other = tmp_path / "b.safetensors"
    save_checkpoint(other, read_tensors(first), Header("kpac-2", "b"))
    with pytest.raises(WeightsError, match=r"b\.safetensors: not of the same network as .*a\.safetensors"):
        average(first, other, 0.5, "c")


def test_command(tmp_path: Path) -> None:
    paths = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        paths.append(tmp_path / f"{seed}.safetensors")
        save_checkpoint(paths[-1], build_network("tiny").state_dict(), Header("tiny", str(seed)))
    rng = np.random.default_rng(0)
    (tmp_path / "valid").mkdir()
    Image.fromarray(rng.integers(0, 255, (300, 300, 3), np.uint8)).save(tmp_path / "valid" / "a.png")
    target = tmp_path / "mean.safetensors"
    command = ["weights", "average", *map(str, paths), "-o", str(target), "--valid", str(tmp_path / "valid")]
    assert CliRunner().invoke(cli, command).exit_code == 0
    header = read_header(target)
    assert header.tag == "mean" and {"gain", "sharp"} < set(header.scores)
    again = CliRunner().invoke(cli, command)
    assert isinstance(again.exception, WeightsError) and "exists already" in str(again.exception)
    wrong = CliRunner().invoke(cli, [*command, "--overwrite", "--share", "1"])
    assert isinstance(wrong.exception, UsageError) and "a share lies between 0 and 1" in str(wrong.exception)
