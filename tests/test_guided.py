"""Networks that cannot tell how wide blur is: the default one tells them, and only where somebody wants to know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_lopsided import LEAVES, photographed
from test_restore import Brighter

import deblurcli
from deblurcli.arrays import Picture
from deblurcli.backends import memory, onnx_backend
from deblurcli.backends.backend import Answer, Backend, Wanted
from deblurcli.backends.guided import GUIDE, RADIUS, Guided, needs_guide, with_radius
from deblurcli.cli import main
from deblurcli.loading import as_loaded, as_weights_want
from deblurcli.networks.spec import NETWORKS, network_spec
from deblurcli.photo.encode import write_photo
from deblurcli.photo.photo import Photo
from deblurcli.restore import Deblurrer
from deblurcli.tiling import Region
from deblurcli.weights.store import catalog, tag_of

OURS = sorted({release.network for release in catalog()} - {GUIDE.name})
PICTURE = np.ascontiguousarray(LEAVES[:256, :384])


@pytest.fixture(scope="module")
def photo() -> Photo:
    """In focus on the left, blurred wide on the right."""
    picture = PICTURE.copy()
    picture[:, 192:] = photographed(PICTURE, 12, 0)[:, 192:]
    return Photo(np.rint(picture * 255).astype(np.uint8))


class Counting(Brighter):
    """A backend that counts what it is asked for; of the radius it says 20 px everywhere."""

    def __init__(self, network: str) -> None:
        super().__init__()
        self.spec, self.asked = network_spec(network), list[Wanted]()

    def run(self, picture: Picture, maps: Wanted = False, statistics: Sequence[NDArray[Any]] = ()) -> Answer:
        self.asked.append(maps)
        names = [m.name for m in self.spec.maps if maps is True or (maps and m.name in maps)]
        return Answer(picture + np.float32(0.1), {name: np.full((1, *picture.shape[:2]), 20.0) for name in names})


@pytest.mark.parametrize("network", OURS)
def test_what_is_kept_is_what_the_default_network_keeps(photo: Photo, network: str) -> None:
    how: dict[str, Any] = {"scales": 1, "careful": False, "even_out": False}
    default, other = (deblurcli.load(name, device="cpu").restore(photo, **how) for name in (None, network))
    assert default.kept == other.kept
    assert other.kept.bokeh > 0.2 and other.kept.focus > 0.2
    everything = deblurcli.load(network, device="cpu").restore(photo, keep_bokeh="off", keep_focus=False, **how)
    for side in (slice(0, 128), slice(256, 384)):
        kept, changed = (np.abs(r.photo.picture - photo.picture)[:, side].mean() for r in (other, everything))
        assert kept < 0.05 * changed


def test_the_guide_is_made_once_and_only_for_who_wants_to_know() -> None:
    network, guide, made = Counting("kpac-3"), Counting(GUIDE.name), list[int]()

    def make() -> Backend:
        made.append(1)
        return guide

    deblurrer = Deblurrer(Guided(network, make), "none")
    small = Photo(np.full((64, 64, 3), 0.5, np.float32))
    deblurrer.restore(small, scales=1, careful=True, keep_bokeh="off", keep_focus=False)
    assert len(network.asked) == 4 and not made
    network.asked.clear()
    for _ in range(2):
        kept = deblurrer.restore(small, scales=1, careful=True, keep_bokeh=10.0).photo.pixels
        np.testing.assert_array_equal(kept, small.pixels)
    assert len(made) == 1 and guide.asked == [[RADIUS.name]] * 2  # of the tile as it is, not of it mirrored
    assert all(RADIUS.name not in asked for asked in network.asked if not isinstance(asked, bool))
    _, maps = deblurrer(small.pixels, maps=True, scales=1)
    assert list(maps) == [m.name for m in network_spec("kpac-3").maps] + [RADIUS.name]


def test_parts_keep_what_the_whole_keeps(photo: Photo) -> None:
    deblurrer = deblurcli.load("kpac-3", device="cpu")
    how: dict[str, Any] = {"scales": 1, "careful": False, "even_out": False}
    (part,) = deblurrer.parts(photo, [Region(64, 288, 64, 64)], **how)
    np.testing.assert_array_equal(part.after, part.before)


def test_published_weights_have_no_guide() -> None:
    for name in OURS:
        spec = network_spec(name)
        assert needs_guide(spec) and RADIUS.name in as_loaded(spec, tag_of(spec)).map_names([RADIUS.name])
        assert not needs_guide(as_weights_want(spec, "dpdd_paper")) or name == "ggkmnet"  # of which none were published
    assert not needs_guide(GUIDE)


def test_tiles_fit_both_and_the_guide_needs_least_memory() -> None:
    for name in OURS:
        spec, both = network_spec(name), with_radius(network_spec(name))
        assert both.multiple_of % spec.multiple_of == both.multiple_of % GUIDE.multiple_of == 0
        assert both.min_size >= max(spec.min_size, GUIDE.min_size)
    for table in (memory.BYTES_PER_PIXEL, onnx_backend.BYTES_PER_PIXEL):
        assert min(table[name] for name in NETWORKS if not NETWORKS[name].untrained) == table[GUIDE.name]


def test_the_command_exports_the_map_and_refuses_none_of_it(tmp_path: Path, photo: Photo) -> None:
    write_photo(tmp_path / "a.png", Photo(photo.pixels[:96, :96]))
    options = ["-m", "kpac-3", "--maps", "blur_radius", "--keep-bokeh", "4", "--keep-focus", "--device", "cpu"]
    with pytest.raises(SystemExit) as done:
        main([str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), *options])
    assert done.value.code == 0
    about = json.loads((tmp_path / "b.maps/maps.json").read_text())
    (row,) = (row for row in about["maps"] if row["name"] == RADIUS.name)
    assert GUIDE.name in row["meaning"]
