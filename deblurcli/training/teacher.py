"""What a trained network makes of a picture, to be learned from (distillation: Hinton, Vinyals, Dean, 2015).

Most of what a blurred picture lacks cannot be known from it, and is noise to whoever learns from the sharp one. What a
trained network restores can, so that a new network learns the first of it in fewer steps. What it makes of a picture
and of the same one mirrored differs by chance; the mean is nearer to the truth, and calmer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from deblurcli.networks.blocks import channels_last
from deblurcli.networks.spec import network_spec
from deblurcli.synthesis.pairs import Pairs
from deblurcli.training.config import TeacherConfig
from deblurcli.training.progress import in_rgb
from deblurcli.training.scales import restored_at_scales, scales_of
from deblurcli.weights.load import load_network

SCALES = 3  # of a picture that the teacher is shown, at most
MIRRORED = ((), (2,), (3,), (2, 3))  # the axes along which the teacher is shown a picture turned round


def taught_by(teacher: TeacherConfig, device: torch.device) -> Callable[[Pairs], Pairs]:
    """What puts the teacher's picture, as far as it counts, in the place of the sharp one.

    Raises:
        UsageError, WeightsError: there is no such network, or it has no such weights; or, at the first step, it cannot
            be shown pictures of this size.
    """
    if not teacher.share:
        return lambda pairs: pairs
    spec = network_spec(teacher.network)
    network, _ = load_network(spec, teacher.weights or None)
    restore = in_rgb(channels_last(network).to(device).eval(), spec.name)
    most = SCALES if spec.coarse_to_fine else 1

    def restored(picture: Tensor) -> Tensor:
        return restored_at_scales(restore, picture, scales_of(picture, most, spec), maps=False)[0].picture

    @torch.no_grad()
    def taught(pairs: Pairs) -> Pairs:
        spec.check_side(pairs.blurred.shape[-1], "crops")
        views = [restored(pairs.blurred.flip(axes)).flip(axes) for axes in MIRRORED]
        picture = torch.stack(views).mean(0).clamp(0, 1)
        return replace(pairs, sharp=pairs.sharp.lerp(picture, teacher.share))

    return taught
