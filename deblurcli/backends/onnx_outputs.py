"""Parts of an ONNX file: what it takes to make some of its outputs. ONNX Runtime computes all, asked for or not.

Released files leave most of their numbers in the .safetensors file beside them, which PyTorch reads, so that these come
with the program once and not twice.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def _field(name: str, number: int, kind: str = "TYPE_STRING") -> dict[str, Any]:
    message = {} if kind.startswith("TYPE_") else {"type": "TYPE_MESSAGE", "typeName": f".{kind}"}
    return {"name": name, "number": number, "label": "LABEL_REPEATED", "type": kind} | message


def _one(name: str, number: int, kind: str = "TYPE_STRING") -> dict[str, Any]:
    return _field(name, number, kind) | {"label": "LABEL_OPTIONAL"}


# As much of ONNX's format (onnx.proto) as that takes; whatever else there is, is carried over as it is.
_FORMAT = {
    "name": "onnx_outputs.proto",
    "messageType": [
        {"name": "Model", "field": [_one("graph", 7, "Graph")]},
        {
            "name": "Graph",
            "field": [_field("node", 1, "Node"), _field("initializer", 5, "Tensor"), _field("output", 12, "Value")],
        },
        {"name": "Node", "field": [_field("input", 1), _field("output", 2)]},
        {
            "name": "Tensor",
            "field": [
                _one("raw_data", 9, "TYPE_BYTES"),
                _field("external_data", 13, "Entry"),
                _one("data_location", 14, "TYPE_INT32"),
            ],
        },
        {"name": "Entry", "field": [_one("key", 1), _one("value", 2)]},
        {"name": "Value", "field": [_one("name", 1)]},
    ],
}
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(json_format.ParseDict(_FORMAT, descriptor_pb2.FileDescriptorProto()))
_Model: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("Model"))


def outputs(content: bytes) -> list[str]:
    """The names of what an ONNX file makes.

    Raises:
        google.protobuf.message.DecodeError: it is none.
    """
    return [output.name for output in _Model.FromString(content).graph.output]


def only(path: Path, names: Collection[str]) -> bytes:
    """An ONNX file that makes these outputs of another one, and computes nothing that they do not need.

    It stands alone, whatever the other one left in a file beside it.

    Raises:
        google.protobuf.message.DecodeError: ``path`` is none.
        OSError, ValueError: what it needs does not lie beside it.
    """
    model = _Model.FromString(path.read_bytes())
    graph = model.graph
    _bring_in(graph.initializer, path.parent)
    kept = [output for output in graph.output if output.name in names]
    needed, nodes = {output.name for output in kept}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    del graph.output[:], graph.node[:]
    graph.output.extend(kept)
    graph.node.extend(reversed(nodes))
    return model.SerializeToString()


def _bring_in(tensors: Any, folder: Path) -> None:
    """Numbers that lie in files of ``folder`` (ONNX's external data) into the tensors that they belong to."""
    files: dict[str, bytes] = {}
    for tensor in tensors:
        if tensor.data_location:
            where = {entry.key: entry.value for entry in tensor.external_data}
            name, offset, length = where["location"], int(where["offset"]), int(where["length"])
            if name not in files:
                files[name] = (folder / Path(name).name).read_bytes()
            tensor.raw_data = files[name][offset : offset + length]
            if len(tensor.raw_data) < length:
                raise ValueError(f"{name} is not the file that it was made with")
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
