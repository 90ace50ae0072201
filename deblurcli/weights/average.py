"""The mean of two trainings of one network, which often keeps more of what each has learned than either alone.

It needs both to go back to the same weights, not too long ago (Wortsman et al., Model soups, ICML 2022).
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from deblurcli.errors import UsageError, WeightsError
from deblurcli.weights.checkpoint import Header, read_header, read_tensors


def average(first: Path, second: Path, share: float, tag: str) -> tuple[dict[str, Tensor], Header]:
    """Tensors that are (1 − share) · first + share · second, and a header without scores; its recipe names both.

    Raises:
        UsageError: the share is not between 0 and 1.
        WeightsError: a file is damaged, or they are of different networks.
    """
    if not 0 < share < 1:
        raise UsageError(f"a share lies between 0 and 1, not at {share:g}")
    one, other = read_header(first), read_header(second)
    tensors, others = read_tensors(first), read_tensors(second)
    shapes, other_shapes = ({key: (t.shape, t.dtype) for key, t in some.items()} for some in (tensors, others))
    if (one.network, one.config, shapes) != (other.network, other.config, other_shapes):
        raise WeightsError(
            f"{second}: not of the same network as {first}, or of another configuration",
            "Average weights that were trained on from the same weights.",
        )
    # Whole numbers count something, and have no mean.
    mean = {key: t.lerp(others[key], share) if t.is_floating_point() else t for key, t in tensors.items()}
    recipe = {"share": share, "scales": one.recipe.get("scales", 1)}
    recipe |= {"first": {"tag": one.tag, **one.recipe}, "second": {"tag": other.tag, **other.recipe}}
    data = [*one.data, *(row for row in other.data if row not in one.data)]
    limits = list(dict.fromkeys([*one.limits, *other.limits]))
    note = f"The mean of {one.tag} and {other.tag}, which counts for {share:.0%}."
    return mean, Header(one.network, tag, one.config, recipe, {}, one.licence, note, data, limits)
