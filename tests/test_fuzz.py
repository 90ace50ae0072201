"""Damaged files in small numbers (``fuzz.py`` tries more), and that the watcher sees what it is there for."""

from __future__ import annotations

import os
import signal
import time
from random import Random

import pytest
from fuzz import FINE, MEMORY, SECONDS, cases, content, run_case
from mutations import structure
from seeds import PHOTOS, WEIGHTS
from watched import run_watched


def test_nothing_unforeseen_comes_of_damaged_files() -> None:
    wanted = [*cases(PHOTOS, 500), *cases(WEIGHTS, 60)]
    results = list(run_watched(run_case, wanted, seconds=4 * SECONDS, memory=MEMORY))
    assert {result.case for result in results} == set(wanted)
    assert [result for result in results if result.kind not in FINE] == []
    # What is not damaged is read, or the rest would prove nothing.
    whole = [result for result in results if result.case.number == 0]
    assert {result.kind for result in whole} == {"read"} and len(whole) == len(PHOTOS | WEIGHTS)
    assert {"read", "refused"} == {result.kind for result in results}


def test_a_case_is_the_same_every_time() -> None:
    wanted = list(cases(PHOTOS, 100))
    assert [content(case) for case in wanted] == [content(case) for case in wanted]
    assert len({content(case) for case in wanted}) > 90


@pytest.mark.parametrize("name", PHOTOS | WEIGHTS)
def test_structure_is_found(name: str) -> None:
    if name != "pth-pickle":  # which is a program, not a structure
        assert len(structure((PHOTOS | WEIGHTS)[name]())) >= 6


def misbehave(case: str) -> tuple[str, str]:
    match case:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(60)
        case "memory":
            bytearray(2**29)
    return "read", ""


def test_the_watcher_sees_what_happens() -> None:
    wanted = ["fine", "crash", "fine", "hang", "memory", "fine"]
    Random(0).shuffle(wanted)
    results = list(run_watched(misbehave, wanted, seconds=1, memory=2**28))
    assert sorted(result.case for result in results) == sorted(wanted)
    assert all(result.kind == ("read" if result.case == "fine" else result.case) for result in results)
    assert next(result.detail for result in results if result.kind == "crash") == "SIGSEGV"
