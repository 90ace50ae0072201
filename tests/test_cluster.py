"""Runs on a Ray cluster: two nodes on this machine, of which one is lost on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from deblurcli.cli import main

pytest.importorskip("ray", reason="the extra 'cluster' is not installed")

import soak


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main([*map(str, arguments), "-m", "tiny"])
    return int(exit.value.code or 0)


@pytest.mark.slow
def test_lost_workers_and_nodes_lose_nothing(tmp_path: Path) -> None:
    report = soak.cluster(tmp_path, 12)
    assert (report["workers killed"], report["nodes killed"], report["exit code"], report["rows"]) == (3, 1, 0, 12)
    assert (report["failed"], report["missing"], report["different"]) == (0, 0, 0)


def test_what_cannot_be_had_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    soak.write_shots(tmp_path / "shots", 1, (0.01, 0.01))
    command = (tmp_path / "shots", "-o", tmp_path / "sharp", "--recursive", "--cluster", "ray")
    assert run(*command, "--device", "cuda:0,1") == 2
    assert "which picks its own devices" in capsys.readouterr().err

    import ray

    def nowhere(**how: object) -> None:
        raise ConnectionError("could not find any running Ray instance")

    monkeypatch.setattr(ray, "init", nowhere)
    assert run(*command) == 1
    assert "ray start --head" in capsys.readouterr().err


def test_storage_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upath = pytest.importorskip("upath", reason="the extra 'cluster' is not installed")
    soak.write_shots(tmp_path / "shots", 6, (0.01, 0.02))
    bucket = upath.UPath("memory://bucket/shots")
    files = sorted(path for path in (tmp_path / "shots").rglob("*.*"))
    for path in files:
        place = bucket / str(path.relative_to(tmp_path / "shots"))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    (bucket / "day 0/bad.png").write_bytes(b"no photo")
    command = ("memory://bucket/shots", "-o", "memory://bucket/sharp", "--recursive", "--device", "cpu")
    assert run(*command) == 3
    assert "memory://bucket/shots/day 0/bad.png: is not a photo" in capsys.readouterr().err
    assert run(tmp_path / "shots", "-o", tmp_path / "sharp", "--recursive", "--device", "cpu") == 0
    sharp = upath.UPath("memory://bucket/sharp")
    for path in files:
        name = str(path.relative_to(tmp_path / "shots"))
        assert (sharp / name).read_bytes() == (tmp_path / "sharp" / name).read_bytes()
    assert run(*command) == 1
    assert "exists already" in capsys.readouterr().err
    assert run("memory://bucket/shots/*/*.jpg", "-o", tmp_path / "local", "--device", "cpu") == 0
    assert sorted(path.name for path in (tmp_path / "local").iterdir()) == ["0000.jpg", "0005.jpg"]
    assert run("nonsense://bucket/a.jpg", "-o", tmp_path / "a.png") == 1
