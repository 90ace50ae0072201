"""From a PyTorch network with its weights to one ONNX file that runs anywhere and says what it is.

The contract of such a file, also for other programs than this one:

* input ``picture`` (1, 3, H, W) float32, RGB as displayed in [0, 1]; H and W multiples of ``multiple_of`` and at least
  ``min_size``;
* for networks that average over the whole picture, inputs ``average_0`` … (1, C, 1, 1), and outputs ``look_0`` …
  (1, C, H / s, W / s): the average of ``look_k`` is ``average_k``, and hangs on the averages before it alone;
* output ``restored`` (1, 3, H, W), not clipped, and one output per map of the network. What is not asked for need not
  be computed (``only_execute_path_to_fetches``);
* metadata ``format``, ``network``, ``tag``, ``multiple_of``, ``min_size``, ``licence``.

Kernel atoms depend on the weights alone and are constants of the file.
"""

from __future__ import annotations

import copy
import logging
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from deblurcli.errors import DeblurError
from deblurcli.networks.blocks import AtomDictionary
from deblurcli.networks.spec import NetworkSpec

FORMAT = "deblur-onnx-1"
OPSET = 20
LARGEST_SIDE = 2**15  # px; exporters want a bound
TOLERANCE = 1e-5


class Contract(nn.Module):
    """The network with the inputs and outputs of the file."""

    def __init__(self, network: nn.Module, spec: NetworkSpec) -> None:
        super().__init__()
        self.network, self.spec = network, spec

    def forward(self, picture: Tensor, averages: list[Tensor]) -> tuple[Tensor, ...]:
        """A picture and all averages → the restored picture, the maps, and what is averaged."""
        spec = self.spec
        x = picture.flip(1) if spec.channel_order == "bgr" else picture
        restored = self.network(x, maps=True, **({"statistics": averages} if averages else {}))
        image = restored.picture.flip(1) if spec.channel_order == "bgr" else restored.picture
        looks = [self.network.statistic(x, averages[:k]) for k in range(spec.statistics)]  # type: ignore[operator]
        return (image, *(restored.maps[m.name] for m in spec.maps), *looks)


def names(spec: NetworkSpec) -> tuple[list[str], list[str]]:
    """Names of the inputs and of the outputs of a network's file."""
    count = range(spec.statistics)
    inputs = ["picture", *(f"average_{k}" for k in count)]
    return inputs, ["restored", *(m.name for m in spec.maps), *(f"look_{k}" for k in count)]


def export_onnx(network: nn.Module, spec: NetworkSpec, tag: str, licence: str) -> bytes:
    """The content of the network's ONNX file, once ONNX Runtime has been seen to return what PyTorch does.

    Raises:
        DeblurError: ``onnx``, ``onnxscript`` or ``onnxruntime`` is not installed, or results differ by more than 1e-5
            of what they span.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  used by torch
    except ImportError as error:
        raise DeblurError(
            f"exporting to ONNX needs {error.name}, which is not installed", "pip install 'deblurcli[export]'"
        ) from error

    network = copy.deepcopy(network).float().cpu().eval()
    for module in network.modules():
        if isinstance(module, AtomDictionary):
            module.freeze()
    contract = Contract(network, spec).eval()
    inputs, outputs = names(spec)
    small, large = _example(network, spec, 2), _example(network, spec, 3)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own affairs
        level = logging.getLogger("torch.onnx").level
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            contract,
            large,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=_dynamic(spec),
            opset_version=OPSET,
            verbose=False,
        )
        logging.getLogger("torch.onnx").setLevel(level)
    assert program is not None
    model = program.model_proto
    about = {"format": FORMAT, "network": spec.name, "tag": tag, "licence": licence}
    onnx.helper.set_model_props(model, about | {k: str(getattr(spec, k)) for k in ("multiple_of", "min_size")})
    content = model.SerializeToString()

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for picture, averages in (small, large):
        with torch.no_grad():
            expected = contract(picture, averages)
        fed = dict(zip(inputs, [t.numpy() for t in (picture, *averages)], strict=True))
        for name, ours, theirs in zip(outputs, expected, session.run(outputs, fed), strict=True):
            span = max(float(ours.max() - ours.min()), 1.0)
            difference = float(np.abs(ours.numpy() - theirs).max()) / span
            if not difference <= TOLERANCE:
                raise DeblurError(
                    f"{spec.name}: ONNX Runtime's '{name}' is {difference:.1e} from PyTorch's; nothing was written",
                    "Please report this with the versions of torch, onnx and onnxruntime.",
                )
    return content


def _example(network: nn.Module, spec: NetworkSpec, steps: int) -> tuple[Tensor, list[Tensor]]:
    """Inputs that are not square: a picture of noise, and averages of it."""
    height = -(-max(spec.min_size, 64) // spec.multiple_of) * spec.multiple_of * (steps - 1)
    picture = torch.rand(1, 3, height, height + spec.multiple_of, generator=torch.Generator().manual_seed(steps))
    averages: list[Tensor] = []
    with torch.no_grad():
        for _ in range(spec.statistics):
            averages.append(network.statistic(picture, averages).mean((2, 3), keepdim=True))  # type: ignore[operator]
    return picture, averages


def _dynamic(spec: NetworkSpec) -> dict[str, object]:
    least, most = max(-(-spec.min_size // spec.multiple_of), 2), LARGEST_SIDE // spec.multiple_of
    rows, columns = (torch.export.Dim(name, min=least, max=most) for name in ("rows", "columns"))
    sides = {2: spec.multiple_of * rows, 3: spec.multiple_of * columns}
    return {"picture": sides, "averages": [None] * spec.statistics}
