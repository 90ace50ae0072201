"""Code values survive: every depth, channel layout and storage of every format."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from deblurcli.errors import UsageError
from deblurcli.photo.decode import read_photo
from deblurcli.photo.encode import check_depth, write_photo
from deblurcli.photo.formats.table import format_for
from deblurcli.photo.photo import Photo

LOSSLESS = [("png", 8), ("png", 16), ("tiff", 8), ("tiff", 16), ("tiff", 32), ("bmp", 8), ("webp", 8)]
LOSSLESS += [("avif", 8), ("jxl", 8), ("jxl", 16), ("jxl", 32)]
DTYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}


def all_codes(depth: int) -> np.ndarray:
    """(16, 16) or (256, 256): every code once; for floats values far outside [0, 1] as well."""
    if depth == 32:
        return np.linspace(-3, 70000, 256, dtype=np.float32).reshape(16, 16)
    side = 2 ** (depth // 2)
    return np.arange(side * side).reshape(side, side).astype(DTYPES[depth])


def there_and_back(folder: Path, photo: Photo, format: str, **options: Any) -> Photo:
    path = folder / f"photo.{format}"
    write_photo(path, photo, quality=100, **options)
    return read_photo(path)


def same(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


@pytest.mark.parametrize(("format", "depth"), LOSSLESS)
def test_every_code_survives(tmp_path: Path, format: str, depth: int) -> None:
    codes = all_codes(depth)
    photo = Photo(np.stack([codes, codes.T, codes[::-1]], axis=2))
    back = there_and_back(tmp_path, photo, format)
    assert same(back.pixels, photo.pixels)
    assert back.depth == depth
    assert not back.gray
    assert back.alpha is None


@pytest.mark.parametrize(("format", "depth"), [case for case in LOSSLESS if case[0] != "webp"])
def test_every_gray_code_survives_in_one_channel(tmp_path: Path, format: str, depth: int) -> None:
    photo = Photo(np.repeat(all_codes(depth)[..., np.newaxis], 3, axis=2), gray=True)
    back = there_and_back(tmp_path, photo, format)
    assert same(back.pixels, photo.pixels)
    assert back.gray


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), case=st.sampled_from([case for case in LOSSLESS if case[0] != "bmp"]))
def test_any_size_alpha_and_mode_survive(tmp_path: Path, data: st.DataObject, case: tuple[str, int]) -> None:
    format, depth = case
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    gray, has_alpha = data.draw(st.booleans()), data.draw(st.booleans())
    values = st.floats(width=32) if depth == 32 else st.integers(0, 2**depth - 1)
    pixels = data.draw(arrays(DTYPES[depth], (*shape, 3), elements=values))
    alpha = data.draw(arrays(DTYPES[depth], shape, elements=values)) if has_alpha else None
    if gray:
        pixels[...] = pixels[..., :1]
    back = there_and_back(tmp_path, Photo(pixels, alpha=alpha, gray=gray), format)
    assert same(back.pixels, pixels)
    if alpha is None or format == "webp":  # an opaque WebP comes back without alpha
        assert back.alpha is None or same(back.alpha, alpha)
    else:
        assert same(back.alpha, alpha)
    assert back.gray == (gray and format != "webp")


def test_deeper_output_is_exact(tmp_path: Path) -> None:
    photo = Photo(np.repeat(all_codes(8)[..., np.newaxis], 3, axis=2))
    assert same(there_and_back(tmp_path, photo, "png", depth=16).pixels, photo.pixels.astype(np.uint16) * 257)
    assert same(there_and_back(tmp_path, photo, "tiff", depth=32).pixels, photo.picture)
    for depth in (16, 32):
        deep = there_and_back(tmp_path, photo, "tiff", depth=depth)
        assert same(there_and_back(tmp_path, deep, "tiff", depth=8).pixels, photo.pixels)


def test_16_bits_survive_32(tmp_path: Path) -> None:
    photo = Photo(np.repeat(all_codes(16)[..., np.newaxis], 3, axis=2), alpha=all_codes(16).copy())
    deep = there_and_back(tmp_path, photo, "tiff", depth=32)
    back = there_and_back(tmp_path, deep, "png", depth=16)
    assert same(back.pixels, photo.pixels)
    assert same(back.alpha, photo.alpha)


def test_floats_that_are_no_numbers(tmp_path: Path) -> None:
    pixels = np.array([[[np.nan, np.inf, -np.inf], [0, 1, 2]]], np.float32)
    assert same(there_and_back(tmp_path, Photo(pixels), "tiff").pixels, pixels)
    assert there_and_back(tmp_path, Photo(pixels), "png").pixels.tolist() == [[[0, 65535, 0], [0, 65535, 65535]]]


def test_rounding_is_told(tmp_path: Path) -> None:
    deep = Photo(np.zeros((4, 4, 3), np.uint16))
    assert write_photo(tmp_path / "a.jpg", deep) == ("JPEG holds 8 bits per channel, so the photo's 16 were rounded.",)
    assert write_photo(tmp_path / "a.png", deep) == ()
    assert write_photo(tmp_path / "b.png", deep, depth=8) == ()  # as asked for
    deeper = Photo(np.zeros((4, 4, 3), np.float32))
    assert write_photo(tmp_path / "a.png", deeper) == (
        "PNG holds 16 bits per channel, so the photo's 32 were rounded.",
    )


@pytest.mark.parametrize("suffix", ["jpg", "bmp"])
def test_dropped_alpha_is_told(tmp_path: Path, suffix: str) -> None:
    photo = Photo(np.zeros((4, 4, 3), np.uint8), alpha=np.zeros((4, 4), np.uint8))
    (warning,) = write_photo(tmp_path / f"a.{suffix}", photo)
    assert "alpha" in warning
    assert read_photo(tmp_path / f"a.{suffix}").alpha is None


def test_gray_written_from_channels_that_drifted_apart(tmp_path: Path) -> None:
    pixels = np.array([[[10, 11, 12], [7, 7, 7], [255, 255, 254]]], np.uint8)
    back = there_and_back(tmp_path, Photo(pixels, gray=True), "png")
    assert back.pixels[0, :, 0].tolist() == [11, 7, 255]


def test_jpeg_is_close(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    photo = Photo(np.stack([ramp, ramp.T, ramp], axis=2))
    write_photo(tmp_path / "a.jpg", photo, quality=95)
    back = read_photo(tmp_path / "a.jpg")
    assert back.format == "jpeg"
    assert np.abs(back.pixels.astype(int) - photo.pixels).mean() < 2
    write_photo(tmp_path / "b.jpg", photo, quality=20)
    assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "a.jpg").stat().st_size


# What other programs write


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("storage", [{}, {"tile": (16, 32)}, {"rowsperstrip": 3}])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_storages(tmp_path: Path, byteorder: Any, storage: Any, compression: Any, planar: str, dtype: Any) -> None:
    pixels = (np.random.default_rng(0).random((37, 41, 3)) * 255).astype(dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
    options = {"photometric": "rgb", "planarconfig": planar, "compression": compression, **storage}
    tifffile.imwrite(tmp_path / "a.tif", stored, byteorder=byteorder, bigtiff=planar == "separate", **options)
    assert same(read_photo(tmp_path / "a.tif").pixels, pixels)


def test_tiff_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    codes = all_codes(8)
    gray = np.repeat(codes[..., np.newaxis], 3, axis=2)

    tifffile.imwrite(path, 255 - codes, photometric="miniswhite")
    assert same(read_photo(path).pixels, gray)
    tifffile.imwrite(path, codes.astype(np.float64) / 255, photometric="minisblack")
    assert same(read_photo(path).pixels, (gray / 255).astype(np.float32))
    tifffile.imwrite(path, (codes / 256).astype(np.float16), photometric="minisblack")
    assert same(read_photo(path).pixels, (gray / 256).astype(np.float32))
    tifffile.imwrite(path, codes.astype(np.uint32) * 0x01010101, photometric="minisblack")
    assert same(read_photo(path).pixels, (gray / 255).astype(np.float32))
    tifffile.imwrite(path, np.arange(4096, dtype=np.uint16).reshape(64, 64), bitspersample=12, photometric="minisblack")
    assert read_photo(path).pixels.max() == 65535
    table = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(path, codes, photometric="palette", colormap=table * 257)
    photo = read_photo(path)
    assert same(photo.pixels, table.T[codes].astype(np.uint8))
    assert not photo.gray
    Image.fromarray(gray).save(path, compression="jpeg")
    assert np.abs(read_photo(path).pixels.astype(int) - gray).max() < 20


def test_tiff_extra_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    rgba = np.full((4, 4, 4), (100, 50, 0, 128), np.uint8)
    rgba[0, 0] = 0
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": "contig"}

    tifffile.imwrite(path, rgba, extrasamples=["unassalpha"], **options)
    photo = read_photo(path)
    assert same(photo.pixels, rgba[..., :3])
    assert photo.alpha is not None and same(photo.alpha, rgba[..., 3])
    tifffile.imwrite(path, rgba, extrasamples=["assocalpha"], **options)
    photo = read_photo(path)
    assert photo.pixels[1, 1].tolist() == [199, 100, 0]
    assert photo.pixels[0, 0].tolist() == [0, 0, 0]
    assert "premultiplied" in photo.warnings[0]
    tifffile.imwrite(path, rgba, extrasamples=["unspecified"], **options)
    photo = read_photo(path)
    assert photo.alpha is None
    assert "dropped" in photo.warnings[0]
    five = np.dstack([rgba, rgba[..., :1]])
    tifffile.imwrite(path, five, extrasamples=["unspecified", "unassalpha"], **options)
    photo = read_photo(path)
    assert photo.alpha is not None and same(photo.alpha, rgba[..., 0])
    assert "1 extra" in photo.warnings[0]


def test_multi_page_tiff_is_read_with_a_warning(tmp_path: Path) -> None:
    pages = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb")
    photo = read_photo(tmp_path / "a.tif")
    assert same(photo.pixels, pages[0])
    assert photo.warnings == ("The file has 2 pages; only the first was read.",)


def test_second_picture_of_an_mpo_is_told(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.pixels[0, 0, 0] > 200
    assert "further pictures" in photo.warnings[0]


def test_png_and_bmp_palettes_bits_and_transparency(tmp_path: Path) -> None:
    codes = all_codes(8)
    palette = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    image = Image.fromarray(codes).convert("P")
    image.putpalette(palette.tobytes())
    for suffix in ("png", "bmp"):
        image.save(tmp_path / f"a.{suffix}")
        assert same(read_photo(tmp_path / f"a.{suffix}").pixels, palette[codes])
    image.save(tmp_path / "a.png", transparency=bytes(range(256)))
    photo = read_photo(tmp_path / "a.png")
    assert same(photo.pixels, palette[codes])
    assert photo.alpha is not None and same(photo.alpha, codes)
    Image.fromarray(codes).save(tmp_path / "a.png", transparency=7)
    photo = read_photo(tmp_path / "a.png")
    assert photo.gray
    assert photo.alpha is not None and np.argwhere(photo.alpha == 0).tolist() == [[0, 7]]


def test_wide_png_is_not_cut_to_8_bits(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 7, 4), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    photo = read_photo(tmp_path / "a.png")
    assert same(photo.pixels, pixels[..., :3])
    assert photo.alpha is not None and same(photo.alpha, pixels[..., 3])


# CMYK


def cmyk_profile() -> bytes:
    """A tiny ICC profile of a printer whose colours are the corners of a 2×2×2×2 table."""
    inks = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    rgb = (1 - inks[:, :3]) * (1 - inks[:, 3:])
    lightness = rgb @ [0.3, 0.6, 0.1]  # Lab with a*, b* that are good enough for a test
    lab = np.stack([lightness * 255, 128 + (rgb[:, 0] - rgb[:, 1]) * 60, 128 + (rgb[:, 1] - rgb[:, 2]) * 60], 1)
    identity = np.arange(256, dtype=np.uint8).tobytes()
    matrix = b"".join(int(v * 65536).to_bytes(4, "big") for v in np.eye(3).ravel())
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4
    table += np.rint(lab).clip(0, 255).astype(np.uint8).tobytes() + identity * 3
    table += bytes(-len(table) % 4)
    white = b"XYZ " + bytes(4) + b"".join(int(v * 65536).to_bytes(4, "big") for v in (0.9642, 1.0, 0.8249))
    tags = [(b"wtpt", white), (b"A2B0", table)]
    offset, listing, body = 128 + 4 + 12 * len(tags), len(tags).to_bytes(4, "big"), b""
    for name, data in tags:
        listing += name + (offset + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    head = bytearray(128)
    head[0:4] = (offset + len(body)).to_bytes(4, "big")
    head[8:24] = b"\x02\x10\0\0prtrCMYKLab "
    head[36:40] = b"acsp"
    head[68:80] = white[8:]
    return bytes(head) + listing + body


@pytest.mark.parametrize("profile", [None, cmyk_profile(), b"nonsense" * 20])
def test_cmyk_becomes_srgb(tmp_path: Path, profile: bytes | None) -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, 8:] = (0, 0, 0, 255)  # left: paper, right: black ink
    inks[8:, :8] = (0, 255, 255, 0)  # bottom left: red
    image = Image.frombytes("CMYK", (16, 16), inks.tobytes())
    image.save(tmp_path / "a.jpg", quality=100, icc_profile=profile)
    ycck = bytes(imagecodecs.jpeg8_encode(255 - inks, 100, colorspace="CMYK", outcolorspace="YCCK"))
    assert ycck[ycck.index(b"Adobe") + 11] == 2
    segment = struct.pack(">HH", 0xFFE2, len(profile) + 16) + b"ICC_PROFILE\0\1\1" + profile if profile else b""
    (tmp_path / "ycck.jpg").write_bytes(ycck[:2] + segment + ycck[2:])
    image.save(tmp_path / "a.tif", icc_profile=profile)
    tifffile.imwrite(tmp_path / "b.tif", inks.astype(np.uint16) * 257, photometric="separated", iccprofile=profile)
    for name, depth in (("a.jpg", 8), ("ycck.jpg", 8), ("a.tif", 8), ("b.tif", 16)):
        photo = read_photo(tmp_path / name)
        white = 2**depth - 1
        assert photo.depth == depth
        assert photo.pixels[2, 2].min() > 0.95 * white
        assert photo.pixels[2, 13].max() < 0.05 * white
        assert photo.pixels[13, 2, 0] > photo.pixels[13, 2, 1] + 0.3 * white
        assert photo.icc is not None and photo.icc[16:20] == b"RGB "
        assert ("through its colour profile" in photo.warnings[0]) == (profile is not None and b"acsp" in profile)


def test_cmyk_jpeg_is_inverted_without_adobe_s_marker_too(tmp_path: Path) -> None:
    file = BytesIO()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(file, "JPEG", quality=100)
    data = file.getvalue()
    start = data.index(b"\xff\xee")
    (tmp_path / "a.jpg").write_bytes(
        data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
    )
    assert read_photo(tmp_path / "a.jpg").pixels[0, 0].tolist() == [
        255,
        0,
        0,
    ]  # as browsers, libvips and ImageMagick have it


# The choice of format and depth


def test_format_for() -> None:
    assert format_for("a.JPG") == format_for("a.x", "jpg") == format_for("a", "JPEG") == "jpeg"
    assert format_for("a.tif") == format_for("a.png", "tiff") == "tiff"
    for arguments in (("a.xyz",), ("a",), ("a.png", "gif")):
        with pytest.raises(UsageError) as caught:
            format_for(*arguments)
        assert "png" in caught.value.hint


@pytest.mark.parametrize(("format", "depth"), [("jpeg", 16), ("png", 32), ("webp", 16), ("bmp", 32), ("tiff", 12)])
def test_depth_that_the_format_has_not(tmp_path: Path, format: str, depth: Any) -> None:
    with pytest.raises(UsageError):
        check_depth(format, depth)
    with pytest.raises(UsageError):
        write_photo(tmp_path / "out", Photo(np.zeros((1, 1, 3), np.uint8)), format=format, depth=depth)
    check_depth(format, "auto")
    check_depth(format, 8)


def test_quality_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_photo(tmp_path / "a.jpg", Photo(np.zeros((1, 1, 3), np.uint8)), quality=0)
