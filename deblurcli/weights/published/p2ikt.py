"""P2IKT as its authors published it (for research, not for commerce): their key names, and the way to ours."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from deblurcli.weights.published.keys import BATCH_NORM, WEIGHT_AND_BIAS, renamed, with_parameters


def _authors_keys() -> dict[str, str]:
    encoder, decoder, predictor = "basemodel.encoder.en_layer", "basemodel.decoder.de_", "GCM.adaption_conv.ConvNet"
    modules = {
        f"{predictor}.0": "deconvolve.predict.look",
        "GCM.transform_conv.main.0": "deconvolve.transform",
        "GCM.fuse_conv.main.0": "deconvolve.fuse",
        "GCM.Convsout.main.0": "deconvolve.show",
        f"{encoder}1_1.0": "unet.stem",
        f"{encoder}2_1.0": "unet.down_middle",
        f"{encoder}3_1.0": "unet.down_deep",
        f"{decoder}layer3_1.0": "unet.up_middle",
        f"{decoder}layer2_2.0": "unet.fuse_middle",
        f"{decoder}layer2_1.0": "unet.up_fine",
        f"{decoder}layer1_1.0": "unet.fuse_fine",
        f"{decoder}layer1_1.2": "unet.blend_fine",
        "APU.conv_atten.conv": "head.gates",
        "APU.conv.conv.0": "head.detail.conv",
        "SumLayer.conv": "contract",
        "SumLayer1": "contract_predicted",
    }
    blocks = {
        f"{encoder}{level}_{nth + 2}": f"unet.encode_{name}.{nth}"
        for level, name in ((1, "fine"), (2, "middle"))
        for nth in range(3)
    }
    blocks |= {f"{decoder}block_{nth + 1}": f"unet.decode_middle.{nth}" for nth in range(4)}
    blocks |= {f"{decoder}layer1_{nth + 2}": f"unet.decode_fine.{nth}" for nth in range(3)}
    for theirs, ours in blocks.items():
        modules |= {f"{theirs}.0": f"{ours}.first", f"{theirs}.2": f"{ours}.second"}
    for nth in range(6):
        theirs, ours = f"basemodel.Trans_block_{nth + 1}", f"unet.strips.{nth}"
        names = {
            "attention_norm": "attention_norm",
            "conv_input": "enter",
            "fuse_out": "leave",
            "ffn_norm": "mlp_norm",
            "ffn.fc1": "widen",
            "ffn.fc2": "narrow",
            "PEG.PEG": "position",
        }
        within = nth % 2 == 0
        names |= {
            "qkv_local_h" if within else "conv_h": "horizontal",
            "qkv_local_v" if within else "conv_v": "vertical",
        }
        modules |= {f"{theirs}.{their_name}": f"{ours}.{name}" for their_name, name in names.items()}
    keys = with_parameters(modules, *WEIGHT_AND_BIAS)
    keys |= with_parameters({"APU.conv.conv.1": "head.detail.norm"}, *BATCH_NORM)
    bias_free = {f"{predictor}.3": "deconvolve.predict.gather", f"{predictor}.6": "deconvolve.predict.combine"}
    return keys | with_parameters(bias_free, "weight")


AUTHORS_KEYS: dict[str, str] = _authors_keys()
"""Every key of the authors' file → ours."""


def from_authors(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict under our names, each of their keys used once, ready for ``P2IKT().load_state_dict``.

    Raises:
        WeightsError: keys are missing or unknown, or a shape is not P2IKT's.
    """
    return renamed(state_dict, AUTHORS_KEYS, "p2ikt")
