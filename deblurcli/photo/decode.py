"""Photo files → Photo: upright pixels in the file's own depth and colour space, and everything beside them."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import BmpImagePlugin, ImageFile

from deblurcli.errors import DeblurError, PhotoError
from deblurcli.photo import colour, metadata
from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats.avif import read_avif
from deblurcli.photo.formats.gain_map import read_gain_map
from deblurcli.photo.formats.heif import read_heif
from deblurcli.photo.formats.jp2 import read_jp2
from deblurcli.photo.formats.jpeg import (
    JpegFile,
    behind_picture,
    holds_video,
    is_motion_photo,
    joined_extension,
    open_jpeg,
    with_end,
    without_motion,
)
from deblurcli.photo.formats.jxl import read_jxl
from deblurcli.photo.formats.png import read_png
from deblurcli.photo.formats.raw import RawSettings, read_raw
from deblurcli.photo.formats.sniff import (
    BILEVEL,
    CONVERT,
    COPY_AGAIN,
    HEAD,
    READABLE_SUFFIXES,
    check_size,
    identify,
    looks_like_photo,
)
from deblurcli.photo.formats.tiff import is_raw, read_tiff
from deblurcli.photo.formats.webp import read_webp
from deblurcli.photo.limits import MAX_PIXELS
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import icc_profile

__all__ = ["MAX_PIXELS", "READABLE_SUFFIXES", "looks_like_photo", "read_exif", "read_photo", "read_software"]

# Pillow warns of odd EXIF data that it need not understand here: they are carried as bytes.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_photo(
    path: str | PathLike[str],
    *,
    max_pixels: int | None = MAX_PIXELS,
    raw: RawSettings | None = None,
    strict: bool = False,
) -> Photo:
    """Read a JPEG, PNG, TIFF, WebP, BMP, AVIF, HEIC, JPEG XL or JPEG 2000 file, or develop a camera raw file.

    The content decides on the format, not the suffix (which only tells some raw files from TIFF). Values stay as the
    file stores them, in the file's colour space (only CMYK becomes sRGB); ``Photo.warnings`` says what had to be
    changed or dropped.

    Args:
        path: the file.
        max_pixels: refuse larger pictures before decoding them; None for no limit.
        raw: how to develop camera raw files; None for the usual way.
        strict: refuse files that hold more than one picture; otherwise the first is read, and a warning says so.

    Raises:
        PhotoError: the file cannot be read, is no photo, is damaged, cut short or of a kind that is not supported.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            kind = identify(path, file.read(HEAD))
            file.seek(0)
            if kind == "tiff" and is_raw(file):
                kind = "raw"
            file.seek(0)
            if kind == "raw":
                decoded = read_raw(path, file, max_pixels, raw or RawSettings())
            else:
                decoded = _READERS[kind](path, file, max_pixels)
        if decoded.further:
            if strict:
                raise PhotoError(path, f"refused: {decoded.further}", "Without --strict the first is taken.")
            decoded.warnings.append(f"{decoded.further}; only the first was read.")
        return decoded.to_photo()
    except DeblurError:
        raise
    except FileNotFoundError as error:
        raise PhotoError(path, "there is no such file") from error
    except PermissionError as error:
        raise PhotoError(
            path, "must not be read by you", "Check the permissions of the file and its folder."
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise PhotoError(path, f"cannot be read: {os.strerror(error.errno)}") from error
        raise _damaged(path, error) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise all sorts of things on damaged files
        raise _damaged(path, error) from error


def read_software(path: str | PathLike[str]) -> str:
    """What a photo says it was last worked on with: its Software field, or an empty text.

    Raises:
        PhotoError: the file cannot be read.
    """
    exif = read_exif(path)
    return metadata.software(exif) if exif else ""


def read_exif(path: str | PathLike[str]) -> bytes | None:
    """The EXIF block of a photo. Pixels are not decoded if they need not be.

    Raises:
        PhotoError: the file cannot be read.
    """
    path = Path(path)
    with suppress(Exception), _opened(path) as file:  # what is wrong with it, reading it as a whole tells
        kind = identify(path, file.read(HEAD))
        file.seek(0)
        if kind == "jpeg":
            exif = metadata.unmarked(open_jpeg(path, file).info.get("exif"))
            return Decoded(kind, np.empty((1, 1)), exif=exif).to_photo().exif
        if kind in ("tiff", "raw"):
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
                return metadata.exif_of_tiff(data, raw=True)
    return read_photo(path).exif


def _opened(path: Path) -> BinaryIO:
    """Opens a file, and nothing else: a pipe would be waited for, a device might do something."""
    if stat.S_ISREG(path.stat().st_mode):
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes it
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # another file may have taken its place
            return file
        file.close()
    raise PhotoError(path, "is a folder" if path.is_dir() else "is not a regular file")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _damaged(path: Path, error: Exception) -> PhotoError:
    detail = " ".join(str(error).split())
    if "truncated" in detail.lower():
        return PhotoError(path, "is cut short", COPY_AGAIN)
    # What decoders raise on purpose says something; what they stumble over does not.
    meant = detail and isinstance(error, (OSError, ValueError, SyntaxError, RuntimeError))
    return PhotoError(path, f"is damaged ({detail})" if meant else "is damaged", COPY_AGAIN)


def _read_jpeg(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    image = open_jpeg(path, file)
    check_size(path, *image.size, len(image.getbands()), max_pixels)
    behind = behind_picture(file, image.scan)
    if behind is None:
        image = JpegFile(with_end(path, file, image.scan))
    decoded = _read_pillow(path, image, "jpeg", max_pixels)
    if behind is None:
        decoded.warnings.append("The file has no end marker, though all of its pixels are there.")
    if image.mode == "CMYK":
        # Inks are inverted, as Adobe has them, whether its marker says so or not: Pillow takes that for granted, too.
        decoded.samples, note = colour.cmyk_to_rgb(decoded.samples, decoded.icc)
        decoded.icc = icc_profile("srgb")
        decoded.warnings.append(note)
    pictures = 0
    if any(name == "APP2" and data.startswith(b"MPF\0") for name, data in image.applist):
        decoded.gain_map, pictures = read_gain_map(file)
    if holds_video(file, image.scan) or (decoded.xmp and is_motion_photo(decoded.xmp)):
        decoded.further = "The file holds a video as well"
    elif pictures:
        if pictures > 1 + (decoded.gain_map is not None):
            decoded.further = "The file holds further pictures, such as views or a preview"
    elif behind and behind.picture:
        decoded.further = "The file holds further pictures behind the first"
    elif behind and behind.rest:
        decoded.warnings.append(f"{behind.rest} bytes behind the picture were dropped: they are of no known kind.")
    decoded.xmp = decoded.xmp and without_motion(decoded.xmp)
    decoded.xmp_extension = joined_extension(data for _, data in image.applist)
    decoded.iptc = image.info.get("photoshop", {}).get(metadata.IPTC_RESOURCE)
    decoded.comment = image.info.get("comment")
    return decoded


def _read_bmp(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    return _read_pillow(path, BmpImagePlugin.BmpImageFile(file), "bmp", max_pixels)


def _read_pillow(path: Path, image: ImageFile.ImageFile, name: str, max_pixels: int | None) -> Decoded:
    """Decode a file that Pillow has opened; CMYK stays CMYK."""
    check_size(path, *image.size, len(image.getbands()), max_pixels)
    info = image.info
    exif = metadata.unmarked(info.get("exif"))
    decoded = Decoded(name, _samples(path, image), icc=info.get("icc_profile"), exif=exif, xmp=info.get("xmp"))
    if "dpi" in info and info.get("jfif_unit") != 0:
        decoded.dpi = metadata.sensible_dpi(*map(float, info["dpi"]))
    elif name == "jpeg":
        decoded.take_resolution()
    return decoded


def _samples(path: Path, image: ImageFile.ImageFile) -> Samples:
    """The samples of a Pillow image as uint8 (H, W, C), copied a band at a time: at once would hold them thrice."""
    image.load()
    source = image
    if image.mode == "1":
        raise PhotoError(path, *BILEVEL)
    if image.mode == "P":
        source = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK"):
        raise PhotoError(path, f"has pixels of a kind that is not supported ({image.mode})", CONVERT)
    width, height = source.size
    samples = np.empty((height, width, len(source.getbands())), np.uint8)
    for rows in colour.bands(height):
        band = np.asarray(source.crop((0, rows.start, width, rows.stop)))
        samples[rows] = band.reshape(samples[rows].shape)
    return samples


_READERS: dict[str, Callable[[Path, BinaryIO, int | None], Decoded]] = {
    "jpeg": _read_jpeg,
    "png": read_png,
    "tiff": read_tiff,
    "webp": read_webp,
    "bmp": _read_bmp,
    "avif": read_avif,
    "jxl": read_jxl,
    "jp2": read_jp2,
    "heif": read_heif,
}
