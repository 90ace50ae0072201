"""A photo as the program holds it: the file's own code values and everything that has to survive beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from deblurcli.arrays import Picture, Pixels
from deblurcli.photo.transfer import to_codes, to_float


@dataclass(frozen=True)
class Photo:
    """Decoded, upright code values plus metadata.

    Attributes:
        pixels: (H, W, 3) RGB uint8, uint16 or float32, in the file's own colour space; gray is repeated three times.
        alpha: (H, W), same dtype as ``pixels``, straight (not premultiplied), or None.
        gray: the file held a single channel, and the output should too.
        format: the file's format, lower case: "jpeg", "png", "tiff", "webp", "bmp", "avif", "jxl",
            "jp2", "heif" or "raw".
        icc: the colour profile, byte for byte, or None.
        exif: the EXIF block as a TIFF structure (without the ``Exif\\0\\0`` prefix), orientation reset to 1, or None.
        xmp: the XMP packet, or None.
        xmp_extension: the second part of an XMP packet that was too large for one segment of a JPEG file, or None.
        iptc: captions and keywords as IPTC-IIM records, or None.
        comment: the comment of a JPEG file, or the PNG text of this name, or None.
        texts: further texts of a PNG file, each with its keyword.
        gain_map: a JPEG file that says how much lighter HDR screens show each pixel, or None.
        dpi: horizontal and vertical resolution in pixels per inch, or None.
        cicp: numbers of colour primaries and transfer characteristics (ITU-T H.273) where they mean HDR, which no
            profile can say: 16 is PQ, 18 is HLG; or None.
        warnings: what the reader had to change or drop, one sentence each, for people.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    gray: bool = False
    format: str = "png"
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    xmp_extension: bytes | None = None
    iptc: bytes | None = None
    comment: bytes | None = None
    gain_map: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    cicp: tuple[int, int] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def picture(self) -> Picture:
        """The pixels as (H, W, 3) float32 where 1.0 is white."""
        return to_float(self.pixels)

    @property
    def depth(self) -> int:
        """Bits per channel: 8, 16 or 32 (float)."""
        return self.pixels.dtype.itemsize * 8

    def with_picture(self, picture: Picture) -> Photo:
        """This photo with other pixels, rounded to the same depth; the picture is (H, W, 3), 1.0 is white."""
        return replace(self, pixels=to_codes(picture, self.pixels.dtype))


Part: TypeAlias = Literal["alpha", "icc", "exif", "xmp", "xmp_extension", "iptc", "comment", "gain_map", "texts"]
TITLES: dict[Part, str] = {
    "alpha": "alpha channel",
    "icc": "colour profile",
    "exif": "EXIF data",
    "xmp": "XMP data",
    "xmp_extension": "extended part of the XMP data",
    "iptc": "IPTC captions",
    "comment": "comment",
    "gain_map": "HDR gain map",
    "texts": "PNG texts",
}
"""What people call the parts of a photo."""


def was_dropped(part: Part) -> str:
    """The beginning of a sentence that tells of it."""
    singular = part in ("alpha", "icc", "xmp_extension", "comment", "gain_map")
    return f"The {TITLES[part]} {'was' if singular else 'were'} dropped"
