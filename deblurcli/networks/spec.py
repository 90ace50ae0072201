"""The table of networks: what each one is, needs and predicts. Imports no torch, so that anything may read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from deblurcli.errors import UsageError, did_you_mean

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class MapSpec:
    """One coefficient map of a network.

    Attributes:
        name: key in ``Restored.maps`` and in files.
        symbol: as the papers write it.
        meaning: one sentence a photographer understands.
        range: smallest and largest value it can take; None where there is no bound.
        unit: "1" for pure numbers, "px" for lengths.
        rows, columns: what its planes stand for, laid out as a table and kept row by row.
        shown: what the colours of every picture of it span; what lies beyond has the colour of the end. None for range.
        logarithmic: colours follow asinh(v), for values of many magnitudes.
        per_photo: one value for the whole photo, (B, C, 1, 1), and not one per pixel.
        across_scales: a length in px that grows with the blur; where blur is wide, halved copies of the photo know it
            (``scales.fused_size``).
    """

    name: str
    symbol: str
    meaning: str
    range: tuple[float | None, float | None] = (0.0, 1.0)
    unit: str = "1"
    rows: tuple[str, ...] = ("",)
    columns: tuple[str, ...] = ("",)
    shown: tuple[float, float] | None = None
    logarithmic: bool = False
    per_photo: bool = False
    across_scales: bool = False

    def halved(self, times: int) -> MapSpec:
        """The same map of the copy of a photo that is at 1/2, 1/4 … of its size: ``mu_2``, ``mu_4`` …"""
        if times == 0:
            return self
        part = 2**times
        symbol = self.symbol + str(part).translate(_SUBSCRIPTS)
        where = f"{'In px of' if self.unit == 'px' else 'In'} the photo at 1/{part} of its size."
        return replace(self, name=f"{self.name}_{part}", symbol=symbol, meaning=f"{self.meaning} {where}")

    @property
    def channels(self) -> int:
        """How many planes it has."""
        return len(self.rows) * len(self.columns)

    @property
    def labels(self) -> tuple[str, ...]:
        """What each plane stands for."""
        return tuple(" · ".join(filter(None, (row, column))) for row in self.rows for column in self.columns)

    @property
    def colours(self) -> tuple[float, float]:
        """The values at the two ends of every picture's colour bar."""
        low, high = self.shown or self.range
        if low is None or high is None:
            raise ValueError(f"{self.name}: what has no bounds must say what its colours span")
        return low, high


@dataclass(frozen=True)
class NetworkSpec:
    """What has to be known about a network without building it. Tests probe these declarations.

    Attributes:
        name: what users type after ``-m``.
        title, paper: for people.
        build: "module:Class" of this package; the class takes its config's fields as keyword arguments.
        parameters: trained numbers of the default config.
        cost: multiply-adds per pixel in thousands, of a picture of 256 × 256.
        multiple_of: height and width fed to it must be divisible by this.
        min_size: smallest height and width it accepts, px.
        context: how far an output pixel looks, px; tiles need a halo of at most this. "global" if everywhere.
        halo: px of context that tiles get. Smaller than ``context`` where distant pixels do not matter measurably.
        channel_order: order of the three colours at its input and output.
        maps: what it predicts beside the picture.
        statistics: how many averages over the whole picture it takes, each depending on those before. Apart from them
            it looks no farther than ``context``. Its ``statistic(x, known)`` returns the map (B, C, h, w) whose average
            is number ``len(known)``, and its ``forward`` takes them all as ``statistics``, each (B, C, 1, 1), so that
            tiles can be told what the whole picture has.
        coarse_to_fine: better where it restores halved copies of a photo as well (``scales``).
        config: the class's arguments that make this network of it, where they are not its defaults.
        untrained: there never will be weights; it runs with random ones. For tests; not shown to users.
        url: of the paper. about: what people need to know of it, for tables; the paper where empty.
    """

    name: str
    title: str
    paper: str
    build: str
    parameters: int
    cost: float
    min_size: int
    context: int | Literal["global"]
    halo: int
    maps: tuple[MapSpec, ...]
    multiple_of: int = 16
    channel_order: Literal["rgb", "bgr"] = "rgb"
    statistics: int = 0
    coarse_to_fine: bool = False
    config: dict[str, Any] = field(default_factory=dict, hash=False)
    untrained: bool = False
    url: str = ""
    about: str = ""

    @property
    def looks_everywhere(self) -> bool:
        """Whether a part of the picture can only be restored with the whole of it known."""
        return self.context == "global" or self.statistics > 0

    def check_side(self, side: int, what: str) -> None:
        """Refuses pictures of a height and width that the network cannot work on.

        Args:
            side: px. what: they are, in the plural.

        Raises:
            UsageError: it is too small, or not divisible as it has to be.
        """
        if side < self.min_size or side % self.multiple_of:
            raise UsageError(
                f"{self.name} cannot work on {what} of {side} px",
                f"Choose a multiple of {self.multiple_of}, at least {self.min_size}.",
            )

    def map_names(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """The maps that these stand for, in the table's order: by their names, or by how several begin (``defocus``).

        Raises:
            UsageError: there is none of a name.
        """
        names, found = [m.name for m in self.maps], set[str]()
        for text in wanted:
            meant = {text} & {*names} or {name for name in names if text and name.startswith(text)}
            if not meant:
                hint = f"{did_you_mean(text, names)} There are: {', '.join(names)}.".strip()
                raise UsageError(f"{self.name} has no map '{text}'", hint)
            found |= meant
        return tuple(name for name in names if name in found)


DEFAULT_NETWORK = "iniknet-fast"


def _numbered(what: str, count: int) -> tuple[str, ...]:
    return tuple(f"{what} {n}" for n in range(1, count + 1))


def _in_px(*sizes: float) -> tuple[str, ...]:
    return tuple(f"{size:g} px" for size in sizes)


# ---- maps that several networks have ------------------------------------------------------------------------------

KERNELS_USED = "Mean size of the kernels used here: the more defocused, the larger."
PYRAMID = ("full size", "at 1/2", "at 1/4", "at 1/8")
TWO_SCALES = ("photo", "result at 1/2")


def _size_maps(symbol: str, smallest: float, mean: float, largest: float, meaning: str) -> tuple[MapSpec, ...]:
    """The defocus size and its spread, of sizes between two that are at most ``mean`` on average."""
    spread = "How far the sizes used here differ (standard deviation): large where the network is undecided."
    return (
        MapSpec("defocus_size", symbol, meaning, (smallest, mean), "px"),
        MapSpec("defocus_spread", f"σ({symbol})", spread, (0.0, (largest - smallest) / 2), "px"),
    )


def _mixture_maps(sizes: tuple[int, ...], atoms: int, pictures: tuple[str, ...], shown: float) -> tuple[MapSpec, ...]:
    """Maps of networks that mix inverse kernels.

    Args:
        sizes: of the kernels, px. pictures: of what size the pictures are that they are applied to.
        shown: at what ω colours end.
    """
    where = ", on the photo and on smaller copies of it." if len(pictures) > 1 else "; none leaves the pixel alone."
    strength = "How strongly each inverse-kernel atom is applied here."
    largest = [max(sizes) * 2**level for level in range(len(pictures))]
    return (
        MapSpec(
            "mu",
            "μ",
            f"How much each kernel size is used here{where}",
            rows=pictures,
            columns=("none", *_in_px(*sizes)),
        ),
        MapSpec("omega", "ω", strength, (None, None), "1", pictures, _numbered("atom", atoms), (-shown, shown), True),
        *_size_maps("Σμ·M", 1, sum(largest) / len(largest), max(largest), KERNELS_USED),
    )


def _pyramid_maps(sizes: tuple[int, ...], atoms: int, pictures: tuple[str, ...]) -> tuple[MapSpec, ...]:
    """Maps of our own networks, which mix inverse kernels and work from coarse to fine."""
    trust = "Of what a halved copy of the photo shows as well, how much is taken from the photo itself."
    chroma = "Share of the change that the colours take, beside the brightness."
    radius = "Radius of the disc that a point of light has become here."
    return (
        *_mixture_maps(sizes, atoms, pictures, 1000.0),
        MapSpec("coarse_trust", "α", trust),
        MapSpec("chroma", "κ", chroma),
        MapSpec("blur_radius", "R", radius, (0.0, None), "px", shown=(0.0, 16.0), across_scales=True),
    )


def _copies(name: str, symbol: str, kind: str, count: int) -> MapSpec:
    """The map of a network that adds up filtered copies of the photo, and of its result for a halved one."""
    meaning = f"How strongly {kind} copies of the photo count, and those of a coarser result."
    return MapSpec(name, symbol, meaning, (-1.0, 1.0), rows=TWO_SCALES, columns=_numbered("copy", count))


def _kpac_maps(stride: int) -> tuple[MapSpec, ...]:
    sizes = [stride * (4 * rate + 1) for rate in range(1, 6)]
    rounds = _numbered("round", 2)
    shape = "How much each feature counts in the whole photo: its part in the shape of the kernel."
    return (
        MapSpec("alpha", "α", "How much each kernel size is used here.", rows=rounds, columns=_in_px(*sizes)),
        *_size_maps("Σα·s / Σα", sizes[0], sizes[-1], sizes[-1], KERNELS_USED),
        MapSpec("dilation", "Σα·r / Σα", "Mean factor by which the one kernel is stretched here.", (1.0, 5.0)),
        MapSpec("shape", "β", shape, rows=rounds, columns=_numbered("feature", 48), per_photo=True),
    )


# ---- the networks -------------------------------------------------------------------------------------------------

INIKNET = NetworkSpec(
    name="iniknet",
    title="INIKNet",
    paper="Quan, Yao, Ji: Single Image Defocus Deblurring via Implicit Neural Inverse Kernels, ICCV 2023",
    build="iniknet:INIKNet",
    parameters=1_976_847,
    cost=1125,
    min_size=32,
    context=261,
    halo=64,
    channel_order="bgr",
    maps=_mixture_maps((3, 5, 7, 9, 11, 13, 15), 10, ("",), 10.0),
    coarse_to_fine=True,
    url="https://openaccess.thecvf.com/content/ICCV2023/html/Quan_Single_Image_Defocus_Deblurring_via_Implicit_Neural"
    "_Inverse_Kernels_ICCV_2023_paper.html",
    about="Quan, Yao, Ji, ICCV 2023; equal to its authors' code",
)

INIKNET_FAST = NetworkSpec(
    name="iniknet-fast",
    title="INIKNet-fast",
    paper="this project: INIKNet's head with a half-resolution predictor and a pyramid of inverse kernels",
    build="iniknet_fast:INIKNetFast",
    parameters=1_028_467,
    cost=66,
    min_size=64,
    context=118,
    halo=80,
    maps=_pyramid_maps((5, 9, 15), 10, PYRAMID),
    coarse_to_fine=True,
    about="ours; INIKNet's filtering behind a half-resolution predictor, with a pyramid of inverse kernels",
)

_BLURS = _in_px(*range(1, 42, 2))
GGKMNET = NetworkSpec(
    name="ggkmnet",
    title="GGKMNet",
    paper="Quan, Wu, Xu, Ji: Deep Single Image Defocus Deblurring via Gaussian Kernel Mixture Learning, TPAMI 2024",
    build="ggkmnet:GGKMNet",
    parameters=1_698_301,
    cost=181.4,
    multiple_of=32,
    min_size=32,
    context=409,
    halo=96,
    maps=(
        MapSpec("beta", "β", "How much each blur is subtracted at this pixel.", (-1.0, 1.0), columns=_BLURS),
        MapSpec(
            "defocus_size",
            "Σβ·S",
            "Mean size of the blurs that are undone here, at all scales.",
            (1.0, None),
            "px",
            shown=(1.0, 41.0),
        ),
        MapSpec(
            "alpha",
            "α",
            "Of which Gaussians each blur of the whole photo is made, from the coarsest scale to the finest.",
            rows=tuple(f"{scale}, {v:g} px²" for scale in PYRAMID[2::-1] for v in (0.15, 0.3, 0.45, 0.6)),
            columns=_BLURS,
            per_photo=True,
        ),
    ),
    statistics=1,
    coarse_to_fine=True,
    about="Quan, Wu, Xu, Ji, TPAMI 2024; built from the paper, as no code was published",
)
GGKMNET_LARGE = replace(
    GGKMNET,
    name="ggkmnet-large",
    title="GGKMNet†",
    parameters=5_979_133,
    cost=568.4,
    context=1337,
    config={"blocks": 5},
    about="the same with five times as many residual blocks",
)

GKMNET = NetworkSpec(
    name="gkmnet",
    title="GKMNet",
    paper="Quan, Wu, Ji: Gaussian Kernel Mixture Network for Single Image Defocus Deblurring, NeurIPS 2021",
    build="gkmnet:GKMNet",
    parameters=1_409_131,
    cost=305,
    min_size=32,
    context="global",
    halo=64,
    maps=(
        _copies("beta", "β", "blurred", 22),
        *_size_maps("Σβ·S", 8, 15, 15, "Mean width of the blurred copies used here, over the three colours."),
    ),
    about="Quan, Wu, Ji, NeurIPS 2021; equal to its authors' code",
)

P2IKT = NetworkSpec(
    name="p2ikt",
    title="P2IKT",
    paper="Tang et al.: Prior and Prediction Inverse Kernel Transformer for Single Image Defocus Deblurring, AAAI 2024",
    build="p2ikt:P2IKT",
    parameters=3_318_735,
    cost=1186,
    min_size=32,
    context="global",
    halo=128,
    maps=(
        _copies("alpha", "α", "sharpened", 6),
        MapSpec(
            "kernel",
            "k",
            "The inverse kernel predicted for the whole photo, row by row for each colour, and that for a coarser "
            "result.",
            rows=tuple(f"{of}, {colour}" for of in TWO_SCALES for colour in ("red", "green", "blue")),
            columns=tuple(f"{row}, {column}" for row in range(5) for column in range(5)),
            per_photo=True,
        ),
    ),
    about="Tang et al., AAAI 2024; equal to its authors' code",
)

KPAC_2 = NetworkSpec(
    name="kpac-2",
    title="KPAC, two-level",
    paper="Son, Lee, Cho, Lee: Single Image Defocus Deblurring Using Kernel-Sharing Parallel Atrous Convolutions, "
    "ICCV 2021",
    build="kpac:KPAC",
    parameters=1_578_277,
    cost=208,
    multiple_of=4,
    min_size=4,
    context=182,
    halo=96,
    maps=_kpac_maps(4),
    statistics=2,
    url="https://openaccess.thecvf.com/content/ICCV2021/html/Son_Single_Image_Defocus_Deblurring_Using_Kernel-Sharing"
    "_Parallel_Atrous_Convolutions_ICCV_2021_paper.html",
    about="Son, Lee, Cho, Lee, ICCV 2021; equal to its authors' code",
)
KPAC_3 = replace(
    KPAC_2,
    name="kpac-3",
    title="KPAC, three-level",
    parameters=2_057_893,
    cost=123,
    multiple_of=8,
    min_size=8,
    context=366,
    halo=160,
    maps=_kpac_maps(8),
    coarse_to_fine=True,
    config={"levels": 3},
    about="the same with one level more",
)

TINY = NetworkSpec(
    name="tiny",
    title="Tiny",
    paper="none: a miniature of INIKNet-fast with random weights, so that tests run in seconds",
    build="tiny:Tiny",
    parameters=0,
    cost=1.42,
    multiple_of=8,
    min_size=32,
    context=60,
    halo=48,
    maps=_pyramid_maps((3, 5), 2, ("",)),
    untrained=True,
)

NETWORKS = {
    spec.name: spec for spec in (INIKNET, GGKMNET, GGKMNET_LARGE, INIKNET_FAST, GKMNET, P2IKT, KPAC_2, KPAC_3, TINY)
}


def trainable_networks() -> tuple[str, ...]:
    """Names of the networks that users can choose."""
    return tuple(name for name, spec in NETWORKS.items() if not spec.untrained)


def network_spec(name: str) -> NetworkSpec:
    """The table row of network ``name``.

    Raises:
        UsageError: there is no such network.
    """
    if name not in NETWORKS:
        hint = did_you_mean(name, trainable_networks()) or f"There are: {', '.join(trainable_networks())}."
        raise UsageError(f"no network is called '{name}'", hint)
    return NETWORKS[name]
