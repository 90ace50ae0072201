"""What newer cameras and phones write: AVIF, HEIC, JPEG XL, JPEG 2000; and files of several pictures."""

from __future__ import annotations

import struct
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from test_photo_metadata import MAKER_NOTE, UPRIGHT, camera_exif, tags

from deblurcli.errors import PhotoError
from deblurcli.photo import metadata
from deblurcli.photo.decode import read_photo
from deblurcli.photo.encode import write_photo
from deblurcli.photo.formats import jxl_header
from deblurcli.photo.formats.boxes import box
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import SPACES, icc_profile

RNG = np.random.default_rng(0)


def smooth(dtype: type = np.uint16, gray: bool = False) -> np.ndarray:
    """(96, 128, 3) a photo's kind of content: slow changes and few edges."""
    y, x = np.mgrid[0:1:96j, 0:1:128j]
    picture = np.stack([x, y, (x + y) / 2], axis=2) * 0.8 + 0.1 * (x[..., None] > 0.5)
    picture = np.repeat(picture[..., :1], 3, axis=2) if gray else picture
    return np.rint(picture * np.iinfo(dtype).max).astype(dtype)


# JPEG XL


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("quality", [95, 100])
def test_jxl_keeps_colours(tmp_path: Path, space: str, dtype: type, quality: int) -> None:
    photo = Photo(smooth(dtype), icc=icc_profile(space))
    assert write_photo(tmp_path / "a.jxl", photo, quality=quality) == ()
    back = read_photo(tmp_path / "a.jxl")
    assert back.icc == (None if space == "srgb" else photo.icc)
    assert back.pixels.dtype == dtype
    assert np.abs(back.picture - photo.picture).mean() < (0.004 if quality == 95 else 1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jxl_keeps_gray(tmp_path: Path, dtype: type) -> None:
    photo = Photo(smooth(dtype, gray=True), gray=True)
    write_photo(tmp_path / "a.jxl", photo)
    back = read_photo(tmp_path / "a.jxl")
    assert back.gray and back.icc is None
    assert np.abs(back.picture - photo.picture).mean() < 0.004


def test_jxl_keeps_metadata(tmp_path: Path) -> None:
    exif = metadata.with_size(metadata.make_upright(camera_exif()), 128, 96)
    photo = Photo(smooth(), exif=exif, xmp=UPRIGHT, dpi=(300.0, 150.0))
    assert write_photo(tmp_path / "a.jxl", photo, quality=100) == ()
    back = read_photo(tmp_path / "a.jxl")
    assert (back.exif, back.xmp, back.dpi) == (exif, UPRIGHT, (300, 150))


def test_jxl_refuses_colours_it_cannot_state(tmp_path: Path) -> None:
    own = imagecodecs.cms_profile("rgb", whitepoint=(0.33, 0.34, 1), primaries=(0.6, 0.3, 1, 0.2, 0.7, 1, 0.1, 0.1, 1))
    with pytest.raises(PhotoError, match="Display P3"):
        write_photo(tmp_path / "a.jxl", Photo(smooth(), icc=own))
    assert not (tmp_path / "a.jxl").exists()


def test_jxl_with_an_icc_profile_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylibjxl", None)
    whole = imagecodecs.jpegxl_encode(smooth(np.uint8), usecontainer=False)
    header = jxl_header.read_header(bytes(whole[:100]))
    stream = int.from_bytes(whole, "little")
    at = 16 + header.colours[0]
    stream &= ~(3 << at)
    stream |= 2 << at  # not all as usual; a profile follows
    (tmp_path / "a.jxl").write_bytes(stream.to_bytes(len(whole), "little"))
    with pytest.raises(PhotoError, match="'jxl'") as caught:
        read_photo(tmp_path / "a.jxl")
    assert "pip install" in caught.value.hint


def test_jxl_with_compressed_boxes(tmp_path: Path) -> None:
    whole = bytes(imagecodecs.jpegxl_encode(smooth(np.uint8), usecontainer=True, lossless=True))
    exif = metadata.with_size(metadata.make_upright(camera_exif()), 128, 96)
    packed = bytes(imagecodecs.brotli_encode(bytes(4) + exif))
    (tmp_path / "a.jxl").write_bytes(whole + box(b"brob", b"Exif", packed) + box(b"jhgm", b"gain"))
    photo = read_photo(tmp_path / "a.jxl")
    assert photo.exif == exif
    assert any("gain map" in warning for warning in photo.warnings)


@pytest.mark.parametrize("size", [(1, 1), (7, 301), (256, 512), (600, 900), (1, 40000)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jxl_headers(size: tuple[int, int], channels: int) -> None:
    for dtype in (np.uint8, np.uint16, np.float32):
        whole = bytes(imagecodecs.jpegxl_encode(np.zeros((*size, channels), dtype), usecontainer=False, effort=1))
        at = whole.find(b"jxlc") + 4 if b"jxlc" in whole[:99] else 0
        header = jxl_header.read_header(whole[at:][:200])
        assert (header.height, header.width, header.channels) == (*size, channels)


# AVIF


def test_avif_of_deeper_photos_has_10_bits(tmp_path: Path) -> None:
    photo = Photo(smooth(), icc=icc_profile("p3"), exif=camera_exif(), xmp=UPRIGHT)
    (warning,) = write_photo(tmp_path / "a.avif", photo, quality=100)
    assert "10 bits" in warning
    back = read_photo(tmp_path / "a.avif")
    assert back.pixels.dtype == np.uint16
    assert len(np.unique(back.pixels)) > 300
    assert np.abs(back.picture - photo.picture).max() <= 0.5 / 1023 + 1e-6
    assert (back.icc, back.xmp) == (photo.icc, UPRIGHT)
    assert tags(back.exif)[0x8769, 0x927C] == MAKER_NOTE
    with Image.open(tmp_path / "a.avif") as image:  # another reader finds them, too
        assert image.info["icc_profile"] == photo.icc
        assert image.info["xmp"] == UPRIGHT


@pytest.mark.parametrize("gray", [False, True])
def test_avif_keeps_alpha_and_metadata(tmp_path: Path, gray: bool) -> None:
    pixels = smooth(np.uint8, gray)
    photo = Photo(pixels, alpha=pixels[..., 0].copy(), gray=gray, exif=camera_exif())
    write_photo(tmp_path / "a.avif", photo, quality=100)
    back = read_photo(tmp_path / "a.avif")
    np.testing.assert_array_equal(back.pixels, pixels)
    assert back.alpha is not None
    np.testing.assert_array_equal(back.alpha, pixels[..., 0])
    assert back.gray == gray and back.exif is not None


def test_avif_turned_by_a_property(tmp_path: Path) -> None:
    Image.fromarray(smooth(np.uint8)).save(tmp_path / "a.avif", exif=camera_exif("<", 6), quality=100)
    assert read_photo(tmp_path / "a.avif").pixels.shape == (128, 96, 3)


@pytest.mark.parametrize(("cicp", "icc"), [((1, 13), None), ((12, 13), icc_profile("p3")), ((9, 16), None)])
def test_avif_colour_numbers(tmp_path: Path, cicp: tuple[int, int], icc: bytes | None) -> None:
    encoded = imagecodecs.avif_encode(smooth() >> 6, bitspersample=10, primaries=cicp[0], transfer=cicp[1], matrix=9)
    (tmp_path / "a.avif").write_bytes(encoded)
    photo = read_photo(tmp_path / "a.avif")
    assert photo.icc == icc
    assert photo.cicp == (cicp if cicp[1] == 16 else None)
    write_photo(tmp_path / "b.avif", photo)
    back = read_photo(tmp_path / "b.avif")
    assert (back.icc, back.cicp) == (photo.icc, photo.cicp)
    if photo.cicp:
        write_photo(tmp_path / "b.png", photo)
        assert read_photo(tmp_path / "b.png").cicp == photo.cicp
        with pytest.raises(PhotoError, match="HDR"):
            write_photo(tmp_path / "b.tif", photo)


# JPEG 2000


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16), (np.uint16, 12)])
def test_jpeg_2000(tmp_path: Path, dtype: type, bits: int) -> None:
    codes = smooth(dtype) >> (np.iinfo(dtype).bits - bits)
    for format in ("jp2", "j2k"):
        encoded = imagecodecs.jpeg2k_encode(codes, bitspersample=bits, codecformat=format, level=0)
        (tmp_path / f"a.{format}").write_bytes(encoded)
        photo = read_photo(tmp_path / f"a.{format}")
        expected = np.rint(codes * (np.iinfo(dtype).max / (2**bits - 1))).astype(dtype)
        np.testing.assert_array_equal(photo.pixels, expected)


def test_jpeg_2000_metadata(tmp_path: Path) -> None:
    whole = bytes(imagecodecs.jpeg2k_encode(smooth(np.uint8), codecformat="jp2", level=0))
    colours = box(b"colr", b"\2\0\0", icc_profile("adobe"))
    at = whole.index(b"colr") - 4
    old = struct.unpack_from(">I", whole, at)[0]
    header = whole.index(b"jp2h") - 4
    size = struct.pack(">I", struct.unpack_from(">I", whole, header)[0] + len(colours) - old)
    whole = whole[:header] + size + whole[header + 4 : at] + colours + whole[at + old :]
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    extra = box(b"uuid", uuid, UPRIGHT) + box(b"uuid", b"JpgTiffExif->JP2", camera_exif())
    stream = whole.index(b"jp2c") - 4
    (tmp_path / "a.jp2").write_bytes(whole[:stream] + extra + whole[stream:])
    photo = read_photo(tmp_path / "a.jp2")
    assert (photo.icc, photo.xmp) == (icc_profile("adobe"), UPRIGHT)
    assert tags(photo.exif)[0x010F] == "Make"


# HEIC


def heic(path: Path, samples: np.ndarray, **options: Any) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    mode = "RGB;16" if samples.dtype == np.uint16 else "RGB"
    file = pillow_heif.from_bytes(mode, samples.shape[1::-1], samples.tobytes())
    file.save(path, quality=-1, chroma=444, **options)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_heic(tmp_path: Path, dtype: type) -> None:
    samples = smooth(dtype)
    heic(tmp_path / "a.heic", samples, exif=b"Exif\0\0" + camera_exif("<", 1), icc_profile=icc_profile("p3"))
    photo = read_photo(tmp_path / "a.heic")
    assert (photo.format, photo.pixels.dtype) == ("heif", dtype)
    assert np.abs(photo.picture - samples / np.iinfo(dtype).max).max() < 0.02
    assert tags(photo.exif)[0x8769, 0x927C] == MAKER_NOTE
    assert photo.icc == icc_profile("p3")


def test_heic_is_upright_once(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(smooth(np.uint8))).save(
        tmp_path / "a.heic", exif=b"Exif\0\0" + camera_exif("<", 6)
    )
    photo = read_photo(tmp_path / "a.heic")
    write_photo(tmp_path / "b.png", photo)
    assert photo.exif is not None and metadata.orientation(photo.exif) == 1
    other = pillow_heif.open_heif(tmp_path / "a.heic")
    assert read_photo(tmp_path / "b.png").pixels.shape[1::-1] == other.size


def test_heic_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    with pytest.raises(PhotoError, match="'heif'") as caught:
        read_photo(tmp_path / "a.jpg")
    assert "pip install" in caught.value.hint


# Several pictures in one file


def several(path: Path) -> None:
    pages = [smooth(np.uint8), smooth(np.uint8)[::-1]]
    if path.suffix == ".tif":
        tifffile.imwrite(path, pages[0], metadata=None)
        tifffile.imwrite(path, pages[1], append=True, metadata=None)
    else:
        Image.fromarray(pages[0]).save(path, save_all=True, append_images=[Image.fromarray(pages[1])], quality=100)


@pytest.mark.parametrize("name", ["a.tif", "a.mpo", "a.webp", "a.png", "a.avif"])
def test_the_first_picture_is_taken_or_none(tmp_path: Path, name: str) -> None:
    several(tmp_path / name)
    photo = read_photo(tmp_path / name)
    assert any("only the first" in warning for warning in photo.warnings)
    assert np.abs(photo.pixels.astype(int) - smooth(np.uint8)).mean() < 3
    with pytest.raises(PhotoError, match="refused") as caught:
        read_photo(tmp_path / name, strict=True)
    assert "--strict" in caught.value.hint


def test_one_picture_is_not_several(tmp_path: Path) -> None:
    for name in ("a.tif", "a.jpg", "a.webp", "a.png", "a.avif", "a.jp2"):
        Image.fromarray(smooth(np.uint8)).save(tmp_path / name)
        assert read_photo(tmp_path / name, strict=True).warnings == ()


# Black and white


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_bilevel_pictures_are_refused(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(smooth(np.uint8)).convert("1").save(tmp_path / f"a.{suffix}")
    with pytest.raises(PhotoError, match="1 bit") as caught:
        read_photo(tmp_path / f"a.{suffix}")
    assert caught.value.hint


def test_bytes_that_a_decoder_is_given_are_the_file(tmp_path: Path) -> None:
    file = BytesIO()
    Image.fromarray(smooth(np.uint8)).save(file, "AVIF")
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    assert read_photo(tmp_path / "a.jpg").format == "avif"


# HDR gain maps


def ultra_hdr(path: Path) -> bytes:
    """A JPEG file with a gain map, by libultrahdr."""
    light = np.dstack([smooth() / np.float16(20000), np.ones((96, 128))]).astype(np.float16)
    path.write_bytes(imagecodecs.ultrahdr_encode(light))
    return path.read_bytes()


def test_a_gain_map_goes_along(tmp_path: Path) -> None:
    whole = ultra_hdr(tmp_path / "a.jpg")
    photo = read_photo(tmp_path / "a.jpg", strict=True)
    assert photo.warnings == () and photo.gain_map is not None and whole.endswith(photo.gain_map)
    assert write_photo(tmp_path / "b.jpg", photo, quality=100, description="deblur") == ()
    assert read_photo(tmp_path / "b.jpg").gain_map == photo.gain_map
    before, after = (imagecodecs.ultrahdr_decode((tmp_path / name).read_bytes()) for name in ("a.jpg", "b.jpg"))
    assert before.max() > 1.5  # lighter than white
    assert np.abs(after.astype(float) - before.astype(float)).mean() < 0.02
    (warning,) = write_photo(tmp_path / "b.png", photo)
    assert "HDR gain map" in warning
