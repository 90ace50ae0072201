"""Every file that is no readable photo is refused in words, and nothing but a DeblurError comes out of bad content."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deblurcli.errors import DeblurError, PhotoError
from deblurcli.photo.decode import READABLE_SUFFIXES, looks_like_photo, read_photo


def picture(height: int = 48, width: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(format: str, **options: Any) -> bytes:
    file = BytesIO()
    picture().save(file, format, **options)
    return file.getvalue()


SAMPLES = {
    "jpg": encoded("JPEG", exif=Image.Exif()),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "png": encoded("PNG"),
    "webp": encoded("WEBP"),
    "lossless.webp": encoded("WEBP", lossless=True),
    "bmp": encoded("BMP"),
    "tif": encoded("TIFF"),
    "lzw.tif": encoded("TIFF", compression="tiff_lzw"),
    "deflate.tif": encoded("TIFF", compression="tiff_adobe_deflate"),
    "avif": encoded("AVIF"),
    "jxl": bytes(imagecodecs.jpegxl_encode(np.asarray(picture()))),
    "jp2": encoded("JPEG2000"),
}


def refusal(path: Path, content: bytes | None = None, **options: Any) -> PhotoError:
    """The error that reading the file ends in."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PhotoError) as caught:
        read_photo(path, **options)
    assert str(path) in str(caught.value)
    return caught.value


# What is not there or not a file


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in str(refusal(tmp_path / "a.jpg"))
    assert "no such file" in str(refusal(tmp_path / "a.nef"))


def test_folder_and_pipe(tmp_path: Path) -> None:
    assert "is a folder" in str(refusal(tmp_path))
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "not a regular file" in str(refusal(tmp_path / "pipe.jpg"))


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jpg").write_bytes(SAMPLES["jpg"])
    monkeypatch.setattr(os, "open", forbidden)  # chmod would not stop a test that runs as root
    error = refusal(tmp_path / "a.jpg")
    assert "do not have permission" in str(error)
    assert error.hint


# What is something else


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"Dear diary,\nno photo today.\n", "its content is text"),
        ("Grüße, ".encode() * 100, "its content is text"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (bytes(5000), "zero bytes"),
        (bytes(range(128, 256)) * 9, "no known picture format"),
        (encoded("GIF"), "GIF"),
        (b"8BPS" + bytes(99), "Photoshop"),
        (b"\0\0\0\x1cftypisom" + bytes(99), "video"),
        (b"%PDF-1.4", "PDF"),
        (b"\0\0\0\x18ftypcrx " + bytes(99), "camera raw"),
        (b"FUJIFILMCCD-RAW" + bytes(99), "camera raw"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "camera raw"),
        (b"IIU\0" + bytes(99), "camera raw"),
    ],
)
def test_other_content_named_jpg(tmp_path: Path, content: bytes, words: str) -> None:
    error = refusal(tmp_path / "a.jpg", content)
    assert words in str(error)
    assert error.hint


@pytest.mark.parametrize("suffix", ["nef", "CR2", "cr3", "arw", "dng", "raf", "orf", "rw2", "pef"])
def test_raw_is_never_read_as_its_preview(tmp_path: Path, suffix: str) -> None:
    error = refusal(tmp_path / f"a.{suffix}", SAMPLES["jpg"])
    assert "camera raw" in str(error)
    assert "16-bit TIFF" in error.hint


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_animations(tmp_path: Path, format: str) -> None:
    frames = [picture(), picture().rotate(90), picture().rotate(180)]
    frames[0].save(tmp_path / "a", format, save_all=True, append_images=frames[1:])
    assert "animation of 3 frames" in str(refusal(tmp_path / "a", strict=True))
    photo = read_photo(tmp_path / "a")
    assert any("animation of 3 frames" in warning for warning in photo.warnings)
    if format == "PNG":
        np.testing.assert_array_equal(photo.pixels, np.asarray(frames[0]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data": np.zeros((4, 4), np.int16), "photometric": "minisblack"}, "int16"),
        ({"data": np.zeros((4, 4), np.complex64), "photometric": "minisblack"}, "complex64"),
        ({"data": np.zeros((4, 4, 3), np.uint8), "photometric": "cielab"}, "CIELAB"),
        ({"data": np.zeros((4, 4), np.uint16), "photometric": "cfa"}, "raw"),
        ({"data": np.zeros((4, 4, 30), np.uint8), "photometric": "minisblack", "planarconfig": "contig"}, "channels"),
    ],
)
def test_tiffs_of_odd_kinds(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", **options)
    assert words in str(refusal(tmp_path / "a.tif"))


# What is damaged


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("rest", [0.999, 0.9, 0.5, 0.1, 0.01])
def test_truncated_files(tmp_path: Path, name: str, rest: float) -> None:
    whole = SAMPLES[name]
    path = tmp_path / f"a.{name}"
    path.write_bytes(whole)
    read_photo(path)
    error = refusal(path, whole[: int(len(whole) * rest)])
    assert error.hint


@pytest.mark.parametrize("name", ["jpg", "progressive.jpg", "png", "webp", "bmp"])
def test_even_the_last_bytes_count(tmp_path: Path, name: str) -> None:
    # The last two of a JPEG file are its end marker, which holds no pixels: see test_photo_field.py.
    for missing in (3, 4, 5) if "jpg" in name else (1, 2, 5):
        assert "cut short" in str(refusal(tmp_path / f"a.{name}", SAMPLES[name][:-missing]))


def test_png_check_sums(tmp_path: Path) -> None:
    data = bytearray(SAMPLES["png"])
    data[data.index(b"IDAT") + 2000] ^= 1
    assert "checksum of its IDAT" in str(refusal(tmp_path / "a.png", bytes(data)))


def test_png_with_damaged_metadata_is_read(tmp_path: Path) -> None:
    file = BytesIO()
    picture().save(file, "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    data = bytearray(file.getvalue())
    data[data.index(b"eXIf") + 8] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    photo = read_photo(tmp_path / "a.png")
    assert photo.exif is None
    assert photo.warnings == ("The eXIf part of the PNG file is damaged and was dropped.",)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(SAMPLES)))
def test_damage_raises_nothing_unforeseen(tmp_path: Path, data: st.DataObject, name: str) -> None:
    content = bytearray(SAMPLES[name])
    places = st.integers(0, 200) | st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(1, 10))):
        content[data.draw(places)] = data.draw(st.integers(0, 255))
    path = tmp_path / f"a.{name}"
    path.write_bytes(content)
    try:
        photo = read_photo(path, max_pixels=1_000_000)
    except DeblurError as error:
        assert str(error)
    else:
        assert photo.pixels.ndim == 3


def test_oversized_profile_of_a_png(tmp_path: Path) -> None:
    png = SAMPLES["png"]
    body = b"iCCPbomb\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(png[:33] + chunk + png[33:])
    photo = read_photo(tmp_path / "a.png")
    assert photo.icc is None
    assert photo.warnings == ("The colour profile is damaged or larger than 16 MB and was dropped.",)


def test_tiff_without_its_strips(tmp_path: Path) -> None:
    for tag in (273, 279):  # offsets, byte counts
        data = bytearray(SAMPLES["deflate.tif"])
        (start,) = struct.unpack_from("<I", data, 4)
        (number,) = struct.unpack_from("<H", data, start)
        for place in range(start + 2, start + 2 + 12 * number, 12):
            if struct.unpack_from("<H", data, place) == (tag,):
                struct.pack_into("<H", data, place, 65000)
        assert refusal(tmp_path / "a.tif", bytes(data)).hint


# What is too large


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and breaks off."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + bytes(50)


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "lossless.webp", "bmp", "tif"])
def test_limit_on_pixels(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"a.{name}"
    error = refusal(path, SAMPLES[name], max_pixels=48 * 64 - 1)
    assert "64 × 48 pixels" in str(error)
    assert "--max-pixels" in error.hint
    assert read_photo(path, max_pixels=48 * 64).pixels.shape == (48, 64, 3)
    assert read_photo(path, max_pixels=None).pixels.shape == (48, 64, 3)


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    assert "more than the limit" in str(refusal(tmp_path / "a.png", png_header(60_000, 60_000)))
    jpeg = bytearray(SAMPLES["jpg"])
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    assert "more than the limit" in str(refusal(tmp_path / "a.jpg", bytes(jpeg)))


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_the_limit_of_pillow_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    picture(1000, 64).save(tmp_path / "a", format)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_photo(tmp_path / "a").pixels.shape == (1000, 64, 3)


# Folder scans


def test_looks_like_photo() -> None:
    assert looks_like_photo("shots/IMG_1.JPG")
    assert all(looks_like_photo(f"a{suffix}") for suffix in READABLE_SUFFIXES)
    assert not any(looks_like_photo(name) for name in ("a.txt", "a", "a.xmp", "shots/._IMG_1.jpg", ".jpg"))
