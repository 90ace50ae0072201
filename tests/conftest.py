"""What all tests share: no weights from the user's cache, and a file like those that INIKNet's authors publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from golden_vectors import load_golden

from deblurcli import careful
from deblurcli.weights import store
from deblurcli.weights.published.files import git_blob

PATIENCE = 600
"""Seconds after which what a test waits for is taken to hang: far more than it needs, for machines have other work."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes a minute is started first, so that in the end nobody waits for it."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True, scope="session")
def no_weights_from_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEBLUR_WEIGHTS", str(tmp_path_factory.getbasetemp() / "fetched"))
        patch.delenv("DEBLUR_MIRROR", raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_look() -> Iterator[None]:
    """Small pictures, as tests have them, would be looked at four times: most tests want what the network says once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(careful, "LITTLE", 0)
        yield


@pytest.fixture(scope="session")
def authors_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """INIKNet.pth with the golden weights."""
    path = tmp_path_factory.mktemp("authors") / "INIKNet.pth"
    torch.save(load_golden("iniknet").weights, path)
    return path


@pytest.fixture
def published(authors_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., store.Published]:
    """Makes this test's catalog hold one row, for the authors' file, and its cache an empty folder."""
    with authors_file.open("rb") as file:
        blob = git_blob(file)

    def catalog_with(**changes: str) -> store.Published:
        row = {
            "network": "iniknet",
            "tag": "dpdd_paper",
            "url": "https://authors.example/them/INIKNet/INIKNet.pth",
            "blob": blob,
            "licence": "MIT",
        }
        lines = [f'{key} = "{value}"' for key, value in (row | changes).items()]
        file = tmp_path / f"catalog-{len(list(tmp_path.iterdir()))}.toml"
        file.write_text("\n".join(["[[published]]", *lines]))
        monkeypatch.setattr(store, "CATALOG", file)
        monkeypatch.setenv("DEBLUR_WEIGHTS", str(tmp_path / "cache"))
        (only,) = store.published()
        return only

    return catalog_with
