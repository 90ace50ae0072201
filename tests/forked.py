"""Command lines in processes of their own that begin with everything imported: a hundred of them take seconds.

Run as a script, it serves: a line of JSON comes in, a copy of the process runs what it says, its exit code goes out.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from conftest import PATIENCE

Streams = Mapping[int, str | None]
"""Number of a standard stream → the file that it is, or None for a closed one."""


class Done(NamedTuple):
    """What came of a command line."""

    returncode: int
    stdout: bytes
    stderr: bytes


class Forked:
    """Runs command lines, one after the other."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, scratch: Path) -> None:
        self._process, self._folder, self._scratch = process, folder, scratch

    def run(self, line: str, streams: Streams | None = None, **environment: str) -> Done:
        """Runs ``deblur LINE``; standard input is empty, and what goes to the others is returned, unless it is said."""
        files = {1: str(self._scratch / "out"), 2: str(self._scratch / "err")}
        for file in files.values():
            Path(file).write_bytes(b"")
        job = [shlex.split(line), str(self._folder), {0: os.devnull, **files, **(streams or {})}, environment]
        assert self._process.stdin and self._process.stdout
        print(json.dumps(job), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        return Done(code, *(Path(file).read_bytes() for file in files.values()))


@contextmanager
def forked(folder: Path, scratch: Path) -> Iterator[Forked]:
    """Something to run command lines in ``folder`` with. ``scratch`` is another folder."""
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Forked(process, folder, scratch)


def _serve() -> tuple[list[str], str, dict[str, str | None], dict[str, str]] | None:
    """The parent answers until nobody asks any more; a child returns what it is to run."""
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            return json.loads(line)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def _become(folder: str, streams: dict[str, str | None], environment: dict[str, str]) -> None:
    """Takes on streams as a shell hands them over, and Python's own in their place as it makes them when it starts."""
    os.chdir(folder)
    os.environ.update(environment)
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        target, stream = streams[str(number)], None
        if target is None:
            os.close(number)
        else:
            opened = os.open(target, os.O_WRONLY if number else os.O_RDONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            raw: Any = io.FileIO(number, "w" if number else "r", closefd=False)
            buffer: Any = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
            stream = io.TextIOWrapper(buffer, encoding, "backslashreplace" if number == 2 else "strict")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    import gc
    import signal

    from deblurcli.cli import main

    gc.freeze()  # or each copy would clear away all of this when it ends
    if job := _serve():
        arguments, folder, streams, environment = job
        signal.alarm(PATIENCE)  # a hang is an error
        _become(folder, streams, environment)
        main(arguments)
