"""What a file is, from its first bytes, and clear words for everything that is not a photo this program reads."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from deblurcli.errors import PhotoError
from deblurcli.photo.limits import LARGEST_METADATA, MAX_CHANNELS, MAX_PIXEL_BYTES

HEAD = 512
"""How many bytes from the start of a file ``identify`` wants to see."""

_RAW_NAMES = "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
RAW_SUFFIXES = frozenset(f".{name}" for name in _RAW_NAMES.split())
READABLE_SUFFIXES = RAW_SUFFIXES | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".tif", ".tiff", ".webp", ".bmp", ".dib"),
    *(".avif", ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpf", ".jpx"),
}

READABLE = "deblur reads JPEG, PNG, TIFF, WebP, BMP, AVIF, HEIC, JPEG XL, JPEG 2000 and camera raw."
CONVERT = "Convert it to TIFF, PNG or JPEG first."
DEVELOP = "Develop it to a 16-bit TIFF first, with a raw converter such as darktable or RawTherapee."
BILEVEL = (
    "is black and white (1 bit per pixel): without grays in between, there is no blur to remove",
    "Scan or export it in grayscale.",
)
COPY_AGAIN = "Copy or download it again from the original source."

_READABLE = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\x0a": "jxl",
    b"\0\0\0\x0cJXL ": "jxl",
    b"\0\0\0\x0cjP  ": "jp2",
    b"\xff\x4f\xff\x51": "jp2",
}
_BRANDS = {b"crx ": "raw", b"avif": "avif", b"avis": "avif"}
_BRANDS |= dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "heif")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_RAW = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_OTHER = {
    b"GIF8": "a GIF picture",
    b"8BPS": "a Photoshop document",
    b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance HDR picture",
    b"II\xbc\x01": "a JPEG XR picture",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
}


def looks_like_photo(path: str | PathLike[str]) -> bool:
    """Whether a folder scan should pick this file up, by its name alone. Hidden files are left out."""
    path = Path(path)
    return path.suffix.lower() in READABLE_SUFFIXES and not path.name.startswith(".")


def identify(path: Path, head: bytes) -> str:
    """The format of a file that starts with ``head``: a name in the table of readers, or "raw".

    Camera raw files are told by suffix as well, for many of them are TIFF or even JPEG files by their first bytes
    and would be read as their small preview. Raises PhotoError for everything else, saying what it is.
    """
    if not head:
        raise PhotoError(path, "is empty (0 bytes)", COPY_AGAIN)
    suffix = path.suffix.lower()
    if suffix in RAW_SUFFIXES or head.startswith(_RAW) or (head[8:10] == b"CR" and head.startswith(_TIFF)):
        return "raw"
    for start, name in _READABLE.items():
        if head.startswith(start):
            return name
    if head.startswith(_TIFF):
        return "tiff"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "bmp"
    if head[4:8] == b"ftyp" and (kind := _brand(head)):
        return kind
    if what := _describe(head):
        opens = "Photos of Windows opens it. " if "JPEG XR" in what else ""
        raise PhotoError(path, f"is {what}, which is not supported yet", opens + CONVERT)
    raise PhotoError(path, f"is not a photo: {_content(head)}", READABLE)


def _brand(head: bytes) -> str | None:
    """What a file of boxes is: by its main brand, or, where that names only the container, by the others."""
    main, length = head[8:12], min(int.from_bytes(head[:4], "big"), len(head))
    others = {head[at : at + 4] for at in range(16, length, 4)}
    return "avif" if main in (b"mif1", b"msf1") and b"avif" in others else _BRANDS.get(main)


def check_size(path: Path, width: int, height: int, channels: int, max_pixels: int | None) -> None:
    """Refuse, before anything is decoded, sizes that no photo has. Raises PhotoError."""
    if width < 1 or height < 1:
        raise PhotoError(path, f"is damaged: it claims to be {width} × {height} pixels in size", COPY_AGAIN)
    if max_pixels is not None and width * height > max_pixels:
        raise PhotoError(
            path,
            f"has {width} × {height} pixels, more than the limit of {max_pixels}",
            "If the file is what you think it is, raise the limit with --max-pixels.",
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise PhotoError(path, f"has {channels} channels", CONVERT)


def check_length(path: Path, length: int, width: int, height: int) -> None:
    """Refuse, before it is read into memory, a file that is far too long for its pixels. Raises PhotoError."""
    largest = width * height * MAX_PIXEL_BYTES + LARGEST_METADATA
    if length > largest:
        what = f"is {length / 1e6:.0f} MB long, far too much for {width} × {height} pixels"
        raise PhotoError(path, what, "Save it again with another program.")


def _describe(head: bytes) -> str:
    """A picture or document format that is known but not read, or an empty text."""
    if head[4:8] == b"ftyp":
        return "a video"
    return next((what for start, what in _OTHER.items() if head.startswith(start)), "")


def _content(head: bytes) -> str:
    if not any(head):
        return "its content is nothing but zero bytes"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "its content is a web page"
    text = head.decode("utf-8", "ignore")
    if len(text.encode()) >= len(head) - 3 and all(letter.isprintable() or letter.isspace() for letter in text):
        return "its content is text"
    return "its content is no known picture format"
