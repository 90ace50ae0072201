"""Photos in other curves than sRGB's: shown to the network as it was taught, and untouched where it changes nothing."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms
from test_restore import Brighter

from deblurcli.arrays import Picture
from deblurcli.backends.backend import Answer, Wanted
from deblurcli.photo.curves import Transfer, known_space, read_curves, view_of
from deblurcli.photo.photo import Photo
from deblurcli.photo.profiles import D65, SPACES, SRGB_CURVE, Space, icc_profile, profile_of
from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear
from deblurcli.restore import Deblurrer

RNG = np.random.default_rng(0)
LINEAR = profile_of(Space("linear", SPACES["srgb"].primaries, D65, (1.0,)))
DEEP = RNG.integers(0, 65536, (40, 40, 3)).astype(np.uint16)


class Still(Brighter):
    """A network that changes nothing, and remembers what it saw."""

    def run(self, picture: Picture, maps: Wanted = False, statistics: Any = ()) -> Answer:
        self.seen = picture.copy()
        return Answer(picture, super().run(picture, maps, statistics).maps)


def photos() -> dict[str, Photo]:
    """A photo of noise per kind of curve."""
    floats = RNG.normal(0.5, 1, (40, 40, 3)).astype(np.float32)
    floats[0, 0] = np.nan, np.inf, -np.inf
    return {
        "srgb": Photo(DEEP, icc=icc_profile("srgb")),
        "prophoto": Photo(DEEP, icc=icc_profile("prophoto")),
        "adobe": Photo(DEEP, icc=icc_profile("adobe")),
        "linear": Photo(DEEP, icc=LINEAR),
        "linear floats": Photo(floats, icc=LINEAR),
        "8 bits": Photo((DEEP >> 8).astype(np.uint8), icc=icc_profile("prophoto")),
        "PQ": Photo(DEEP, cicp=(9, 16)),
        "HLG": Photo(DEEP, cicp=(9, 18)),
        "gray": Photo(np.repeat(DEEP[..., :1], 3, axis=2), gray=True, icc=icc_profile("prophoto")),
    }


@pytest.mark.parametrize("name", photos())
def test_not_a_bit_changes_where_the_network_changes_nothing(name: str) -> None:
    photo = photos()[name]
    backend = Still()
    restored = Deblurrer(backend, "none").restore(photo).photo
    np.testing.assert_array_equal(restored.pixels, photo.pixels)
    assert backend.seen.min() >= 0 and backend.seen.max() <= 1


@pytest.mark.parametrize(
    ("photo", "transfer", "expected"),
    [
        (Photo(DEEP, icc=icc_profile("srgb")), "auto", lambda v: v),
        (Photo(DEEP, icc=icc_profile("p3")), "auto", lambda v: v),
        (Photo(DEEP, icc=icc_profile("prophoto")), "auto", lambda v: linear_to_srgb(v**1.8)),
        (Photo(DEEP, icc=icc_profile("prophoto")), "srgb", lambda v: v),
        (Photo(DEEP, icc=LINEAR), "auto", linear_to_srgb),
        (Photo(DEEP), "linear", linear_to_srgb),
        (Photo(DEEP), "auto", lambda v: v),
        (Photo(DEEP, cicp=(9, 18)), "auto", lambda v: v),
    ],
)
def test_what_the_network_sees(photo: Photo, transfer: Transfer, expected: Any) -> None:
    backend = Still()
    Deblurrer(backend, "none").restore(photo, transfer=transfer)
    np.testing.assert_allclose(backend.seen[:40, :40], expected(photo.picture.astype(np.float64)), atol=2e-4)


def test_a_change_is_carried_back_through_the_curve() -> None:
    photo = Photo(np.full((40, 40, 3), 0.2, np.float32), icc=LINEAR)
    restored = Deblurrer(Brighter(), "none").restore(photo).photo.pixels
    np.testing.assert_allclose(restored, srgb_to_linear(linear_to_srgb(np.float64(0.2)) + 0.1), rtol=1e-3)


def test_pq_beyond_what_is_shown_hardly_changes() -> None:
    codes = np.full((40, 40, 3), 60000, np.uint16)  # 5,900 cd/m²
    codes[:, 20:] = 30000

    class Darker(Brighter):
        def run(self, picture: Picture, maps: Wanted = False, statistics: Any = ()) -> Answer:
            return Answer(picture - np.float32(0.001), {})

    photo = Photo(codes, cicp=(9, 16))
    restored = Deblurrer(Darker(), "none").restore(photo, keep_bokeh="off", keep_focus=False).photo.pixels
    assert np.abs(restored.astype(int) - codes).max() < 200


def test_pq_is_shown_as_hlg() -> None:
    view = view_of(Photo(DEEP, cicp=(9, 16)))
    assert view is not None
    # ST 2084: 203 cd/m² is 58.07 %, and light of 0.203 of the peak is 69.7 % in BT.2100's HLG, before any system gamma.
    white = view.show(np.full((1, 1, 3), 0.5807, np.float32))
    np.testing.assert_allclose(white, 0.697, atol=0.002)


def test_profiles_of_others_are_read() -> None:
    theirs = {
        "sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "srgb": imagecodecs.cms_profile("srgb"),
        "adobe": imagecodecs.cms_profile("adobergb"),
    }
    for name, icc in theirs.items():
        assert known_space(icc) == SPACES[name.lower()]
    table = imagecodecs.cms_profile("rgb", transferfunction=np.linspace(0, 1, 1024, dtype=np.float32) ** 1.8)
    curves = read_curves(table)
    assert curves is not None
    np.testing.assert_allclose(curves[1], np.linspace(0, 1, len(curves[1])) ** 1.8, atol=1e-3)


@pytest.mark.parametrize("icc", [b"", bytes(200), b"nonsense" * 40, icc_profile("srgb")[:140]])
def test_damaged_profiles_are_no_curves(icc: bytes) -> None:
    assert read_curves(icc) is None
    assert view_of(Photo(DEEP, icc=icc)) is None


@pytest.mark.parametrize("name", SPACES)
def test_untouched_patches_look_the_same(name: str) -> None:
    """Through LittleCMS, as a colour-managed viewer shows them; ΔE of 1976."""
    patches = np.kron(RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
    photo = Photo(patches, icc=icc_profile(name))
    restored = Deblurrer(Still(), "none").restore(photo).photo
    assert np.abs(lab(restored) - lab(photo)).max() == 0
    assert SPACES[name].curve in (SRGB_CURVE, (563 / 256,), (1.8,))


def lab(photo: Photo) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(BytesIO(photo.icc or b""))
    to_lab = ImageCms.buildTransform(source, ImageCms.createProfile("LAB"), "RGB", "LAB")
    image = ImageCms.applyTransform(Image.fromarray(photo.pixels), to_lab)
    assert image is not None
    return np.asarray(image).astype(int)
