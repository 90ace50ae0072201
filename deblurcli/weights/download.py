"""Downloads over bad lines: they go on where they stopped, and give up only when nothing comes any more."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from deblurcli import __version__
from deblurcli.errors import WeightsError

TIMEOUT = 30.0  # s in which nothing comes
PAUSES = (1.0, 2.0, 4.0)  # s before each further attempt; whenever more has come they start anew
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that may be others soon
LIMIT = 256 * 2**20  # bytes; published files have up to 14 million
CHUNK = 2**16

Progress = Callable[[int, int | None], None]
"""Called with bytes there and bytes in all, as far as the server tells."""


def download(url: str, file: BinaryIO, progress: Progress | None = None) -> None:
    """Brings what is at ``url`` into ``file``, going on where the file ends.

    Several processes may do so with one file at once: they write the same bytes to the same places. What came is not
    checked here; anything between here and there may have changed it. Proxies are those of the environment.

    Args:
        file: open for reading and writing. What has come stays in it, whatever happens.

    Raises:
        WeightsError: the server refuses, sends too much, or cannot be reached in several attempts; or the disk is full.
    """
    pauses = iter(PAUSES)
    while True:
        have = file.seek(0, os.SEEK_END)
        try:
            _receive(url, file, have, progress)
            return
        except HTTPError as error:
            if error.code == 416 and have:
                return  # there is nothing beyond what is here
            reason = str(error.reason).partition("\n")[0]
            problem = f"the server answers {error.code} ({reason})"
            if error.code not in PASSING:
                raise WeightsError(f"{url}: {problem}", _hint(error)) from error
        except (HTTPException, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            problem = f"cannot be downloaded ({str(reason) or type(reason).__name__})"
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise WeightsError(f"{url}: {problem}", "Is the clock right? Is there a proxy in between?") from error
        if file.seek(0, os.SEEK_END) > have:
            pauses = iter(PAUSES)
        pause = next(pauses, None)
        if pause is None:
            raise WeightsError(f"{url}: {problem}", f"Try again later: it resumes where it stopped. Or {MIRROR}.")
        time.sleep(pause)


def _receive(url: str, file: BinaryIO, have: int, progress: Progress | None) -> None:
    """One attempt. Raises HTTPException or OSError if it ends early, and WeightsError where no other may follow."""
    headers = {"User-Agent": f"deblur/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    # A new opener, not the process's: proxies are those of now.
    with build_opener().open(Request(url, headers=headers), timeout=TIMEOUT) as response:
        position, total = _extent(response.status, response.headers, have)
        file.seek(position)
        while chunk := response.read1(CHUNK):
            position += len(chunk)
            if max(position, total or 0) > LIMIT:
                raise WeightsError(f"{url}: is larger than {LIMIT / 1e6:.0f} MB", "This cannot be what was published.")
            _write(file, chunk)
            if progress:
                progress(position, total)
    if total is not None and position < total:
        raise ConnectionError(f"the connection ended after {position:,} of {total:,} bytes")


def _extent(status: int, headers: HTTPMessage, have: int) -> tuple[int, int | None]:
    """Where in the file the answer begins, and where it ends if that is known. Servers may ignore the wish."""
    if status == 206:
        given = re.fullmatch(r"bytes (\d+)-(\d+)/.*", headers.get("Content-Range", ""))
        if not given or int(given[1]) > have:
            raise HTTPException("the server sends another part than it was asked for")
        return int(given[1]), int(given[2]) + 1
    length = headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:  # not to be taken for one of the network's
        raise WeightsError(f"{file.name}: cannot be written ({error.strerror})", "Make room on the disk.") from error


MIRROR = "name a mirror with --from, or set DEBLUR_MIRROR to one"


def _hint(error: HTTPError) -> str:
    if error.code in (401, 403, 407):
        return "A proxy or mirror may want to know who you are."
    return "If it has moved, get the file yourself and use 'deblur weights import'; or " + MIRROR + "."
