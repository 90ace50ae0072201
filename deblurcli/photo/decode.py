"""Photo files → Photo: upright pixels in the file's own depth and colour space, and everything beside them."""

from __future__ import annotations

import os
import stat
import warnings
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np

from deblurcli.errors import DeblurError, PhotoError
from deblurcli.photo import metadata
from deblurcli.photo.decoded import Decoded
from deblurcli.photo.formats.raw import RawSettings
from deblurcli.photo.formats.raw import read as read_raw
from deblurcli.photo.formats.segments import open_jpeg
from deblurcli.photo.formats.sniff import COPY_AGAIN, HEAD, READABLE_SUFFIXES, identify, looks_like_photo
from deblurcli.photo.formats.table import READERS
from deblurcli.photo.formats.tiff import is_raw
from deblurcli.photo.limits import MAX_PIXELS
from deblurcli.photo.photo import Photo

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
                decoded = READERS[kind].read(path, file, max_pixels)
        if decoded.further:
            taken = "the photo" if "video" in decoded.further else "the first"
            if strict:
                raise PhotoError(path, f"refused: {decoded.further}", f"Without --strict, {taken} is read.")
            decoded.warnings.append(f"{decoded.further}; only {taken} was read.")
        return decoded.to_photo()
    except DeblurError:
        raise
    except FileNotFoundError as error:
        raise PhotoError(path, "there is no such file") from error
    except PermissionError as error:
        raise PhotoError(
            path, "cannot be read: you do not have permission", "Check the permissions of the file and its folder."
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
            return Decoded(kind, np.empty((1, 1)), lost=(), exif=exif).to_photo().exif
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
