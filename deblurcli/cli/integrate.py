"""``deblur integrate PROGRAM``: into the menus of editors and file managers."""

from __future__ import annotations

from pathlib import Path

import click

from deblurcli.cli.values import Word
from deblurcli.integrations.offers import OFFERS, UNTRIED, this_program, this_system


@click.command(short_help="Add deblur to the menus of darktable, digiKam, Nautilus and others.")
@click.argument("program", required=False, metavar="[PROGRAM]", type=Word(OFFERS))
@click.option("--install", "to_install", is_flag=True, help="Write the files where the program looks for them.")
@click.option("--overwrite", is_flag=True, help="Replace files even if deblur did not make them.")
def integrate(program: str | None, to_install: bool, overwrite: bool) -> None:
    """Add deblur to the menus of an editor or a file manager.

    \b
    deblur integrate                        lists the programs, and what we have tried
    deblur integrate nautilus               shows what would be written, and what you do then
    deblur integrate nautilus --install     writes it

    The result is always a 16-bit TIFF file beside the photo, NAME-deblurred.tif. Your photos are never changed.
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
            raise UsageError(f"this is for {offer.title} on {' and '.join(offer.systems)}, and here is {this_system()}")
        install(paths, contents, overwrite=overwrite)
    for path, content in zip(paths, contents, strict=True):
        click.echo(f"{path}{' was written' if to_install else ':'}")
        if not to_install:
            text = content.decode("utf-16" if path.suffix == ".reg" else "utf-8").replace("\r\n", "\n")
            click.echo("\n".join(f"    {line}" for line in text.splitlines()) + "\n")
    click.echo(offer.todo(home))
    click.echo("We have not tried this yet." if offer.tried == UNTRIED else f"What we have tried: {offer.tried}.")
    if paths and not to_install and this_system() in offer.systems:
        click.echo(f"\nNothing was written yet. 'deblur integrate {program} --install' does that.")
