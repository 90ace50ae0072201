"""Published weights are fetched over lines of every kind, once, and are then there without a network."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PATIENCE
from golden_vectors import load_golden
from PIL import Image
from test_cli import run
from test_readme import OTHERS, ROOT

from deblurcli.errors import UsageError, WeightsError
from deblurcli.networks.build import build_network
from deblurcli.networks.spec import network_spec
from deblurcli.weights import download as downloads
from deblurcli.weights import store
from deblurcli.weights.checkpoint import Header, read_header, save_checkpoint
from deblurcli.weights.download import download
from deblurcli.weights.fetch import fetch, mirrored
from deblurcli.weights.load import load_network
from deblurcli.weights.published.iniknet import from_authors
from deblurcli.weights.store import Published, cache_folder, published_as

CONTENT = np.random.default_rng(0).bytes(200_000)
Move = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Serves ``content`` under every path. Each of ``moves`` answers one request; when none is left, all goes well."""

    daemon_threads = True

    def __init__(self, content: bytes = CONTENT) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.moves: list[Move] = []
        self.ranges: list[str | None] = []
        self.paths: list[str] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.server.ranges.append(self.headers.get("Range"))
        move = self.server.moves.pop(0) if self.server.moves else good
        move(self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def begin(self) -> int:
        """Where the wanted range begins."""
        return int(re.sub(r"\D", "", self.headers.get("Range", "0")))

    def answer(self, status: int, content: bytes = b"", **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)


def good(handler: Handler, end: int | None = None) -> None:
    """The range that is asked for; it breaks off before ``end``."""
    whole, begin = handler.server.content, handler.begin()
    if begin >= len(whole) > 0:
        handler.answer(416, Content_Range=f"bytes */{len(whole)}")
    elif begin:
        extent = f"bytes {begin}-{len(whole) - 1}/{len(whole)}"
        handler.answer(206, whole[begin:end], Content_Range=extent, Content_Length=len(whole) - begin)
    else:
        handler.answer(200, whole[:end], Content_Length=len(whole))


def until(end: int) -> Move:
    return partial(good, end=end)


def says(status: int) -> Move:
    return lambda handler: handler.answer(status, Content_Length=0)


def without_ranges(handler: Handler) -> None:
    handler.answer(200, handler.server.content, Content_Length=len(handler.server.content))


def without_length(handler: Handler) -> None:
    handler.answer(200, handler.server.content)


def in_chunks(handler: Handler) -> None:
    handler.protocol_version = "HTTP/1.1"
    pieces = [handler.server.content[i : i + 70_000] for i in range(0, len(handler.server.content), 70_000)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    handler.answer(200, body, Transfer_Encoding="chunked", Connection="close")


def an_earlier_part(handler: Handler) -> None:
    """Some servers round ranges to blocks."""
    begin, whole = handler.begin() // 4096 * 4096, handler.server.content
    handler.answer(206, whole[begin:], Content_Range=f"bytes {begin}-{len(whole) - 1}/{len(whole)}")


def a_later_part(handler: Handler) -> None:
    begin, whole = handler.begin() + 10, handler.server.content
    handler.answer(206, whole[begin:], Content_Range=f"bytes {begin}-{len(whole) - 1}/{len(whole)}")


def elsewhere(handler: Handler) -> None:
    handler.answer(302, Location=f"{handler.server.url}/elsewhere", Content_Length=0)


def in_circles(handler: Handler) -> None:
    handler.server.moves.append(in_circles)
    elsewhere(handler)


def to_a_file(handler: Handler) -> None:
    handler.answer(302, Location="file:///etc/hostname", Content_Length=0)


def silent(handler: Handler) -> None:
    handler.server.closing.wait(10)


def stalls(handler: Handler) -> None:
    whole = handler.server.content
    handler.answer(200, whole[: len(whole) // 2], Content_Length=len(whole))
    handler.server.closing.wait(10)


def hangs_up(handler: Handler) -> None:
    handler.wfile.close()


def nonsense(handler: Handler) -> None:
    handler.wfile.write(b"what?\r\n\r\n")


def corrupt(handler: Handler) -> None:
    whole = bytearray(handler.server.content)
    whole[len(whole) // 2] ^= 1
    handler.answer(200, bytes(whole), Content_Length=len(whole))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "PAUSES", (0, 0, 0))
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


# ---- the line -----------------------------------------------------------------------------------------------------

LINES = {
    "good": ([], 1),
    "cut short twice": ([until(70_000), until(150_000)], 3),
    "cut short at every turn, yet moving": ([until(20_000 * n) for n in range(1, 10)], 10),
    "errors that pass": ([says(500), says(503), says(429)], 4),
    "errors that pass, twice": ([says(502), says(502), says(502), until(1000), says(502), says(502)], 7),
    "hangs up": ([hangs_up, nonsense], 3),
    "redirects": ([elsewhere], 2),
    "redirects when going on": ([until(70_000), elsewhere], 3),
    "ignores ranges": ([until(70_000), without_ranges], 2),
    "no length": ([without_length], 1),
    "in chunks": ([in_chunks], 1),
    "an earlier part": ([until(70_000), an_earlier_part], 2),
    "a later part": ([until(70_000), a_later_part], 3),
}


@pytest.mark.parametrize("line", LINES)
def test_lines_that_get_there(line: str, server: Server) -> None:
    moves, requests = LINES[line]
    server.moves[:] = moves
    file, seen = io.BytesIO(), []
    download(f"{server.url}/a/b.pth", file, lambda done, total: seen.append((done, total)))
    assert file.getvalue() == CONTENT
    assert len(server.paths) == requests
    assert seen[-1][0] == len(CONTENT) and {total for _, total in seen} <= {len(CONTENT), None}


def test_what_has_come_is_not_asked_for_again(server: Server) -> None:
    server.moves[:] = [until(70_000)]
    download(server.url, io.BytesIO())
    assert server.ranges == [None, "bytes=70000-"]
    download(server.url, io.BytesIO(CONTENT[:90_000]))
    assert server.ranges[2:] == ["bytes=90000-"]
    download(server.url, file := io.BytesIO(CONTENT))
    assert server.ranges[3:] == ["bytes=200000-"] and file.getvalue() == CONTENT


@pytest.mark.parametrize("move", [silent, stalls])
def test_silence_ends(move: Move, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    server.moves[:] = [move]
    download(server.url, file := io.BytesIO())
    assert file.getvalue() == CONTENT and len(server.paths) == 2
    # Half was kept of what stalled.
    assert server.ranges[1] == (f"bytes={len(CONTENT) // 2}-" if move is stalls else None)


@pytest.mark.parametrize(
    ("move", "words", "requests"),
    [
        (says(404), "answers 404 (Not Found)", 1),
        (says(403), "answers 403 (Forbidden)", 1),
        (says(416), "answers 416", 1),
        (says(500), "answers 500 (Internal Server Error)", 4),
        (until(0), "the connection ended after 0 of 200,000 bytes", 4),
        (hangs_up, "cannot be downloaded (Remote end closed connection", 4),
        (nonsense, "cannot be downloaded (what?", 4),
        (in_circles, "answers 302 (The HTTP server returned a redirect error", 5),
        (to_a_file, "answers 302", 1),
    ],
)
def test_lines_that_do_not(move: Move, words: str, requests: int, server: Server) -> None:
    server.moves[:] = [move] * 4
    with pytest.raises(WeightsError) as caught:
        download(f"{server.url}/a.pth", io.BytesIO())
    assert f"{server.url}/a.pth: " in str(caught.value) and words in str(caught.value)
    assert caught.value.hint
    assert len(server.paths) == requests


def test_no_server(server: Server) -> None:
    server.server_close()
    with pytest.raises(WeightsError, match=r"cannot be downloaded \(.*refused"):
        download(server.url, io.BytesIO())


@pytest.mark.parametrize("move", [good, without_length])
def test_endless_files(move: Move, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "LIMIT", 150_000)
    server.moves[:] = [move]
    file = io.BytesIO()
    with pytest.raises(WeightsError, match="larger than"):
        download(server.url, file)
    assert len(file.getvalue()) <= 150_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_disk_full(server: Server) -> None:
    with pytest.raises(WeightsError, match="/dev/full: cannot be written"), Path("/dev/full").open("r+b", 0) as file:
        download(server.url, file)  # pyright: ignore[reportArgumentType]
    assert len(server.paths) == 1


def test_proxies_are_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("http_proxy", server.url)
    download("http://authors.invalid/a.pth", file := io.BytesIO())
    assert file.getvalue() == CONTENT and server.paths == ["http://authors.invalid/a.pth"]


# ---- from the line to the cache -----------------------------------------------------------------------------------

Catalog = Callable[..., Published]


@pytest.fixture
def authors(server: Server, authors_file: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A mirror with the authors' file."""
    server.content = authors_file.read_bytes()
    monkeypatch.setenv("DEBLUR_MIRROR", server.url)
    return server


def cached() -> set[str]:
    return {path.name for path in cache_folder().iterdir()} if cache_folder().is_dir() else set()


def test_what_the_readme_says(
    authors: Server,
    published: Catalog,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = published()
    assert run(*OTHERS["fetch"].split()[1:]) == 0
    assert capsys.readouterr().out == f"{row.path}\n"
    assert authors.paths == ["/them/INIKNet/INIKNet.pth"]
    assert cached() == {"iniknet.dpdd_paper.safetensors"}
    header = read_header(row.path)
    assert (header.network, header.tag, header.licence) == ("iniknet", "dpdd_paper", "MIT")
    assert header.note == f"As its authors published it: {row.url} (git blob {row.blob})."
    # From now on nobody is asked.
    authors.server_close()
    assert run(*OTHERS["fetch"].split()[1:]) == 0
    assert capsys.readouterr().out == f"{row.path}\n"
    expected = from_authors(load_golden("iniknet").weights)
    for weights in (None, "dpdd_paper"):
        network, tag = load_network(network_spec("iniknet"), weights)
        assert tag == "dpdd_paper"
        assert all(torch.equal(tensor, expected[key]) for key, tensor in network.state_dict().items())
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48), "gray").save("photo.jpg")
    assert run(*OTHERS["fetched"].split()[1:]) == 0
    assert b"iniknet, dpdd_paper" in Path("iniknet.png").read_bytes()
    capsys.readouterr()
    assert run("weights", "info", "iniknet", "--card") == 0
    card = capsys.readouterr().out
    assert "deblur photo.jpg -o sharp.png -m iniknet --weights dpdd_paper\n" in card and row.url in card
    assert "simulated" not in card


def test_an_interrupted_fetch_goes_on(authors: Server, published: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    row = published()
    authors.moves[:] = [until(300_000), *[says(503)] * 4]
    assert run("weights", "fetch", "iniknet") == 1
    assert "resumes where it stopped" in capsys.readouterr().err
    (begun,) = cached()
    assert begun.endswith(".partial") and not row.path.exists()
    assert run("weights", "fetch", "iniknet") == 0
    assert authors.ranges[-1] == "bytes=300000-"
    assert cached() == {row.path.name}


def test_a_changed_file_is_refused(authors: Server, published: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    published()
    authors.moves[:] = [corrupt]
    assert run("weights", "fetch", "iniknet") == 1
    assert "not the file that the authors of 'iniknet' published" in capsys.readouterr().err
    assert cached() == set() and len(authors.paths) == 1


@pytest.mark.parametrize("left", [b"rubbish", b"rubbish" * 2_000_000])
def test_what_was_left_damaged_is_fetched_anew(left: bytes, authors: Server, published: Catalog) -> None:
    row = published()
    row.path.parent.mkdir()
    row.path.with_name(f"{row.name}.{row.blob[:12]}.partial").write_bytes(left)
    assert fetch(row, authors.url) == row.path
    assert authors.ranges == [f"bytes={len(left)}-", None]
    assert cached() == {row.path.name}


def test_a_damaged_cache_is_replaced(authors: Server, published: Catalog) -> None:
    row = published()
    fetch(row, authors.url)
    row.path.write_bytes(row.path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a safetensors file"):
        store.find("iniknet")
    fetch(row, authors.url)
    assert load_network(network_spec("iniknet"))[1] == "dpdd_paper"
    assert len(authors.paths) == 2


def test_processes_side_by_side(authors: Server, published: Catalog) -> None:
    row = published()
    both_begun = threading.Barrier(2)

    def together(handler: Handler) -> None:
        """Sends half, waits for the other process to have got as far, and breaks off."""
        half = len(handler.server.content) // 2
        handler.answer(200, handler.server.content[:half], Content_Length=len(handler.server.content))
        both_begun.wait(60)

    authors.moves[:] = [together, together]
    script = (
        f"from pathlib import Path; from deblurcli.weights import store; store.CATALOG = Path({str(store.CATALOG)!r})"
    )
    script += "; from deblurcli.cli import main; main()"
    command = [sys.executable, "-c", script, "weights", "fetch", "iniknet"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    for process in processes:
        out, said = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (0, f"{row.path}\n"), said
    assert len(authors.paths) >= 2
    assert cached() == {row.path.name}
    assert load_network(network_spec("iniknet"))[1] == "dpdd_paper"


@pytest.mark.skipif(os.name == "nt", reason="folders are locked differently there")
def test_folders_that_cannot_be_written(
    authors: Server, published: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = published()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEBLUR_WEIGHTS", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="file: cannot be written") as caught:
        fetch(row, authors.url)
    assert "DEBLUR_WEIGHTS" in caught.value.hint and not authors.paths


# ---- licences -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("licence", ["none stated", "research, non-commercial", "AGPL-3.0"])
def test_licences_are_asked_about(
    licence: str,
    authors: Server,
    published: Catalog,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = published(licence=licence)
    assert run("weights", "fetch", "iniknet") == 2
    said = capsys.readouterr().err
    assert licence in said and "--accept-licence" in said and row.url in said

    terminal = io.StringIO("n\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run("weights", "fetch", "iniknet", "-q") == 1
    said = capsys.readouterr().err
    assert licence in said and "not fetched" in said
    assert not authors.paths and cached() == set()

    assert run("weights", "fetch", "iniknet", "-q", "--accept-licence") == 0
    assert read_header(row.path).licence == licence
    # It is here now: nothing to ask about.
    assert run("weights", "fetch", "iniknet", "-q") == 0


def test_yes_means_yes(authors: Server, published: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    row = published(licence="none stated")
    terminal = io.StringIO("y\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run("weights", "fetch", "iniknet", "-q") == 0
    assert row.path.is_file()


# ---- names, places, tables ----------------------------------------------------------------------------------------


def test_names() -> None:
    assert published_as("iniknet") == published_as("iniknet.dpdd_paper")
    for name in ("nonsense", "iniknet.nonsense", "iniknet-fast", "tiny", ""):
        with pytest.raises(UsageError) as caught:
            published_as(name)
        assert caught.value.hint


def test_mirrors(published: Catalog) -> None:
    url = "https://authors.example/them/net/a.pth"
    assert mirrored(url, "http://here:80/github/") == "http://here:80/github/them/net/a.pth"
    for mirror in (
        "here.example",
        "file:///etc",
        "ftp://here",
        "https://",
        "https://me:secret@here",
        "https://here/?a=",
    ):
        with pytest.raises(UsageError, match="not a mirror's address"):
            fetch(published(), mirror)


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEBLUR_WEIGHTS", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("DEBLUR_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().parts[-2:] == ("deblur", "weights")
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "deblur" / "weights"


def test_what_is_not_fetched_says_how(published: Catalog) -> None:
    published()
    for weights in (None, "dpdd_paper"):
        with pytest.raises(WeightsError, match="'iniknet' has no") as caught:
            store.find("iniknet", weights)
        assert "deblur weights fetch iniknet.dpdd_paper" in caught.value.hint
    with pytest.raises(WeightsError, match="no weights called 'nonsense'") as caught:
        store.find("iniknet", "nonsense")
    assert "dpdd_paper" in caught.value.hint


def test_a_home_that_is_closed_says_what_to_set(published: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    row = published()
    find, make = Path.stat, Path.mkdir

    def closed(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(path: Path, *arguments: Any, **options: Any) -> Any:
            if store.cache_folder() in (path, *path.parents):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *arguments, **options)

        return called

    monkeypatch.setattr(Path, "stat", closed(find))
    monkeypatch.setattr(Path, "mkdir", closed(make))
    with pytest.raises(WeightsError, match="Permission denied") as caught:
        fetch(row)
    assert "DEBLUR_WEIGHTS" in caught.value.hint
    with pytest.raises(WeightsError, match="no trained weights here"):
        store.find("iniknet")


def test_a_cached_file_of_another_network_is_refused(published: Catalog) -> None:
    row = published()
    row.path.parent.mkdir()
    save_checkpoint(row.path, build_network("tiny").state_dict(), Header("tiny", "dpdd_paper"))
    with pytest.raises(WeightsError, match="weights for 'tiny', not for 'iniknet'"):
        store.find("iniknet")


def test_list_shows_what_is_fetched(authors: Server, published: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    row = published(licence="AGPL-3.0")
    assert run("weights", "list") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "dpdd_paper" in line)
    assert "not fetched" in line and "AGPL-3.0" in line and " no " in line
    fetch(row, authors.url)
    assert run("weights", "list") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "dpdd_paper" in line)
    assert "not fetched" not in line and "fetched" in line and " yes " in line
