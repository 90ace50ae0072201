"""Damaged files in great numbers: python tests/fuzz.py --cases 10000 -o results/fuzz.json

Each case is a seed and a number, and its file the same every time (but for the old format of PyTorch, which holds
addresses): ``--show png-rgb 17`` reads one again, in this process, and keeps the file. Nothing may come of a case but a
photo that can be written to every format, or an error that names the file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain, islice, product
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from mutations import mutate
from seeds import PHOTOS, WEIGHTS, suffix_of
from watched import Result, run_watched

from deblurcli.errors import DeblurError
from deblurcli.networks.spec import network_spec
from deblurcli.photo.decode import read_photo
from deblurcli.photo.encode import write_photo
from deblurcli.photo.formats.table import FORMATS
from deblurcli.photo.photo import Photo
from deblurcli.weights.load import load_network
from deblurcli.weights.published.files import read_authors_file

SECONDS, MEMORY = 5.0, 2**30
MAX_PIXELS = 10_000_000
"""What the memory that a photo may take goes by."""
FINE = ("read", "refused")


class Case(NamedTuple):
    """One damaged file."""

    seed: str
    number: int


def cases(seeds: Iterable[str], count: int) -> Iterator[Case]:
    """As many cases, of each seed in turn. Number 0 is the undamaged file."""
    return (Case(seed, number) for number, seed in islice(product(range(count), seeds), count))


def content(case: Case) -> bytes:
    """The damaged file."""
    whole = _seed(case.seed)
    return mutate(whole, Random(f"{case.seed} {case.number}")) if case.number else whole


@cache
def _seed(name: str) -> bytes:
    return (PHOTOS | WEIGHTS)[name]()


def run_case(case: Case) -> tuple[str, str]:
    """What came of reading a damaged file and of writing what was read: a kind, ``FINE`` or not, and words."""
    # In memory where that can be had: every photo that is read is written five times.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        path = Path(folder, f"fuzzed.{suffix_of(case.seed)}")
        path.write_bytes(content(case))
        try:
            return _read_weights(path) if case.seed in WEIGHTS else _read_and_write(path)
        except (MemoryError, AssertionError):
            raise
        except DeblurError as error:
            return ("refused", str(error)) if path.name in str(error) else ("nameless", str(error))
        except Exception as error:
            return "unforeseen", f"{type(error).__name__}: {error}"


def _read_and_write(path: Path) -> tuple[str, str]:
    photo = read_photo(path, max_pixels=MAX_PIXELS)
    if photo.pixels.ndim != 3 or photo.pixels.shape[2] != 3 or 0 in photo.pixels.shape:
        return "malformed", f"pixels {photo.pixels.shape}"
    if photo.pixels.dtype not in (np.uint8, np.uint16, np.float32):
        return "malformed", f"pixels {photo.pixels.dtype}"
    if photo.alpha is not None and (photo.alpha.shape, photo.alpha.dtype) != (
        photo.pixels.shape[:2],
        photo.pixels.dtype,
    ):
        return "malformed", f"alpha {photo.alpha.shape} {photo.alpha.dtype}"
    return _write(path, photo)


def _write(path: Path, photo: Photo) -> tuple[str, str]:
    """To every format and back. Of a large photo a corner is enough: it is the metadata that may be odd."""
    corner = slice(0, 64), slice(0, 64)
    photo = replace(photo, pixels=photo.pixels[corner], alpha=None if photo.alpha is None else photo.alpha[corner])
    for name, known in FORMATS.items():
        target = path.with_name(f"written{known.suffixes[0]}")
        try:
            write_photo(target, photo, description="fuzzed")
        except DeblurError as error:
            if target.name not in str(error):
                return "nameless", str(error)
            continue
        except MemoryError:
            raise
        except Exception as error:
            return "unwritable", f"{name}: {type(error).__name__}: {error}"
        try:
            again = read_photo(target)
        except DeblurError as error:
            return "unreadable", f"{name}: {error}"
        if again.pixels.shape != photo.pixels.shape:
            return "unreadable", f"{name}: {again.pixels.shape} for {photo.pixels.shape}"
    return "read", ""


def _read_weights(path: Path) -> tuple[str, str]:
    if path.suffix == ".safetensors":
        load_network(network_spec("tiny"), str(path))
    else:
        with path.open("rb") as file:
            read_authors_file(file, path.name)
    return "read", ""


def summary(results: list[Result]) -> dict[str, object]:
    """Outcomes by format and kind, the extremes, and every case that is not ``FINE``."""
    formats: dict[str, Counter[str]] = {}
    for result in results:
        formats.setdefault(result.case.seed.partition("-")[0], Counter())[result.kind] += 1
    slowest = max(results, key=lambda result: result.seconds)
    largest = max(results, key=lambda result: result.megabytes)
    return {
        "cases": len(results),
        "outcomes": dict(Counter(result.kind for result in results)),
        "formats": {name: dict(sorted(counts.items())) for name, counts in formats.items()},
        "slowest": {"case": " ".join(map(str, slowest.case)), "seconds": slowest.seconds},
        "largest": {"case": " ".join(map(str, largest.case)), "megabytes": largest.megabytes},
        "failures": [
            {"case": " ".join(map(str, r.case)), "kind": r.kind, "detail": r.detail}
            for r in results
            if r.kind not in FINE
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10000, help="damaged photos; as many weights files as a tenth")
    parser.add_argument("--only", default="", metavar="WORD", help="seeds whose name begins so")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--show", nargs=2, metavar=("SEED", "NUMBER"), help="read one case again")
    parser.add_argument("-o", "--output", type=Path, help="result file")
    options = parser.parse_args()
    if options.show:
        case = Case(options.show[0], int(options.show[1]))
        path = Path(f"{case.seed}-{case.number}.{suffix_of(case.seed)}")
        path.write_bytes(content(case))
        print(path, *run_case(case))
        return
    photos, weights = ([name for name in table if name.startswith(options.only)] for table in (PHOTOS, WEIGHTS))
    wanted = chain(cases(photos, options.cases), cases(weights, options.cases // 10))
    limits = {"seconds": SECONDS, "memory": MEMORY}
    results = []
    for result in run_watched(run_case, wanted, workers=options.workers, **limits):
        results.append(result)
        if result.kind not in FINE:
            print(*result.case, result.kind, result.detail, file=sys.stderr)
    found = summary(results)
    print({key: value for key, value in found.items() if key != "failures"})
    if options.output:
        from deblurcli.evaluation.results import write_results

        content_ = {"limits": {"seconds": SECONDS, "MB": MEMORY / 1e6, "max pixels": MAX_PIXELS}, **found}
        write_results(options.output, " ".join(["python", *sys.argv]), content_)
    sys.exit(1 if found["failures"] else 0)


if __name__ == "__main__":
    main()
