"""GGKMNet: deblurring by a fixed-point iteration whose blur is, at every pixel, a mixture of Gaussians.

Quan, Wu, Xu, Ji: Deep Single Image Defocus Deblurring via Gaussian Kernel Mixture Learning, TPAMI 2024.

A blurred photo is y = B∘x. Where B is known, x is what x ← y + x − B∘x leaves alone, Eq. (10). The network takes three
such steps, at 1/4, 1/2 and full size, and predicts the point spread functions of B before each: at pixel (m, n)
Σ_p β_p[m, n] g̃_p, where g̃_p = Σ_q α_p[q] g_{p,q} is group p's kernel, of S_p × S_p px, and the same in the whole
picture: the lens decides about α, the distance about β.

No code and no weights were published. What the paper leaves open, or what is different here, and why:

* **Sizes S_p = 2p − 1: 1, 3 … 41 px.** §4.3 gives these sizes to the kernels ḡ_p of which Eq. (16) composes the g̃_p;
  those would grow to 421 px. Here it is the composed kernels that have them, and every ḡ_p is 3×3. 41 px in 21 groups
  leave no other choice. Wide blur is undone at 1/4, where 41 px are 164.
* **Four Gaussians per step with variances 0.15, 0.3, 0.45 and 0.6 px²**, the same for every p, along each axis. Three
  taps (v/2, 1 − v, v/2) are exactly a Gaussian cut to 3 px for each v < 2/3. The paper's standard deviations,
  0.5, 1.5, 2.5, 3.5 and a little more with p, would be all but box filters when cut so short. As the softmax
  of an LSTM's output is never far from even, σ is between 2.2 and 3.2 px for p = 21.
* **Iterated convolution**: z_p is made from z_{p−1} by one 3×3 kernel per picture, depthwise, 20 times.
* **Every PSF sums to one.** In Eq. (14), x = y + x↑ − Σ β_p z_p keeps the brightness only if Σ β_p = 1, which a tanh
  never gives exactly. Here δ gets the weight that is missing, 1 − Σ β_p, which makes it y + Σ β_p (x↑ − z_p): flat
  areas cannot change, and with β = 0 the photo comes back.
* **Both x↑ and y are convolved** ("fuses it with y" in the paper), side by side as six planes: details finer than the
  coarser scale has can only come from y. Group 1, whose kernel is δ, then means how far to trust x↑ more than y.
* **The sum over p** is the paper's 1×1 convolution, bias-free, over groups and planes. It starts as 1/8 of
  the plain sum, so that β from −1 to 1 means corrections up to five times what one blur takes away; with the plain sum
  one step of Adam, moving 21 nearly equal terms alike, would go too far. All scales share it, like every other weight:
  the paper counts as many for one scale as for three.
* **Blur feature extractor**: widths 32, 64, 128 and 128 at 1, 1/2, 1/4 and 1/8, and 64, 32, 16 on the way up. So the
  text's three decoders that double the size fit, and so do both of its networks, one with one and one with five
  residual blocks at each of the seven places: 1.70 and 5.98 M parameters (paper: 1.68 and 5.93), 167 and 524 G
  multiply-adds at 720p (158 and 519). Skips are concatenated and fused by 3×3 convolutions, ReLU follows all but
  the transposed convolutions outside the residual blocks, whose second convolution starts at zero.
* **α**: one statistic, the averages of the deepest features of all scales, 3 · 128 numbers, as none of them depends on
  a coarser result. LSTM of width 32, ReLU, LSTM of width 84, softmax over each four.
* **β**: ConvLSTM 5×5 at half of each scale's size on 16 channels, whose 21 hidden channels are β̄₁; two 3×3
  convolutions give β̄₂. Its cell's candidate starts at zero, so that the untrained network is the identity.
* **Self-reconstruction** (``SelfReconstruction``) is built when asked for, as the recipes do. It runs in training mode
  only, and weights are saved without it: the table does not count it, and neither does the paper's, whose module is
  only there for training. F₁, which is at 1/8, is narrowed to 32 channels
  and scaled up to the picture's size.
* **Borders** are mirrored where pictures are filtered, zero-padded where features are computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import State, full_precision, resize, resize_state
from deblurcli.networks.ggkmnet_predictor import AlphaUnit, BetaUnit, BlurFeatures, Encoded, SelfReconstruction
from deblurcli.networks.restored import Restored

GROUPS = 21  # P
VARIANCES = (0.15, 0.3, 0.45, 0.6)  # px², of the Q Gaussians of each step, along each axis
SCALES = (1 / 4, 1 / 2, 1)  # t = 1 … T
PLANES = 6  # of what is convolved: three colours of x↑, three of y


def step_gaussians() -> Tensor:
    """The Q Gaussians that each step mixes, (Q, 3, 3), each with sum 1."""
    variance = torch.tensor(VARIANCES)
    taps = torch.stack([variance / 2, 1 - variance, variance / 2], 1)
    return taps.unsqueeze(2) * taps.unsqueeze(1)


def group_sigmas(alpha: Tensor) -> Tensor:
    """Standard deviations of the g̃_p along an axis, px: (…, P, Q) → (…, P). Variances add up along Eq. (16).

    Group 1's kernel is δ, whatever α is: at the size of 1×1 px every Gaussian is.
    """
    variance = (alpha * alpha.new_tensor(VARIANCES)).sum(-1)
    return torch.cat([torch.zeros_like(variance[..., :1]), variance[..., 1:].cumsum(-1)], -1).sqrt()


def convolve(z: Tensor, kernels: Tensor) -> Tensor:
    """Convolves all planes of each picture with that picture's kernel: (B, C, H, W), (B, 3, 3) → (B, C, H, W)."""
    b, c, h, w = z.shape
    # Depthwise over everything is eight times as fast on a CPU as planes laid out as batch.
    padded = F.pad(z, (1, 1, 1, 1), mode="reflect").reshape(1, b * c, h + 2, w + 2)
    return F.conv2d(padded, kernels.repeat_interleave(c, 0).unsqueeze(1), groups=b * c).view(b, c, h, w)


def defocus_size(betas: Sequence[Tensor], sigmas: Sequence[Tensor]) -> Tensor:
    """Mean size of the kernels in Eq. (7), weighted by |β|, over all groups and scales; δ, of size 1, has weight 1.

    A kernel's size is that of the disc with the same standard deviation, 1 + 4σ.

    Args:
        betas: β of each scale, fine → coarse: (B, P, H / 2^i, W / 2^i), unit 1.
        sigmas: σ of the g̃_p at each scale, in its own pixels: (B, P), px.

    Returns:
        (B, 1, H, W), px of the full picture, at least 1.
    """
    total = size = torch.ones_like(betas[0][:, :1])
    for level, (beta, sigma) in enumerate(zip(betas, sigmas, strict=True)):
        weight = resize(beta.abs(), 2**level) if level else beta.abs()
        total = total + weight.sum(1, keepdim=True)
        size = size + (weight * (1 + 4 * 2**level * sigma)[..., None, None]).sum(1, keepdim=True)
    return size / total


class GGKMNet(nn.Module):
    """GGKMNet (module docstring says from where). Sees RGB in [0, 1].

    Args:
        blocks: residual blocks at each of the feature extractor's seven places.
        width: channels of the features at full resolution.
        reconstruction: also build the module of the self-reconstruction loss; weights are saved without it.
    """

    for_training = ("reconstruction",)
    gaussians: Tensor

    def __init__(self, blocks: int = 1, width: int = 32, reconstruction: bool = False) -> None:
        super().__init__()
        self.register_buffer("gaussians", step_gaussians(), persistent=False)
        self.features = BlurFeatures(width, blocks)
        self.alpha_unit = AlphaUnit(4 * width, GROUPS, len(VARIANCES))
        self.beta_unit = BetaUnit(width // 2, GROUPS)
        # Input channels are ordered group, then x↑ and y, then colour.
        self.sum = nn.Conv2d(GROUPS * PLANES, 3, 1, bias=False)
        nn.init.zeros_(self.sum.weight)
        for colour in range(3):
            nn.init.constant_(self.sum.weight[colour, colour::3], 1 / 8)
        self.reconstruction = SelfReconstruction(4 * width, GROUPS) if reconstruction else None

    def forward(self, x: Tensor, maps: bool = False, statistics: Sequence[Tensor] | None = None) -> Restored:
        """Restore blurred pictures (B, 3, H, W); H and W must be multiples of 32.

        Args:
            x: blurred pictures, y of the paper.
            maps: also return β (B, P, H, W) of the full scale, the defocus size (B, 1, H, W), and α (B, T·Q·P, 1, 1).
            statistics: the average of ``statistic`` to use instead of this picture's own, (B, 3 · 4 · width, 1, 1).
        """
        height, width = x.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(f"height and width must be multiples of 32, not {height} × {width}")
        pictures, encoded = self._encode(x)
        alpha = self.alpha(statistics[0] if statistics else self._average(encoded))
        with full_precision(alpha.device.type):
            kernels = (alpha @ self.gaussians.flatten(1)).unflatten(-1, (3, 3))  # ḡ_p, (B, T, P, 3, 3)
        weights = self.sum.weight.split(PLANES, 1)

        x, state = pictures[0], None  # x⁽⁰⁾ = y⁽¹⁾
        restored: list[Tensor] = []
        betas: list[Tensor] = []
        for t, y in enumerate(pictures):
            beta, state = self._beta(encoded[t], state)
            # The picture's own pixels: no autocast.
            with full_precision(y.device.type):
                beta, y = beta.to(alpha.dtype), y.to(alpha.dtype)
                x = resize(x, 2) if t else x.to(alpha.dtype)  # x↑
                both, z = torch.cat([x, x], 1), torch.cat([x, y], 1)
                estimate = y
                for p in range(GROUPS):
                    if p:  # the first group's kernel is δ
                        z = convolve(z, kernels[:, t, p])  # z_p = ḡ_p ⊗ z_{p−1}, Eq. (13) by Eq. (16)
                    # Eq. (14): x = y + x↑ − Σ_p β_p ⊙ z_p − (1 − Σ_p β_p) ⊙ x↑
                    estimate = estimate + beta[:, p : p + 1] * F.conv2d(both - z, weights[p])
                x = estimate
            restored.append(x)
            betas.append(beta)

        result = Restored(x)
        if maps:
            sigmas = group_sigmas(alpha).unbind(1)
            size = defocus_size(betas[::-1], sigmas[::-1])
            result.maps = {"beta": betas[-1], "defocus_size": size, "alpha": alpha.mT.reshape(len(alpha), -1, 1, 1)}
        if self.training:
            result.coarse = restored[-2::-1]
            if self.reconstruction is not None:
                found = zip(encoded, betas, restored, strict=True)
                result.reblurred = [self.reconstruction(e.bottleneck, beta, x) for e, beta, x in found][::-1]
        return result

    def statistic(self, x: Tensor, known: Sequence[Tensor]) -> Tensor:
        """The map whose average over the picture α depends on: (B, 3, H, W) → (B, 3 · 4 · width, H / 32, W / 32).

        F₁ of all scales, coarse → fine; the finer ones are averaged down to the coarsest one's resolution.

        Args:
            known: averages found before; there is only this one, so none.
        """
        coarsest, *finer = (e.bottleneck.to(self.sum.weight.dtype) for e in self._encode(x)[1])
        return torch.cat([coarsest, *(F.avg_pool2d(f, 2 ** (n + 1)) for n, f in enumerate(finer))], 1)

    def kernels(self) -> dict[str, Tensor]:
        """The Gaussians that each step mixes, gaussians (Q, 3, 3)."""
        return {"gaussians": self.gaussians}

    def alpha(self, average: Tensor) -> Tensor:
        """α (B, T, P, Q), coarse → fine, from the average of ``statistic`` (B, 3 · 4 · width, 1, 1)."""
        with full_precision(average.device.type):
            return self.alpha_unit(average.chunk(len(SCALES), 1))

    def _encode(self, x: Tensor) -> tuple[list[Tensor], list[Encoded]]:
        """y⁽ᵗ⁾ and what the encoder finds in it, coarse → fine."""
        pictures = [x if scale == 1 else resize(x, scale) for scale in SCALES]
        return pictures, [self.features.encode(y) for y in pictures]

    def _average(self, encoded: Sequence[Encoded]) -> Tensor:
        dtype = self.sum.weight.dtype
        return torch.cat([e.bottleneck.to(dtype).mean((2, 3), keepdim=True) for e in encoded], 1)

    def _beta(self, encoded: Encoded, state: State | None) -> tuple[Tensor, State]:
        """β⁽ᵗ⁾ and the ConvLSTM's state, from the state of the coarser scale."""
        return self.beta_unit(self.features.decode(encoded), resize_state(state, 2))
