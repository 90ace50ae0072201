"""Small files that would take a reader minutes or gigabytes, were it not for ``photo/limits.py``."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fuzz import MEMORY, SECONDS
from PIL import Image
from seeds import EXIF_POINTER, NO_TAG, RGB, pillow, png, with_exif_pointer
from watched import run_watched

from deblurcli.errors import PhotoError
from deblurcli.photo.decode import read_photo
from deblurcli.photo.encode import write_photo
from deblurcli.photo.formats.table import FORMATS
from deblurcli.photo.limits import LARGEST_PART, MAX_TEXTS
from deblurcli.photo.photo import Photo

JPEG, PNG = pillow("RGB", "JPEG"), png(RGB)
NOTHING = zlib.compress(bytes(300_000_000), 9)


def segment(kind: int, body: bytes) -> bytes:
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + body


def with_segments(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def exif_segments(block: bytes) -> list[bytes]:
    return [segment(0xE1, b"Exif\0\0" + block[i : i + 65_000]) for i in range(0, len(block), 65_000)]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(*chunks: bytes) -> bytes:
    """Before the others, of which the readers take the first."""
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def everywhere(count: int, size: int) -> bytes:
    """An EXIF block of ``size`` bytes, each of whose fields is nearly all of it."""
    fields = b"".join(struct.pack("<HHII", 1000 + tag, 7, size - 10, 0) for tag in range(count))
    return (b"II*\0" + struct.pack("<IH", 8, count) + fields).ljust(size, b"\0")


def tiff(data: np.ndarray, fields: dict[int, tuple[int, int]], behind: bytes = b"", **options: Any) -> bytes:
    """A TIFF file in which fields have other counts and values; values count from the end where they are negative."""
    file = BytesIO()
    tifffile.imwrite(file, data, metadata=None, **options)
    changed = bytearray(with_exif_pointer(file.getvalue()))
    end = len(changed)
    (start,) = struct.unpack_from("<I", changed, 4)
    (number,) = struct.unpack_from("<H", changed, start)
    for place in range(start + 2, start + 2 + 12 * number, 12):
        if (tag := struct.unpack_from("<H", changed, place)[0]) in fields:
            count, value = fields[tag]
            struct.pack_into("<HII", changed, place + 2, 4, count, value if value >= 0 else end - 1 - value)
    return bytes(changed) + behind


def scans(count: int) -> bytes:
    whole = pillow("RGB", "JPEG", progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * count + whole[-2:]


def read(path: Path) -> tuple[str, str]:
    """What comes of reading a file and writing it to every format."""
    try:
        photo = read_photo(path)
        for name, known in FORMATS.items():
            write_photo(path.with_name(f"{path.stem}-{name}{known.suffixes[0]}"), photo)
    except PhotoError as error:
        return "refused", str(error)
    return "read", " ".join(photo.warnings)


GRAY, COLOUR = np.ones((64, 1), np.uint8), np.ones((64, 64, 3), np.uint8)
HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "junk.jpg": (JPEG[:3] + bytes(10_000_000), "refused", "between its parts"),
    "padding.jpg": (JPEG[:2] + b"\xff" * 10_000_000 + JPEG[2:], "refused", "between its parts"),
    "gaps.jpg": (
        with_segments(*[segment(0xE4, b"x") + bytes(60_000)] * 100),
        "refused",
        "between its parts",
    ),
    "no-bodies.jpg": (with_segments(*[segment(0xF0, bytes(60_000))] * 100), "refused", "between its parts"),
    "exif.jpg": (with_segments(*[segment(0xE1, b"Exif\0\0" + bytes(65_000))] * 600), "refused", "32 MB of metadata"),
    "segments.jpg": (with_segments(segment(0xE4, b"x") * 20_000), "refused", "10000 segments"),
    "scans.jpg": (scans(200), "refused", "100 scans"),
    "overlap.jpg": (with_segments(segment(0xE1, b"Exif\0\0" + everywhere(5000, 64_000))), "read", ""),
    "overlap-everywhere.jpg": (with_segments(*exif_segments(everywhere(60_000, 2_000_000))), "read", ""),
    "text.png": (with_chunks(chunk(b"zTXt", b"Comment\0\0" + NOTHING)), "read", "Comment"),
    "xmp.png": (with_chunks(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + NOTHING)), "read", "XMP packet is damaged"),
    "profile.png": (with_chunks(chunk(b"iCCP", b"x\0\0" + NOTHING)), "read", "profile is damaged or larger"),
    "exif.png": (with_chunks(chunk(b"eXIf", everywhere(60_000, LARGEST_PART + 1))), "read", "EXIF data were dropped"),
    "names.png": (with_chunks(chunk(b"tEXt", b"k" * 79 + b"\0") * 5000), "read", f"{5001 - MAX_TEXTS} PNG text fields"),
    "chunks.png": (with_chunks(chunk(b"tEXt", b"k\0") * 20_000), "refused", "10000 pieces"),
    "pixels.png": (
        PNG[:33] + chunk(b"IDAT", NOTHING * 10) + chunk(b"IEND", b""),
        "refused",
        "more than pixels of its size",
    ),
    "tiles.tif": (
        tiff(COLOUR, {322: (1, 65520), 323: (1, 65520)}, tile=(16, 16), photometric="rgb"),
        "refused",
        "tiles are 65520 × 65520",
    ),
    "strips.tif": (
        tiff(
            GRAY,
            {257: (1, 10**6), 273: (10**6, -1), 279: (10**6, -1)},
            struct.pack("<I", 8) * 10**6,
            photometric="minisblack",
            rowsperstrip=1,
        ),
        "refused",
        "1000000 strips",
    ),
    "fields.tif": (
        tiff(
            COLOUR,
            {EXIF_POINTER: (1, -1)},
            b"".join([struct.pack("<H", 60_000), *(struct.pack("<HHII", i, 7, 700_000, 0) for i in range(60_000))])
            + bytes(4),
            photometric="rgb",
            extratags=[(NO_TAG, 4, 1, 8, True)],
        ),
        "read",
        "EXIF data are damaged",
    ),
    "bomb.tif": (
        tiff(
            COLOUR,
            {273: (1, -1), 279: (1, len(NOTHING))},
            NOTHING,
            photometric="rgb",
            compression="adobe_deflate",
        ),
        "refused",
        "is damaged",
    ),
}
"""Name → content, what comes of it, and what is said."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What came of each, in a watched process."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, (content, _, _) in HOSTILE.items():
        (folder / name).write_bytes(content)
    results = run_watched(read, [folder / name for name in HOSTILE], seconds=4 * SECONDS, memory=MEMORY)
    return {result.case.name: (result.kind, result.detail) for result in results}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, outcomes: dict[str, tuple[str, str]]) -> None:
    _, kind, words = HOSTILE[name]
    assert outcomes[name][0] == kind, outcomes[name]
    assert words in outcomes[name][1]


@pytest.mark.parametrize("name", ["sparse.png", "sparse.webp"])
def test_a_file_too_long_for_its_pixels_is_not_read(name: str, tmp_path: Path) -> None:
    with (tmp_path / name).open("wb") as file:
        file.write(PNG if name == "sparse.png" else pillow("RGB", "WEBP"))
        file.truncate(10**12)
    with pytest.raises(PhotoError, match=f"{name}: is 1000000 MB long, far too much for"):
        read_photo(tmp_path / name)


def test_further_pages_and_cycles(tmp_path: Path) -> None:
    data = bytearray(tiff(COLOUR, {}, photometric="rgb"))
    (start,) = struct.unpack_from("<I", data, 4)
    (number,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * number, start)  # the next page is the first
    (tmp_path / "a.tif").write_bytes(data)
    assert read_photo(tmp_path / "a.tif").pixels.shape == COLOUR.shape


def test_damaged_profile_of_a_png_is_dropped(tmp_path: Path) -> None:
    for body in (b"", b"x", b"x\0", b"x\0\0", b"x\0\0no zlib"):
        (tmp_path / "a.png").write_bytes(with_chunks(chunk(b"iCCP", body)))
        photo = read_photo(tmp_path / "a.png")
        assert photo.icc is None
        assert any("colour profile is damaged" in warning for warning in photo.warnings)


def test_interlaced_pngs_are_read(tmp_path: Path) -> None:
    """Their rows are many and short, and all begin with a byte that is no pixel."""
    codes = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b"".join(b"\0" + row.tobytes() for x, y, across, down in steps for row in codes[y::down, x::across])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 17, 13, 8, 2, 0, 0, 1))
    (tmp_path / "a.png").write_bytes(PNG[:8] + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, codes)


def test_a_second_header_or_palette_of_a_png_is_ignored(tmp_path: Path) -> None:
    indexed = np.asarray(Image.fromarray(RGB).quantize(4))
    Image.fromarray(RGB).quantize(4).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    expected = read_photo(tmp_path / "a.png").pixels
    place = data.index(b"PLTE") - 4
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 16, 6, 0, 0, 0))
    second = header + chunk(b"PLTE", bytes(12))
    length = 12 + struct.unpack_from(">I", data, place)[0]
    (tmp_path / "a.png").write_bytes(data[: place + length] + second + data[place + length :])
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, expected)
    assert expected.shape[:2] == indexed.shape


def test_fields_that_point_out_of_their_block_do_not_damage_a_tiff_file(tmp_path: Path) -> None:
    fields = [(0x010E, 2, 100, 10**6), (0x010F, 2, 4, 0x004D4D41)]  # the description lies nowhere, the make is "AMM"
    block = struct.pack("<2sHIH", b"II", 42, 8, 2) + b"".join(struct.pack("<HHII", *field) for field in fields)
    write_photo(tmp_path / "a.tif", Photo(RGB, exif=block + bytes(4)))
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, RGB)
    assert photo.exif is not None and b"AMM" in photo.exif
