"""GKMNet as its authors published it (no licence stated): their key names, and the way to ours."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from deblurcli.weights.published.keys import BATCH_NORM, WEIGHT_AND_BIAS, renamed, with_parameters

STAGES = {
    "in_block": "encode_fine",
    "conv_block1_1": "encode_middle",
    "conv_block2_1": "encode_deep",
    "bottle_neck_1": "bottleneck",
    "conv_block3_1": "decode_middle",
    "conv_block4_1": "decode_fine",
}
GATES = {"cw": "over_height", "hc": "over_width", "hw": "over_channels"}


def _authors_keys() -> dict[str, str]:
    bricks = {"APU.conv.conv": "head.detail"}  # a convolution with batch normalisation
    convolutions = {"APU.conv_atten.conv": "head.gates", "SumLayer.conv": "contract"}
    keys: dict[str, str] = {}
    for theirs, ours in STAGES.items():
        stage = f"unet.{ours}"
        bricks |= {f"{theirs}.res_block.conv": f"{stage}.first", f"{theirs}.res_block.conv1": f"{stage}.second"}
        if theirs == "in_block":
            convolutions[f"{theirs}.conv.0"] = f"{stage}.enter"
        else:
            bricks[f"{theirs}.conv"] = f"{stage}.enter"
        gates = {f"{theirs}.ta.{gate}.conv": f"{stage}.attention.{name}" for gate, name in GATES.items()}
        keys |= with_parameters({f"{gate}.conv": f"{name}.conv" for gate, name in gates.items()}, "weight")
        keys |= with_parameters({f"{gate}.bn": f"{name}.norm" for gate, name in gates.items()}, *BATCH_NORM)
    convolutions |= {f"{theirs}.0": f"{ours}.conv" for theirs, ours in bricks.items()}
    keys |= with_parameters(convolutions, *WEIGHT_AND_BIAS)
    return keys | with_parameters({f"{theirs}.1": f"{ours}.norm" for theirs, ours in bricks.items()}, *BATCH_NORM)


AUTHORS_KEYS: dict[str, str] = _authors_keys()
"""Every key of the authors' file → ours."""


def from_authors(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict under our names, each of their keys used once, ready for ``GKMNet().load_state_dict``.

    Raises:
        WeightsError: keys are missing or unknown, or a shape is not GKMNet's.
    """
    return renamed(state_dict, AUTHORS_KEYS, "gkmnet")
