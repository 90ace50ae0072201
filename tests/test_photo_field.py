"""Photos as they come from phones, scanners, servers and editors: what is meant is read, what is lost is named."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from deblurcli import read_photo, write_photo
from deblurcli.errors import PhotoError
from deblurcli.photo.decoded import upright
from deblurcli.photo.formats.boxes import box, boxes
from deblurcli.photo.formats.gain_map import joined
from deblurcli.photo.formats.jxl_header import read_header
from deblurcli.photo.formats.photoshop import CAPTIONS as CAPTIONS_NUMBER
from deblurcli.photo.formats.photoshop import resource
from deblurcli.photo.formats.segments import segment
from deblurcli.photo.metadata import orientation as orientation_of
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import icc_profile

CODES = np.asarray(Image.fromarray(np.random.default_rng(4).integers(0, 256, (9, 12, 3), np.uint8)).resize((64, 48)))
CAPTIONS = b"\x1c\x02\x78\x00\x0bA long walk\x1c\x02\x19\x00\x03sea"
VIDEO = bytes(40) + b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(500)
MOTION_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description GCamera:MotionPhoto="1" xmp:Rating="4">'
    b'<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary"/></rdf:li>'
    b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="MotionPhoto" Item:Length="500"/></rdf:li>'
    b"</rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def jpeg(**options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(CODES).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def camera_exif(note: bytes) -> bytes:
    """An EXIF block with a maker note."""
    exif = Image.Exif()
    exif.update({0x0110: "Model 5", 0x0112: 1})
    exif.get_ifd(0x8769)[0x927C] = note
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Photo]:
    """Reads a photo from the bytes of its file."""

    def read(content: bytes, name: str = "a.jpg", **options: Any) -> Photo:
        (tmp_path / name).write_bytes(content)
        return read_photo(tmp_path / name, **options)

    return read


# ---- TIFF -----------------------------------------------------------------------------------------------------------


def test_a_thumbnail_is_not_the_photo(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(CODES[::8, ::8], photometric="rgb", subfiletype=1, description="small", metadata=None)
        tiff.write(CODES, photometric="rgb", description="the photo", metadata=None)
    photo = read_photo(tmp_path / "a.tif", strict=True)
    np.testing.assert_array_equal(photo.pixels, CODES)
    assert photo.exif and b"the photo" in photo.exif and b"small" not in photo.exif
    assert photo.warnings == ()


def test_a_mask_is_not_the_photo(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(CODES[..., 0] > 100, photometric="minisblack", subfiletype=4, metadata=None)
        tiff.write(CODES, photometric="rgb", metadata=None)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif", strict=True).pixels, CODES)


def test_a_photo_below_its_thumbnail(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(CODES[::8, ::8], photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        tiff.write(CODES, photometric="rgb", metadata=None)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, CODES)


@pytest.mark.parametrize("plain", [None, CAPTIONS[:7]])
def test_captions_where_photoshop_has_them(plain: bytes | None, tmp_path: Path) -> None:
    inside = resource(CAPTIONS_NUMBER, CAPTIONS)
    tags = [(34377, 1, len(inside), inside, True)]
    tags += [(33723, 7, len(plain), plain, True)] if plain else []
    tifffile.imwrite(tmp_path / "a.tif", CODES, photometric="rgb", extratags=tags, metadata=None)
    photo = read_photo(tmp_path / "a.tif")
    assert photo.iptc == CAPTIONS
    assert photo.warnings == ()
    write_photo(tmp_path / "b.tif", photo)
    assert read_photo(tmp_path / "b.tif").iptc == CAPTIONS


def test_tags_that_are_not_carried_are_named(tmp_path: Path) -> None:
    settings = resource(0x03F2, b"blue")  # the colour around pictures
    paths = resource(0x07D0, b"path") + settings + resource(0x0499, b"?")
    layers = b"Adobe Photoshop Document Data Block\0"
    tags = [(33550, 12, 3, (1.0, 1.0, 0.0), True), (34377, 1, len(paths), paths, True)]
    tags += [(37724, 7, len(layers), layers, True)]
    tifffile.imwrite(tmp_path / "a.tif", CODES, photometric="rgb", extratags=tags, metadata=None)
    (warning,) = read_photo(tmp_path / "a.tif").warnings
    for name in ("ModelPixelScaleTag", "Photoshop's layers", "Photoshop's paths", "other Photoshop data"):
        assert name in warning
    assert "0x" not in warning and warning.count("Photoshop") == 3


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_more(format: str) -> bytes:
    """A file of this format with one part more, which no photo has a place for."""
    data = BytesIO()
    if format == "jxl":
        data.write(imagecodecs.jpegxl_encode(CODES, usecontainer=True))
    else:
        Image.fromarray(CODES).save(data, format)
    whole = data.getvalue()
    match format:
        case "jpeg":
            return whole[:2] + segment(0xEB, b"JP\0\1credentials") + whole[2:]
        case "png":
            return whole[:33] + chunk(b"caBX", b"credentials") + whole[33:]
        case "webp":
            extended = struct.pack("<4sI10s", b"VP8X", 10, bytes(4) + struct.pack("<HBHB", 63, 0, 47, 0))
            body = b"WEBP" + extended + whole[12:] + b"C2PA\4\0\0\0cred"
            return struct.pack("<4sI", b"RIFF", len(body)) + body
        case "jxl":
            return whole + box(b"jumb", b"credentials")
        case "jpeg2000":
            return whole + box(b"jumb", b"credentials")
        case _:
            return whole + box(b"uuid", bytes(16), b"credentials")


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "jxl", "jpeg2000", "avif"])
def test_what_no_reader_takes_is_named(format: str, read: Callable[..., Photo]) -> None:
    (warning,) = read(with_more(format)).warnings
    assert warning.startswith("Some of what the file holds was dropped: Content Credentials (C2PA)")


# ---- AVIF, HEIC -----------------------------------------------------------------------------------------------------


def with_properties(file: bytes, *added: tuple[bytes, bytes]) -> bytes:
    """A HEIF file whose first item has more properties, in this order; an ``ipma`` becomes a second such table."""
    whole = [(kind, bytes(body)) for kind, body in boxes(memoryview(file))]
    meta = {kind: bytes(body) for kind, body in boxes(memoryview(dict(whole)[b"meta"])[4:])}
    before = sum(8 + len(body) for body in meta.values())
    iprp = {kind: bytes(body) for kind, body in boxes(memoryview(meta[b"iprp"]))}
    second = b"".join(box(kind, body) for kind, body in added if kind == b"ipma")
    for kind, body in added:
        if kind != b"ipma":
            number = sum(1 for _ in boxes(memoryview(iprp[b"ipco"]))) + 1
            iprp[b"ipco"] += box(kind, body)
            links = bytearray(iprp[b"ipma"])
            links[10] += 1
            links.insert(10 + links[10], 0x80 | number)
            iprp[b"ipma"] = bytes(links)
    meta[b"iprp"] = b"".join(box(kind, body) for kind, body in iprp.items()) + second
    grown = sum(8 + len(body) for body in meta.values()) - before
    places = bytearray(meta[b"iloc"])
    based = places[5] >> 4  # where offsets count from, 4 bytes for each item, or none
    for at in range(8 + (4 if based else 6), len(places), 14 + based):
        struct.pack_into(">I", places, at, struct.unpack_from(">I", places, at)[0] + grown)
    meta[b"iloc"] = bytes(places)
    changed = box(b"meta", bytes(4), *(box(kind, body) for kind, body in meta.items()))
    return b"".join(changed if kind == b"meta" else box(kind, body) for kind, body in whole)


def avif(tmp_path: Path, *added: tuple[bytes, bytes], **parts: Any) -> bytes:
    """An AVIF file of these parts whose main item has more properties."""
    write_photo(tmp_path / "plain.avif", Photo(CODES, **parts), quality=100)
    return with_properties((tmp_path / "plain.avif").read_bytes(), *added)


# 40 × 20 px, whose middle is 4 px to the left of that of the picture and 6 px below it.
APERTURE = (b"clap", struct.pack(">IIIIiIiI", 40, 1, 20, 1, -8, 2, 6, 1))
TURNS = {1: (0, None), 2: (0, 1), 3: (2, None), 4: (0, 0), 5: (1, 0), 6: (3, None), 7: (3, 0), 8: (1, None)}
"""EXIF orientation: how many right angles anticlockwise, then mirrored at which axis, as HEIF files state it."""


def turns(orientation: int) -> list[tuple[bytes, bytes]]:
    """The properties that turn a picture."""
    angle, axis = TURNS[orientation]
    return [(b"irot", bytes([angle]))] + ([] if axis is None else [(b"imir", bytes([axis]))])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_cropped_turned_and_mirrored_in_order(orientation: int, tmp_path: Path, read: Any) -> None:
    cropped = CODES[20:40, 8:48]
    photo = read(avif(tmp_path, APERTURE, *turns(orientation)), "a.avif")
    np.testing.assert_array_equal(photo.pixels, upright(cropped, orientation))
    if orientation == 8:  # in another order, it is the turned picture that is cropped
        tall = (b"clap", struct.pack(">IIIIiIiI", 20, 1, 40, 1, 6, 1, 4, 1))
        photo = read(avif(tmp_path, *turns(orientation), tall), "b.avif")
        np.testing.assert_array_equal(photo.pixels, np.rot90(cropped))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_is_cropped_turned_and_mirrored_in_order(orientation: int, read: Callable[..., Photo]) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    file = BytesIO()
    gray = np.repeat(CODES[..., :1], 3, axis=2)  # whose resolution is not halved
    heif.from_pillow(Image.fromarray(np.pad(gray, ((0, 16), (0, 0), (0, 0)), "edge"))).save(file, quality=100)
    aperture = (b"clap", struct.pack(">IIIIiIiI", 40, 1, 20, 1, -8, 2, -2, 1))
    photo = read(with_properties(file.getvalue(), aperture, *turns(orientation)), "a.heic")
    expected = upright(gray[20:40, 8:48], orientation).astype(int)
    assert photo.pixels.shape == expected.shape
    assert np.abs(photo.pixels - expected).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_and_its_xmp_agree(orientation: int, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' is not installed")
    exif = Image.Exif()
    exif[0x0112] = orientation
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % orientation
    file = heif.from_pillow(Image.fromarray(CODES))
    file.save(tmp_path / "a.heic", exif=exif.tobytes(), xmp=xmp)
    photo = read_photo(tmp_path / "a.heic")
    assert photo.xmp and b'tiff:Orientation="1"' in photo.xmp
    assert photo.exif is None or orientation_of(photo.exif) == 1


STALE = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def is_upright(photo: Photo, orientation: int) -> bool:
    """Whether the pixels are, and all statements say so."""
    assert photo.xmp
    agree = b'tiff:Orientation="1"' in photo.xmp and (photo.exif is None or orientation_of(photo.exif) == 1)
    return agree and np.array_equal(photo.pixels, upright(CODES, orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_and_its_metadata_agree(orientation: int, tmp_path: Path, read: Callable[..., Photo]) -> None:
    note = b"MAKER" + bytes(range(256))
    exif = camera_exif(note)
    photo = read(avif(tmp_path, *turns(orientation), xmp=STALE, exif=exif), "a.avif")
    assert is_upright(photo, orientation)
    assert photo.exif and photo.exif.index(note) == exif.index(note)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jxl_is_turned_by_its_header(orientation: int, read: Callable[..., Photo]) -> None:
    encoded = imagecodecs.jpegxl_encode(CODES, lossless=True, usecontainer=True)
    (stream,) = (bytes(body) for kind, body in boxes(memoryview(encoded)) if kind == b"jxlc")
    colours, fields = read_header(stream).colours[1], read_header(stream).depth[0] - 1
    end = colours + 3
    old = f"{int.from_bytes(stream[2:], 'little'):0{8 * len(stream)}b}"[::-1]
    extra = "1" + f"{orientation - 1:03b}"[::-1] + "000"
    new = old[:fields] + extra + old[fields + 1 : colours] + "1" + old[colours:end]
    packed = int(new[::-1], 2).to_bytes((len(new) + 7) // 8, "little")
    parts = [box(b"xml ", STALE), box(b"jxlc", stream[:2] + packed + stream[2 + (end + 7) // 8 :])]
    assert is_upright(read(encoded[:32] + b"".join(parts), "a.jxl"), orientation)


# ---- JPEG -----------------------------------------------------------------------------------------------------------


def test_cmyk_with_and_without_a_marker(read: Callable[..., Photo]) -> None:
    file = BytesIO()
    Image.fromarray(CODES).convert("CMYK").save(file, "JPEG", quality=95)
    marked = file.getvalue()
    start = marked.index(b"\xff\xee")
    bare = marked[:start] + marked[start + 2 + struct.unpack_from(">H", marked, start + 2)[0] :]
    assert b"Adobe" in marked and b"Adobe" not in bare
    np.testing.assert_array_equal(read(bare).pixels, read(marked, "b.jpg").pixels)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:2:0"}, {"restart_marker_blocks": 4}])
def test_only_missing_pixels_are_missed(options: dict[str, Any], read: Callable[..., Photo]) -> None:
    whole = jpeg(**options)
    pixels = read(whole).pixels
    for missing in (1, 2):
        photo = read(whole[:-missing])
        np.testing.assert_array_equal(photo.pixels, pixels)
        assert photo.warnings == ("The file has no end marker, though all of its pixels are there.",)
    for missing in (3, 4, 5, 20, 200):
        with pytest.raises(PhotoError, match="is cut short"):
            read(whole[:-missing])


def test_scans_that_are_missing_are_missed(read: Callable[..., Photo]) -> None:
    whole = jpeg(progressive=True)
    with pytest.raises(PhotoError, match="is cut short"):
        read(whole[: whole.rindex(b"\xff\xda")])


def test_a_video_is_named_whatever_the_metadata_say(read: Callable[..., Photo]) -> None:
    for content in (jpeg() + VIDEO, jpeg()[:-2] + VIDEO, jpeg(xmp=MOTION_XMP)):
        assert any("a video as well" in warning for warning in read(content).warnings)
        with pytest.raises(PhotoError, match="a video as well"):
            read(content, strict=True)
    xmp = read(jpeg(xmp=MOTION_XMP) + VIDEO).xmp
    assert xmp and b'xmp:Rating="4"' in xmp and b'"Primary"' in xmp
    assert b'MotionPhoto="1"' not in xmp and b'"MotionPhoto"' not in xmp


def test_what_is_behind_a_jpeg_is_named(read: Callable[..., Photo]) -> None:
    assert read(jpeg() + bytes(100) + b"\r\n").warnings == ()
    assert read(jpeg() + b"whatever").warnings == (
        "8 bytes after the picture were dropped: nobody knows what they are.",
    )
    heic = struct.pack(">I4s4s", 24, b"ftyp", b"heic")
    for other in (jpeg(), b"\x89PNG\r\n\x1a\n", heic, b"Samsung's" + jpeg()):
        with pytest.raises(PhotoError, match="further pictures after"):
            read(jpeg() + bytes(10) + other, strict=True)
    with pytest.raises(PhotoError, match="a video"):
        read(jpeg() + b"\x1aE\xdf\xa3webm", strict=True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_gain_maps_are_turned_along(orientation: int, tmp_path: Path, read: Callable[..., Photo]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    said = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" hdrgm:GainMapMax="2.5"/>http://ns.adobe.com/hdr-gain-map/1.0/'
    blocky = np.kron(np.arange(10, 250, 20, dtype=np.uint8).reshape(3, 4), np.ones((8, 8), np.uint8))
    gain_map = BytesIO()
    Image.fromarray(blocky).save(gain_map, "JPEG", quality=100, xmp=said)
    xmp = MOTION_XMP.replace(b"MotionPhoto", b"GainMap").replace(b'"500"', b'"%d"' % len(gain_map.getvalue()))
    photo = read(joined(jpeg(exif=exif, xmp=xmp), gain_map.getvalue()))
    assert photo.gain_map and photo.xmp and photo.warnings == ()
    pixels = np.asarray(Image.open(BytesIO(photo.gain_map))).astype(int)
    assert np.abs(pixels - upright(blocky, orientation)).max() < 4
    assert said in photo.gain_map and b'Item:Length="%d"' % len(photo.gain_map) in photo.xmp
    write_photo(tmp_path / "b.jpg", photo)
    assert read_photo(tmp_path / "b.jpg").gain_map == photo.gain_map


def test_a_gain_map_that_is_gone_is_not_promised(tmp_path: Path) -> None:
    xmp = MOTION_XMP.replace(b"MotionPhoto", b"GainMap")
    xmp = xmp.replace(b"<rdf:Description ", b'<rdf:Description hdrgm:Version="1" ')
    photo = Photo(CODES, xmp=xmp, gain_map=jpeg())
    (warning,) = write_photo(tmp_path / "a.png", photo)
    assert "gain map" in warning
    kept = read_photo(tmp_path / "a.png").xmp
    assert kept and b"hdrgm" not in kept and b'"GainMap"' not in kept and b'xmp:Rating="4"' in kept


# ---- what is not supported is not damaged ---------------------------------------------------------------------------


def test_what_is_not_supported_is_not_called_damaged(tmp_path: Path, read: Callable[..., Photo]) -> None:
    plain = jpeg()
    frame = plain.index(b"\xff\xc0")
    cases = {
        "a.jpg": (plain[: frame + 4] + b"\x0c" + plain[frame + 5 :], "12 bits per channel"),
        "b.jpg": (bytes(imagecodecs.jpegls_encode(CODES)), "JPEG-LS"),
        "e.jpg": (plain[: frame + 1] + b"\xc3" + plain[frame + 2 :], "lossless"),
        "c.jxr": (bytes(imagecodecs.jpegxr_encode(CODES)), "JPEG XR"),
        "d.avif": (avif(tmp_path, (b"ipma", bytes(8))), "property tables"),
    }
    for name, (content, words) in cases.items():
        with pytest.raises(PhotoError, match="not supported") as caught:
            read(content, name)
        assert words in str(caught.value) and "damaged" not in str(caught.value)
        assert caught.value.hint


# ---- PNG ------------------------------------------------------------------------------------------------------------


def test_numbers_of_colours_rank_above_the_profile(tmp_path: Path, read: Callable[..., Photo]) -> None:
    plain = imagecodecs.png_encode(CODES)
    profile = chunk(b"iCCP", b"p3\0\0" + zlib.compress(icc_profile("p3")))

    def with_numbers(*numbers: int) -> Photo:
        return read(plain[:33] + chunk(b"cICP", bytes(numbers)) + profile + plain[33:], "a.png")

    photo = with_numbers(9, 16, 0, 1)
    assert (photo.cicp, photo.icc) == ((9, 16), None)
    write_photo(tmp_path / "b.png", photo)
    assert read_photo(tmp_path / "b.png").cicp == (9, 16)
    assert with_numbers(1, 13, 0, 1).icc is None  # sRGB
    assert with_numbers(2, 2, 0, 1).icc == icc_profile("p3")  # says nothing


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_narrow_range_becomes_full_and_says_so(dtype: Any, channels: int, tmp_path: Path, read: Any) -> None:
    step = np.iinfo(dtype).max // 255 - (dtype == np.uint16)  # 1 or 256
    codes = np.full((4, 4, channels), 77 * step, dtype)
    codes[0, :, : channels - (channels != 3)] = [[16 * step], [235 * step], [126 * step], [250 * step]]
    plain = imagecodecs.png_encode(codes)
    photo = read(plain[:33] + chunk(b"cICP", bytes([9, 16, 0, 0])) + plain[33:], "a.png")
    np.testing.assert_allclose(photo.picture[0, :, 0], [0, 1, 110 / 219, 1], atol=0.003)
    assert photo.alpha is None or np.all(photo.alpha == 77 * step)
    assert "narrow range" in photo.warnings[0]
    write_photo(tmp_path / "b.png", photo)
    assert chunk(b"cICP", bytes([9, 16, 0, 1])) in (tmp_path / "b.png").read_bytes()
    assert read_photo(tmp_path / "b.png").warnings == ()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_avif_of_narrow_range_becomes_full_and_says_so(mode: str, tmp_path: Path, read: Any) -> None:
    codes = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    file = BytesIO()
    Image.fromarray(codes).convert(mode).save(file, "AVIF", quality=100, range="limited", subsampling="4:4:4")
    at = file.getvalue().index(b"nclx") + 10
    assert file.getvalue()[at] == 0
    photo = read(file.getvalue(), "a.avif")
    assert np.abs(photo.pixels[..., 0].astype(int) - codes).max() <= 1
    write_photo(tmp_path / "b.avif", photo, quality=100)
    written = (tmp_path / "b.avif").read_bytes()
    assert written[written.index(b"nclx") + 10] == 0x80
    np.testing.assert_array_equal(read_photo(tmp_path / "b.avif").pixels, photo.pixels)


def interlaced(samples: np.ndarray) -> bytes:
    """A PNG file in seven passes."""
    height, width = samples.shape[:2]
    depth, channels = samples.dtype.itemsize * 8, samples.shape[2]
    rows = b""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    for left, top, across, down in passes:
        for row in samples[top::down, left::across]:
            rows += b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() if len(row) else b""
    header = struct.pack(">IIBBBBB", width, height, depth, {3: 2, 4: 6}[channels], 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (5, 3), (48, 64)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_interlaced_files_are_read_in_silence(
    size: tuple[int, int], dtype: Any, read: Callable[..., Photo], capfd: pytest.CaptureFixture[str]
) -> None:
    samples = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (*size, 3), dtype)
    np.testing.assert_array_equal(read(interlaced(samples), "a.png").pixels, samples)
    assert capfd.readouterr() == ("", "")
