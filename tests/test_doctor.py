"""``deblur doctor`` tells a sound installation from a broken one."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from deblurcli.backends.backend import Answer
from deblurcli.backends.torch_backend import TorchBackend
from deblurcli.cli import cli
from deblurcli.cli.doctor import BROKEN, Finding, look
from deblurcli.weights import store

doctor = importlib.import_module("deblurcli.cli.doctor")  # the module: deblurcli.cli.doctor is the command


def findings() -> dict[str, Finding]:
    return {finding.what: finding for finding in look()}


def test_here_all_is_well() -> None:
    found = findings()
    assert not [finding for finding in found.values() if finding.state == BROKEN]
    assert {"deblur", "torch", "onnxruntime", "memory", "cache", "onnx on cpu", "torch on cpu"} <= found.keys()
    for runtime in ("onnx", "torch"):
        nearer = re.search(r"a blurred picture came (\d\.\d) dB nearer", found[f"{runtime} on cpu"].details)
        assert nearer and float(nearer[1]) > 1.5


def test_the_small_installation_is_sound() -> None:
    hidden = "import sys; sys.modules['torch'] = None; from deblurcli.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", hidden, "doctor", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {row["what"]: row["state"] for row in map(json.loads, done.stdout.splitlines())}
    assert found["onnx on cpu"] == "yes" and "torch on cpu" not in found


def test_two_packages_of_one_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"onnxruntime": ["onnxruntime-gpu", "onnxruntime"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: named)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2")
    found = doctor._onnx_runtime()
    assert "onnxruntime-gpu 1.2 and onnxruntime 1.2" in found.details and "what runs is onnxruntime." in found.details


def test_no_runtime_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "packages_distributions", dict)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert doctor._onnx_runtime().state == BROKEN and ".[cpu]" in doctor._onnx_runtime().details
    monkeypatch.setattr(doctor, "find_spec", lambda name: True)
    assert doctor._onnx_runtime().state != BROKEN  # PyTorch does it


def test_formats_that_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name in ("rawpy", "pillow-heif"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2"

    found = {finding.what: finding for finding in doctor._packages()}
    assert found["camera raw"].state == found["HEIC (iPhones)"].state == doctor.PRESENT
    monkeypatch.setattr(importlib.metadata, "version", version)
    found = {finding.what: finding for finding in doctor._packages()}
    assert found["camera raw"].state == found["HEIC (iPhones)"].state == doctor.ABSENT
    assert "pip install rawpy" in found["camera raw"].details and ".[heif]" in found["HEIC (iPhones)"].details


def test_damaged_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = tmp_path / "catalog.toml"
    released = store.CATALOG.read_text()
    catalog.write_text(re.sub(r'^sha256 = ".*"', 'sha256 = "0000"', released, flags=re.MULTILINE))
    monkeypatch.setattr(store, "CATALOG", catalog)
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    assert done.exit_code == 1
    assert "not the weights that were released" in done.output


def test_a_network_that_does_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchBackend, "run", lambda self, picture, maps=False, statistics=(): Answer(picture, {}))
    found = findings()
    assert found["torch on cpu"].state == BROKEN and found["onnx on cpu"].state != BROKEN
