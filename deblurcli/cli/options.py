"""Options that several commands share, and types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

import click

from deblurcli.backends import BACKENDS, ONNX_DEVICES, PRECISIONS
from deblurcli.batch.storage import MARK as STORAGE_MARK
from deblurcli.cli.sections import ENGINE, FILES, RAW, all_of
from deblurcli.networks.spec import DEFAULT_NETWORK, NETWORKS, trainable_networks


class LocalPath(click.Path):
    """A path of this machine: only photos and their results may lie elsewhere."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text → a path."""
        if STORAGE_MARK in str(value):
            self.fail(f"'{value}' is not on this machine, where this has to be", param, ctx)
        return super().convert(value, param, ctx)


class TileType(click.ParamType):
    """auto, none, or a number of pixels."""

    name = "auto|none|PX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """Text → "auto", "none" or a positive integer."""
        if value in ("auto", "none") or isinstance(value, int):
            return value
        if value.isdecimal() and int(value) > 0:
            return int(value)
        self.fail(f"'{value}' is neither auto, none, nor a number of pixels", param, ctx)


class ScalesType(click.ParamType):
    """auto, or a number of sizes."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """Text → "auto" or a positive integer."""
        if value == "auto" or isinstance(value, int):
            return value
        if value.isdecimal() and int(value) > 0:
            return int(value)
        self.fail(f"'{value}' is neither auto nor a number of sizes, such as 3", param, ctx)


class BokehType(click.ParamType):
    """auto, strict, off, or a blur radius in pixels."""

    name = "auto|strict|off|PX"

    @staticmethod
    def is_one(text: str) -> bool:
        """Whether it is meant for this option, though perhaps not right, and is not another option or a photo."""
        if text in ("auto", "strict", "off") or re.fullmatch(r"-?[\d.]+", text):
            return True
        return bool(text) and not re.search(r"^[-@]|[*?\[]|://", text) and not Path(text).exists()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        """Text → a word or a positive number."""
        if value in ("auto", "strict", "off") or isinstance(value, float):
            return value
        with suppress(ValueError):
            if 0 < float(value) < inf:
                return float(value)
        self.fail(f"'{value}' is neither auto, strict, off, nor a blur radius in pixels, such as 4", param, ctx)


class AreaType(click.ParamType):
    """A part of every photo."""

    name = "X,Y,W,H"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text → ``focus.Area``."""
        from deblurcli.focus import Area

        return value if isinstance(value, Area) else Area(value)


SCALES_HELP = (
    "At how many sizes the photo is restored: full, half, quarter and so on. Wide blur is removed in the small copies. "
    "auto chooses for iniknet-fast, and is 1 for the networks from papers."
)


class NetworkType(click.ParamType):
    """The name of a network, reserved ones included."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Text → a name in the table."""
        if value not in NETWORKS:
            self.fail(f"'{value}' is not one of {', '.join(trainable_networks())}", param, ctx)
        return value


amount_option = click.option(
    "--amount",
    type=click.FloatRange(0, 1.5),
    default=1.0,
    show_default=True,
    help="Blend with the original: 0 is the original, 1 the fully restored photo; up to 1.5 exaggerates.",
)


def network_options(command: Any, check: Callable[..., str] | None = None) -> Any:
    """The options that choose a network and where it runs; one meaning in every command. ``check`` is of the device."""
    return all_of(
        command,
        click.option("-m", "--network", type=NetworkType(), help=f"Network.  [default: {DEFAULT_NETWORK}]"),
        click.option("--weights", metavar="TAG|FILE", help="Weights: a released tag or a .safetensors file."),
        click.option("--backend", type=click.Choice(BACKENDS), default="auto", help="What runs the network."),
        click.option(
            "--device",
            default="auto",
            metavar="auto|cpu|cuda|cuda:N|mps|tensorrt|directml",
            callback=check or check_device,
            help="Where to run. If the device that is named is missing, that is an error.",
        ),
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default="auto",
            help="Precision of the network's arithmetic.  [default: auto, which is fp32]",
        ),
        title=ENGINE,
    )


def check_device(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Passes what can name a device."""
    kind, colon, index = value.partition(":")
    if value in ("auto", "cpu", "cuda", "mps", *ONNX_DEVICES) or (kind == "cuda" and colon and index.isdecimal()):
        return value
    raise click.BadParameter(f"'{value}' is not auto, cpu, cuda, cuda:N, mps, tensorrt or directml", ctx, param)


def check_devices(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Passes what can name one device or several."""
    kind, _, indices = value.partition(":")
    if kind == "cuda" and (indices == "all" or ("," in indices and all(i.isdecimal() for i in indices.split(",")))):
        return value
    return check_device(ctx, param, value)


class ShardType(click.ParamType):
    """K/N, one part of N."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Text → part and number of parts, 1 ≤ part ≤ parts."""
        if isinstance(value, tuple):
            return value
        part, _, parts = value.partition("/")
        if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
            return int(part), int(parts)
        self.fail(f"'{value}' is no part of a whole, such as 3/16", param, ctx)


def photo_options(command: Any) -> Any:
    """The options that say how photos are read, and what is written beside their pixels."""
    command = all_of(
        command,
        click.option(
            "--transfer",
            type=click.Choice(["auto", "srgb", "linear"]),
            default="auto",
            help="Tone curve of the photos' values.  [default: auto, as the colour profile says, or else sRGB]",
        ),
        click.option(
            "--strict",
            is_flag=True,
            help="Refuse files that hold more pictures or a video, rather than read the first.",
        ),
        click.option(
            "--strip",
            type=click.Choice(["gps", "all"]),
            help="Remove the GPS position, or all metadata, from the output. Colour profiles stay.",
        ),
        title=FILES,
    )
    return all_of(
        command,
        click.option(
            "--raw-look",
            type=click.Choice(["camera", "neutral"]),
            default="camera",
            show_default=True,
            help="Camera raw: as light as the camera's own JPEG, or as the light was, which looks dark.",
        ),
        click.option(
            "--raw-space",
            type=click.Choice(["srgb", "p3", "adobe", "prophoto"]),
            default="srgb",
            show_default=True,
            help="Colour space of the result.",
        ),
        click.option(
            "--raw-exposure",
            type=click.FloatRange(-8, 8),
            default=0.0,
            metavar="EV",
            help="Make it lighter or darker, in stops.",
        ),
        click.option(
            "--raw-wb",
            "raw_white_balance",
            type=click.Choice(["camera", "auto", "daylight"]),
            default="camera",
            show_default=True,
            help="White balance.",
        ),
        click.option(
            "--raw-highlights",
            type=click.Choice(["clip", "blend", "rebuild"]),
            default="clip",
            show_default=True,
            help="What to do with highlights that are blown out in some channels.",
        ),
        click.option("--raw-half", is_flag=True, help="Half as wide and high, for a quick look."),
        title=RAW,
    )
