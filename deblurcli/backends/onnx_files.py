"""Finds the ONNX file of some weights, and makes it where there is none."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from deblurcli import __version__
from deblurcli.networks.spec import NetworkSpec
from deblurcli.photo.atomic import replacing
from deblurcli.weights.store import RANDOM, cache_folder, catalog, find, is_random, make_folder

log = logging.getLogger(__name__)


def onnx_file(spec: NetworkSpec, weights: str | None = None, precision: str = "fp32") -> tuple[Path, str]:
    """The ONNX file of a network's weights, and their tag.

    Released weights have theirs beside them. That of others, and of another precision, is made on first use, which
    takes a minute and PyTorch, and kept with fetched weights; its name holds a sum of the weights and the program's
    version.

    Raises:
        WeightsError: there are no such weights. PhotoError: the file cannot be written.
        ModuleNotFoundError: the file has to be made and a package for it is missing.
    """
    if is_random(spec, weights):
        source, tag, content = None, RANDOM, b""
    else:
        source, header = find(spec.name, weights)
        tag = header.tag
        released = _beside(source)
        if released and precision == "fp32":
            return released, tag
        content = source.read_bytes()
    name = f"{spec.name}.{tag}.{hashlib.sha256(content).hexdigest()[:12]}.{precision}.{__version__}.onnx"
    path = cache_folder() / "onnx" / name
    if not path.is_file():
        content = make_onnx(spec, None if source is None else str(source), precision)
        make_folder(path.parent)
        with replacing(path) as file:
            file.write(content)
    return path, tag


def is_released(spec: NetworkSpec, weights: str | None = None) -> bool:
    """Whether the ONNX file of these weights comes with the program.

    Raises:
        WeightsError: there are no such weights.
    """
    return not is_random(spec, weights) and _beside(find(spec.name, weights)[0]) is not None


def _beside(weights: Path) -> Path | None:
    return next((release.onnx_path for release in catalog() if release.path == weights), None)


def make_onnx(
    spec: NetworkSpec,
    weights: str | None,
    precision: str = "fp32",
    format: str = "onnx",
    side: int | None = None,
    beside: Path | None = None,
) -> bytes:
    """The content of an ONNX file of a network with these weights.

    Args:
        precision: "fp32" or "fp16". format: "onnx", of ``onnx_export``'s contract, or "dtmodel", for darktable.
        side: of the only tiles that a dtmodel takes, px; None for any.
        beside: the .safetensors file in which to leave what both would hold; None for a file that stands alone.

    Raises:
        UsageError: the network takes no tiles of this side. WeightsError: there are no such weights.
        DeblurError: results differ from PyTorch's.
        ModuleNotFoundError: PyTorch or a package that exporting needs is missing.
    """
    from deblurcli.backends.onnx_export import darktable_model, export_onnx, leave_in
    from deblurcli.weights.load import load_network

    log.warning("making an ONNX file of %s: this takes up to two minutes", spec.name)
    network, tag = load_network(spec, weights)
    licence = "MIT" if spec.untrained else find(spec.name, weights)[1].licence
    content = export_onnx(network, spec, tag, licence, precision, bare=format == "dtmodel", side=side)
    if format == "dtmodel":
        return darktable_model(content, spec, tag, side)
    return leave_in(content, beside) if beside else content
