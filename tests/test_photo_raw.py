"""Camera raw files: the light as it was, in the colour space asked for, upright, with what the camera noted."""

from __future__ import annotations

from io import BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bayer import MAKER_NOTE, middles, patches, write_dng
from PIL import Image, ImageCms

from deblurcli.errors import PhotoError, UsageError
from deblurcli.photo import metadata
from deblurcli.photo.decode import read_photo
from deblurcli.photo.decoded import Decoded
from deblurcli.photo.encode import write_photo
from deblurcli.photo.formats import ifd, raw
from deblurcli.photo.formats.boxes import box
from deblurcli.photo.formats.raw import RawSettings
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import SPACES, icc_profile
from deblurcli.photo.raw_look import luminance_of_preview
from deblurcli.photo.transfer import linear_to_srgb

SHARED = Path(__file__).parents[2] / "shared" / "photos" / "files"

# As published: IEC 61966-2-1 (as the ICC's sRGB profiles have it), Apple's Display P3, Adobe RGB (1998) Color Image
# Encoding 4.3.6.1 and Kodak's ProPhoto profile: XYZ of red, green and blue under D50.
COLORANTS = {
    "srgb": [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)],
    "p3": [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)],
    "adobe": [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)],
    "prophoto": [(0.79767, 0.28804, 0.00000), (0.13519, 0.71188, 0.00000), (0.03134, 0.00008, 0.82489)],
}


@pytest.fixture(scope="module")
def dng(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "a.dng"
    write_dng(path, patches())
    return path


def developed(path: Path, look: Any = "neutral", **settings: Any) -> Photo:
    return read_photo(path, raw=RawSettings(look, **settings))


def lab(photo: Photo) -> np.ndarray:
    """The middles of the patches as LittleCMS sees them through the profile, (4, 6, 3) Lab."""
    codes = np.ascontiguousarray(middles(photo.pixels) >> 8).astype(np.uint8)
    source = ImageCms.ImageCmsProfile(BytesIO(photo.icc or b""))
    to_lab = ImageCms.buildTransform(
        source, ImageCms.createProfile("LAB"), "RGB", "LAB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    image = ImageCms.applyTransform(Image.fromarray(codes), to_lab)
    assert image is not None
    coded = np.asarray(image).astype(np.float64)
    return np.dstack([coded[..., 0] / 2.55, coded[..., 1:].astype(np.uint8).astype(np.int8)])


# Profiles


@pytest.mark.parametrize("space", SPACES)
def test_profiles_have_the_published_primaries(space: str) -> None:
    profile: Any = ImageCms.ImageCmsProfile(BytesIO(icc_profile(space))).profile
    found = [profile.red_colorant[0], profile.green_colorant[0], profile.blue_colorant[0]]
    np.testing.assert_allclose(found, COLORANTS[space], atol=5e-4)
    assert profile.profile_description == SPACES[space].title
    assert icc_profile(space) == icc_profile(space)


def test_profile_of_srgb_is_that_of_littlecms() -> None:
    ours = ImageCms.ImageCmsProfile(BytesIO(icc_profile("srgb")))
    theirs = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    codes = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    back = ImageCms.profileToProfile(Image.fromarray(codes), ours, theirs)
    assert np.abs(np.asarray(back).astype(int) - codes).max() <= 1


# Pixels


def test_light_is_developed_as_it_was(dng: Path) -> None:
    photo = developed(dng)
    assert (photo.format, photo.pixels.dtype, photo.warnings) == ("raw", np.uint16, ())
    expected = linear_to_srgb(middles(patches()))
    np.testing.assert_allclose(middles(photo.picture), expected, atol=0.004)


@pytest.mark.parametrize("space", sorted(SPACES.keys() - {"srgb"}))
def test_colours_are_the_same_in_every_space(dng: Path, space: str) -> None:
    difference = np.linalg.norm(lab(developed(dng, space=space)) - lab(developed(dng)), axis=-1)
    assert difference.max() < 2.5  # both were rounded to 8 bits, and to whole steps of Lab
    assert difference.mean() < 0.8


def test_exposure_is_in_stops(dng: Path, tmp_path: Path) -> None:
    write_dng(tmp_path / "dark.dng", patches() * 0.9, exposure=2)
    lighter = developed(tmp_path / "dark.dng", exposure=2)
    write_dng(tmp_path / "light.dng", patches() * 0.9)
    np.testing.assert_allclose(middles(lighter.picture), middles(developed(tmp_path / "light.dng").picture), atol=0.004)


def test_nothing_is_brightened_by_itself(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", patches() * 0.1)
    np.testing.assert_allclose(
        middles(developed(tmp_path / "a.dng").picture), linear_to_srgb(middles(patches()) * 0.1), atol=0.004
    )


def test_white_balance(dng: Path) -> None:
    # Daylight is what ColorMatrix says of D65, and that it sees as sRGB: there, no channel is scaled.
    daylight = middles(developed(dng, white_balance="daylight").picture)
    assert daylight[0, 1, 1] > daylight[0, 1, 2] > daylight[0, 1, 0]
    as_shot, auto = (middles(developed(dng, white_balance=b).picture) for b in ("camera", "auto"))
    assert np.ptp(as_shot[0], axis=-1).max() < 0.002
    assert np.abs(auto - as_shot).max() > 0.002


def test_highlights(tmp_path: Path) -> None:
    light = np.broadcast_to(np.array([0.95, 0.7, 1.6]), (64, 96, 3)).copy()  # blue is beyond what the sensor holds
    write_dng(tmp_path / "a.dng", light * 1.4)
    seen = {kind: developed(tmp_path / "a.dng", highlights=kind).picture[32, 48] for kind in ("clip", "blend")}
    assert seen["clip"].max() == 1
    assert seen["blend"][2] < 1
    assert (developed(tmp_path / "a.dng", highlights="rebuild").picture[32, 48] < 1).any()


def test_half_size(dng: Path) -> None:
    half = developed(dng, half=True)
    assert half.pixels.shape == (32, 48, 3)
    np.testing.assert_allclose(middles(half.picture, 8), linear_to_srgb(middles(patches())), atol=0.004)
    assert half.exif is not None and exif_numbers(half.exif)[0xA002] == 48


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_upright_and_only_once(tmp_path: Path, orientation: int) -> None:
    write_dng(tmp_path / "a.dng", patches(), orientation=orientation)
    photo = developed(tmp_path / "a.dng")
    turned = np.rot90(linear_to_srgb(middles(patches())), {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    side = 16
    offsets = slice(side // 2, None, side)
    np.testing.assert_allclose(photo.picture[offsets, offsets], turned, atol=0.02)
    assert photo.exif is not None and metadata.orientation(photo.exif) == 1
    assert exif_numbers(photo.exif)[0xA002] == photo.pixels.shape[1]
    write_photo(tmp_path / "b.tif", photo)
    assert read_photo(tmp_path / "b.tif").pixels.shape == photo.pixels.shape


# As light as the camera's own picture


def scene() -> np.ndarray:
    """(96, 144, 3) linear light with soft transitions, white among it."""
    rng = np.random.default_rng(4)
    coarse = rng.uniform(0, 1, (13, 19, 3)) ** 2.5
    coarse[:2, :2] = 1
    fine = np.kron(coarse, np.ones((8, 8, 1)))
    return np.mean([np.roll(fine, (i, j), (0, 1)) for i in range(8) for j in range(8)], 0)[4:100, 4:148]


def shot(path: Path, gain: float, contrast: float) -> np.ndarray:
    """Writes a raw file whose camera made its own picture by a curve of its own; returns that, (H, W, 3) in [0, 1]."""
    light = scene()
    own = linear_to_srgb(1 - (1 - light) ** gain) ** contrast
    write_dng(path, light, preview=np.rint(255 * own[::2, ::2]).astype(np.uint8))
    return own


@pytest.mark.parametrize(("gain", "contrast"), [(1.0, 1.0), (2.5, 1.0), (4.0, 1.3), (0.8, 0.9)])
def test_as_light_as_the_preview(tmp_path: Path, gain: float, contrast: float) -> None:
    own = shot(tmp_path / "a.dng", gain, contrast)
    photo = developed(tmp_path / "a.dng", look="camera")
    assert photo.pixels.dtype == np.uint16 and photo.warnings == ()
    shares = (10, 30, 50, 70, 90)
    np.testing.assert_allclose(np.percentile(photo.picture, shares), np.percentile(own, shares), atol=0.045)
    neutral = developed(tmp_path / "a.dng")
    assert ((photo.pixels == 65535) <= (neutral.pixels > 65000)).all()  # nothing else has become white
    order = np.argsort(neutral.pixels, axis=None)
    assert (np.diff(photo.pixels.ravel()[order].astype(int)) >= 0).all()
    assert len(np.unique(photo.pixels)) > 0.8 * len(np.unique(neutral.pixels))  # no 8-bit step in between


@pytest.mark.parametrize("space", sorted(SPACES.keys() - {"srgb"}))
def test_look_is_the_same_in_every_space(tmp_path: Path, space: str) -> None:
    gray = np.kron(np.linspace(0, 1, 24).reshape(4, 6, 1) * np.ones(3), np.ones((16, 16, 1)))
    write_dng(tmp_path / "a.dng", gray, preview=np.rint(255 * linear_to_srgb(gray) ** 0.7).astype(np.uint8))
    wide, narrow = (lab(developed(tmp_path / "a.dng", look="camera", space=s)) for s in (space, "srgb"))
    assert np.abs(wide - narrow).max() < 2.1  # both were rounded to 8 bits, and to whole steps of Lab


def test_exposure_spares_the_lights(tmp_path: Path) -> None:
    shot(tmp_path / "a.dng", 2.0, 1.0)
    usual, lighter = (developed(tmp_path / "a.dng", look="camera", exposure=stops) for stops in (0, 1))
    assert np.median(lighter.picture) > 1.15 * np.median(usual.picture)
    assert (lighter.pixels > 65500).mean() < (usual.pixels > 65000).mean() + 0.01
    assert (developed(tmp_path / "a.dng", exposure=1).pixels == 65535).mean() > (lighter.pixels == 65535).mean()


def test_without_a_preview(dng: Path, tmp_path: Path) -> None:
    usual = developed(dng, look="camera")
    assert np.median(usual.picture) > 1.1 * np.median(developed(dng).picture)
    assert any("no preview" in warning for warning in usual.warnings)
    write_dng(tmp_path / "a.dng", patches(), baseline=(1, 1))
    assert np.median(developed(tmp_path / "a.dng", look="camera").picture) > 1.1 * np.median(usual.picture)
    write_dng(tmp_path / "b.dng", patches(), baseline=(0, 0))
    np.testing.assert_array_equal(developed(tmp_path / "b.dng", look="camera").pixels, usual.pixels)


@pytest.mark.parametrize("level", [0, 255])
def test_previews_that_say_nothing(tmp_path: Path, level: int) -> None:
    write_dng(tmp_path / "a.dng", patches(), preview=np.full((64, 96, 3), level, np.uint8))
    write_dng(tmp_path / "b.dng", patches())
    one, other = (developed(tmp_path / name, look="camera") for name in ("a.dng", "b.dng"))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert luminance_of_preview(b"no picture") is None


@pytest.mark.parametrize("area", [None, (2, 4, 62, 96)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_only_what_is_to_be_shown(tmp_path: Path, area: tuple[int, int, int, int] | None, orientation: int) -> None:
    """As the DNG specification has DefaultCropOrigin and DefaultCropSize, which count from the active area."""
    left, top = (area[1], area[0]) if area else (0, 0)
    write_dng(tmp_path / "a.dng", patches(), orientation=orientation, area=area, crop=(16 - left, 4 - top, 72, 56))
    write_dng(tmp_path / "whole.dng", patches())
    shown = developed(tmp_path / "whole.dng").picture[4:60, 16:88]
    shown = np.rot90(shown, -1) if orientation == 6 else shown
    photo = developed(tmp_path / "a.dng")
    np.testing.assert_allclose(photo.picture[6:-6, 6:-6], shown[6:-6, 6:-6], atol=0.01)
    assert photo.exif is not None and exif_numbers(photo.exif)[0xA002] == photo.pixels.shape[1]
    assert developed(tmp_path / "a.dng", half=True).pixels.shape[:2] == tuple(side // 2 for side in shown.shape[:2])


def test_a_crop_that_is_nonsense_is_ignored(tmp_path: Path) -> None:
    write_dng(tmp_path / "a.dng", patches(), crop=(40, 4, 80, 48))
    assert developed(tmp_path / "a.dng").pixels.shape == (64, 96, 3)


# Metadata


def exif_numbers(exif: bytes) -> dict[int, int]:
    """The EXIF IFD's fields that hold one number."""
    header = ifd.read_header(exif)
    tree = ifd.read_tree(exif, header)[ifd.EXIF_IFD]
    assert isinstance(tree, dict)
    kinds = {ifd.SHORT: "H", ifd.LONG: "I"}
    fields = {tag: f for tag, f in tree.items() if not isinstance(f, dict) and f.type in kinds and f.number == 1}
    return {tag: header.unpack(kinds[f.type], f.data, 0)[0] for tag, f in fields.items()}


@pytest.mark.parametrize(("space", "number"), [("srgb", 1), ("prophoto", 0xFFFF)])
@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
def test_what_the_camera_noted_comes_along(dng: Path, tmp_path: Path, space: str, number: int, suffix: str) -> None:
    write_photo(tmp_path / f"a.{suffix}", developed(dng, space=space))
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert photo.icc == icc_profile(space)
    assert photo.exif is not None
    assert MAKER_NOTE in photo.exif
    assert exif_numbers(photo.exif) == {0x8827: 400, 0xA001: number, 0xA002: 96, 0xA003: 64}
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert image.getexif()[272] == "Model 5"


# What cannot be developed


def test_dng_by_another_name(dng: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(dng.read_bytes())
    assert read_photo(tmp_path / "a.tif").format == "raw"


def test_limit_on_pixels(dng: Path) -> None:
    with pytest.raises(PhotoError, match="96 × 64 pixels"):
        read_photo(dng, max_pixels=96 * 64 - 1)


@pytest.mark.parametrize("rest", [0.9, 0.5, 0.1, 0.01])
def test_cut_short(dng: Path, tmp_path: Path, rest: float) -> None:
    whole = dng.read_bytes()
    (tmp_path / "a.dng").write_bytes(whole[: int(len(whole) * rest)])
    with pytest.raises(PhotoError, match="raw") as caught:
        read_photo(tmp_path / "a.dng")
    assert caught.value.hint


@pytest.mark.skipif(not SHARED.is_dir(), reason="the raw files are not here")
def test_real_raw_files() -> None:
    photo = read_photo(SHARED / "raw" / "colorchart.dng")
    assert photo.pixels.shape == (1156, 1734, 3)
    assert photo.exif is not None
    corrupt = sorted((SHARED / "raw_corrupt").iterdir())
    assert corrupt
    for path in corrupt:
        with pytest.raises(PhotoError, match="damaged or cut short") as caught:
            read_photo(path)
        assert str(path) in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [{"look": "film"}, {"space": "cmyk"}, {"white_balance": "green"}, {"highlights": "none"}, {"exposure": 9.0}],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        RawSettings(**wrong)


# Where makers put the EXIF data. (LibRaw reads no pixels here: there is no raw file of these kinds that is ours.)


def ascii_field(text: str) -> ifd.Field:
    return ifd.Field(ifd.ASCII, len(text) + 1, text.encode() + b"\0")


def test_exif_of_canon_boxes(tmp_path: Path) -> None:
    parts: dict[bytes, ifd.Tree] = {
        b"CMT1": {0x010F: ascii_field("Canon"), 0x0100: ifd.Field(ifd.SHORT, 1, b"\1\0")},
        b"CMT2": {0x9003: ascii_field("2024:05:06 07:08:09")},
        b"CMT3": {0x0001: ascii_field("secrets of the maker")},
        b"CMT4": {0x0001: ascii_field("N")},
    }
    content = b"".join(box(kind, ifd.write_block(tree, "<")) for kind, tree in parts.items())
    moov = box(b"moov", box(b"uuid", raw.CANON_CR3, content))
    (tmp_path / "a.cr3").write_bytes(box(b"ftyp", b"crx \0\0\0\1crx isom") + moov)
    decoded = Decoded("raw", np.empty(0), lost=())
    with (tmp_path / "a.cr3").open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        lost = raw._read_metadata(data, b"", decoded)
    assert decoded.exif is not None
    parsed = Image.Exif()
    parsed.load(b"Exif\0\0" + decoded.exif)
    assert parsed[0x010F] == "Canon" and 0x0100 not in parsed
    assert parsed.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert parsed.get_ifd(0x8825)[1] == "N"
    assert lost == ["Canon's maker notes"]


@pytest.mark.parametrize("mark", [b"IIRO", b"IIRS", b"IIU\0"])
def test_exif_of_files_that_are_nearly_tiff(dng: Path, tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "a.orf").write_bytes(mark + dng.read_bytes()[4:])
    decoded = Decoded("raw", np.empty(0), lost=())
    with (tmp_path / "a.orf").open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        raw._read_metadata(data, b"", decoded)
    assert decoded.exif is not None and MAKER_NOTE in decoded.exif


def test_exif_of_the_preview(tmp_path: Path) -> None:
    preview = BytesIO()
    Image.new("RGB", (8, 8)).save(
        preview, "JPEG", exif=b"Exif\0\0" + ifd.write_block({0x010F: ascii_field("Fuji")}, ">")
    )
    (tmp_path / "a.raf").write_bytes(b"FUJIFILMCCD-RAW " + bytes(200))
    decoded = Decoded("raw", np.empty(0), lost=())
    with (tmp_path / "a.raf").open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        raw._read_metadata(data, preview.getvalue(), decoded)
    assert decoded.exif is not None and b"Fuji" in decoded.exif
