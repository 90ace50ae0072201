"""Parts of an ONNX file: what it takes to make some of its outputs. ONNX Runtime computes all, asked for or not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def _field(name: str, number: int, kind: str = "TYPE_STRING") -> dict[str, Any]:
    message = {} if kind.startswith("TYPE_") else {"type": "TYPE_MESSAGE", "typeName": f".{kind}"}
    return {"name": name, "number": number, "label": "LABEL_REPEATED", "type": kind} | message


# As much of ONNX's format (onnx.proto) as that takes; whatever else there is, is carried over as it is.
_FORMAT = {
    "name": "onnx_outputs.proto",
    "messageType": [
        {"name": "Model", "field": [_field("graph", 7, "Graph") | {"label": "LABEL_OPTIONAL"}]},
        {"name": "Graph", "field": [_field("node", 1, "Node"), _field("output", 12, "Value")]},
        {"name": "Node", "field": [_field("input", 1), _field("output", 2)]},
        {"name": "Value", "field": [_field("name", 1) | {"label": "LABEL_OPTIONAL"}]},
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


def only(content: bytes, names: Collection[str]) -> bytes:
    """An ONNX file that makes these outputs of ``content``, and computes nothing that they do not need.

    Raises:
        google.protobuf.message.DecodeError: ``content`` is none.
    """
    model = _Model.FromString(content)
    graph = model.graph
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
