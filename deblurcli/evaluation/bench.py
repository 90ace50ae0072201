"""What suites work with: the network to be measured, and sharp pictures to blur for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deblurcli.arrays import Picture
from deblurcli.careful import Careful
from deblurcli.datasets.layouts import LAYOUTS
from deblurcli.errors import UsageError
from deblurcli.evaluation.drawn import drawn_pictures
from deblurcli.evaluation.published import usual_protocol
from deblurcli.evaluation.validation import photo_files
from deblurcli.focus import KeepBokeh
from deblurcli.photo.decode import read_photo
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear, to_codes, to_float
from deblurcli.restore import Deblurrer, Tile
from deblurcli.synthesis.psf import Lens, psf
from deblurcli.synthesis.scene import blur
from deblurcli.synthesis.sensor import quantise

MARGIN = 24  # px; what is blurred by up to 14 px without being seen whole lies within


@dataclass(frozen=True)
class Bench:
    """A network and what to measure it on.

    Attributes:
        photos: folder of sharp photos; None for drawn pictures.
        pairs: folder of real pairs, or of several sets of them, as ``datasets.pairs.find_pairs`` finds them.
        baselines: also measure what simple sharpening and classic deconvolution reach.
        layout: of the pairs, a key of ``LAYOUTS``; "auto" goes by names.
        protocol: what pairs are cut to, a key of ``CROPS``; "auto" for what most papers score on this data set.
        careful, even_out: as for ``Deblurrer.restore``.

    Raises:
        UsageError: a folder does not exist or holds no photo, or nothing can be measured on it.
    """

    deblurrer: Deblurrer
    photos: Path | None = None
    pairs: Path | None = None
    baselines: bool = False
    layout: str = "auto"
    protocol: str = "auto"
    careful: Careful = "auto"
    even_out: bool = True

    def __post_init__(self) -> None:
        for folder in (self.photos, self.pairs):
            if folder is not None and not folder.is_dir():
                raise UsageError(f"{folder}: no such folder", "Leave the option out to go without.")
        if self.photos and not photo_files(self.photos):
            raise UsageError(f"{self.photos}: no photos here", "Photos must lie directly in the folder.")
        if self.layout in LAYOUTS and LAYOUTS[self.layout].pairing == "alone":
            raise UsageError(
                f"{LAYOUTS[self.layout].title} has no sharp references: PSNR, SSIM, MAE and LPIPS need them",
                "Nothing can be measured on it. To look at what becomes of its photos: deblur FOLDER -o OUT.",
            )
        if not self.pairs and (self.layout, self.protocol) != ("auto", "auto"):
            raise UsageError(
                "layout and protocol are about pairs, and none were named", "Name their folder: --pairs DIR."
            )

    @property
    def crop(self) -> str:
        """What pairs are cut to, a key of ``CROPS``."""
        return usual_protocol(self.layout) if self.protocol == "auto" else self.protocol

    def restore(self, picture: Picture, tile: Tile = "auto", keep_bokeh: KeepBokeh = "off") -> Picture:
        """What a user gets for this picture, saved as an 8-bit file, with --keep-bokeh off: (H, W, 3) → the same."""
        photo = Photo(to_codes(picture, np.uint8))
        how = {"careful": self.careful, "even_out": self.even_out}
        result = self.deblurrer.restore(photo, tile=tile, keep_bokeh=keep_bokeh, **how)
        return to_float(result.photo.pixels)

    def sharp_pictures(self) -> Iterator[tuple[str, Picture]]:
        """Names and pictures, (H, W, 3): the folder's photos in order, or drawn ones."""
        if self.photos is None:
            yield from drawn_pictures()
        else:
            yield from ((path.stem, read_photo(path).picture) for path in photo_files(self.photos))


@dataclass(frozen=True)
class Blurred:
    """A picture blurred evenly.

    Attributes:
        blurred, sharp: (H, W, 3).
        surroundings: ``blurred`` with ``MARGIN`` px more on each side, blurred as if it repeated itself beyond them.
        kernel: (3, k, k), what one point of light became in each colour, each of sum 1; it acted on linear light.
    """

    blurred: Picture
    sharp: Picture
    surroundings: Picture
    kernel: NDArray[np.float32]


def defocus(picture: Picture, radius: float, lens: Lens, noise: float, generator: torch.Generator) -> Blurred:
    """``blur_evenly``, with ``MARGIN`` cut off each side; ``radius`` is at most 14 px."""
    surroundings = blur_evenly(picture, radius, lens, noise, generator)
    kernel = psf(torch.tensor([radius]), lens, 2 * MARGIN - 1)[0].numpy()
    return Blurred(inside(surroundings), inside(picture), surroundings, kernel)


def blur_evenly(picture: Picture, radius: float, lens: Lens, noise: float, generator: torch.Generator) -> Picture:
    """Blurs in linear light, adds noise to what is displayed, and rounds to 8 bits: (H, W, 3) → the same.

    Args:
        picture: (H, W, 3), sharp. It is blurred as if it repeated itself beyond its borders.
        radius: of the blur, px. lens: a single one.
        noise: standard deviation of white Gaussian noise, in 1/255 of the displayed values.
    """
    return displayed(blur(light(picture), torch.tensor([radius]), lens), noise, generator)


def light(picture: Picture) -> Tensor:
    """The linear light of a displayed picture: (H, W, 3) → (1, 3, H, W)."""
    return srgb_to_linear(torch.from_numpy(picture).permute(2, 0, 1)[None])


def displayed(linear: Tensor, noise: float, generator: torch.Generator) -> Picture:
    """Linear light as displayed, with ``noise`` as in ``blur_evenly``, rounded to 8 bits: (1, 3, H, W) → (H, W, 3)."""
    encoded = linear_to_srgb(linear.clamp(0, 1))
    noisy = quantise(encoded + noise / 255 * torch.randn(encoded.shape, generator=generator))
    return np.ascontiguousarray(noisy[0].permute(1, 2, 0).numpy())


def inside(picture: NDArray[np.floating]) -> Picture:
    """What is left when ``MARGIN`` is cut off each side: (H, W, 3) → (H − 2 margins, W − 2 margins, 3) float32."""
    return np.ascontiguousarray(picture[MARGIN:-MARGIN, MARGIN:-MARGIN], dtype=np.float32)
