"""What survives the way through the program, format by format: python -m deblurcli.evaluation.formats results

Two tables. *Pixels*: what comes back of photos of every kind from every format that is written. *Metadata*: a file with
EXIF data, maker notes, GPS, XMP, captions and more goes from every format into every other, and ExifTool, which knows
nothing of this program, compares what it finds before and after, tag by tag.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from deblurcli.errors import DeblurError
from deblurcli.evaluation.results import write_results
from deblurcli.photo.decode import read_photo
from deblurcli.photo.encode import write_photo
from deblurcli.photo.formats.table import FORMATS
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import icc_profile

MAKER_NOTE = b"MAKER\0" + bytes(range(1, 256))
SETTINGS = [
    *("-EXIF:Make=Maker", "-EXIF:Model=Model 5", "-EXIF:Artist=Zoë", "-EXIF:Copyright=© me", "-EXIF:ISO=400"),
    *("-EXIF:DateTimeOriginal=2024:05:06 07:08:09", "-EXIF:OffsetTimeOriginal=+02:00", "-EXIF:FNumber=2.8"),
    *("-EXIF:ExposureTime=1/250", "-EXIF:FocalLength=35", "-EXIF:LensModel=Lens 35mm", "-EXIF:UserComment=a note"),
    *("-EXIF:GPSLatitude=47.367", "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=8.533", "-EXIF:GPSLongitudeRef=E"),
    *("-EXIF:ColorSpace#=65535", "-EXIF:ExifImageWidth=64", "-EXIF:ExifImageHeight=48", "-EXIF:ImageUniqueID=0123"),
    *("-XMP-dc:Title=Sunset", "-XMP-dc:Subject=sea", "-XMP-dc:Subject=boat", "-XMP-xmp:Rating=4"),
    *("-XMP-photoshop:City=Zürich", "-XMP-lr:HierarchicalSubject=places|sea", "-XMP-xmpRights:UsageTerms=ask"),
    *("-IPTC:Keywords=sea", "-IPTC:Keywords=boat", "-IPTC:ObjectName=Sunset", "-IPTC:City=Zürich", "-Comment=hello"),
]
OWN = {"Software", "Orientation", "ExifToolVersion", "ProcessingSoftware", "XMPToolkit", "ExifByteOrder"}
"""Tags that are ours to change, or ExifTool's own."""
GROUPS = {
    "EXIF": ("IFD0", "ExifIFD", "GPS", "InteropIFD", "MakerNotes", "MakerUnknown"),
    "XMP": ("XMP",),
    "IPTC": ("IPTC",),
    "ICC": ("ICC_Profile", "ICC-header", "ICC-chrm", "ICC-view", "ICC-meas"),
    "comment": ("Comment",),
    "texts": ("Texts",),
}
STATED = {"EXIF": "EXIF", "XMP": "XMP", "IPTC": "IPTC", "ICC": "colour profile", "comment": "comment", "texts": "texts"}
"""What a warning about each group contains."""
STORAGE = {
    *("ImageWidth", "ImageHeight", "BitsPerSample", "Compression", "PhotometricInterpretation", "StripOffsets"),
    *("SamplesPerPixel", "RowsPerStrip", "StripByteCounts", "PlanarConfiguration", "Predictor", "SampleFormat"),
    *("XResolution", "YResolution", "ResolutionUnit", "YCbCrPositioning", "ExtraSamples", "NewSubfileType"),
    *("SubfileType", "PageNumber", "TileWidth", "TileLength", "TileOffsets", "TileByteCounts", "DocumentName"),
}
"""Fields of a TIFF file's first IFD that say how its pixels are stored."""
REASONS = {
    "IPTC in webp": "WebP has no place for IPTC captions.",
    "IPTC in avif": "AVIF has no place for IPTC captions.",
    "IPTC in jxl": "JPEG XL has no place for IPTC captions.",
    "comment in tiff": "TIFF has no comment beside the description, which is EXIF's.",
    "everything in bmp": "BMP holds pixels and their resolution, and nothing else.",
    "ICC in jxl": "JPEG XL files state the usual colour spaces in numbers; read again, the profile is the same.",
    "float in png, webp, avif and bmp": "These hold integers.",
    "HDR": "Without words for PQ, other programs would show wrong colours; so such files are not written.",
}
"""Why some cells are not whole."""


HEIF = ("heif",) if find_spec("pillow_heif") else ()


def photo(dtype: type = np.uint8, gray: bool = False, alpha: bool = False, size: tuple[int, int] = (48, 64)) -> Photo:
    """Noise over a slope: every bit counts."""
    rng = np.random.default_rng(0)
    pixels = rng.random((*size, 1 if gray else 3)) * 0.5 + np.linspace(0, 0.5, size[1])[:, None]
    top = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = np.repeat(pixels, 3, axis=2) if gray else pixels
    codes = (pixels * top).astype(dtype)
    return Photo(codes, alpha=codes[..., 0].copy() if alpha else None, gray=gray)


KINDS: dict[str, Callable[[], Photo]] = {
    "8 bit": photo,
    "16 bit": lambda: photo(np.uint16),
    "float": lambda: photo(np.float32),
    "float beyond white": lambda: replace(photo(np.float32), pixels=photo(np.float32).pixels * 5 - 1),
    "gray": lambda: photo(gray=True),
    "gray 16 bit": lambda: photo(np.uint16, gray=True),
    "alpha": lambda: photo(alpha=True),
    "gray with alpha": lambda: photo(gray=True, alpha=True),
    "1 × 1 px": lambda: photo(size=(1, 1)),
    "1 × 301 px": lambda: photo(size=(1, 301)),
    "Display P3": lambda: replace(photo(), icc=icc_profile("p3")),
    "ProPhoto 16 bit": lambda: replace(photo(np.uint16), icc=icc_profile("prophoto")),
    "HDR (PQ) 16 bit": lambda: replace(photo(np.uint16), cicp=(9, 16)),
    "pixels not square": lambda: replace(photo(), dpi=(300.0, 150.0)),
}


def pixels_table(folder: Path) -> list[dict[str, str]]:
    """A row per kind of photo: format → what comes back."""
    return [{"photo": kind, **{f: _round_trip(folder, make(), f) for f in FORMATS}} for kind, make in KINDS.items()]


def _round_trip(folder: Path, before: Photo, format: str) -> str:
    path = folder / f"round.{format}"
    try:
        said = " ".join(write_photo(path, before, format=format, quality=100))
        after = read_photo(path)
    except DeblurError as error:
        return f"refused: {str(error).rpartition(': ')[2]}"
    wrong = []
    if after.pixels.shape != before.pixels.shape:
        return "WRONG: shape"
    if after.gray != before.gray and "gray" in FORMATS[format].holds:
        wrong.append("gray")
    if after.cicp != before.cicp:
        wrong.append("HDR")
    if before.icc and after.icc != before.icc and "profile" not in said:
        wrong.append("profile")
    if before.dpi and not (after.dpi and np.allclose(after.dpi, before.dpi, rtol=0.01)):
        wrong.append("resolution")
    if (before.alpha is not None) != (after.alpha is not None) and "alpha" not in said:
        wrong.append("alpha")
    rounded = "rounded" in said
    expected = np.clip(before.picture, 0, 1) if rounded else before.picture
    difference = float(np.abs(after.picture - expected).max())
    steps = 1023 if format == "avif" else 2 ** min(after.depth, 16) - 1
    limit = 0.1 if format == "jpeg" else 0.51 / steps if rounded else 0.0
    if difference > limit:
        wrong.append(f"pixels by {difference:.4f}")
    if wrong:
        return f"WRONG: {', '.join(wrong)}"
    bits = f"{said.split('holds ')[-1].split(' bits')[0]} bits, said"
    kept = "lossy" if format == "jpeg" else bits if rounded else "exact"
    return f"{kept}; rest dropped, said" if "dropped" in said else kept


def master() -> bytes:
    """An EXIF block with a maker note, which ExifTool does not make out of nothing."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x927C] = MAKER_NOTE
    return exif.tobytes()


def _plain(format: str) -> bytes:
    pixels = photo().pixels
    file = BytesIO()
    if format == "jxl":
        return bytes(imagecodecs.jpegxl_encode(pixels, usecontainer=True, lossless=True))
    if format == "heif":
        import pillow_heif

        pillow_heif.from_pillow(Image.fromarray(pixels)).save(file)
        return file.getvalue()
    if format == "tiff":
        tifffile.imwrite(file, pixels, metadata=None, software=False)
        return file.getvalue()
    Image.fromarray(pixels).save(file, {"jp2": "JPEG2000"}.get(format, format.upper()))
    return file.getvalue()


def sources(folder: Path) -> Iterator[tuple[str, Path]]:
    """A file of each format that ExifTool can write to, with everything it can put into it."""
    first = folder / "master.jpg"
    Image.fromarray(photo().pixels).save(first, exif=master(), icc_profile=icc_profile("p3"), quality=95)
    _exiftool("-overwrite_original", "-codedcharacterset=utf8", *SETTINGS, str(first))
    yield "jpeg", first
    for format in ("tiff", "png", "avif", "jp2", "jxl", *HEIF):
        path = folder / f"source.{format}"
        path.write_bytes(_plain(format))
        copied = ("-all:all", "-unsafe", *(() if format == "jxl" else ("-icc_profile",)))
        _exiftool("-overwrite_original", "-tagsfromfile", str(first), *copied, "-Orientation=", str(path))
        yield format, path


def metadata_table(folder: Path) -> list[dict[str, Any]]:
    """A row per pair of formats: group of tags → how many of those in the source are in the result."""
    rows = []
    for kind, source in sources(folder):
        before = _tags(source)
        picture = read_photo(source)
        for format in FORMATS:
            path = folder / f"{kind}-to.{format}"
            said = " ".join([*picture.warnings, *write_photo(path, picture, format=format, description="deblur")])
            cells = _compared(before, _tags(path), said)
            if format == "jxl" and "ICC" in cells and read_photo(path).icc == picture.icc:
                cells["ICC"] = "the same, in numbers"
            rows.append({"from": kind, "to": format, **cells})
    return rows


def _compared(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], said: str) -> dict[str, str]:
    cells = {}
    for group, tags in before.items():
        found = after.get(group, {})
        kept = [tag for tag, value in tags.items() if found.get(tag) == value]
        cell = f"{len(kept)} of {len(tags)}"
        if len(kept) < len(tags):
            missing = sorted(set(tags) - set(kept))
            stated = STATED[group] in said
            cell += ", said" if stated else f" WITHOUT A WORD: {', '.join(missing[:5])}"
        cells[group] = cell
    return cells


def _tags(path: Path) -> dict[str, dict[str, Any]]:
    """Group → tag → value as ExifTool reads them, without those that say how pixels are stored."""
    (found,) = json.loads(_exiftool("-j", "-b", "-G1", "-u", "-n", "-charset", "iptc=utf8", str(path)))
    groups: dict[str, dict[str, Any]] = {}
    for name, value in found.items():
        place, _, tag = name.partition(":")
        group = _group(place, tag)
        if group and tag not in OWN and not (place == "IFD0" and tag in STORAGE) and not tag.startswith("Profile"):
            groups.setdefault(group, {})[tag] = value
    return groups


def _group(place: str, tag: str) -> str | None:
    if tag == "Comment" and place in ("File", "PNG"):
        return "comment"
    return next((group for group, places in GROUPS.items() if place.startswith(places)), None)


def _exiftool(*arguments: str) -> str:
    done = subprocess.run(["exiftool", "-q", "-m", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"exiftool {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def markdown(results: dict[str, Any]) -> str:
    """Both tables, to be read."""
    titles = [known.title for known in FORMATS.values()]
    lines = ["# Formats", "", f"Made by `{results['command']}`.", "", "## Pixels", ""]
    lines += ["What comes back, at `--quality 100`, of photos of each kind:", ""]
    lines += [f"| | {' | '.join(titles)} |", "|---|" + "---|" * len(FORMATS)]
    lines += [f"| {row['photo']} | {' | '.join(row[f] for f in FORMATS)} |" for row in results["pixels"]]
    lines += [
        "",
        "## Metadata",
        "",
        "How many tags of a file are the same in what was made of it, as ExifTool sees them;",
        "",
    ]
    lines += ["*said* is what a warning named. Software, orientation, and how pixels are stored are not counted.", ""]
    lines += [f"| from | to | {' | '.join(GROUPS)} |", "|---|---|" + "---|" * len(GROUPS)]
    for row in results["metadata"]:
        lines.append(f"| {row['from']} | {row['to']} | {' | '.join(row.get(g, '') for g in GROUPS)} |")
    lines += [
        "",
        "Why some are not whole:",
        "",
        *(f"* {place}: {why}" for place, why in results["reasons"].items()),
        "",
    ]
    return "\n".join(lines)


def main(folder: Path) -> None:
    """Measures, and writes formats.json and formats.md into a folder."""
    if not shutil.which("exiftool"):
        raise SystemExit("ExifTool is needed (Debian: libimage-exiftool-perl)")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        content = {"pixels": pixels_table(work), "metadata": metadata_table(work), "reasons": REASONS}
    command = "python -m deblurcli.evaluation.formats results"
    version = _exiftool("-ver").strip()
    write_results(folder / "formats.json", command, {"exiftool": version, **content})
    (folder / "formats.md").write_text(markdown({"command": command, **content}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
