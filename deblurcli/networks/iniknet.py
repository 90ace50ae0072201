"""INIKNet: defocus removed by inverse kernels that a network mixes for every pixel.

Quan, Yao, Ji: Single Image Defocus Deblurring via Implicit Neural Inverse Kernels, ICCV 2023.

Equal to its authors' published network. Where that differs from the paper:

* The 1×1 'delta' atom is a zero response; the blurred picture is added back at the end instead.
* Eq. (9)'s plain sum over sizes r and atoms n is a learned 1×1 convolution with bias, which also mixes colours.
* LSTM cell states start at zero, not at the features; the passes run one after the other, fine → coarse first.
* Atom frequencies start evenly spread over [2, 12], not at random in [2, 16].
* The filter pads with zeros, so that a rim of up to 7 px darkens; everything else mirrors at the border.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import (
    AtomDictionary,
    ChannelNorm,
    ReflectConv,
    State,
    full_precision,
    in_parts,
    lstm_state,
    residual_blocks,
    resize,
    size_maps,
)
from deblurcli.networks.restored import Restored


class UNet(nn.Module):
    """Features of one scale (Fig. 1), with weights that all scales share. (B, 3, H, W) → (B, width, H, W)."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        fine, middle, deep = width, 2 * width, 4 * width
        self.stem = ReflectConv(3, fine)
        self.encode_fine = residual_blocks(fine, blocks)
        self.down_middle = ReflectConv(fine, middle, stride=2)
        self.encode_middle = residual_blocks(middle, blocks)
        self.down_deep = ReflectConv(middle, deep, stride=2)
        self.encode_deep = residual_blocks(deep, blocks)
        self.up_middle = nn.ConvTranspose2d(deep, middle, 4, stride=2, padding=1, bias=False)
        self.fuse_middle = ReflectConv(2 * middle, middle)
        self.decode_middle = residual_blocks(middle, blocks)
        self.up_fine = nn.ConvTranspose2d(middle, fine, 4, stride=2, padding=1, bias=False)
        self.fuse_fine = ReflectConv(2 * fine, fine)
        self.decode_fine = residual_blocks(fine, blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, width, H, W)."""

        def encode_fine(x: Tensor) -> tuple[Tensor]:
            return (self.encode_fine(F.relu(self.stem(x))),)

        def encode_middle(x: Tensor) -> tuple[Tensor]:
            return (self.encode_middle(x),)

        def encode_deep(x: Tensor) -> tuple[Tensor]:
            return (self.encode_deep(x),)

        def decode_middle(middle: Tensor, deep: Tensor) -> tuple[Tensor]:
            x = torch.cat([F.relu(self.up_middle(deep)), middle], dim=1)
            return (self.decode_middle(F.relu(self.fuse_middle(x))),)

        def decode_fine(fine: Tensor, middle: Tensor) -> tuple[Tensor]:
            x = torch.cat([F.relu(self.up_fine(middle)), fine], dim=1)
            return (self.decode_fine(F.relu(self.fuse_fine(x))),)

        blocks = 2 * len(self.encode_fine)  # how far they look, px
        (fine,) = in_parts(encode_fine, 1 + blocks, x)
        (middle,) = in_parts(encode_middle, blocks, F.relu(self.down_middle(fine)))
        (deep,) = in_parts(encode_deep, blocks, F.relu(self.down_deep(middle)))
        (middle,) = in_parts(decode_middle, 2 + blocks, middle, deep)
        return in_parts(decode_fine, 2 + blocks, fine, middle)[0]


class ConvLSTMCell(nn.Module):
    """A convolutional LSTM cell whose gates come from residual blocks (§4.2). States are (hidden, memory)."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.body = residual_blocks(2 * width, blocks)
        self.gates = nn.Conv2d(2 * width, 4 * width, 1)

    def forward(self, x: Tensor, *state: Tensor) -> State:
        """Feature (B, C, H, W) and state, or nothing for zeros → the next state, two (B, C, H, W)."""
        if not state:
            return lstm_state(self.gates(self.body(x)), torch.zeros_like(x))
        hidden, memory = state
        return lstm_state(self.gates(self.body(torch.cat([x, hidden], dim=1))), memory)


class DuplexLSTM(nn.Module):
    """The bi-LSTM over scales of §4.1: fine → coarse, then coarse → fine over what the first pass found."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.coarsen = ConvLSTMCell(width, blocks)
        self.refine = ConvLSTMCell(width, blocks)

    def forward(self, features: list[Tensor], head: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """Features (B, C, H/s, W/s) for s = 1, 2, 4 … → what ``head`` makes of them, enriched by all other scales.

        The finest output hangs on every cell of both passes, so inference has nothing to skip here.
        """
        blocks = 2 * len(self.coarsen.body)  # how far they look, px

        def coarsen(feature: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            hidden, memory = self.coarsen(self.norm(feature), *state)
            return hidden, resize(hidden, 1 / 2), resize(memory, 1 / 2)

        def refine(x: Tensor, feature: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
            hidden, memory = self.refine(x, *(resize(s, 2) for s in state))
            output = head(feature + hidden)
            return (output, hidden, memory) if found else (output,)  # nobody reads the finest state

        state: Sequence[Tensor] = ()
        found: list[Tensor] = []
        for feature in features:
            hidden, *state = in_parts(coarsen, blocks, feature, *state)
            found.append(hidden)

        state = ()
        outputs: list[Tensor] = []
        for feature in reversed(features):
            output, *state = in_parts(refine, 2 + blocks, found.pop(), feature, *state)
            outputs.append(output)
        return outputs[::-1]


class INIKNet(nn.Module):
    """INIKNet (module docstring says from where). Sees the three colours in the order B, G, R, in [0, 1].

    Untrained it is the identity: every size counts alike, no atom is applied.

    Args:
        sizes: side lengths of the inverse kernels, px; the first, 1, is the null size "in focus, leave alone".
        atoms: N, how many atoms each size has.
        width: channels of the features at full scale.
        blocks: residual blocks per U-Net level and per LSTM cell.
        radius_head: also build a head that tells the blur radius, from what μ is made of. While training it asks the
            features for what they need to know; weights are saved without it.
    """

    for_training = ("radius_head",)

    def __init__(
        self,
        sizes: Sequence[int] = (1, 3, 5, 7, 9, 11, 13, 15),
        atoms: int = 10,
        width: int = 32,
        blocks: int = 2,
        radius_head: bool = False,
    ) -> None:
        super().__init__()
        if sizes[0] != 1 or any(size % 2 == 0 for size in sizes):
            raise ValueError(f"kernel sizes must be odd and start with the null size 1, not {tuple(sizes)}")
        self.unet = UNet(width, blocks)
        self.size_lstm = DuplexLSTM(width, blocks)
        self.size_head = nn.Conv2d(width, len(sizes), 1)
        self.shape_lstm = DuplexLSTM(width, blocks)
        self.shape_head = nn.Conv2d(width, atoms, 1)
        self.dictionary = AtomDictionary(sizes[1:], atoms)
        # Input channels are ordered size, then colour, then atom. It starts as the plain sum of Eq. (9).
        self.contract = nn.Conv2d(len(sizes) * 3 * atoms, 3, 1)
        plain_sum = torch.eye(3).repeat(1, len(sizes)).repeat_interleave(atoms, dim=1)
        self.contract.weight.detach().copy_(plain_sum[..., None, None])
        self.radius_head = nn.Conv2d(width, 1, 1) if radius_head else None
        for head in (self.size_head, self.shape_head, self.radius_head):
            for parameter in head.parameters() if head else ():
                nn.init.zeros_(parameter)
        nn.init.zeros_(self.contract.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, maps: bool = False, coarse: bool = False) -> Restored:
        """Restore blurred pictures (B, 3, H, W); H and W must be multiples of 16, at least 32.

        Args:
            x: blurred pictures y of the paper, B, G, R in [0, 1].
            maps: also return μ (B, R, H, W), how much each kernel size counts (a softmax over the sizes), and
                ω (B, N, H, W), how strongly each atom is applied. While training with a ``radius_head`` also
                blur_radius (B, 1, H, W), px.
            coarse: also restore the pictures at 1/2 and 1/4, for the multi-scale loss, Eq. (10). While training it
                always does.
        """
        height, width = x.shape[-2:]
        if height % 16 or width % 16 or min(height, width) < 32:
            raise ValueError(f"height and width must be multiples of 16 and at least 32, not {height} × {width}")
        pictures = [x, resize(x, 1 / 2), resize(x, 1 / 4)]
        # Coarse scales first: what stays alive of them then lies beside the fine scale's large tensors, not among them.
        features = [self.unet(picture) for picture in reversed(pictures)][::-1]
        dtype = self.contract.weight.dtype

        # Inverse kernels amplify what low precision rounds off a picture, and cost little: no autocast from here on.
        radii: list[Tensor] = []

        def size(feature: Tensor) -> Tensor:
            with full_precision(x.device.type):
                feature = feature.to(dtype)
                if self.training and self.radius_head is not None:
                    # The head predicts log(1 + radius): equal steps of it are equally visible steps of blur.
                    radii.append(torch.expm1(F.softplus(self.radius_head(feature))))
                return self.size_head(feature).softmax(dim=1)

        def shape(feature: Tensor) -> Tensor:
            with full_precision(x.device.type):
                return self.shape_head(feature.to(dtype))

        mu, omega = self.size_lstm(features, size), self.shape_lstm(features, shape)
        del features

        scales = (0, 1, 2) if coarse or self.training else (0,)  # only training wants Eq. (9) at the coarse scales
        with full_precision(x.device.type):
            atoms = self.dictionary()
            restored = [self.inverse_filter(pictures[s].to(dtype), mu[s], omega[s], atoms) for s in scales]
        found = {"mu": mu[0], "omega": omega[0], **size_maps(mu[0], (1, *self.dictionary.sizes))} if maps else {}
        if maps and radii:
            found["blur_radius"] = radii[-1]  # coarse scales are first
        return Restored(restored[0], found, restored[1:])

    def kernels(self) -> dict[str, Tensor]:
        """What is mixed at each pixel: atoms_3 … atoms_15 (N, k, k), and W of Eq. (9) for these, (3, R, 3, N)."""
        atoms = {f"atoms_{v.shape[-1]}": v.squeeze(1) for v in self.dictionary()}
        contraction = self.contract.weight.view(3, 1 + len(atoms), 3, -1)
        return {**atoms, "contraction": contraction[:, 1:]}

    def inverse_filter(self, y: Tensor, mu: Tensor, omega: Tensor, atoms: list[Tensor]) -> Tensor:
        """Apply at each pixel its own inverse kernel Σ_r μ_r Σ_n ω_n v_n^r: Eq. (7)–(9) with the learned contraction W.

        x_o = y_o + b_o + Σ_r μ_r Σ_c Σ_n W[o, r, c, n] ω_n (v_n^r ⋆ y_c)

        One size at a time, so that 3 N maps are alive and not 3 N R. Colours are laid out as batch: as groups of one
        convolution, the same sums take fifty times as long on a CPU.

        Args:
            y: blurred pictures (B, 3, H, W).
            mu: (B, R, H, W), the null size first; it has no response, so it only takes weight from the others.
            omega: (B, N, H, W).
            atoms: v, one (N, 1, k, k) for each size but the null size.

        Returns:
            (B, 3, H, W).
        """
        weight, bias = self.contract.weight, self.contract.bias
        assert bias is not None

        def restore(y: Tensor, mu: Tensor, omega: Tensor) -> tuple[Tensor]:
            x = y + bias.view(3, 1, 1)
            sizes = zip(mu.split(1, dim=1)[1:], weight.split(3 * omega.shape[1], dim=1)[1:], atoms, strict=True)
            for mu_r, W_r, v_r in sizes:
                # Padded first: convolutions that pad one channel themselves take three times as long on a CPU.
                colours = F.pad(y, (v_r.shape[-1] // 2,) * 4).flatten(0, 1).unsqueeze(1)
                response = F.conv2d(colours, v_r).unflatten(0, (-1, 3))  # (B, 3, N, H, W)
                weighted = (response * omega.unsqueeze(1)).flatten(1, 2)  # (B, 3·N, H, W)
                x = x + mu_r * F.conv2d(weighted, W_r)
            return (x,)

        return in_parts(restore, atoms[-1].shape[-1] // 2, y, mu, omega)[0]
