"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from deblurcli.backends import BACKENDS, ONNX_DEVICES, PRECISIONS
from deblurcli.cli.sections import ENGINE, FILES, RAW, all_of
from deblurcli.cli.values import BokehType, NetworkType, Number, Word
from deblurcli.networks.spec import DEFAULT_NETWORK

SCALES_HELP = (
    "Restore the photo at this many sizes: full, half, quarter and so on. Wide blur is removed in the small copies. "
    "auto picks for iniknet-fast, and is 1 for the networks from papers."
)


amount_option = click.option(
    "--amount",
    type=Number(0, 1.5, example=0.5),
    default=1.0,
    show_default=True,
    help="Strength of the effect: 0 is the original, 1 the full effect; up to 1.5 exaggerates it.",
)

careful_option = click.option(
    "--careful/--no-careful",
    default=None,
    callback=lambda context, parameter, value: "auto" if value is None else value,
    help="Restore the photo four times, each time mirrored in a different way, and average the results: more natural "
    "faces, fewer made-up lines. Takes four times as long.  [default: for photos of up to 1 megapixel, and for "
    "the small copies of larger ones]",
)


even_out_option = click.option(
    "--even-out/--no-even-out",
    default=True,
    show_default=True,
    help="Many lenses, those of phones above all, blur lopsidedly towards the edges of a photo: a point of light "
    "becomes a half-moon. Find out whether this photo is blurred so, and even that out first.",
)


def keep_bokeh_option(default: str) -> Callable[[Any], Any]:
    """The option that says which blur is wanted; ``default`` is for people. The command has to be ``Spoken``."""
    return click.option(
        "--keep-bokeh",
        type=BokehType(),
        default="auto",
        help="Keep soft backgrounds soft: what is blurred by a radius of more than PX pixels stays as it is. auto is 1 "
        "% of the longer side, at least 6 px, and more if the whole photo is blurred; strict, or no value, is 0.15 %; "
        f"off restores everything.  [default: {default}]",
    )


keep_focus_option = click.option(
    "--keep-focus/--no-keep-focus",
    default=None,
    help="Leave what is in focus as it is: the sharpest parts of a photo, if the rest is much softer. --no-keep-focus "
    "sharpens them, too.  [default: on; off with --mask, --region, --keep-bokeh strict or PX]",
)


class Spoken(click.Command):
    """A command that knows options whose value may be left out: ``--keep-bokeh photo.jpg`` is told by what comes next.

    click would take the photo for the value.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does."""
        end = args.index("--") if "--" in args else len(args)
        given = list(args[:end])
        for nth, (arg, following) in enumerate(zip(given, [*given[1:], ""], strict=False)):
            if arg == "--keep-bokeh" and not BokehType.is_one(following):
                given[nth] = "--keep-bokeh=strict"
        return super().parse_args(ctx, given + args[end:])


def network_options(command: Any, check: Callable[..., str] | None = None) -> Any:
    """The options that choose a network and where it runs; one meaning in every command. ``check`` is of the device."""
    return all_of(
        command,
        click.option("-m", "--network", type=NetworkType(), help=f"Network to use.  [default: {DEFAULT_NETWORK}]"),
        click.option("--weights", metavar="TAG|FILE", help="Weights to use: a released tag or a .safetensors file."),
        click.option("--backend", type=Word(BACKENDS), default="auto", help="What runs the network."),
        click.option(
            "--device",
            default="auto",
            metavar="auto|cpu|cuda|cuda:N|mps|tensorrt|directml",
            callback=check or check_device,
            help="Where to run. If the device that is named is missing, that is an error.",
        ),
        click.option(
            "--precision",
            type=Word(PRECISIONS),
            default="auto",
            help="Precision of the network's arithmetic.  [default: auto, which is fp32]",
        ),
        title=ENGINE,
    )


def check_device(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Passes what can name a device."""
    value = value.lower()
    kind, colon, index = value.partition(":")
    if value in ("auto", "cpu", "cuda", "mps", *ONNX_DEVICES) or (kind == "cuda" and colon and index.isdecimal()):
        return value
    raise click.BadParameter(f"must be auto, cpu, cuda, cuda:N, mps, tensorrt or directml, not '{value}'", ctx, param)


def check_devices(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Passes what can name one device or several."""
    kind, _, indices = value.lower().partition(":")
    if kind == "cuda" and (indices == "all" or ("," in indices and all(i.isdecimal() for i in indices.split(",")))):
        return f"{kind}:{indices}"
    return check_device(ctx, param, value)


def photo_options(command: Any) -> Any:
    """The options that say how photos are read, and what is written beside their pixels."""
    command = all_of(
        command,
        click.option(
            "--transfer",
            type=Word(["auto", "srgb", "linear"]),
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
            type=Word(["gps", "all"]),
            help="Remove the GPS position, or all metadata, from the output. Colour profiles stay.",
        ),
        title=FILES,
    )
    return all_of(
        command,
        click.option(
            "--raw-look",
            type=Word(["camera", "neutral"]),
            default="camera",
            show_default=True,
            help="camera: as bright as the camera's own JPEG; neutral: in proportion to the light, which looks dark.",
        ),
        click.option(
            "--raw-space",
            type=Word(["srgb", "p3", "adobe", "prophoto"]),
            default="srgb",
            show_default=True,
            help="Colour space of the result.",
        ),
        click.option(
            "--raw-exposure",
            type=Number(-8, 8, example=0.5),
            default=0.0,
            metavar="EV",
            help="Make it lighter or darker by this many stops, -8 to 8.",
        ),
        click.option(
            "--raw-wb",
            "raw_white_balance",
            type=Word(["camera", "auto", "daylight"]),
            default="camera",
            show_default=True,
            help="White balance.",
        ),
        click.option(
            "--raw-highlights",
            type=Word(["clip", "blend", "rebuild"]),
            default="clip",
            show_default=True,
            help="What to do with highlights that are blown out in some channels.",
        ),
        click.option("--raw-half", is_flag=True, help="Half as wide and high, for a quick look."),
        title=RAW,
    )
