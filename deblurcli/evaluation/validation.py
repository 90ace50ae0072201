"""The fixed validation set: sharp photos blurred once, with frozen seeds, at known radii."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from deblurcli.arrays import Picture
from deblurcli.evaluation.metrics import psnr
from deblurcli.photo.decode import READABLE_SUFFIXES, read_photo
from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear
from deblurcli.synthesis.psf import LensPrior
from deblurcli.synthesis.scene import blur
from deblurcli.synthesis.sensor import expose, quantise

RADII = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
LENSES = LensPrior()
CROP, MARGIN = 256, 16  # px: the middle of each photo that is looked at, and what around it blurs into it
SHOT, READ = 1e-4, 1e-6  # a modern camera near base ISO: about 1/255 of noise in the mid-tones


@dataclass(frozen=True)
class Case:
    """One picture to restore: ``blurred`` and ``sharp`` (H, W, 3), blurred evenly by ``radius`` px."""

    name: str
    radius: float
    blurred: Picture
    sharp: Picture


def photo_files(folder: Path) -> list[Path]:
    """All photos directly in a folder, in order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE_SUFFIXES)


def validation_cases(photos: Path, crop: int = CROP, radii: tuple[float, ...] = RADII) -> list[Case]:
    """The middle of every photo at every radius; the lens differs from case to case but never between runs."""
    cases = []
    for number, path in enumerate(photo_files(photos)):
        picture = torch.from_numpy(read_photo(path).picture).permute(2, 0, 1)
        top, left = ((side - crop) // 2 - MARGIN for side in picture.shape[1:])
        side = crop + 2 * MARGIN
        linear = srgb_to_linear(picture[None, :, top : top + side, left : left + side])
        inside = slice(MARGIN, MARGIN + crop)
        for radius in radii:
            generator = torch.Generator().manual_seed(1000 * number + round(10 * radius))
            lens = LENSES.draw(1, generator)
            blurred = blur(linear, torch.tensor([radius]), lens)[..., inside, inside]
            # Radius 0 asks for 'do no harm': the very picture that is the reference, without added noise.
            if radius:
                blurred = expose(blurred, torch.tensor([SHOT]), torch.tensor([READ]), generator)
            sharp = linear_to_srgb(linear[..., inside, inside])
            blurred = quantise(linear_to_srgb(blurred.clamp(0, 1)))
            cases.append(Case(path.stem, radius, _picture(blurred), _picture(sharp)))
    return cases


def _picture(tensor: torch.Tensor) -> Picture:
    return np.ascontiguousarray(tensor[0].permute(1, 2, 0).numpy(), dtype=np.float32)


def scores(cases: list[Case], restore: Callable[[Picture], Picture]) -> dict[str, float]:
    """Mean PSNR gain in dB per radius ("gain R=2"), over radii 1…8 ("gain"), PSNR of sharp photos ("sharp")."""
    gains: dict[float, list[float]] = {}
    for case in cases:
        after = psnr(restore(case.blurred), case.sharp)
        gains.setdefault(case.radius, []).append(after - (psnr(case.blurred, case.sharp) if case.radius else 0.0))
    mean = {radius: float(np.mean(values)) for radius, values in gains.items()}
    row = {f"gain R={radius:g}": value for radius, value in mean.items() if radius}
    return {"gain": float(np.mean(list(row.values()))), "sharp": mean.get(0.0, float("nan")), **row}
