"""From what a format's reader delivers to a Photo: pixels turned upright, channels sorted out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurcli.photo import metadata
from deblurcli.photo.limits import LARGEST_PART, MAX_LOST
from deblurcli.photo.photo import Part, Photo, was_dropped
from deblurcli.photo.profiles import HLG, PQ, icc_of_cicp

Samples = NDArray[Any]
"""(H, W) or (H, W, C) with C = 1 gray, 2 gray + alpha, 3 RGB, 4 RGB + alpha; uint8, uint16 or float32."""


@dataclass
class Decoded:
    """Samples as they lie in the file, and the metadata beside them (see Photo; ``exif`` still has its orientation).

    ``lost`` names, as people would, what else the file holds and is not carried: every reader has to say, so that
    nothing is dropped without a word. It is asked for last.
    ``turn`` is the orientation, 1…8, where the format states it elsewhere; None where it is that of ``exif``.
    ``further`` says, as the beginning of a sentence, that the file holds more than the picture that was read.
    """

    format: str
    samples: Samples
    lost: Iterable[str]
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    xmp_extension: bytes | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    gain_map: bytes | None = None
    texts: list[tuple[str, str]] = field(default_factory=list)
    dpi: tuple[float, float] | None = None
    turn: int | None = None
    cicp: tuple[int, int] | None = None
    further: str = ""
    warnings: list[str] = field(default_factory=list)

    def take_cicp(self) -> None:
        """Let a profile say what the numbers of primaries and transfer characteristics do, wherever one can."""
        cicp, self.cicp = self.cicp, None
        if cicp is None or self.icc:
            return
        try:
            self.icc = icc_of_cicp(*cicp)
        except ValueError as error:
            if cicp[1] in (PQ, HLG):
                self.cicp = cicp
            else:
                self.warnings.append(f"The file's colours are not known ({error}), so they are taken to be sRGB.")

    def take_resolution(self) -> None:
        """Let the EXIF data tell the resolution, in formats that have no other place for it."""
        try:
            self.dpi = metadata.resolution(self.exif) if self.exif else None
        except metadata.DAMAGED:
            self.dpi = None  # to_photo will say that the block is damaged

    def to_photo(self) -> Photo:
        """The finished Photo. Alpha and colours become separate, contiguous arrays."""
        self._drop_what_is_too_large()
        exif, xmp, dpi, turn, says = self.exif or None, self.xmp or None, self.dpi, self.turn or 1, bool(self.turn)
        samples = self.samples if self.samples.ndim == 3 else self.samples[..., np.newaxis]
        try:
            says = says or bool(exif and metadata.states_orientation(exif))  # what XMP says is of no account then
            turn = self.turn or (metadata.orientation(exif) if exif else 1)
            samples = upright(samples, turn)
            exif = exif and metadata.with_size(metadata.make_upright(exif, turn), samples.shape[1], samples.shape[0])
        except metadata.DAMAGED:
            exif = None
            self.warnings.append("The EXIF data are damaged and were dropped.")
        if xmp and says:
            xmp = metadata.upright_xmp(xmp)
        if turn >= 5 and dpi:
            dpi = dpi[1], dpi[0]

        if lost := list(dict.fromkeys(self.lost)):
            more = f" and {len(lost) - MAX_LOST} more" if len(lost) > MAX_LOST else ""
            self.warnings.append(f"Some of what the file holds was dropped: {', '.join(lost[:MAX_LOST])}{more}.")
        channels = samples.shape[2]
        gray = channels <= 2
        alpha = np.ascontiguousarray(samples[..., -1]) if channels in (2, 4) else None
        pixels = np.repeat(samples[..., :1], 3, axis=2) if gray else np.ascontiguousarray(samples[..., :3])
        return Photo(
            pixels=pixels,
            alpha=alpha,
            gray=gray,
            format=self.format,
            icc=self.icc or None,
            exif=exif,
            xmp=xmp,
            xmp_extension=self.xmp_extension or None,
            iptc=self.iptc or None,
            comment=self.comment or None,
            gain_map=self.gain_map,
            texts=tuple(self.texts),
            dpi=dpi,
            cicp=self.cicp,
            warnings=tuple(self.warnings),
        )

    def _drop_what_is_too_large(self) -> None:
        too_large = f"larger than {LARGEST_PART / 1e6:.0f} MB"
        parts: tuple[Part, ...] = ("icc", "exif", "xmp", "xmp_extension", "iptc", "comment")
        for part in parts:
            if len(getattr(self, part) or b"") > LARGEST_PART:
                setattr(self, part, None)
                self.warnings.append(f"{was_dropped(part)}: {too_large}.")
        if sum(len(text) for _, text in self.texts) > LARGEST_PART:
            self.texts = []
            self.warnings.append(f"{was_dropped('texts')}: {too_large}.")


def upright(samples: Samples, orientation: int) -> Samples:
    """A view of (H, W, …) samples turned and mirrored so that EXIF ``orientation`` 1…8 becomes 1."""
    if orientation >= 5:  # 5 and 7 are mirrored along a diagonal, 6 and 8 are turned by 90°
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples
