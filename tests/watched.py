"""Runs cases in processes that may crash, hang or want too much memory, and says which of it happened."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from deblurcli.backends.memory import largest_memory

MEGABYTE = 10**6


class Result(NamedTuple):
    """What came of one case.

    Attributes:
        kind: what the function returned first, or "crash", "hang", "memory".
        seconds: how long it took. megabytes: by how much the peak of the process's memory rose, a lower bound.
    """

    case: Any
    kind: str
    detail: str
    seconds: float
    megabytes: float


def run_watched(
    function: Callable[[Any], tuple[str, str]],
    cases: Iterable[Any],
    *,
    seconds: float,
    memory: int,
    workers: int = 2,
) -> Iterator[Result]:
    """``function`` of each case, as kind and detail, each in one of several processes, in no certain order.

    Args:
        function: of a module that a new process can import; that process may grow by ``memory`` bytes from when it
            was imported. A case that takes more than ``seconds`` ends its process.
    """
    waiting, busy = deque(cases), {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = _Worker(function, memory)
                busy[worker.link] = worker
            for link in wait(list(busy), timeout=0.1):
                worker = busy[link]  # type: ignore[index]
                if result := worker.received():
                    yield result
                if worker.process.exitcode is not None or not waiting:
                    worker.end()
                    del busy[worker.link]
                else:
                    worker.give(waiting.popleft())
            for worker in [w for w in busy.values() if w.case is not None and time.monotonic() - w.began > seconds]:
                yield Result(worker.case, "hang", f"no end after {seconds:g} s", seconds, 0)
                worker.end()
                del busy[worker.link]
    finally:
        for worker in busy.values():
            worker.end()


class _Worker:
    def __init__(self, function: Callable[[Any], tuple[str, str]], memory: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.link, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, function, memory), daemon=True)
        self.process.start()
        theirs.close()
        self.case: Any = None
        self.began = time.monotonic()

    def give(self, case: Any) -> None:
        self.case, self.began = case, time.monotonic()
        self.link.send(case)

    def received(self) -> Result | None:
        """The result that has come; None for the word that the process is ready."""
        case, self.case = self.case, None
        try:
            message = self.link.recv()
        except EOFError:
            self.process.join()
            if case is None:
                raise RuntimeError("a worker could not be started") from None
            code = self.process.exitcode or 0
            detail = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Result(case, "crash", detail, time.monotonic() - self.began, 0)
        return Result(case, *message) if message else None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.link.close()


def _work(link: Connection, function: Callable[[Any], tuple[str, str]], memory: int) -> None:
    if sys.platform == "linux":  # elsewhere the limit is not kept
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory, mapped + memory))
    link.send(None)
    while True:
        case = link.recv()
        began, before = time.monotonic(), _peak()
        try:
            kind, detail = function(case)
        except MemoryError:
            kind, detail = "memory", f"more than {memory / MEGABYTE:.0f} MB"
        link.send((kind, detail, time.monotonic() - began, (_peak() - before) / MEGABYTE))


def _peak() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return largest_memory(os.getpid()) or usage
