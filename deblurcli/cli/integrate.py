"""``deblur integrate PROGRAM``: into the menus of editors and file managers."""

from __future__ import annotations

from pathlib import Path

import click

from deblurcli.cli.values import Word
from deblurcli.integrations.offers import OFFERS, this_program, this_system


@click.command(short_help="Put deblur into the menus of darktable, digiKam, Nautilus and others.")
@click.argument("program", required=False, metavar="[PROGRAM]", type=Word(OFFERS))
@click.option("--install", "to_install", is_flag=True, help="Write the files to where the program looks for them.")
@click.option("--overwrite", is_flag=True, help="Also over files that deblur did not make.")
def integrate(program: str | None, to_install: bool, overwrite: bool) -> None:
    """Put deblur into the menus of an editor or a file manager.

    \b
    deblur integrate                        what there is, and what of it was tried
    deblur integrate nautilus               shows what would be written, and what is left to do
    deblur integrate nautilus --install     writes it

    Whatever starts it, the result is a TIFF file of 16 bits beside the photo, NAME-deblurred.tif. Photos are never
    changed.
    """
    from deblurcli.cli.messages import table_console
    from deblurcli.errors import UsageError

    if program is None:
        from rich.table import Table

        table = Table("name", "for", "on", "tried", box=None)
        for name, offer in OFFERS.items():
            table.add_row(name, offer.title, ", ".join(offer.systems), offer.tried)
        table_console().print(table)
        return
    offer, home = OFFERS[program], Path.home()
    paths, contents = offer.paths(home), offer.contents(home, this_program())
    if to_install:
        from deblurcli.integrations.install import install

        if not paths:
            raise UsageError(f"there is nothing to install for {offer.title}", f"deblur integrate {program} says more.")
        if this_system() not in offer.systems:
            raise UsageError(f"{offer.title} is for {' and '.join(offer.systems)}, and this is {this_system()}")
        install(paths, contents, overwrite=overwrite)
    for path, content in zip(paths, contents, strict=True):
        click.echo(f"{path}{' was written' if to_install else ':'}")
        if not to_install:
            text = content.decode("utf-16" if path.suffix == ".reg" else "utf-8").replace("\r\n", "\n")
            click.echo("\n".join(f"    {line}" for line in text.splitlines()) + "\n")
    click.echo(offer.todo(home))
    click.echo(f"Tried: {offer.tried}.")
    if paths and not to_install and this_system() in offer.systems:
        click.echo(f"\nNothing was written yet. 'deblur integrate {program} --install' does that.")
