"""The options of ``deblur PHOTO -o OUT``, section by section."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from deblurcli.cli.defaults import profile_option
from deblurcli.cli.options import (
    SCALES_HELP,
    Spoken,
    amount_option,
    careful_option,
    even_out_option,
    keep_bokeh_option,
    keep_focus_option,
)
from deblurcli.cli.sections import ENGINE, EVERYDAY, FILES, LOOK, MANY, WHERE, Sectioned, all_of
from deblurcli.cli.values import AreaType, FormatType, LocalPath, Number, ScalesType, ShardType, TileType, Word, is_gone
from deblurcli.errors import UsageError

MAPS_SCALES = ("1", "1/2", "1/4", "1/8", "1/16")
BESIDE = "beside"  # where nothing else is said
DEPTHS: dict[str, Any] = {"auto": "auto", "8": 8, "16": 16, "32": 32}


def which_options(command: Any) -> Any:
    """The options that say which photos are restored."""
    return all_of(
        command,
        click.option(
            "--recursive", is_flag=True, help="Include subfolders, and sort the results into folders of the same names."
        ),
        click.option(
            "--twins",
            type=Word(["raw", "developed", "both"]),
            default="raw",
            show_default=True,
            help="If the camera saved both a raw file and a picture: restore the raw file, the picture, or both.",
        ),
        click.option("--skip-existing", is_flag=True, help="Skip photos that are already done with the same options."),
        click.option(
            "--shard", type=ShardType(), help="Do only part K of N, e.g. 3/16, so that N runs can share the work."
        ),
        click.option(
            "--dry-run", is_flag=True, help="Only list which photos would be restored, and where the results would go."
        ),
        title=MANY,
    )


def picture_options(command: Any) -> Any:
    """The options that say what the result is like."""
    command = all_of(
        command,
        click.option(
            "--tile",
            type=TileType(),
            default="auto",
            help="Side of the tiles in which large photos are restored, in pixels; auto picks what fits into memory.",
        ),
        click.option("--scales", type=ScalesType(), default="auto", help=SCALES_HELP),
        title=ENGINE,
    )
    command = all_of(
        command,
        amount_option,
        careful_option,
        even_out_option,
        click.option(
            "--format",
            type=FormatType(),
            metavar="|".join(FormatType.words),
            help="Format of the result, whatever its name ends in.",
        ),
        click.option(
            "--depth",
            type=Word(DEPTHS),
            default="auto",
            help="Bits per channel of the result; 32 is a floating-point TIFF that clips nothing.  "
            "[default: auto, as in the photo]",
        ),
        click.option(
            "--quality",
            type=Number(1, 100, whole=True, example=90),
            default=95,
            show_default=True,
            help="Quality of JPEG, WebP, AVIF and JPEG XL, 1 to 100.",
        ),
        title=EVERYDAY,
    )
    return all_of(
        command,
        click.option(
            "--export-maps",
            is_flag=True,
            help="Also write maps of what the network chose at each pixel, into the folder OUTPUT.maps/.",
        ),
        click.option(
            "--maps",
            metavar="NAME,NAME...",
            help="Write only these maps, e.g. blur_radius or defocus,mu. A wrong name brings up the list.",
        ),
        click.option(
            "--maps-scale",
            type=Word(MAPS_SCALES),
            default="1/4",
            show_default=True,
            help="Shrink maps with many values per pixel to this scale. Maps with one value per pixel stay full size.",
        ),
        click.option(
            "--maps-dir",
            type=LocalPath(path_type=Path),
            help="Put the maps' folders here.  [default: beside the result]",
        ),
        title=LOOK,
    )


def where_options(command: Any) -> Any:
    """The options that say where in a photo something is done."""
    return all_of(
        command,
        keep_bokeh_option("auto, or off with --mask or --region"),
        keep_focus_option,
        click.option(
            "--mask",
            type=LocalPath(path_type=Path),
            metavar="FILE",
            help="Restore where this picture is white or opaque, and not where it is black or transparent. It may have "
            "any size.",
        ),
        click.option(
            "--region",
            type=AreaType(),
            help="Restore only this part: left, top, width and height, in pixels or percent of the photo as you see "
            "it, e.g. 25%,25%,50%,50%.",
        ),
        title=WHERE,
    )


def limit_options(command: Any) -> Any:
    """The option that says what is too large."""
    return all_of(
        command,
        click.option(
            "--max-pixels",
            type=Number(1, whole=True, example=300_000_000),
            metavar="N",
            help="Refuse photos with more pixels than this.  [default: 200 million]",
        ),
        title=FILES,
    )


def name_options(command: Any) -> Any:
    """The options that say where results go and how they are called."""
    command = all_of(
        command,
        click.option("--suffix", metavar="TEXT", help="Add this to the names of the results, e.g. --suffix=-sharp."),
        click.option(
            "--template",
            metavar="TEXT",
            help="Name the results so, with {stem} {suffix} {network} {tag} {date}, e.g. '{date}/{stem}-{network}'.",
        ),
        title=MANY,
    )
    return all_of(
        command,
        click.option(
            "-o",
            "--output",
            type=click.Path(),
            help="Where the result goes: a file, a folder for several photos, or - for standard output. The file's "
            "ending decides the format.  [default: NAME-deblurred beside the photo]",
        ),
        click.option(
            "--overwrite", is_flag=True, help="Replace results that are already there. Originals are never replaced."
        ),
        profile_option,
        title=EVERYDAY,
    )


def run_options(command: Any) -> Any:
    """The options that say how a run goes on and what it tells."""
    command = all_of(
        command,
        click.option("-q", "--quiet", is_flag=True, help="Show only warnings and errors."),
        click.option("-v", "--verbose", is_flag=True, help="Say more, even where messages go to a file."),
        title=EVERYDAY,
    )
    command = all_of(
        command,
        click.option(
            "--jobs", type=Number(1, whole=True, example=2), metavar="N", help="Work on this many photos at a time."
        ),
        click.option(
            "--cluster",
            type=Word(["ray"]),
            help="Use the machines of a Ray cluster. The variable RAY_ADDRESS can say which.",
        ),
        click.option("--fail-fast", is_flag=True, help="Begin no more photos once one has failed."),
        click.option(
            "--report",
            "report_file",
            type=LocalPath(),
            metavar="FILE",
            help="Write a list of the photos that failed or were not begun. Name it as @FILE to restore those.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each photo, for scripts."),
        title=MANY,
    )
    return all_of(
        command,
        click.option(
            "--compile",
            is_flag=True,
            help="Compile the network first. That takes a minute and only pays off for hundreds of megapixels. Needs "
            "PyTorch and a C++ compiler.",
        ),
        title=ENGINE,
    )


def look_options(command: Any) -> Any:
    """The option for looking at what was done."""
    return all_of(
        command,
        click.option(
            "--compare",
            type=LocalPath(path_type=Path),
            is_flag=False,
            flag_value=BESIDE,
            metavar="[=FILE]",
            help="Also make a picture of before and after, NAME.before-after.png beside the result. For several "
            "photos: a page of all of them, index.html in the output folder.",
        ),
        title=LOOK,
    )


class RestoreCommand(Spoken, Sectioned):
    """Its ``--compare`` takes a value after an equals sign only: else ``--compare photo.jpg`` would take the photo."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does."""
        end = args.index("--") if "--" in args else len(args)
        given = [f"{arg}={BESIDE}" if arg == "--compare" else arg for arg in args[:end]]
        for arg, following in pairwise(args[:end]):
            if arg == "--compare" and is_gone(following) and not ctx.resilient_parsing:
                hint = f"If it is the picture to write, put an equals sign before it: --compare={following}"
                raise UsageError(f"{following}: there is no such file", hint)
        try:
            return super().parse_args(ctx, given + args[end:])
        except click.MissingParameter as error:
            swallowed = next((arg for arg in args[:end] if arg.startswith("--compare=")), "")
            hint = f"{swallowed} names the picture to write. Put a space there if it is the photo." if swallowed else ""
            hint = hint or "Name a file or a folder: deblur photo.jpg"
            raise UsageError("no photo is named", hint) from error
