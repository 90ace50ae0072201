"""What is beside the pixels survives: orientation, colour profile, EXIF, XMP, resolution, a note on what was done."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from deblurcli.photo import metadata
from deblurcli.photo.decode import read_photo
from deblurcli.photo.encode import write_photo
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import SPACES, Space, icc_profile, profile_of

MAKER_NOTE = bytes(np.random.default_rng(1).integers(0, 256, 999, dtype=np.uint8))
WITH_METADATA = ["jpeg", "png", "tiff", "webp", "avif"]
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" '
    b'dc:title="Gr\xc3\xbc\xc3\x9fe"/></x:xmpmeta><?xpacket end="w"?>'
)
UPRIGHT = XMP.replace(b'="6"', b'="1"')
SHARED = Path(__file__).parents[2] / "shared" / "photos" / "files"


def camera_exif(endian: str = "<", orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    """An EXIF block such as a camera writes, built by Pillow, with its thumbnail IFD put behind it."""
    exif = Image.Exif()
    exif.endian = endian
    exif.update(
        {0x010F: "Make", 0x0110: "Model 5", 0x0112: orientation, 0x0131: "Ver.1.0", 0x0132: "2024:05:06 07:08:09"}
    )
    exif.update({0x013B: "Zoë", 0x8298: "© me", 0x011A: 300.0, 0x011B: 150.0, 0x0128: 2})
    exif.get_ifd(0x8769).update({0x829A: 0.004, 0x9003: "2024:05:06 07:08:09", 0x927C: MAKER_NOTE})
    exif.get_ifd(0x8769).update({0xA002: 40, 0xA003: 24})
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 1.5), 3: "E", 4: (8.0, 32.0, 0.0)})
    block = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
    if thumbnail:
        block += bytes(len(block) % 2)
        (start,) = struct.unpack_from(endian + "I", block, 4)
        (number,) = struct.unpack_from(endian + "H", block, start)
        struct.pack_into(endian + "I", block, start + 2 + 12 * number, len(block))
        place = len(block) + 2 + 2 * 12 + 4
        block += struct.pack(endian + "HHHIIHHIII", 2, 0x0201, 4, 1, place, 0x0202, 4, 1, len(thumbnail), 0) + thumbnail
    return bytes(block)


def tags(exif: bytes | None) -> dict[Any, Any]:
    """All fields of a block as Pillow reads them, without the pointers."""
    assert exif is not None
    parsed = Image.Exif()
    parsed.load(b"Exif\0\0" + exif)
    found = {tag: value for tag, value in parsed.items() if tag not in (0x8769, 0x8825)}
    for ifd in (0x8769, 0x8825):
        found |= {(ifd, tag): value for tag, value in parsed.get_ifd(ifd).items()}
    return found


def picture(height: int = 24, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Orientation

_TURN = Image.Transpose
TRANSPOSES = {
    1: None,
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_90,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "jpg"])
def test_pixels_and_metadata_come_out_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    blocky = np.kron(picture(3, 5), np.ones((8, 8, 1), np.uint8))  # that JPEG keeps it
    image = Image.fromarray(blocky)
    how = TRANSPOSES[orientation]
    expected = np.asarray(image if how is None else image.transpose(how))
    exif = camera_exif(">", orientation)
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    options: dict[str, dict[str, Any]] = {
        "png": {"pnginfo": text},
        "jpg": {"quality": 100, "subsampling": 0, "xmp": XMP},
        "webp": {"lossless": True, "xmp": XMP},
    }
    if suffix == "tif":
        tifffile.imwrite(tmp_path / "a.tif", blocky, extratags=[(274, 3, 1, orientation, True)], metadata=None)
    else:
        image.save(tmp_path / f"a.{suffix}", exif=b"Exif\0\0" + exif, dpi=(300, 150), **options[suffix])
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert np.abs(photo.pixels.astype(int) - expected).max() <= (3 if suffix == "jpg" else 0)
    if suffix == "tif":
        return
    turned = orientation >= 5
    assert photo.exif is not None
    assert photo.dpi == pytest.approx((150, 300) if turned else (300, 150), abs=0.02)
    assert photo.xmp == UPRIGHT  # EXIF's word counts, which may be another
    expected_tags = tags(exif) | {0x0112: 1}
    if turned:
        expected_tags |= {0x011A: 150, 0x011B: 300, (0x8769, 0xA002): 24, (0x8769, 0xA003): 40}
    assert tags(photo.exif) == expected_tags
    write_photo(tmp_path / f"b.{suffix}", photo, quality=100)
    again = read_photo(tmp_path / f"b.{suffix}")
    assert again.exif == photo.exif
    assert again.pixels.shape == photo.pixels.shape


@pytest.mark.skipif(not SHARED.is_dir(), reason="the set of oriented photos is not here")
@pytest.mark.parametrize("kind", ["Landscape", "Portrait"])
def test_oriented_photos_all_look_the_same(kind: str) -> None:
    first = read_photo(SHARED / "orientation" / f"{kind}_1.jpg").pixels[::8, ::8].astype(int)
    for orientation in range(2, 9):
        other = read_photo(SHARED / "orientation" / f"{kind}_{orientation}.jpg").pixels[::8, ::8]
        assert np.abs(first - other).mean() < 12


def test_nothing_in_the_block_moves_and_the_thumbnail_goes() -> None:
    thumbnail = b"\xff\xd8" + bytes(500) + b"\xff\xd9"
    for endian in "<>":
        exif = camera_exif(endian, 6, thumbnail)
        upright = metadata.make_upright(exif)
        assert thumbnail not in upright
        assert upright.index(MAKER_NOTE) == exif.index(MAKER_NOTE)
        assert metadata.with_software(upright, "deblur").index(MAKER_NOTE) == exif.index(MAKER_NOTE)
        followed = exif + b"other data"
        assert len(metadata.make_upright(followed)) == len(followed)


# Round trips


@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("first", WITH_METADATA)
@pytest.mark.parametrize("second", WITH_METADATA)
def test_everything_survives_two_round_trips(tmp_path: Path, first: str, second: str, endian: str) -> None:
    icc = bytes(np.random.default_rng(2).integers(0, 256, 150_000, dtype=np.uint8))  # three segments of JPEG
    exif = metadata.make_upright(camera_exif(endian))
    photo = Photo(picture(), icc=icc, exif=exif, xmp=UPRIGHT, dpi=(300.0, 150.0))
    for format in (first, second):
        assert write_photo(tmp_path / "a", photo, format=format) == ()
        photo = read_photo(tmp_path / "a")
        assert photo.warnings == ()
        assert photo.icc == icc
        assert photo.xmp == UPRIGHT
        assert photo.dpi == pytest.approx((300, 150), abs=0.02)
        found, expected = tags(photo.exif), tags(exif)
        if "tiff" in (first, second):  # states resolution and orientation in fields of its own
            for tag in (0x011A, 0x011B, 0x0128, 0x0112):
                expected.pop(tag)
                found.pop(tag, None)
        else:
            assert photo.exif == exif
        assert found == expected
        assert found[0x8769, 0x927C] == MAKER_NOTE
        assert photo.exif is not None and photo.exif.index(MAKER_NOTE) == exif.index(MAKER_NOTE)


@pytest.mark.parametrize("format", WITH_METADATA)
def test_other_programs_see_the_metadata(tmp_path: Path, format: str) -> None:
    photo = Photo(picture(), icc=b"profile" * 30, exif=camera_exif(), xmp=XMP, dpi=(300.0, 150.0))
    write_photo(tmp_path / "a", photo, format=format, description="deblur 1.2")
    with Image.open(tmp_path / "a") as image:
        image.load()
        exif = image.getexif()
        assert exif[0x0131].rstrip("\0").startswith("deblur 1.2")
        assert exif[0x010F] == "Make"
        assert exif.get_ifd(0x8769)[0x927C] == MAKER_NOTE
        assert exif.get_ifd(0x8825)[2] == (47, 22, 1.5)
        assert image.info["icc_profile"] == photo.icc
        assert image.info["xmp"] == XMP
        if format == "png":
            assert image.info["Software"] == "deblur 1.2"
        if format == "tiff":
            assert image.size == (40, 24)


def test_exif_of_a_tiff_by_pillow(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.update({0x010F: "Make", 0x0110: "Model", 0x8769: {0x927C: MAKER_NOTE}, 0x8825: {1: "N"}})
    Image.fromarray(picture()).save(tmp_path / "a.tif", exif=exif.tobytes(), dpi=(10, 20))
    photo = read_photo(tmp_path / "a.tif")
    assert tags(photo.exif) == {0x010F: "Make", 0x0110: "Model", (0x8769, 0x927C): MAKER_NOTE, (0x8825, 1): "N"}
    assert photo.dpi == (10, 20)


def test_exif_of_a_bigtiff(tmp_path: Path) -> None:
    extra = [(0x010F, 2, 0, "Maker of cameras", True)]
    tifffile.imwrite(tmp_path / "a.tif", picture(), bigtiff=True, software="s", metadata=None, extratags=extra)
    assert tags(read_photo(tmp_path / "a.tif").exif) == {0x010F: "Maker of cameras", 0x0131: "s"}


def test_tiff_that_says_nothing_has_no_exif(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", picture(), software=False)  # with a description for tifffile's own use
    photo = read_photo(tmp_path / "a.tif")
    assert photo.exif is None
    assert photo.dpi is None


@pytest.mark.parametrize("format", ["jpeg", "tiff", "webp"])
def test_no_metadata_stays_none(tmp_path: Path, format: str) -> None:
    write_photo(tmp_path / "a", Photo(picture()), format=format)
    photo = read_photo(tmp_path / "a")
    assert (photo.icc, photo.exif, photo.xmp, photo.dpi) == (None,) * 4


def test_bmp_keeps_the_resolution_and_tells_what_is_lost(tmp_path: Path) -> None:
    photo = Photo(picture(), icc=b"profile", exif=camera_exif(), xmp=XMP, dpi=(300.0, 150.0))
    (warning,) = write_photo(tmp_path / "a.bmp", photo, description="deblur")
    assert warning == "BMP cannot hold these, so they were dropped: colour profile, EXIF data, XMP data."
    assert read_photo(tmp_path / "a.bmp").dpi == pytest.approx((300, 150), abs=0.02)
    write_photo(tmp_path / "a.bmp", Photo(picture()))
    assert read_photo(tmp_path / "a.bmp").dpi is None


def test_what_is_too_large_for_jpeg_is_told(tmp_path: Path) -> None:
    huge = Photo(picture(), exif=camera_exif() + bytes(70_000), xmp=b"x" * 70_000)
    first, second = write_photo(tmp_path / "a.jpg", huge, description="deblur")
    assert "EXIF" in first
    assert "XMP" in second
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.exif is not None and metadata.software(photo.exif) == "deblur"
    assert write_photo(tmp_path / "a.png", huge) == ()
    assert read_photo(tmp_path / "a.png").xmp == huge.xmp


def test_gray_profile_is_not_put_into_a_colour_file(tmp_path: Path) -> None:
    gray = Photo(np.repeat(picture()[..., :1], 3, axis=2), gray=True, icc=bytes(16) + b"GRAY" + bytes(108))
    assert "profile" in write_photo(tmp_path / "a.webp", gray)[0]
    assert read_photo(tmp_path / "a.webp").icc is None
    assert write_photo(tmp_path / "a.png", gray) == ()
    assert read_photo(tmp_path / "a.png").icc == gray.icc


# The note on what was done


@pytest.mark.parametrize("format", WITH_METADATA)
@pytest.mark.parametrize("exif", [None, camera_exif(), camera_exif(">"), Image.Exif().tobytes()[6:]])
def test_description_is_read_back(tmp_path: Path, format: str, exif: bytes | None) -> None:
    done = "deblur 0.1.0, network iniknet-fast, weights synth_v3, amount ½"
    photo = Photo(picture(), exif=exif)
    write_photo(tmp_path / "a", photo, format=format, description=done)
    back = read_photo(tmp_path / "a")
    assert back.exif is not None
    former = "; Ver.1.0" if exif and b"Make" in exif else ""
    assert metadata.software(back.exif) == done + former
    write_photo(tmp_path / "a", back, format=format, description="again")
    again = read_photo(tmp_path / "a").exif
    assert again is not None and metadata.software(again) == f"again; {done}{former}"
    if former:
        assert {tag: v for tag, v in tags(again).items() if tag == 0x0110 or tag == (0x8769, 0x927C)} == {
            0x0110: "Model 5",
            (0x8769, 0x927C): MAKER_NOTE,
        }


# What is odd or damaged


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"nonsense", b"II*\0", b"II*\0\xff\0\0\0", b"MM\0*\0\0\0\x08\xff\xff"])
@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
def test_damaged_exif_is_dropped_with_a_word(tmp_path: Path, exif: bytes, suffix: str) -> None:
    Image.fromarray(picture()).save(tmp_path / f"a.{suffix}", exif=b"Exif\0\0" + exif)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert photo.exif is None
    assert photo.warnings == ("The EXIF data are damaged and were dropped.",)
    broken = replace(photo, exif=exif, dpi=(72.0, 72.0), warnings=())
    assert write_photo(tmp_path / f"b.{suffix}", broken, description="deblur")[0].startswith("The EXIF data")
    assert metadata.software(read_photo(tmp_path / f"b.{suffix}").exif or b"") == "deblur"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_raises_nothing_unforeseen(data: st.DataObject) -> None:
    block = bytearray(camera_exif(data.draw(st.sampled_from("<>")), 6, b"thumbnail!"))
    for _ in range(data.draw(st.integers(1, 8))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    del block[data.draw(st.integers(0, len(block))) :]
    for change in (metadata.make_upright, metadata.resolution, metadata.exif_of_tiff):
        try:
            change(bytes(block))
        except metadata.DAMAGED:
            continue


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one black pixel with chunks put behind its header."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(bytes(4))), (b"IEND", b"")]
    coded = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


@pytest.mark.parametrize(
    ("chunk", "warning"),
    [
        ((b"gAMA", struct.pack(">I", 45455)), ""),
        ((b"cHRM", struct.pack(">8I", *[31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])), ""),
        ((b"zTXt", b"Title\0\0nonsense"), "Title"),
    ],
)
def test_png_fields_that_are_dropped_are_told(tmp_path: Path, chunk: tuple[bytes, bytes], warning: str) -> None:
    (tmp_path / "a.png").write_bytes(png_with(chunk))
    warnings = read_photo(tmp_path / "a.png").warnings
    assert warning in " ".join(warnings)
    assert bool(warnings) == bool(warning)


def test_png_texts(tmp_path: Path) -> None:
    chunks = [
        (b"tEXt", b"Title\0Sunset \xe9"),
        (b"zTXt", b"Author\0\0" + zlib.compress(b"me")),
        (b"iTXt", b"Description\0\0\0de\0\0" + "Grüße, 日本".encode()),
        (b"tEXt", b"Comment\0hello"),
        (b"tEXt", b"Software\0GIMP"),
    ]
    (tmp_path / "a.png").write_bytes(png_with(*chunks))
    photo = read_photo(tmp_path / "a.png")
    texts = [("Title", "Sunset é"), ("Author", "me"), ("Description", "Grüße, 日本")]
    assert [*photo.texts] == [*texts, ("Software", "GIMP")]
    assert photo.comment == b"hello"
    assert write_photo(tmp_path / "b.png", photo, description="deblur") == ()
    back = read_photo(tmp_path / "b.png")
    assert {*back.texts} == {*texts, ("Software", "deblur")}
    (warning,) = write_photo(tmp_path / "b.jpg", photo)
    assert "PNG texts (Title, Author, Description, Software)" in warning
    assert read_photo(tmp_path / "b.jpg").comment == b"hello"


# Captions, comments, and XMP beyond a segment

IPTC = b"\x1c\x02\x78\x00\x06Sunset\x1c\x02\x19\x00\x03sea"
EXTENSION = b"<x:xmpmeta>" + bytes(range(32, 127)) * 1000 + b"</x:xmpmeta>"


@pytest.mark.parametrize("first", ["jpeg", "tiff", "png"])
@pytest.mark.parametrize("second", ["jpeg", "tiff", "png"])
def test_captions_survive(tmp_path: Path, first: str, second: str) -> None:
    photo = Photo(picture(), iptc=IPTC)
    for format in (first, second):
        assert write_photo(tmp_path / "a", photo, format=format) == ()
        photo = read_photo(tmp_path / "a")
        assert (photo.iptc, photo.warnings) == (IPTC, ())


def test_other_programs_see_captions_and_comments(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg", Photo(picture(), iptc=IPTC, comment=b"hello"))
    for path in (tmp_path / "a.jpg",):
        with Image.open(path) as image:
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 120): b"Sunset", (2, 25): b"sea"}
            assert image.info["comment"] == b"hello"


def test_extended_xmp(tmp_path: Path) -> None:
    photo = Photo(picture(), xmp=XMP, xmp_extension=EXTENSION)
    assert write_photo(tmp_path / "a.jpg", photo) == ()
    back = read_photo(tmp_path / "a.jpg")
    assert (back.xmp, back.xmp_extension) == (XMP, EXTENSION)
    (warning,) = write_photo(tmp_path / "a.png", back)
    assert "extended part of the XMP" in warning


@pytest.mark.parametrize("format", ["webp", "avif", "jxl", "bmp"])
def test_captions_that_are_lost_are_told(tmp_path: Path, format: str) -> None:
    (warning,) = write_photo(tmp_path / "a", Photo(picture(), iptc=IPTC, comment=b"hello"), format=format)
    assert warning.endswith("cannot hold these, so they were dropped: IPTC captions, comment.")


# Privacy

GPS_XMP = (
    b'<x:xmpmeta><rdf:Description exif:GPSLatitude="47,22.025N" dc:title="a" exif:GPSMapDatum=\'W\'/>'
    b"<exif:GPSLongitude>8,32E</exif:GPSLongitude><exif:GPSAltitude rdf:x='1'/></x:xmpmeta>"
)


@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("format", [*WITH_METADATA, "jxl"])
def test_strip_gps(tmp_path: Path, format: str, endian: str) -> None:
    photo = Photo(picture(), exif=camera_exif(endian), xmp=GPS_XMP, dpi=(300.0, 150.0), iptc=None)
    write_photo(tmp_path / "a", photo, format=format, strip="gps", description="deblur")
    content = (tmp_path / "a").read_bytes()
    # 47, 22 and 1.5 as Pillow writes them
    assert struct.pack(endian + "IIII", 47, 1, 22, 1) not in content
    assert b"GPSL" not in content and b"GPSM" not in content and b"GPSA" not in content
    back = read_photo(tmp_path / "a")
    found = tags(back.exif)
    assert not [tag for tag in found if isinstance(tag, tuple) and tag[0] == 0x8825]
    assert found[0x0110] == "Model 5" and found[0x8769, 0x927C] == MAKER_NOTE
    assert back.xmp is not None and b'dc:title="a"' in back.xmp


def test_strip_all_keeps_the_colours(tmp_path: Path) -> None:
    photo = Photo(picture(), exif=camera_exif(), xmp=XMP, iptc=IPTC, comment=b"hello", icc=icc_profile("p3"))
    write_photo(tmp_path / "a.jpg", photo, strip="all", description="deblur")
    back = read_photo(tmp_path / "a.jpg")
    assert (back.xmp, back.iptc, back.comment, back.icc) == (None, None, None, icc_profile("p3"))
    assert tags(back.exif) == {0x0131: "deblur"}


def test_a_motion_photo_says_so_no_longer(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta><rdf:Description GCamera:MotionPhoto="1" GCamera:MicroVideo="1"/></x:xmpmeta>'
    Image.fromarray(picture()).save(tmp_path / "a.jpg", xmp=xmp)
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"\0\0\0\x18ftypmp42" + bytes(500))
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.xmp == xmp.replace(b'"1"', b'"0"')
    assert "video" in photo.warnings[0]


@pytest.mark.parametrize(
    ("chunk", "curve", "primaries"),
    [
        ((b"gAMA", struct.pack(">I", 100000)), (1.0,), SPACES["srgb"].primaries),
        ((b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)), None, "p3"),
        ((b"cICP", b"\x0c\x0d\0\x01"), None, "p3"),
    ],
)
def test_png_colours_become_a_profile(tmp_path: Path, chunk: tuple[bytes, bytes], curve: Any, primaries: Any) -> None:
    (tmp_path / "a.png").write_bytes(png_with(chunk))
    photo = read_photo(tmp_path / "a.png")
    assert photo.warnings == ()
    white = (0.3127, 0.3290)
    assert photo.icc == (profile_of(Space("PNG colours", primaries, white, curve)) if curve else icc_profile(primaries))


def test_compressed_xmp_of_a_png(tmp_path: Path) -> None:
    text = (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP))
    (tmp_path / "a.png").write_bytes(png_with(text))
    assert read_photo(tmp_path / "a.png").xmp == XMP


@pytest.mark.parametrize("quote", [b'tiff:Orientation="8"', b"tiff:Orientation='8'", b"<tiff:Orientation>8</"])
def test_orientation_in_xmp(quote: bytes) -> None:
    assert metadata.upright_xmp(b"<a " + quote + b" 8>") == b"<a " + quote.replace(b"8", b"1") + b" 8>"
