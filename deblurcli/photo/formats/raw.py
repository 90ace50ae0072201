"""Camera raw files, developed by LibRaw (rawpy): as light as the camera's own picture, or as the light was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from deblurcli.arrays import Pixels
from deblurcli.errors import PhotoError, UsageError
from deblurcli.photo import metadata
from deblurcli.photo.decoded import Decoded
from deblurcli.photo.formats import ifd
from deblurcli.photo.formats.boxes import boxes
from deblurcli.photo.formats.segments import JpegFile
from deblurcli.photo.formats.sniff import COPY_AGAIN, DEVELOP, check_size
from deblurcli.photo.profiles import SPACES, SRGB_CURVE, icc_profile
from deblurcli.photo.raw_look import Look, luminance, luminance_of_preview

XMP, IPTC, JPEG_FROM_RAW, DNG_VERSION, BASELINE_EXPOSURE = 700, 33723, 0x2E, 50706, 50730
_NOT_CARRIED = {34377: "Photoshop data", 52545: "Content Credentials (C2PA)"}
CANON_CR3 = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
# LibRaw's flip counts otherwise: → the EXIF orientation that means the same.
_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
_SPACES = {
    "srgb": "sRGB",
    "p3": "P3D65",
    "adobe": "Adobe",
    "prophoto": "ProPhoto",
}
_HIGHLIGHTS = {
    "clip": "Clip",
    "blend": "Blend",
    "rebuild": "ReconstructDefault",
}
LOOKS = ("camera", "neutral")
WHITE_BALANCES = ("camera", "auto", "daylight")
HIGHLIGHTS = tuple(_HIGHLIGHTS)


@dataclass(frozen=True)
class RawSettings:
    """How camera raw files are developed.

    Attributes:
        look: as light and contrasty as the camera's own picture, the preview in the file; or neutral, which is
            proportional to the light.
        space: colour space of the result, a name in ``profiles.SPACES``.
        exposure: stops by which the picture becomes lighter. A neutral one loses what becomes lighter than white.
        white_balance: as the camera noted it, worked out from the picture, or for daylight.
        highlights: what becomes of light that some channels could not hold: white, blended with those that could
            (darker as a whole), or rebuilt from them.
        half: half as wide and high, from blocks of 2 × 2 sensor pixels; for previews.
    """

    look: Literal["camera", "neutral"] = "camera"
    space: str = "srgb"
    exposure: float = 0.0
    white_balance: Literal["camera", "auto", "daylight"] = "camera"
    highlights: Literal["clip", "blend", "rebuild"] = "clip"
    half: bool = False

    def __post_init__(self) -> None:
        known = {"look": LOOKS, "space": SPACES, "white_balance": WHITE_BALANCES, "highlights": HIGHLIGHTS}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise UsageError(f"raw: {name} must be one of {', '.join(values)}, not {getattr(self, name)}")
        if not -8 <= self.exposure <= 8:
            raise UsageError(f"raw: exposure must be between -8 and 8 stops, not {self.exposure:g}")


def read(path: Path, file: BinaryIO, max_pixels: int | None, settings: RawSettings = RawSettings()) -> Decoded:
    """Develop a raw file: 16 bits, as ``settings`` say.

    Raises PhotoError for what LibRaw does not know, and for files that are damaged or cut short.
    """
    try:
        import rawpy
    except ImportError as error:
        what = "is a camera raw file, and the Python package rawpy, which reads these, is not installed"
        raise PhotoError(path, what, f"pip install rawpy adds it. {DEVELOP}") from error
    warnings: list[str] = []
    with _libraw_errors(path), rawpy.imread(str(path)) as raw:
        check_size(path, raw.sizes.raw_width, raw.sizes.raw_height, 1, max_pixels)
        turn = _ORIENTATIONS.get(raw.sizes.flip, 1)
        crop = _crop(raw.sizes, 2 if settings.half else 1)
        raw.unpack()
        white_balance = settings.white_balance
        if white_balance == "camera" and not any(raw.camera_whitebalance):
            white_balance = "daylight"
            warnings.append("The camera recorded no white balance, so daylight was used.")
        curve = SPACES[settings.space].curve
        white_levels: Sequence[int] = raw.camera_white_level_per_channel or (0,)
        samples = raw.postprocess(
            output_bps=16,
            output_color=rawpy.ColorSpace[_SPACES[settings.space]],
            gamma=(2.4, 12.92) if curve == SRGB_CURVE else (curve[0], 0),
            use_camera_wb=white_balance == "camera",
            use_auto_wb=white_balance == "auto",
            no_auto_bright=True,
            adjust_maximum_thr=0.0,  # or white would be the lightest pixel of each photo
            user_sat=min(white_levels) or None,
            bright=2**settings.exposure if settings.look == "neutral" else 1.0,
            highlight_mode=rawpy.HighlightMode[_HIGHLIGHTS[settings.highlights]],
            half_size=settings.half,
            user_flip=0,
        )
        preview = _preview(raw)
    if _is_dng(file):
        samples = np.ascontiguousarray(samples[crop])
    if settings.look == "camera":
        shown = None if preview is None else luminance_of_preview(preview)
        if shown is None:
            look = Look.usual(_baseline_exposure(file))
            warnings.append("It has no preview to match, so it was made about as bright as cameras usually do.")
        else:
            look = Look.like(luminance(samples, settings.space), shown)
        look.apply(samples, settings.space, settings.exposure)
    decoded = Decoded("raw", samples, lost=(), icc=icc_profile(settings.space), turn=turn, warnings=warnings)
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        try:
            decoded.lost = _read_metadata(data, preview if isinstance(preview, bytes) else b"", decoded)
        except (*metadata.DAMAGED, OSError, SyntaxError):
            decoded.exif = None
    if decoded.exif is None:
        warnings.append("No EXIF data were found in the raw file.")
    else:
        decoded.exif = metadata.with_color_space(decoded.exif, srgb=settings.space == "srgb")
        decoded.dpi = metadata.resolution(decoded.exif)
    return decoded


def _is_dng(file: BinaryIO) -> bool:
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data, suppress(*metadata.DAMAGED):
        header = ifd.read_header(data, raw=True)
        return DNG_VERSION in dict(ifd.entries(data, header, header.offset))
    return False


def _crop(sizes: Any, step: int) -> tuple[slice, slice]:
    """Rows and columns of a developed picture that its file says are to be shown; not turned yet.

    The rim beyond is there only so that a mosaic can be worked out up to the edge. LibRaw knows of it but keeps it.
    """
    top, left = sizes.crop_top_margin - sizes.top_margin, sizes.crop_left_margin - sizes.left_margin
    bottom, right = top + sizes.crop_height, left + sizes.crop_width
    if sizes.pixel_aspect != 1 or not (0 <= top < bottom <= sizes.height and 0 <= left < right <= sizes.width):
        return slice(None), slice(None)
    return slice(top // step, bottom // step), slice(left // step, right // step)


@contextmanager
def _libraw_errors(path: Path) -> Iterator[None]:
    import rawpy

    try:
        yield
    except (rawpy.LibRawFileUnsupportedError, rawpy.NotSupportedError) as error:
        what = "is a kind of camera raw file that is not supported, or not a raw file at all despite its name"
        raise PhotoError(path, what, DEVELOP) from error
    except rawpy.LibRawIOError as error:
        raise PhotoError(path, "is a camera raw file that is damaged or cut short", COPY_AGAIN) from error
    except rawpy.LibRawUnsufficientMemoryError as error:
        raise MemoryError from error
    except rawpy.LibRawError as error:
        detail = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else error
        raise PhotoError(path, f"is a camera raw file that cannot be developed ({detail})", COPY_AGAIN) from error


def _preview(raw: Any) -> bytes | Pixels | None:
    """The preview inside: a JPEG file, or pixels (H, W, 3)."""
    import rawpy

    with suppress(rawpy.LibRawError):
        return raw.extract_thumb().data
    return None


def _baseline_exposure(file: BinaryIO) -> float:
    """Stops by which a DNG file says that it is to be made lighter."""
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data, suppress(*metadata.DAMAGED, ZeroDivisionError):
        header = ifd.read_header(data, raw=True)
        found = dict(ifd.entries(data, header, header.offset)).get(BASELINE_EXPOSURE)
        if found and (field := ifd.read_field(data, header, found)):
            above, below = header.unpack("ii", field.data, 0)
            return above / below
    return 0.0


def _read_metadata(data: mmap, preview: bytes, decoded: Decoded) -> list[str]:
    """EXIF and XMP from where the makers put them: a TIFF structure, the boxes of a CR3 file, or the preview.

    Returns what else describes the photo; the rest of a raw file is about its pixels.
    """
    lost: list[str] = []
    if data[4:8] == b"ftyp":
        decoded.exif, lost = _exif_of_cr3(data)
    elif data[:2] in (b"II", b"MM"):
        header = ifd.read_header(data, raw=True)
        found = dict(ifd.entries(data, header, header.offset))
        if XMP in found and (packet := ifd.read_field(data, header, found[XMP])):
            decoded.xmp = packet.data
        if IPTC in found and (captions := ifd.read_field(data, header, found[IPTC])):
            decoded.iptc = captions.data
        lost += [title for tag, title in _NOT_CARRIED.items() if tag in found]
        if JPEG_FROM_RAW in found and (whole := ifd.read_field(data, header, found[JPEG_FROM_RAW])):
            decoded.exif = _exif_of_jpeg(whole.data)  # Panasonic keeps the maker notes there
        decoded.exif = decoded.exif or metadata.exif_of_tiff(data, raw=True)
    if decoded.exif is None and preview:
        decoded.exif = _exif_of_jpeg(preview)
    return lost


def _exif_of_jpeg(data: bytes) -> bytes | None:
    return metadata.unmarked(JpegFile(BytesIO(data)).info.get("exif"))


def _exif_of_cr3(data: mmap) -> tuple[bytes, list[str]]:
    """A block of the parts that a CR3 file keeps apart, the first IFD, and the EXIF and GPS IFDs; and what it lacks."""
    (moov,) = (body for kind, body in boxes(memoryview(data)) if kind == b"moov")
    uuids = (bytes(body) for kind, body in boxes(moov) if kind == b"uuid")
    (canon,) = (body[16:] for body in uuids if body[:16] == CANON_CR3)
    parts = {kind: bytes(body) for kind, body in boxes(memoryview(canon))}
    header = ifd.read_header(parts[b"CMT1"])
    tree: ifd.Tree = {
        tag: field
        for tag, field in ifd.read_tree(parts[b"CMT1"], header).items()
        if tag in metadata.DESCRIPTIVE and not isinstance(field, dict)
    }
    for tag, kind in ((ifd.EXIF_IFD, b"CMT2"), (ifd.GPS_IFD, b"CMT4")):
        if kind in parts and (found := ifd.read_tree(parts[kind], ifd.read_header(parts[kind]))):
            tree[tag] = found
    return ifd.write_block(tree, header.order), ["Canon's maker notes"] if b"CMT3" in parts else []
