"""TIFF: 8, 16 and 32 bit, strips and tiles, by tifffile."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import tifffile
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffPage, TiffPages

from deblurcli.errors import PhotoError
from deblurcli.photo import colour, metadata
from deblurcli.photo.decoded import Decoded, Samples
from deblurcli.photo.formats import ifd, photoshop
from deblurcli.photo.formats.shape import Format
from deblurcli.photo.formats.sniff import BILEVEL, CONVERT, COPY_AGAIN, check_size
from deblurcli.photo.limits import LARGEST_TILE, MAX_TILES
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import icc_profile
from deblurcli.photo.transfer import full_range

FORMAT = Format(
    "TIFF",
    (".tif", ".tiff"),
    (8, 16, 32),
    largest=2**31 - 1,
    holds=frozenset({"gray", "alpha", "icc", "exif", "xmp", "iptc"}),
)
XMP, DNG_VERSION, IPTC, RESOURCES, ICC, IMAGE_DESCRIPTION = 700, 50706, 33723, 34377, 34675, 270
MAX_PAGES = 100
"""Pages that are looked at."""
_CARRIED = {XMP, IPTC, RESOURCES, ICC, metadata.ORIENTATION, 282, 283, 296}
_STORAGE = {254, 255, *range(256, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 297, 317, 320}
_STORAGE |= {*range(321, 326), *range(330, 335), *range(336, 344), 347, *range(512, 522), *range(529, 533)}
_STORAGE |= {50674, 50838, 50839, 59932}  # what tifffile and ImageJ keep, and padding
_TITLES: dict[int, str] = dict.fromkeys((33550, 33922, 34264, 34735, 34736, 34737), "map coordinates")
_TITLES |= {37724: "Photoshop's layers", 52545: "Content Credentials"}
BUFFER = 2**24
"""Bytes of compressed strips or tiles that are read ahead."""
JPEG_CODECS = (6, 7, 34892)
_COLOURS = {PHOTOMETRIC.MINISBLACK: 1, PHOTOMETRIC.MINISWHITE: 1, PHOTOMETRIC.PALETTE: 1, PHOTOMETRIC.RGB: 3}
_COLOURS |= {PHOTOMETRIC.SEPARATED: 4, PHOTOMETRIC.YCBCR: 3}

# What tifffile has to say about odd tags would reach the user's terminal; what matters becomes an error here.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read(path: Path, file: BinaryIO, max_pixels: int | None) -> Decoded:
    """Decode the first page of a TIFF file that is no thumbnail.

    Raises PhotoError for what is refused, anything else for what is damaged.
    Floats of any width become float32, and so does uint32, where 1.0 is white; integers of odd widths are stretched
    to 8 or 16 bits.
    """
    with tifffile.TiffFile(file) as tiff:
        page = main_page(tiff)
        _refuse(path, page, max_pixels)
        decoded = Decoded("tiff", np.empty(0), list(_lost(page)), page.iccprofile)
        _read_metadata(path, file, tiff, page, decoded)
        samples = page.asarray(buffersize=BUFFER)
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        samples = np.ascontiguousarray(np.moveaxis(samples, 0, -1))
    samples = _native_depth(path, page, samples).reshape(page.imagelength, page.imagewidth, -1)
    decoded.samples = _to_rgb(page, samples, decoded)
    return decoded


def write(file: BinaryIO, samples: Samples, photo: Photo, quality: int) -> list[str]:
    """Encode (H, W) or (H, W, C) samples, losslessly compressed, with the metadata of ``photo``. Returns warnings."""
    if photo.exif:
        try:
            file.write(photo.exif.ljust(len(photo.exif) + -len(photo.exif) % 16, b"\0"))
            start = file.tell()
            _write_picture(file, samples, photo, ifd.read_header(photo.exif).order)
            metadata.join_exif_and_tiff(file, photo.exif, start)
            return []
        except metadata.DAMAGED as error:
            file.seek(0)
            file.truncate()
            warning = f"The EXIF data were dropped: {error}."
    else:
        warning = ""
    _write_picture(file, samples, photo, "<")
    return [warning] if warning else []


def _write_picture(file: BinaryIO, samples: Samples, photo: Photo, order: Literal["<", ">"]) -> None:
    """A TIFF file from where ``file`` stands on."""
    channels = samples.shape[2] if samples.ndim == 3 else 1
    # Upright, said aloud: some readers look for an orientation in the XMP packet otherwise.
    tags: list[tuple[int, int, int, int | bytes, bool]] = [(metadata.ORIENTATION, ifd.SHORT, 1, 1, True)]
    if photo.xmp:
        tags.append((XMP, ifd.BYTE, len(photo.xmp), photo.xmp, True))
    if photo.iptc:
        tags.append((IPTC, 7, len(photo.iptc), photo.iptc, True))
    with tifffile.TiffWriter(file, byteorder=order) as tiff:
        tiff.write(
            samples,
            photometric="rgb" if channels >= 3 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
            compression="adobe_deflate",
            predictor=True,
            iccprofile=photo.icc,
            resolution=photo.dpi,
            resolutionunit="inch" if photo.dpi else None,
            extratags=tags,
            software=False,
            metadata=None,
        )


def main_page(tiff: tifffile.TiffFile) -> TiffPage:
    """The first page, or, where that is a small copy of another, the largest page that is not; SubIFDs count, too."""
    first = tiff.pages.first
    assert isinstance(first, TiffPage)
    if not (first.is_reduced or first.is_mask):
        return first
    pages = [*_some(tiff.pages), *_some(first.pages)]
    whole = [page for page in pages if not (page.is_reduced or page.is_mask)]
    return max(whole, key=lambda page: page.imagewidth * page.imagelength, default=first)


def _some(pages: TiffPages | None) -> list[TiffPage]:
    """The first of some pages. Their number is asked for first: that is where circles among them are found."""
    found = (pages[number] for number in range(min(len(pages), MAX_PAGES))) if pages else ()
    return [page for page in found if isinstance(page, TiffPage)]


def is_raw(file: BinaryIO) -> bool:
    """Whether a TIFF file is a camera raw file by another name; one that is damaged is not."""
    try:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            assert isinstance(page, TiffPage)
            if page.photometric in (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW) or DNG_VERSION in page.tags:
                return True
            below = _some(page.pages)
            return any(sub.photometric in (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW) for sub in below)
    except Exception:  # read will say what is wrong
        return False


def _refuse(path: Path, page: TiffPage, max_pixels: int | None) -> None:
    check_size(path, page.imagewidth, page.imagelength, page.samplesperpixel, max_pixels)
    name = getattr(page.photometric, "name", str(page.photometric))
    colours = _COLOURS.get(page.photometric)  # type: ignore[call-overload]
    if colours is None or colours > page.samplesperpixel or page.imagedepth != 1:
        raise PhotoError(path, f"is a kind of TIFF file that is not supported ({name})", CONVERT)
    if page.bitspersample == 1 and page.photometric != PHOTOMETRIC.PALETTE:
        raise PhotoError(path, *BILEVEL)
    if page.photometric == PHOTOMETRIC.YCBCR and page.compression not in JPEG_CODECS:
        raise PhotoError(path, "is a kind of TIFF file that is not supported (YCbCr without JPEG)", CONVERT)
    if page.dtype is None or page.dtype.kind not in "ubf" or page.dtype == np.uint64:
        kind = page.dtype or f"{page.bitspersample} bits"
        raise PhotoError(path, f"has a pixel format that is not supported ({kind})", CONVERT)
    tiles = math.prod(page.chunked)
    if tiles > MAX_TILES:
        raise PhotoError(path, f"is cut into {tiles} strips or tiles, more than the limit of {MAX_TILES}", CONVERT)
    if page.tilewidth * page.tilelength > max(page.imagewidth * page.imagelength, LARGEST_TILE):
        raise PhotoError(path, f"is damaged: its tiles are {page.tilewidth} × {page.tilelength} px", COPY_AGAIN)
    size = page.parent.filehandle.size
    starts, lengths = page.dataoffsets, page.databytecounts
    if min(len(starts), len(lengths)) < tiles:
        raise PhotoError(path, "is damaged: it does not say where all of its pixels are", COPY_AGAIN)
    if any(start + length > size for start, length in zip(starts, lengths, strict=False)):
        raise PhotoError(path, "is cut short", COPY_AGAIN)


def _read_metadata(path: Path, file: BinaryIO, tiff: tifffile.TiffFile, page: TiffPage, decoded: Decoded) -> None:
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        if not ifd.is_complete(data, page.offset):
            raise PhotoError(path, "is cut short", COPY_AGAIN)
        skip = {IMAGE_DESCRIPTION} if page.is_shaped or page.is_imagej or page.is_ome else set()
        try:
            decoded.iptc = _captions(data, page.offset)
            decoded.exif = metadata.exif_of_tiff(data, skip, offset=page.offset)
        except metadata.DAMAGED:
            decoded.warnings.append("The EXIF data are damaged and were dropped.")
    if XMP in page.tags:
        xmp = page.tags[XMP].value
        decoded.xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    if "XResolution" in page.tags and "YResolution" in page.tags:
        decoded.dpi = metadata.sensible_dpi(*page.resolution, unit=page.resolutionunit)
    if sum(not (page.is_reduced or page.is_mask) for page in _some(tiff.pages)) > 1:
        decoded.further = f"The file has {len(tiff.pages)} pages"


def _captions(data: mmap, offset: int) -> bytes | None:
    """IPTC captions where the standard has them, or Photoshop, whichever has more: programs cut the former."""
    plain, resources = (metadata.bytes_of_tiff(data, tag, offset) for tag in (IPTC, RESOURCES))
    inside = photoshop.captions(resources) if resources else None
    return max(filter(None, (plain, inside)), key=len, default=None)


def _lost(page: TiffPage) -> Iterator[str]:
    """Names of a page's tags that are neither carried nor a matter of how its pixels are stored."""
    for tag in page.tags:
        if not _is_known(tag.code):
            name = f"TIFF tag {tag.code}" if tag.name.isdecimal() else tag.name
            yield f"{_TITLES[tag.code]} ({name})" if tag.code in _TITLES else name
    if RESOURCES in page.tags:
        yield from photoshop.not_carried(n for n, _ in photoshop.resources(bytes(page.tags[RESOURCES].value)))


def _is_known(code: int) -> bool:
    return code in _STORAGE or code in _CARRIED or code in metadata.DESCRIPTIVE


def _native_depth(path: Path, page: TiffPage, samples: Samples) -> Samples:
    """The samples as uint8, uint16 or float32, full range."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype == np.uint32:
        return (samples * (1 / (2**32 - 1))).astype(np.float32)
    if samples.dtype == bool:
        samples = samples.view(np.uint8)
    if samples.dtype not in (np.uint8, np.uint16):
        raise PhotoError(path, f"has a pixel format that is not supported ({samples.dtype})", CONVERT)
    if page.bitspersample < samples.dtype.itemsize * 8 and page.photometric != PHOTOMETRIC.PALETTE:
        return full_range(samples, page.bitspersample)
    return samples


def _to_rgb(page: TiffPage, samples: Samples, decoded: Decoded) -> Samples:
    """(H, W, C) samples as the page means them → gray or RGB with at most an alpha channel."""
    colours, alpha = _split_extra(page, samples, decoded)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        white = 1 if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max
        np.subtract(white, colours, out=colours)
    elif page.photometric == PHOTOMETRIC.PALETTE:
        assert page.colormap is not None
        # Some writers store 8-bit values where the standard wants 16-bit ones.
        wide = page.colormap.max() > 255
        colours = (page.colormap >> 8 if wide else page.colormap).astype(np.uint8).T[colours[..., 0]]
    elif page.photometric == PHOTOMETRIC.SEPARATED:
        if colours.dtype.kind == "f":
            colours = np.rint(np.clip(colours, 0, 1) * np.float32(65535)).astype(np.uint16)
            decoded.warnings.append("Floating-point CMYK was rounded to 16 bits.")
        colours, note = colour.cmyk_to_rgb(colours, decoded.icc)
        decoded.icc = icc_profile("srgb")
        decoded.warnings.append(note)
    if alpha is None:
        return colours
    if alpha.dtype != colours.dtype:
        decoded.warnings.append("The alpha channel was dropped: its bit depth differs from that of the colours.")
        return colours
    if page.extrasamples and EXTRASAMPLE.ASSOCALPHA in page.extrasamples:
        joined = np.concatenate([colours, alpha], axis=2)
        colour.unpremultiply(joined)
        decoded.warnings.append("The colours were stored multiplied by alpha (premultiplied); that was undone.")
        return joined
    untouched = np.may_share_memory(colours, samples) and samples.shape[2] == colours.shape[2] + 1
    return samples if untouched else np.concatenate([colours, alpha], axis=2)


def _split_extra(page: TiffPage, samples: Samples, decoded: Decoded) -> tuple[Samples, Samples | None]:
    """Colours and the first alpha channel as views of (H, W, C) samples."""
    count = _COLOURS[page.photometric]  # type: ignore[index]
    extra = samples.shape[2] - count
    if not extra:
        return samples, None
    # A lone fourth (or second) channel without a word on its meaning has always been alpha.
    kinds = list(page.extrasamples) or [EXTRASAMPLE.UNASSALPHA]
    place = next((i for i, kind in enumerate(kinds) if kind != EXTRASAMPLE.UNSPECIFIED), None)
    dropped = extra - (place is not None)
    if dropped:
        decoded.warnings.append(f"{dropped} extra channel(s) of unknown meaning were dropped.")
    return samples[..., :count], None if place is None else samples[..., count + place : count + place + 1]
