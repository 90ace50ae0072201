"""Model cards: what a weights file is, what it was made of and what it cannot do, as a page for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deblurcli.networks.spec import DEFAULT_NETWORK, network_spec
from deblurcli.weights.checkpoint import Header
from deblurcli.weights.store import catalog, published

UNKNOWN = "The file does not say."
CARD = """\
# {network} · {tag}

{title}: {parameters:,} parameters. {paper}.
{note}
| | |
|---|---|
| file | `{file}`, {size:,} bytes |
| SHA-256 | `{sha256}` |
| licence of the weights | {licence} |

## Use

```sh
deblur photo.jpg -o sharp.png{options}
```

## Limits

{limits}

## Scores

dB on the fixed synthetic validation, which are crops; the README has measurements of whole photos. `gain` is the mean
change of PSNR over all blur radii, `gain R=2` that at 2 px, `sharp` the PSNR of what comes back for photos in focus.

{scores}

## Training data

{data}

## Recipe

{recipe}
"""

OUR_DATA = """\
Sharp photos cut into square tiles; blur and noise are simulated. The photos are no part of this project. Licences are
as their sources state them.
"""


def model_card(path: Path, header: Header) -> str:
    """The card of one weights file, as Markdown; the same for the same file wherever it lies.

    Args:
        path: the file, for its name, size and sum. header: what it says of itself.

    Raises:
        UsageError: its network is none of ours.
    """
    spec = network_spec(header.network)
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    options = [] if header.network == DEFAULT_NETWORK else ["-m", header.network]
    released = [release for release in catalog() if release.network == header.network]
    if sha256 not in (release.sha256 for release in released[:1]):
        # Released and fetched weights are found by their tags.
        known = sha256 in (release.sha256 for release in released)
        known |= any(row.is_fetched and row.path == path for row in published(header.network))
        options += ["--weights", header.tag if known else path.name]
    data = _table(["tiles", "source", "licence"], [[r["tiles"], r["source"], r["licence"]] for r in header.data])
    recipe = "\n".join(_settings(header.recipe))
    return CARD.format(
        network=header.network,
        tag=header.tag,
        title=spec.title,
        parameters=spec.parameters,
        paper=spec.paper[:1].upper() + spec.paper[1:],
        note=f"\n{header.note}\n" if header.note else "",
        file=path.name,
        size=len(content),
        sha256=sha256,
        licence=header.licence,
        options="".join(f" {word}" for word in options),
        limits="\n".join(f"* {limit}" for limit in header.limits) or UNKNOWN,
        scores=_table(["measure", "value"], [[f"`{k}`", f"{v:g}"] for k, v in header.scores.items()]),
        data=f"{OUR_DATA}\n{data}" if header.data else UNKNOWN,  # others' weights may have seen anything
        recipe=f"```toml\n{recipe}\n```" if recipe else UNKNOWN,
    )


def _settings(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """A nested table as TOML with dotted keys, one line per value."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {json.dumps(value)}"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) if rows else UNKNOWN
