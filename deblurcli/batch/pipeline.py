"""Several photos at a time: while one is restored, others are read and written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from queue import SimpleQueue
from threading import Condition, Event
from typing import TYPE_CHECKING, Any

from deblurcli.backends.memory import release_freed_memory, share_freed_memory
from deblurcli.batch import THREADS
from deblurcli.batch.jobs import Job
from deblurcli.batch.one_photo import Options, Outcome, restore_photo
from deblurcli.errors import DeviceError

if TYPE_CHECKING:
    from deblurcli.photo.photo import Photo
    from deblurcli.restoration import Restoration
    from deblurcli.restore import Deblurrer

ROOM = 512 * 2**20
"""No further photo is read while those in memory take more bytes than this, decoded: a folder of very large ones is
restored one by one."""

Watch = Callable[[float], None]


class StoppedError(Exception):
    """The run is ending: this photo is not restored, and has not failed."""


class Stop:
    """How a run is brought to an end.

    Attributes:
        soon: set when no further photo is to be begun. now: set when those begun are to be given up as well.
        interrupted: whether that was somebody's wish.
    """

    def __init__(self) -> None:
        self.soon, self.now = Event(), Event()
        self.interrupted = False

    @contextmanager
    def on_signals(self, said: Callable[[], object], only: bool) -> Iterator[None]:
        """Ctrl-C sets ``soon`` and calls ``said``; the second, or the first of an ``only`` photo, or SIGTERM, ``now``.

        Raises:
            KeyboardInterrupt: when it is to end now.
        """

        def interrupted(number: int, frame: object) -> None:
            self.interrupted = True
            if number == signal.SIGINT and not only and not self.soon.is_set():
                self.soon.set()
                said()
                return
            self.soon.set()
            self.now.set()
            raise KeyboardInterrupt

        former = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


class Worker:
    """A deblurrer in a thread of its own, which nothing else may compute in, nor it elsewhere.

    OpenMP keeps a team of threads for each thread that ever computed. More of them than there are cores have to sleep
    whenever they wait for each other, which they do all the time: a tenth slower.
    """

    def __init__(self, load: Callable[[], Deblurrer]) -> None:
        self._thread = ThreadPoolExecutor(1, THREADS)
        self.deblurrer = self._thread.submit(load).result()

    def restore(self, photo: Photo, **how: Any) -> Restoration:
        """``Deblurrer.restore``."""
        return self._thread.submit(self.deblurrer.restore, photo, **how).result()

    def close(self) -> None:
        """Ends the thread, once it has nothing to do."""
        self._thread.shutdown(wait=False)


class Turns:
    """Workers, each of which restores one photo at a time."""

    def __init__(self, workers: Iterable[Worker], stop: Stop) -> None:
        self._free: SimpleQueue[Worker] = SimpleQueue()
        self._stop = stop
        for worker in workers:
            self._free.put(worker)

    def restore(self, photo: Photo, **how: Any) -> tuple[Deblurrer, Restoration]:
        """See ``one_photo.Device``. Raises StoppedError if the run ends before it is this photo's turn."""
        worker = self._free.get()
        try:
            if self._stop.soon.is_set():
                raise StoppedError
            return worker.deblurrer, worker.restore(photo, **how)
        finally:
            release_freed_memory()
            self._free.put(worker)


class Room:
    """Memory for photos, shared by those that are read at the same time."""

    def __init__(self) -> None:
        self._changed, self._sizes = Condition(), dict[int, int]()

    @contextmanager
    def of_photo(self, number: int) -> Iterator[Callable[[int], None]]:
        """Waits until there is room for a photo; yields what is to be told its bytes."""

        def was_read(nbytes: int) -> None:
            with self._changed:
                self._sizes[number] = nbytes
                self._changed.notify_all()

        with self._changed:
            # What is still being read counts as much as the largest of the others.
            self._changed.wait_for(lambda: not self._sizes or sum(self._sizes.values()) < ROOM)
            self._sizes[number] = max(self._sizes.values(), default=0)
        try:
            yield was_read
        finally:
            with self._changed:
                del self._sizes[number]
                self._changed.notify_all()


def restore_all(
    jobs: list[Job],
    options: Options,
    workers: list[Worker],
    *,
    at_once: int,
    stop: Stop,
    watch: Watch = lambda done: None,
    was_read: Callable[[Job, Photo], object] = lambda job, photo: None,
) -> Iterator[tuple[Job, Outcome]]:
    """Restores photos on all devices; results are what each would be alone. Workers are closed in the end.

    Args:
        at_once: how many photos are read, restored and written at the same time.
        stop: ends the run early; photos that are then not begun have no outcome.
        watch: told how many photos are done, those begun by what is done of them.
        was_read: shown each photo once it is in memory, in the thread that read it.

    Yields:
        Jobs and outcomes, as they come.
    """
    turns, room = Turns(workers, stop), Room()
    shares: dict[int, float] = {}
    finished = 0

    def run(number: int, job: Job) -> Outcome | None:
        def progress(done: int, total: int) -> None:
            if stop.now.is_set():
                raise StoppedError
            shares[number] = done / total
            watch(finished + sum(list(shares.values())))

        def seen(photo: Photo) -> None:
            takes(photo.pixels.nbytes)
            was_read(job, photo)

        with suppress(StoppedError), room.of_photo(number) as takes:
            return restore_photo(job, options, turns, progress, seen)
        return None

    waiting = iter(enumerate(jobs))
    running: dict[Future[Outcome | None], tuple[int, Job]] = {}
    pool = ThreadPoolExecutor(at_once, THREADS)
    try:
        while True:
            begun = [] if stop.soon.is_set() else islice(waiting, at_once - len(running))
            running |= {pool.submit(run, number, job): (number, job) for number, job in begun}
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, job = running.pop(future)
                shares.pop(number, None)
                finished += 1
                if (outcome := future.result()) is not None:
                    yield job, outcome
            watch(finished + sum(list(shares.values())))
    finally:  # an error of the caller's, too, ends the run
        stop.soon.set()
        pool.shutdown(wait=not stop.now.is_set(), cancel_futures=True)
        for worker in workers:
            worker.close()


def load_on(device: str, **chosen: Any) -> list[Worker]:
    """Workers on all the devices that are named, for what ``chosen`` tells ``restore.load``.

    Args:
        device: as for ``load``, or "cuda:0,1" for several, or "cuda:all".

    Raises:
        DeviceError: one of them is not there.
    """
    from deblurcli.loading import load

    share_freed_memory()

    def worker(name: str) -> Worker:
        return Worker(partial(load, **chosen, device=name))

    kind, _, indices = device.partition(":")
    if indices != "all":
        names = [f"{kind}:{index}" for index in indices.split(",")] if "," in indices else [device]
        return [worker(name) for name in dict.fromkeys(names)]
    workers = [worker(f"{kind}:0")]
    with suppress(DeviceError):
        while True:
            workers.append(worker(f"{kind}:{len(workers)}"))
    return workers


def photos_at_once(workers: list[Worker]) -> int:
    """How many photos are worth having in work: on CPUs one is read or written while another is restored; GPUs wait for
    more, as long as there are cores to read and write them."""
    on_gpus = sum(worker.deblurrer.backend.device != "cpu" for worker in workers)
    return len(workers) + max(1, min(3 * on_gpus, (os.cpu_count() or 1) - 1))
