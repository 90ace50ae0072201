"""Finds the ONNX file of some weights, and makes it where there is none."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from deblurcli import __version__
from deblurcli.errors import DeblurError, WeightsError
from deblurcli.networks.spec import NetworkSpec
from deblurcli.photo.atomic import replacing
from deblurcli.weights.store import cache_folder, find

log = logging.getLogger(__name__)


def onnx_file(spec: NetworkSpec, weights: str | None = None) -> tuple[Path, str]:
    """The ONNX file of a network's weights, and their tag.

    Released weights have theirs beside them. That of others is made on first use, which takes a minute and PyTorch, and
    kept with fetched weights; its name holds a sum of the weights and the program's version.

    Raises:
        WeightsError: there are no such weights. DeblurError: the file cannot be made.
    """
    if spec.untrained and weights is None:
        source, tag, content = None, "random", b""
    else:
        source, header = find(spec.name, weights)
        tag, content = header.tag, source.read_bytes()
        beside = source.with_suffix(".onnx")
        if weights in (None, tag) and beside.is_file():
            return beside, tag
    name = f"{spec.name}.{tag}.{hashlib.sha256(content).hexdigest()[:12]}.{__version__}.onnx"
    path = cache_folder() / "onnx" / name
    if not path.is_file():
        log.warning("making the ONNX file of %s, once: this takes a minute", f"{spec.name} {tag}")
        write_onnx(spec, None if source is None else str(source), path)
    return path, tag


def write_onnx(spec: NetworkSpec, weights: str | None, path: Path) -> None:
    """Writes the network with these weights as an ONNX file.

    Raises:
        WeightsError: there are no such weights. PhotoError: the file cannot be written.
        DeblurError: PyTorch or a package that exporting needs is missing, or results differ from PyTorch's.
    """
    try:
        from deblurcli.backends.onnx_export import export_onnx
        from deblurcli.weights.load import load_network
    except ImportError as error:
        raise DeblurError(
            f"making an ONNX file needs {error.name}, which is not installed",
            "Make it elsewhere with 'deblur weights export', or use weights that come with one.",
        ) from error
    network, tag = load_network(spec, weights)
    licence = "MIT" if spec.untrained else find(spec.name, weights)[1].licence
    content = export_onnx(network, spec, tag, licence)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"{path.parent}: cannot be made ({error.strerror})") from error
    with replacing(path) as file:
        file.write(content)
