"""From a PyTorch network with its weights to one ONNX file that runs anywhere and says what it is.

The contract of such a file, also for other programs than this one:

* input ``picture`` (1, 3, H, W) float32, RGB as displayed in [0, 1]; H and W multiples of ``multiple_of`` and at least
  ``min_size``;
* for networks that average over the whole picture, inputs ``average_0`` … (1, C, 1, 1), NaN where the average is to be
  this picture's own, and outputs ``look_0`` … (1, C, H / s, W / s): the average of ``look_k`` is ``average_k``;
* output ``restored`` (1, 3, H, W), not clipped; for networks made for it ``trust`` (1, 1, H/2, W/2), how far they trust
  themselves against a halved copy of the picture (see ``scales``); and one output per map of the network, all float32;
* for networks that filter the picture with fixed kernels, these as outputs ``kernels_…`` (1, …):
  see ``Backend.kernels``;
* metadata ``format``, ``network``, ``tag``, ``precision``, ``multiple_of``, ``min_size``, ``licence``.

Kernel atoms depend on the weights alone and are constants of the file. An fp16 file computes in 16 bit exactly where
PyTorch's autocast does; its pictures are float32 all the same.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.errors import DeblurError
from deblurcli.networks.blocks import AtomDictionary
from deblurcli.networks.iniknet_fast import INIKNetFast
from deblurcli.networks.spec import NetworkSpec

FORMAT = "deblur-onnx-1"
OPSET = 20
LARGEST_SIDE = 2**15  # px; exporters want a bound
LARGE = 1000  # numbers, of which it is worthwhile to store fewer bits; bytes, not to be stored twice
# How far a file's results may be from PyTorch's in fp32, (mean, largest), as a share of the largest: defocus sizes of
# 20 px are rounded more coarsely than colours.
TOLERANCES = {"fp32": (1e-5, 1e-5), "fp16": (0.5 / 255, 4 / 255)}


class Contract(nn.Module):
    """The network with the inputs and outputs of the file.

    Args:
        half: in 16 bit where autocast thinks it safe.
        bare: a picture in and the restored picture out, clipped to [0, 1], and nothing else.
    """

    def __init__(self, network: nn.Module, spec: NetworkSpec, half: bool = False, bare: bool = False) -> None:
        super().__init__()
        self.network, self.spec, self.half_precision, self.bare = network, spec, half, bare

    def forward(self, picture: Tensor, averages: list[Tensor]) -> tuple[Tensor, ...]:
        """A picture and its averages → the restored picture, the maps, and what is averaged."""
        spec = self.spec
        x = picture.flip(1) if spec.channel_order == "bgr" else picture
        looks: list[Tensor] = []
        used: list[Tensor] = []
        with torch.autocast("cpu", torch.float16) if self.half_precision else nullcontext():
            for given in averages:
                looks.append(self.network.statistic(x, used).float())  # type: ignore[operator]
                used.append(torch.where(given.isnan(), looks[-1].mean((2, 3), keepdim=True), given))
            restored = self.network(x, maps=not self.bare, **({"statistics": used} if used else {}))
        image = restored.picture.flip(1) if spec.channel_order == "bgr" else restored.picture
        if self.bare:
            return (image.float().clamp(0, 1),)
        kernels = (kernel.unsqueeze(0) for kernel in self.network.kernels().values())  # type: ignore[operator]
        trust = () if restored.trust is None else (restored.trust,)
        return tuple(t.float() for t in (image, *trust, *(restored.maps[m.name] for m in spec.maps), *looks, *kernels))


def export_onnx(
    network: nn.Module,
    spec: NetworkSpec,
    tag: str,
    licence: str,
    precision: str = "fp32",
    bare: bool = False,
    side: int | None = None,
) -> bytes:
    """The content of the network's ONNX file, once ONNX Runtime has been seen to return what PyTorch does.

    Args:
        precision: "fp32" or "fp16". bare: see ``Contract``.
        side: height and width, px, of the only pictures that the file takes; None for any.

    Raises:
        UsageError: ``side`` is none that the network takes.
        ModuleNotFoundError: ``onnx`` or ``onnxscript`` is not installed.
        DeblurError: results differ by more than ``TOLERANCES`` allow.
    """
    import onnx
    import onnxscript  # noqa: F401  used by torch

    if side:
        spec.check_side(side, "tiles")
    network = copy.deepcopy(network).float().cpu().eval()
    for module in network.modules():
        if isinstance(module, AtomDictionary):
            module.freeze()
    statistics = 0 if bare else spec.statistics
    inputs = ["picture", *(f"average_{k}" for k in range(statistics))]
    outputs = ["restored"]
    if not bare:
        trusts = isinstance(network, INIKNetFast)
        outputs += ["trust"] * trusts + [m.name for m in spec.maps] + [f"look_{k}" for k in range(statistics)]
        outputs += [f"kernels_{name}" for name in network.kernels()]  # type: ignore[operator]
    least, most = max(spec.min_size // spec.multiple_of, 2), LARGEST_SIDE // spec.multiple_of
    rows, columns = (torch.export.Dim(name, min=least, max=most) for name in ("rows", "columns"))
    sides = None if side else {2: spec.multiple_of * rows, 3: spec.multiple_of * columns}
    height = max(spec.min_size, 64)
    sizes = [(side, side)] if side else [(h, h + spec.multiple_of) for h in (height, 2 * height)]  # not square
    small, large = _example(sizes[0], 1), _example(sizes[-1], 2)
    own = [torch.full((1, c, 1, 1), torch.nan) for c in _channels(network, large, statistics)]
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            Contract(network, spec, precision == "fp16", bare).eval(),
            (large, own),
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes={"picture": sides, "averages": [None] * statistics},
            opset_version=OPSET,
            custom_translation_table=_translations(),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]  # where in our code it comes from: a quarter of the file
    if precision == "fp16":
        _halve(model.graph)
    _sums_last(model.graph)
    _pack(model.graph)
    about = {"format": FORMAT, "network": spec.name, "tag": tag, "precision": precision, "licence": licence}
    onnx.helper.set_model_props(model, about | {k: str(getattr(spec, k)) for k in ("multiple_of", "min_size")})
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    others = [torch.full_like(average, 0.1) for average in own]
    _prove(content, Contract(network, spec, bare=bare).eval(), [(small, own), (large, own), (large, others)], precision)
    return content


def leave_in(content: bytes, weights: Path) -> bytes:
    """An ONNX file → one that leaves in a .safetensors file what is there as well, byte for byte (external data).

    It works wherever that file lies beside it, under the same name.
    """
    import onnx
    from onnx.external_data_helper import set_external_data

    held = weights.read_bytes()
    model = onnx.load_from_string(content)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) >= LARGE and (at := held.find(tensor.raw_data)) >= 0:
            set_external_data(tensor, weights.name, at, len(tensor.raw_data))
            tensor.ClearField("raw_data")
    return model.SerializeToString()


def darktable_model(content: bytes, spec: NetworkSpec, tag: str, side: int | None = None) -> bytes:
    """A bare ONNX file → the zip in which darktable (from 5.6) takes models for its neural restore module.

    It holds ``<id>/model.onnx`` and ``<id>/config.json``. Not tried inside darktable, which cuts photos into tiles that
    overlap by 64 px, each restored for itself and at one size.

    Args:
        side: of the only tiles that the file takes, px; None for any, of which darktable chooses.
    """
    name = f"denoise-deblur-{spec.name}"
    tiles = f"tiles of {side} px" if side else f"sides multiples of {spec.multiple_of} px"
    config = {
        "id": name,
        "name": f"deblur {spec.title}",
        "description": f"Removes defocus blur, at one scale. sRGB in and out, {tiles}.",
        "task": "denoise",
        "backend": "onnx",
        "version": tag,
        "num_inputs": 1,
        "attributes": {"input_sizes": [side]} if side else {},
    }
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:  # uncompressed: weights do not get smaller
        archive.writestr(f"{name}/model.onnx", content)
        archive.writestr(f"{name}/config.json", json.dumps(config, indent=1) + "\n")
    return file.getvalue()


def _halve(graph: Any) -> None:
    """Stores in 16 bit what is computed with in 16 bit alone, so that a file has half the size and the same results."""
    import onnx

    half = onnx.TensorProto.FLOAT16
    numbers = {tensor.name: tensor for tensor in graph.initializer}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in numbers]
    for node in casts:
        if next(attribute.i for attribute in node.attribute if attribute.name == "to") == half:
            values = onnx.numpy_helper.to_array(numbers[node.input[0]])
            graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float16), node.output[0]))
            graph.node.remove(node)
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _pack(graph: Any) -> None:
    """Stores in 16 bit what that does not change, such as weights that come so; whoever loads the file widens it."""
    import onnx

    for tensor in list(graph.initializer):
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(tensor)
            with np.errstate(over="ignore"):
                half = values.astype(np.float16)
            if values.size >= LARGE and np.array_equal(half, values):
                name = f"{tensor.name}_16"
                graph.initializer.append(onnx.numpy_helper.from_array(half, name))
                graph.node.insert(0, onnx.helper.make_node("Cast", [name], [tensor.name], to=tensor.data_type))
                graph.initializer.remove(tensor)


def _sums_last(graph: Any) -> None:
    """Moves the sum of what filters contribute to the picture behind the filters.

    ONNX Runtime goes back from a file's outputs and computes first what stands last. So it adds to the sum whenever a
    filter is done, instead of keeping what all of them made until then.
    """
    makers = {name: node for node in graph.node for name in node.output}

    def found(node: Any, through: tuple[str, ...]) -> Iterator[Any]:
        """The node and those that its value comes from by nothing but these operations."""
        yield node
        for name in node.input if node.op_type in through else ():
            if name in makers and makers[name].op_type in through:
                yield from found(makers[name], through)

    def terms(node: Any) -> list[Any]:
        return list(found(node, ("Add",)))

    # What else is done to the sum, pixel by pixel, comes behind it.
    by_pixel = found(makers["restored"], ("Add", "Sub", "Mul", "ReduceSum", "Cast", "Identity", "Clip", "Expand"))
    sums = max((terms(node) for node in by_pixel if node.op_type == "Add"), key=len, default=[])
    last = {name for node in sums for name in node.output}
    first, behind = [], []
    for node in graph.node:
        if last.intersection((*node.input, *node.output)):
            last.update(node.output)
            behind.append(node)
        else:
            first.append(node)
    del graph.node[:]
    graph.node.extend([*first, *behind])


def _prove(content: bytes, network: Contract, examples: list[tuple[Tensor, list[Tensor]]], precision: str) -> None:
    """Raises DeblurError unless ONNX Runtime returns with the file what PyTorch does in fp32."""
    from deblurcli.backends.onnx_runtime import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    inputs, outputs = ([value.name for value in values] for values in (session.get_inputs(), session.get_outputs()))
    for picture, averages in examples:
        with torch.no_grad():
            expected = [output.detach() for output in network(picture, averages)]
        fed = dict(zip(inputs, [t.numpy() for t in (picture, *averages)], strict=True))
        for name, ours, theirs in zip(outputs, expected, session.run(outputs, fed), strict=True):
            if precision != "fp32" and name != "restored":
                continue  # maps that hardly matter where they are large: what counts is the picture
            difference = np.abs(ours.numpy() - theirs) / max(float(ours.abs().max()), 1.0)
            mean, largest = float(difference.mean()), float(difference.max())
            if not (mean <= TOLERANCES[precision][0] and largest <= TOLERANCES[precision][1]):
                raise DeblurError(
                    f"{network.spec.name}: ONNX Runtime's '{name}' is {largest:.1e} from PyTorch's ({mean:.1e} on "
                    "average); nothing was written",
                    "Please report this with the versions of torch, onnx and onnxruntime.",
                )


def _example(size: tuple[int, int], seed: int) -> Tensor:
    """A blurred picture; sharp ones would come back unchanged."""
    noise = torch.rand(1, 3, size[0] // 4, size[1] // 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=size, mode="bicubic").clamp(0, 1)


def _channels(network: nn.Module, picture: Tensor, statistics: int) -> list[int]:
    """How many numbers each of the averages has."""
    averages: list[Tensor] = []
    with torch.no_grad():
        for _ in range(statistics):
            averages.append(network.statistic(picture, averages).mean((2, 3), keepdim=True))  # type: ignore[operator]
    return [average.shape[1] for average in averages]


def _translations() -> dict[Any, Any]:
    """Operators that ONNX Runtime has too slow a kernel for, in terms of others."""
    import onnx
    from onnxscript import opset20

    op: Any = opset20

    def softmax(x: Any, dim: int, half_to_float: bool = False) -> Any:
        """ONNX Runtime's own transposes the whole tensor unless it runs over the last axis: a fifth of all time."""
        axis = op.Constant(value_ints=[dim])
        exponential = op.Exp(op.Sub(x, op.ReduceMax(x, axis, keepdims=1)))
        return op.Div(exponential, op.ReduceSum(exponential, axis, keepdims=1))

    def shuffle(x: Any, factor: int) -> Any:
        """ONNX Runtime's own works in one thread. Laying every channel into its place takes a fifth of the time."""
        channels = x.shape[1]
        return op.ConvTranspose(x, places(x, channels, factor), group=channels // factor**2, strides=[factor] * 2)

    def unshuffle(x: Any, factor: int) -> Any:
        """The same the other way round."""
        channels = x.shape[1]
        return op.Conv(x, places(x, channels * factor**2, factor), group=channels, strides=[factor] * 2)

    def places(x: Any, channels: int, factor: int) -> Any:
        """(channels, 1, factor, factor) as precise as x: 1 where in its square of pixels a channel belongs, else 0."""
        square = np.eye(factor**2, dtype=np.float32).reshape(-1, 1, factor, factor)
        weight = onnx.numpy_helper.from_array(np.tile(square, (channels // factor**2, 1, 1, 1)))
        return op.CastLike(op.Constant(value=weight), x)

    return {
        torch.ops.aten._softmax.default: softmax,
        torch.ops.aten.softmax.int: softmax,
        torch.ops.aten.pixel_shuffle.default: shuffle,
        torch.ops.aten.pixel_unshuffle.default: unshuffle,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' talk about their own affairs from the user."""
    talkers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in talkers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in talkers:
            logger.setLevel(logging.ERROR)
        yield
    for logger, level in zip(talkers, levels, strict=True):
        logger.setLevel(level)
