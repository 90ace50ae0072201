"""INIKNet as its authors published it (MIT licence): their key names, and the way to ours."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from deblurcli.weights.published.keys import renamed


def _authors_keys() -> dict[str, str]:
    modules = {
        "unet.feat_extract.0.main.0": "unet.stem",
        "unet.feat_extract.1.main.0": "unet.down_middle",
        "unet.feat_extract.2.main.0": "unet.down_deep",
        "unet.feat_extract.3.main.0": "unet.fuse_middle",
        "unet.feat_extract.4.main.0": "unet.fuse_fine",
        "unet.up1.main.0": "unet.up_middle",
        "unet.up2.main.0": "unet.up_fine",
        "scale_select": "size_head",
        "basis_select": "shape_head",
        "sum": "contract",
    }
    blocks = {
        "unet.Encoder.0.layers": "unet.encode_fine",
        "unet.Encoder.1.layers": "unet.encode_middle",
        "unet.Encoder.2.layers": "unet.encode_deep",
        "unet.Decoder.0.layers": "unet.decode_middle",
        "unet.Decoder.1.layers": "unet.decode_fine",
    }
    for theirs, ours in {"lstms_scale_select": "size_lstm", "lstms_basis_select": "shape_lstm"}.items():
        modules[f"{theirs}.norm.norm"] = f"{ours}.norm"
        # Their lists of scales run from coarse to fine, so their "right to left" is the first pass, fine → coarse.
        for their_pass, our_pass in {"right2left": "coarsen", "left2right": "refine"}.items():
            modules[f"{theirs}.{their_pass}.cell.conv"] = f"{ours}.{our_pass}.gates"
            blocks[f"{theirs}.{their_pass}.cell.layers.layers"] = f"{ours}.{our_pass}.body"
    for theirs, ours in blocks.items():
        for block in range(2):
            for conv, name in enumerate(("first", "second")):
                modules[f"{theirs}.{block}.main.{conv}.main.0"] = f"{ours}.{block}.{name}"

    keys: dict[str, str] = {}
    for atom in range(10):
        theirs, ours = f"inr_conv.kernelINR_list.{atom}.layers", f"dictionary.kernels.{atom}"
        modules |= {f"{theirs}.{i}": f"{ours}.{name}" for i, name in ((0, "lift"), (2, "hidden"), (4, "value"))}
        keys |= {f"{theirs}.{i}.w0": f"{ours}.frequency" for i in (1, 3)}

    bias_free = ("stem", "down_", "up_", "fuse_", "first", "second", "value")
    for theirs, ours in modules.items():
        keys[f"{theirs}.weight"] = f"{ours}.weight"
        if not ours.rsplit(".", 1)[-1].startswith(bias_free):
            keys[f"{theirs}.bias"] = f"{ours}.bias"
    return keys


AUTHORS_KEYS: dict[str, str] = _authors_keys()
"""Every key of the authors' file → ours. Two of theirs share one of ours where they tie a tensor (the sines' w0)."""


def from_authors(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict under our names, each of their keys used once, ready for ``INIKNet().load_state_dict``.

    Raises:
        WeightsError: keys are missing or unknown, a shape is not INIKNet's, or tensors that must be tied differ.
    """
    return renamed(state_dict, AUTHORS_KEYS, "iniknet")
