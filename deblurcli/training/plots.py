"""Pictures of a run: its curves and what the network makes of eight fixed pairs."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from torch import Tensor

from deblurcli.networks.restored import Restored
from deblurcli.photo.transfer import to_codes
from deblurcli.synthesis.pairs import Pairs

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def plot_curves(history: list[dict[str, float]], path: Path) -> None:
    """Loss, and gain per blur radius, over minutes of training → PNG."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    minutes = [row["minutes"] for row in history]
    left.plot(minutes, [row["loss"] for row in history], marker=".")
    left.set(xlabel="minutes", ylabel="training loss")
    for name in sorted({name for row in history for name in row if name.startswith("gain")}):
        right.plot(minutes, [row.get(name, np.nan) for row in history], marker=".", label=name)
    right.set(xlabel="minutes", ylabel="PSNR gain on validation, dB")
    if right.lines:
        right.legend()
        right.set_ylim(bottom=max(-1.0, right.get_ylim()[0]))  # random networks start far below
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_samples(pairs: Pairs, restored: Restored, path: Path) -> None:
    """Rows: blurred, restored, sharp, blur radius (white is 10 px), kernel size if the network tells (white 60 px)."""
    rows = [pairs.blurred, restored.picture, pairs.sharp, (pairs.radius / 10).expand_as(pairs.sharp)]
    if "defocus_size" in restored.maps:
        rows.append((restored.maps["defocus_size"] / 60).expand_as(pairs.sharp))

    def strip(batch: Tensor) -> np.ndarray:
        return np.concatenate(list(batch.float().cpu().permute(0, 2, 3, 1).numpy()), axis=1)

    Image.fromarray(to_codes(np.concatenate([strip(row) for row in rows]), np.uint8)).save(path)
