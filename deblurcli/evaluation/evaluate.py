"""The fixed suites. Every picture goes through the same ``restore`` that users call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from deblurcli.arrays import Picture
from deblurcli.errors import UsageError
from deblurcli.evaluation.metrics import psnr
from deblurcli.evaluation.validation import RADII, photo_files, validation_cases
from deblurcli.photo.decode import read_photo
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_codes, to_float
from deblurcli.restore import Deblurrer

Row = dict[str, Any]
SEAM_TILE = 256


def restored(deblurrer: Deblurrer, picture: Picture, tile: Any = "auto") -> Picture:
    """What a user gets for this picture as an 8-bit file, as floats."""
    photo = Photo(to_codes(picture, np.uint8))
    return to_float(deblurrer.restore(photo, tile=tile).photo.pixels)


def synthetic(deblurrer: Deblurrer, folder: Path) -> Iterator[Row]:
    """Sharp photos blurred evenly by a known radius: PSNR gain per radius over the blurred picture."""
    for case in validation_cases(folder, radii=tuple(r for r in RADII if r)):
        before, after = psnr(case.blurred, case.sharp), psnr(restored(deblurrer, case.blurred), case.sharp)
        yield {"photo": case.name, "group": f"R={case.radius:g}", "before": before, "gain": after - before}


def real(deblurrer: Deblurrer, folder: Path) -> Iterator[Row]:
    """Real pairs NAME_blur.* and NAME_sharp.*: PSNR gain over the blurred photo."""
    files = [path for path in photo_files(folder) if path.stem.endswith("_blur")]
    for path in files:
        reference = path.with_name(path.name.replace("_blur", "_sharp"))
        blurred, sharp = read_photo(path).picture, read_photo(reference).picture
        before, after = psnr(blurred, sharp), psnr(restored(deblurrer, blurred), sharp)
        name = path.stem.removesuffix("_blur")
        yield {"photo": name, "group": name.split("_")[0], "before": before, "gain": after - before}
    if not files:
        raise UsageError(f"{folder}: no pairs here", "Pairs are named NAME_blur.png and NAME_sharp.png.")


def sharp(deblurrer: Deblurrer, folder: Path) -> Iterator[Row]:
    """Do no harm: PSNR of what comes back for a photo that is in focus, and after a second pass."""
    for path in photo_files(folder):
        picture = read_photo(path).picture
        once = restored(deblurrer, picture)
        yield {"photo": path.stem, "psnr": psnr(once, picture), "again": psnr(restored(deblurrer, once), once)}


def seams(deblurrer: Deblurrer, folder: Path) -> Iterator[Row]:
    """Tiled against untiled, on sharp and on blurred photos: largest and mean difference in units of 1/255."""
    for path in photo_files(folder):
        picture = read_photo(path).picture
        whole, tiles = (deblurrer.restore(Photo(picture), tile=t).photo.pixels for t in ("none", SEAM_TILE))
        difference = np.abs(to_float(whole) - to_float(tiles)) * 255
        yield {"photo": path.stem, "largest": float(difference.max()), "mean": float(difference.mean())}


SUITES: dict[str, Callable[[Deblurrer, Path], Iterator[Row]]] = {
    "synthetic": synthetic,
    "real": real,
    "sharp": sharp,
    "seams": seams,
}


def run_suite(name: str, deblurrer: Deblurrer, folder: Path) -> list[Row]:
    """All rows of a suite, with progress.

    Raises:
        UsageError: there is no such suite, or the folder does not hold what it needs.
    """
    if name not in SUITES:
        raise UsageError(f"no suite is called '{name}'", f"There are: {', '.join(SUITES)}.")
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", f"The suite '{name}' needs photos.")
    return list(tqdm(SUITES[name](deblurrer, folder), desc=name, unit="photo", leave=False, disable=None))


def summary(rows: list[Row]) -> dict[str, float]:
    """Means, worst values and the share of photos made worse, over all rows and per group.

    A gain's mean comes with the half-width of its 95 % bootstrap interval (1,000 resamples, fixed seed).
    """
    result: dict[str, Any] = {}
    if "gain" in rows[0]:
        gains = np.array([row["gain"] for row in rows])
        resampled = np.random.default_rng(0).choice(gains, (1000, len(gains))).mean(axis=1)
        low, high = np.percentile(resampled, [2.5, 97.5])
        result |= {"gain": gains.mean(), "±": (high - low) / 2, "worst": gains.min(), "made worse": (gains < 0).mean()}
        for group in dict.fromkeys(row["group"] for row in rows):
            result[f"gain {group}"] = np.mean([row["gain"] for row in rows if row["group"] == group])
    if "psnr" in rows[0]:
        values = [row["psnr"] for row in rows]
        result |= {"psnr": np.mean(values), "worst": np.min(values), "again": np.mean([row["again"] for row in rows])}
    if "largest" in rows[0]:
        result |= {"largest": np.max([r["largest"] for r in rows]), "mean": np.max([r["mean"] for r in rows])}
    return {name: round(float(value), 4) for name, value in result.items()}
