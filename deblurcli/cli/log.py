"""What a run over photos tells: a bar while it lasts, a line for each photo, and at the end what failed and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from deblurcli.batch.inputs import write_list
from deblurcli.batch.jobs import EXISTS, Job
from deblurcli.batch.one_photo import Outcome, named
from deblurcli.cli.messages import failures_table, printable, report, say, warn
from deblurcli.errors import NOTHING_DONE, SOME_FAILED, DeblurError

if TYPE_CHECKING:
    from tqdm import tqdm

SCREEN = 20
"""Photos that may come after one that failed without another word on it at the end."""


class Log:
    """Of one run.

    Attributes:
        failed, restored: photos so far. skipped: how many were done before. refused: why folders and such hold none.
    """

    def __init__(
        self, common: dict[str, Any], verbosity: int, as_json: bool, words: Callable[[str], str], skips: str = ""
    ) -> None:
        """``common`` is in the row of every photo, ``words`` puts messages into those that people know, ``skips`` says
        why photos are skipped, where nobody typed that."""
        self._since_failure = 0  # the first, in lines
        self._told: list[tuple[Job, Outcome]] = []  # of the failed, those that have a line of their own
        self.failed: list[tuple[Job, Outcome]] = []
        self.refused: list[DeblurError] = []
        self.restored = self.skipped = 0
        self._common, self._verbosity, self._as_json, self._words = common, verbosity, as_json, words
        self._skips = skips
        self._bar: tqdm[Any] | None = None
        self._out = sys.stdout  # even where libraries that print are shown another

    @contextmanager
    def bar(self, total: int) -> Iterator[None]:
        """A bar, for the time of the with-block, over so many photos."""
        from tqdm import tqdm

        photos = "" if total == 1 else " {n:.1f} of {total:.0f} photos,"
        shape = f"{{percentage:3.0f}}% {{bar}}{photos} {{remaining}} left"
        hidden = True if self._verbosity < 0 else None  # None is: unless stderr is a terminal
        with tqdm(total=total, bar_format=shape, leave=False, delay=0.5, disable=hidden) as self._bar:
            yield
        self._bar = None

    def watch(self, done: float) -> None:
        """Moves the bar to so many photos done."""
        if self._bar is not None:
            self._bar.n = done
            self._bar.refresh()

    @contextmanager
    def _beside_bar(self) -> Iterator[None]:
        if self._bar is None:
            yield
        else:
            with self._bar.external_write_mode(sys.stderr):
                yield

    def note(self, text: str) -> None:
        """Something nobody needs in a log file."""
        with self._beside_bar():
            say(self._words(text), verbosity=self._verbosity)

    def detail(self, text: str) -> None:
        """Something for those who want to know everything."""
        if self._verbosity > 0:
            self.note(text)

    def stopping(self) -> None:
        """Answers Ctrl-C."""
        with self._beside_bar():
            say("finishing the photos that were begun; press Ctrl-C again to stop at once", verbosity=1)

    def refuse(self, error: DeblurError) -> None:
        """Tells that what was named holds no photos that can be restored."""
        self.refused.append(error)
        report(self._words(str(error)), error.hint)

    def plan(self, jobs: list[Job]) -> None:
        """Tells what would be restored, on stdout."""
        for job in jobs:
            row = self._common | named(job)
            print(json.dumps(row) if self._as_json else printable(f"{job.source} → {job.target}"), flush=True)

    def add(self, job: Job, outcome: Outcome) -> None:
        """Tells what came of a photo."""
        if "skipped" in outcome.row:
            self.skip(job)
            return
        row = self._common | outcome.row
        with self._beside_bar():
            self._since_failure += bool(self._told)
            for warning in row.get("warnings", ()):
                warn(self._words(f"{job.source}: {warning}"))
            if "error" in row:
                self.failed.append((job, outcome))
                self._told.append((job, outcome))
                report(self._words(row["error"]), self._words(outcome.hint))
            else:
                self.restored += 1
                say(self._words(_line(row)), verbosity=self._verbosity)
            if self._as_json:
                click.echo(self._words(json.dumps(row)), self._out)

    def in_the_way(self, jobs: list[Job], hint: str) -> None:
        """Tells of all outputs at once that exist already: these photos have failed."""
        for job in jobs:
            row = self._common | named(job) | {"error": f"{job.target}: {EXISTS}"}
            self.failed.append((job, Outcome(row, hint, NOTHING_DONE)))
            if self._as_json:
                click.echo(json.dumps(row), self._out)
        report(f"{len(jobs)} outputs exist already, from {jobs[0].target} to {jobs[-1].target}", hint)

    def skip(self, job: Job, only: bool = False) -> None:
        """Tells that a photo was done before; ``only``: there is no other."""
        self.skipped += 1
        (self.note if only else self.detail)(f"{job.target} was done before with the same options{self._skips}")
        if self._as_json:
            click.echo(json.dumps(self._common | named(job) | {"skipped": True}), self._out)

    def end(self, left: list[Job]) -> None:
        """Tells what the run came to, if it was about more than one photo; ``left`` were not begun."""
        if self.restored + len(self.failed) + self.skipped + len(left) < 2:
            return
        rest = f", {self.skipped} done before{self._skips}" * bool(self.skipped)
        rest += f", {len(left)} not begun" * bool(left)
        if self._since_failure > SCREEN:  # what was said of them is out of sight
            failures_table([(str(job.source), outcome.row["error"], outcome.hint) for job, outcome in self._told])
        restored = f"{self.restored} photo{'s' * (self.restored != 1)} restored"
        say(f"{restored}, {len(self.failed)} failed{rest}", verbosity=self._verbosity)

    def unfinished(self, left: list[Job]) -> bytes:
        """A list of the photos that failed or were not begun; fed back, each finds its place in the tree of outputs."""
        jobs = [*(job for job, _ in self.failed), *left]
        return write_list([job.listed for job in jobs])

    @property
    def exit_code(self) -> int:
        """Of the contract, see ``deblurcli.errors``, for the photos begun."""
        codes = [outcome.exit_code for _, outcome in self.failed] + [error.exit_code for error in self.refused]
        if not codes:
            return 0
        return SOME_FAILED if self.restored or self.skipped else codes[0]


def _line(row: dict[str, Any]) -> str:
    tiles = f"{row['tiles']} tile{'s' * (row['tiles'] != 1)}"
    how = " · ".join(row[key] for key in ("network", "weights", "backend", "device", "precision"))
    kept = "".join(f" · {what} kept in {row[what]:.0%}" for what in ("bokeh", "focus") if row[what] >= 0.01)
    even = " · lopsided blur evened out" if row["lean"] else ""
    remark = f": {row['remark']}" if row["remark"] else ""
    return f"{row['output']}  ({how} · {tiles} · {row['seconds']:.1f} s{even}{kept}){remark}"
