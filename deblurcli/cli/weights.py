"""``deblur weights``: which weights there are, and what they are."""

from __future__ import annotations

import json

import click


@click.group()
def weights() -> None:
    """Trained weights: list them, look into them, check them."""


@weights.command("list")
def list_() -> None:
    """List networks and the weights that come with deblur.

    \b
    deblur weights list
    """
    from rich.console import Console
    from rich.table import Table

    from deblurcli.networks.spec import DEFAULT_NETWORK, network_spec, trainable_networks
    from deblurcli.weights.checkpoint import read_header
    from deblurcli.weights.store import catalog

    table = Table("network", "weights", "parameters", "gain, dB", "sharp photos, dB", "paper", box=None)
    for name in trainable_networks():
        spec = network_spec(name)
        mine = [release for release in catalog() if release.network == name]
        headers = [read_header(release.path) for release in mine]
        default = " (default)" if name == DEFAULT_NETWORK else ""
        table.add_row(
            name + default,
            ", ".join(release.tag for release in mine) or "none yet",
            f"{spec.parameters:,}",
            ", ".join(f"{header.scores.get('gain', float('nan')):+.2f}" for header in headers),
            ", ".join(f"{header.scores.get('sharp', float('nan')):.1f}" for header in headers),
            spec.paper,
        )
    Console().print(table)


@weights.command()
@click.argument("network")
@click.argument("weights", required=False, metavar="[TAG|FILE]")
@click.option("--card", is_flag=True, help="As a page to read (Markdown): data, licences, recipe, scores, limits.")
def info(network: str, weights: str | None, card: bool) -> None:
    """Show what a weights file says of itself: data, recipe, scores, licence.

    \b
    deblur weights info iniknet-fast
    deblur weights info iniknet-fast --card
    deblur weights info iniknet-fast runs/mine/best.safetensors
    """
    from deblurcli.networks.spec import network_spec
    from deblurcli.weights.card import model_card
    from deblurcli.weights.store import find

    path, header = find(network_spec(network).name, weights)
    if card:
        click.echo(model_card(path, header), nl=False)
    else:
        click.echo(json.dumps({"file": str(path), **vars(header)}, indent=2, ensure_ascii=False))


@weights.command()
def verify() -> None:
    """Check that all released weights are there and undamaged.

    \b
    deblur weights verify
    """
    from deblurcli.weights.store import catalog

    for release in catalog():
        release.verify()
        click.echo(f"{release.network} {release.tag}: as released")
