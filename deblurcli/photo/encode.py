"""Photo → file: the same metadata, as much depth as the format holds, and never a half-written file."""

from __future__ import annotations

from os import PathLike
from typing import Literal, TypeAlias

import numpy as np

from deblurcli.errors import DeblurError, PhotoError, UsageError
from deblurcli.photo.atomic import replacing
from deblurcli.photo.colour import bands
from deblurcli.photo.decoded import Samples
from deblurcli.photo.fit import Strip, fit, stripped
from deblurcli.photo.formats.table import FORMATS, WRITERS, format_for
from deblurcli.photo.photo import Photo
from deblurcli.photo.transfer import to_codes, to_float

Depth: TypeAlias = Literal["auto", 8, 16, 32]


def check_depth(format: str, depth: Depth) -> None:
    """Whether a format can hold this many bits per channel.

    Raises:
        UsageError: it cannot.
    """
    known = FORMATS[format]
    if depth != "auto" and depth not in known.depths:
        able = " and ".join(", ".join(f.title for f in FORMATS.values() if depth in f.depths).rsplit(", ", 1))
        hint = f"{able} can." if able else "Depths are auto, 8, 16 and 32."
        raise UsageError(f"{known.title} cannot hold {depth} bits per channel", hint)


def write_photo(
    path: str | PathLike[str],
    photo: Photo,
    *,
    format: str | None = None,
    depth: Depth = "auto",
    quality: int = 95,
    description: str | None = None,
    overwrite: bool = True,
    strip: Strip | None = None,
) -> tuple[str, ...]:
    """Write a photo; the file appears whole or not at all.

    Args:
        path: the file. Its folder must exist.
        photo: what to write. A gray photo becomes one channel where the format has that (the mean of the three).
        format: as in ``format_for``.
        depth: bits per channel; 32 is float, not clipped; "auto" is the photo's own as far as the format goes.
        quality: 1…100, for JPEG and AVIF (90 and more keep full colour resolution), WebP and JPEG XL (100 is lossless).
        description: what was done to the photo, for the Software field of the metadata.
        overwrite: whether an existing file may be replaced.
        strip: leave out GPS coordinates ("gps"), or all that describes the photo, but not its colours ("all").

    Returns:
        What had to be changed or dropped, one sentence each.

    Raises:
        UsageError: format, depth or quality make no sense.
        PhotoError: the file cannot be written.
    """
    name = format_for(path, format)
    check_depth(name, depth)
    if not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is not between 1 and 100")
    known = FORMATS[name]
    height, width = photo.pixels.shape[:2]
    if max(height, width) > known.largest:
        what = f"{known.title} holds at most {known.largest} pixels a side, not {width} × {height}"
        raise PhotoError(path, what, "Choose TIFF, which holds any size.")

    if photo.cicp and "cicp" not in known.holds:
        able = " or ".join(other.title for other in FORMATS.values() if "cicp" in other.holds)
        raise PhotoError(path, f"cannot be written: {known.title} cannot state its HDR colours", f"Choose {able}.")

    photo, warnings = fit(stripped(photo, strip), known, description)
    bits = depth if depth != "auto" else max(bits for bits in known.depths if bits <= photo.depth)
    if depth == "auto" and bits < photo.depth:
        warnings.append(f"{known.title} holds {bits} bits per channel, so the photo's {photo.depth} were rounded.")
    try:
        with replacing(path, overwrite=overwrite) as file:
            samples = _samples(photo, _DTYPES[bits], gray=photo.gray and "gray" in known.holds)
            warnings += WRITERS[name].write(file, samples, photo, quality)
    except (DeblurError, MemoryError):
        raise
    except Exception as error:  # encoders raise all sorts of things
        raise PhotoError(path, f"cannot be written as {known.title} ({error})", "Choose another format.") from error
    return tuple(warnings)


_DTYPES = {8: np.dtype(np.uint8), 10: np.dtype(np.uint16), 16: np.dtype(np.uint16), 32: np.dtype(np.float32)}


def _samples(photo: Photo, dtype: np.dtype, *, gray: bool) -> Samples:
    """What the encoders take: (H, W) gray, or (H, W, C) with colours and alpha side by side, contiguous.

    Worked out a band at a time, so that no whole photo is ever held as floats only to be rounded.
    """
    if not gray and photo.alpha is None and photo.pixels.dtype == dtype:
        return np.ascontiguousarray(photo.pixels)
    colours = 1 if gray else 3
    channels = colours + (photo.alpha is not None)
    samples = np.empty((*photo.pixels.shape[:2], channels), dtype)
    for rows in bands(len(samples)):
        pixels = _to_gray(photo.pixels[rows]) if gray else photo.pixels[rows]
        samples[rows, :, :colours] = _to_depth(pixels, dtype)
        if photo.alpha is not None:
            samples[rows, :, colours] = _to_depth(photo.alpha[rows], dtype)
    return samples.squeeze(axis=2) if channels == 1 else samples


def _to_depth(pixels: Samples, dtype: np.dtype) -> Samples:
    return pixels if pixels.dtype == dtype else to_codes(to_float(pixels), dtype)


def _to_gray(pixels: Samples) -> Samples:
    """(H, W, 3) → (H, W, 1): the mean, but exactly the value itself where all three are the same."""
    first = pixels[..., :1]
    same = (pixels == first).all(axis=2, keepdims=True)
    if same.all():
        return first
    mean = to_codes(to_float(pixels).mean(axis=2, keepdims=True), pixels.dtype)
    return np.where(same, first, mean)
