"""What README.md and docs/ tell people to type works, what is generated is up to date, and links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
WORDS = 950  # in the README


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> Iterator[str]:
    """Lines of shell that run deblur, be it at the end of a pipe."""
    for line in "".join(blocks(text, "sh")).splitlines():
        command = line.split(" #")[0].strip()
        if re.match(r"(deblur|find) ", command):
            yield command


COMMANDS = [(page, command) for page in sorted(PAGES) for command in commands(PAGES[page])]
# These need what authors published, or other machines: test_fetch.py, test_import.py and test_cluster.py have something
# in their place.
OTHERS = {"fetch": "deblur weights fetch iniknet.dpdd_paper"}
OTHERS["fetched"] = "deblur photo.jpg -o iniknet.png -m iniknet --weights dpdd_paper"
OTHERS["cluster"] = "deblur s3://wedding/shots -o s3://wedding/sharp --recursive --cluster ray"
OTHERS["import"] = "deblur weights import INIKNet.pth --network iniknet -o mine.safetensors"


# These know no network.
PLAIN = "weights|synthesize|doctor|completion|integrate|--*"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One for each page, whose commands are run there one after the other."""
    return {page: with_photos(tmp_path_factory.mktemp("page")) for page in PAGES}


def with_photos(folder: Path) -> Path:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    (folder / "shots" / "more").mkdir(parents=True)
    for name in ("photo.jpg", "photo.tif", "shots/a.jpg", "shots/more/b.jpg", "shots/more/c.jpg"):
        picture.save(folder / name)
    Image.new("L", (16, 12), 255).save(folder / "mask.png")
    (folder / "failed.txt").write_text("shots/a.jpg\n")
    return folder


@pytest.mark.parametrize(("page", "command"), [row for row in COMMANDS if row[1] not in OTHERS.values()])
def test_commands(page: str, command: str, folders: dict[str, Path]) -> None:
    program = f"{shlex.quote(sys.executable)} -m deblurcli"
    case = f'case "$1" in {PLAIN}) {program} "$@";; *) {program} "$@" -m tiny --device cpu;; esac'
    done = subprocess.run(["sh", "-c", f"deblur() {{ {case}; }}; {command}"], cwd=folders[page], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 20
    assert set(OTHERS.values()) < {command for _, command in COMMANDS}


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(with_photos(tmp_path))
    (code,) = blocks(PAGES["docs/guide.md"], "python")
    exec(code.replace('"iniknet-fast"', '"tiny"'), {})
    assert (tmp_path / "sharp.png").is_file()


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].split()) <= WORDS


def generator() -> ModuleType:
    spec = spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/results.md", "docs/networks.md", "docs/editors.md", "docs/reference.md", "docs/deblur.1"],
)
def test_what_is_generated_is_up_to_date(page: str) -> None:
    assert (ROOT / page).read_text() == generator().generated()[page], "run: make docs"


@pytest.mark.skipif(not shutil.which("man"), reason="needs man")
def test_man_takes_the_manual_page() -> None:
    command = ["man", "--warnings", "-l", str(ROOT / "docs/deblur.1")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"MANWIDTH": "100"})
    assert "--keep-bokeh" in done.stdout or "--amount" in done.stdout
    assert done.stderr == ""


def anchors(text: str) -> set[str]:
    """What headings can be linked as, after GitHub's rule."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert link.startswith("https://") or path.exists(), link
        assert not anchor or link.startswith("https://") or anchor in anchors(path.read_text()), link
    for path in re.findall(r"`((?:deblurcli|weights|examples|results|docs)/[\w./-]+)`", PAGES[page]):
        assert (ROOT / path).exists(), path


def test_the_readme_leads_to_every_page() -> None:
    assert [page for page in PAGES if page != "README.md" and f"]({page})" not in PAGES["README.md"]] == []
