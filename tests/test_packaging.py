"""What users install is complete and agrees with itself: wheel, source archive, weights, versions, dependencies."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_architecture import IMPORTS

import deblurcli
from deblurcli.networks.spec import NETWORKS
from deblurcli.weights.checkpoint import read_header
from deblurcli.weights.store import Release, catalog

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def requirements(*lines: str) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


# ---- what is declared ---------------------------------------------------------------------------------------------


def test_versions_agree() -> None:
    assert PROJECT["version"] == deblurcli.__version__
    assert f"## [{deblurcli.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("entry_point", PROJECT["scripts"].values())
def test_entry_points_resolve(entry_point: str) -> None:
    module, _, function = entry_point.partition(":")
    assert callable(getattr(import_module(module), function))


def test_every_import_is_declared() -> None:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    declared = requirements(*PROJECT["dependencies"]), requirements(*PROJECT["dependencies"], *extras)
    declared[0]["torch"] = declared[1]["torch"]  # test_architecture.py sees to it who loads torch
    declared[0]["onnxruntime"] = declared[1]["onnxruntime"]  # nor is it loaded before a runtime is chosen
    declared[0]["ray"] = declared[1]["ray"]  # batch/cluster.py is imported where a cluster is asked for
    distributions = packages_distributions()
    for module, imported in IMPORTS.items():
        for target, line, loads in imported:
            library = target.partition(".")[0]
            if library == "deblurcli" or library in sys.stdlib_module_names:
                continue
            # A library that is not installed is taken to be called what it is imported as.
            names = {canonicalize_name(name) for name in distributions.get(library, [library])}
            # Only what is imported inside a function may come with an extra.
            assert names & declared[not loads].keys(), f"deblurcli.{module}, line {line}: {library} is no dependency"


def test_constraints_pin_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = requirements(*(line for line in lines if line and not line.startswith("#")))
    wanted = requirements(*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])
    for name, requirement in wanted.items():
        if requirement.marker and not requirement.marker.evaluate({"python_version": "3.13"}):
            continue
        pin = str(pins[name].specifier)
        assert pin.startswith("=="), name
        assert requirement.specifier.contains(pin.removeprefix("==")), f"{requirement} is not met by {name}{pin}"
    # "+cpu" in the pin would tie everyone to one kind of build.
    assert "+" not in str(pins["torch"].specifier)


# ---- released weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", catalog(), ids=lambda release: f"{release.network}.{release.tag}")
def test_released_weights_are_what_the_catalog_says(release: Release) -> None:
    release.verify()
    header = read_header(release.path)
    assert (header.network, header.tag) == (release.network, release.tag)
    assert release.network in NETWORKS


def released() -> Iterator[Path]:
    """Files in weights/ for users; what lies in weights/training is only for who trains on."""
    return (file for file in (ROOT / "weights").iterdir() if file.is_file() and file.suffix != ".md")


def test_every_weights_file_is_in_the_catalog() -> None:
    files = set(released())
    assert files == {path for release in catalog() for path in (release.path, release.onnx_path) if path}


# ---- archives -----------------------------------------------------------------------------------------------------


def wheel_names(source: Path, directory: Path) -> set[str]:
    (wheel,) = WheelBuilder(str(source)).build(directory=str(directory), versions=["standard"])
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return wheel_names(ROOT, tmp_path_factory.mktemp("wheel"))


def source_files() -> Iterator[str]:
    """Names in the wheel that the source tree promises."""
    for file in (ROOT / "deblurcli").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(ROOT).as_posix()
    for file in released():
        yield f"deblurcli/weights/released/{file.name}"


def test_wheel_holds_the_program_and_nothing_else(wheel: set[str]) -> None:
    described = {name for name in wheel if fnmatch(name, "deblurcli-*.dist-info/*")}
    manual = {name for name in wheel if fnmatch(name, "deblurcli-*.data/data/share/man/man1/deblur.1")}
    assert len(manual) == 1
    assert wheel - described - manual == set(source_files())
    assert any(name.endswith("/licenses/LICENSE") for name in described)
    assert {"deblurcli/weights/catalog.toml", "deblurcli/training/recipes/iniknet-fast.toml"} <= wheel


def test_source_archive_builds_the_same_wheel(wheel: set[str], tmp_path: Path) -> None:
    (archive,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    shutil.unpack_archive(archive, tmp_path)
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert {"Makefile", "constraints.txt", "tests"} <= {path.name for path in source.iterdir()}
    assert wheel_names(source, tmp_path) == wheel
