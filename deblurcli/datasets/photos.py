"""Folders of photos: what is in them, and sharp ones as one tensor for drawing training crops from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from deblurcli.errors import UsageError
from deblurcli.photo.decode import READABLE_SUFFIXES, read_photo
from deblurcli.photo.transfer import to_codes, to_float


def photos_below(folder: Path) -> list[Path]:
    """All photos in ``folder`` and below, by their suffixes, in order of their names; hidden files are none."""
    files = folder.rglob("*")
    return sorted(p for p in files if p.suffix.lower() in READABLE_SUFFIXES and not p.name.startswith("."))


def load_tiles(folder: Path, size: int = 512) -> Tensor:
    """All photos below ``folder``, cut into squares without overlap: (N, 3, size, size) uint8.

    Photos smaller than ``size`` on a side are left out.

    Raises:
        UsageError: there is no photo of that size.
    """
    tiles: list[Tensor] = []
    for path in tqdm(photos_below(folder), desc=f"photos in {folder.name}", unit="", leave=False, disable=None):
        pixels = read_photo(path).pixels
        codes = torch.from_numpy(np.ascontiguousarray(to_codes_8(pixels))).permute(2, 0, 1)
        for top in range(0, codes.shape[1] - size + 1, size):
            for left in range(0, codes.shape[2] - size + 1, size):
                tiles.append(codes[:, top : top + size, left : left + size])
    if not tiles:
        raise UsageError(f"{folder}: no photo of at least {size} × {size} px", "Name a folder with sharp photos.")
    return torch.stack(tiles)


def to_codes_8(pixels: np.ndarray) -> np.ndarray:
    """Codes of any depth → uint8."""
    return pixels if pixels.dtype == np.uint8 else to_codes(to_float(pixels), np.uint8)
