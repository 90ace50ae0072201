"""INIKNet-fast: INIKNet's interpretable head behind a predictor a laptop can run and a small machine can train.

Like INIKNet (Quan, Yao, Ji, ICCV 2023), the network never paints pixels. For every pixel it predicts which inverse
kernels to apply to the blurred picture itself::

    x̂ = y + Σ_l Σ_r μ_{l,r} · ↑( Σ_n ω^l_n · (v_n^r ⋆ y↓l) )

y is the photo, y↓l the photo averaged down l times, v_n^r atom n drawn on an r × r grid, ω^l_n(p) how strongly that
atom is applied, μ_{l,r}(p) ≥ 0 how much each kernel size is used (at each level they sum to 1 with the null kernel's μ,
which does nothing), and ↑ brings the three colours back to full size. What this would add to the finest octave of the
colours, beside the brightness, is left out. What differs from INIKNet, and what it costs or saves:

* **Half-resolution predictor.** Pixel-unshuffled input, an encoder-decoder at 1/2, 1/4 and 1/8: 45 k multiply-adds
  per pixel instead of 1,140 k (U-Net and bi-LSTMs at three scales). Blur size varies slowly, so little is lost;
  full-resolution edges in μ and ω come back by pixel shuffle.
* **Filters change slowly from pixel to pixel.** Half of each feature that they are read from is the mean of its
  neighbourhood (as a Gaussian of 1.2 px has it). Drawn blur rewards filters that follow each edge; on real photos these
  draw dark rims around eyes, and lose more than they win.
* **The dictionary also at 1/2, 1/4 and 1/8.** 15 × 15 atoms there act like ones of 30, 60 and 120 px: enough for the
  wide, oscillating inverses of blur radii above 3 px. Costs a quarter of the filtering, and filtering is a third of the
  whole. Each level has its own ω, read from the predictor at that level's resolution or finer, and its own μ: with one
  softmax over all levels the sizes compete, and most are given up before their ω has been learned.
* **Sizes 5, 9, 15** instead of seven: with the pyramid they are 5…120 px in steps of about 1.6.
* **Atoms have zero mean and unit L1 norm.** Flat areas cannot change and brightness is preserved exactly; ω is in
  units of picture contrast. An atom cannot brighten, which no inverse of a PSF with sum 1 needs.
* **Atoms start as a basis of Wiener inverses** (``training.dictionary``). Ten random ones can undo next to nothing:
  their best mixtures lose 3.3 dB against the best filters of the same size, the fitted ones 0.2.
* **No learned colour mixing** after the atoms: one inverse kernel per pixel, the same for the three colours, that can
  be drawn and looked at.
* **Heads start at zero**, so that an untrained network is exactly the identity and nothing has to be unlearned.
* **A head for the blur radius** (33 numbers) that filtering does not use. Taught the true radius, it teaches the
  predictor's features what they need, and is a map of the defocus in pixels.
* **It says how far to trust itself**: α(p), how much it knows of what a halved copy of the picture shows as well (wide
  blur is seen better there; ``scales`` makes one change of both), and κ(p), which share of the change the colours take
  (a compressed photo's colours are blotches, which no inverse kernel tells from detail). They start at ½ and 1, as
  weights that know nothing of them do.
* **The finest colours may fade, but not grow.** Cameras see each of them at every other pixel, and JPEG keeps them so:
  sharpened they are coloured speckle. That they may fade takes away noise.
* Zero padding in the predictor (15 % faster than reflection, and its features may know where the border is), reflection
  where the picture itself is filtered (no dark rims).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurcli.networks.blocks import AtomDictionary, Block, full_precision, in_parts, resize, size_maps
from deblurcli.networks.restored import Restored

# Brightness as JPEG has it, of red, green and blue: where compressed photos keep their detail.
LUMA = (0.299, 0.587, 0.114)

# ω in units of what is missing from a blurred photo, some hundredths of white; per size, as they share μ's sum of 1.
OMEGA_SCALE = 0.05


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


_relu = partial(F.relu, inplace=True)


class Predictor(nn.Module):
    """Half-resolution encoder-decoder: (B, 3, H, W) → features at H/2, H/4 and H/8."""

    def __init__(self, widths: tuple[int, int, int], depths: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.stem = nn.Conv2d(12, fine, 3, padding=1)
        self.encode_fine = _blocks(fine, depths[0])
        self.to_middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.encode_middle = _blocks(middle, depths[1])
        self.to_coarse = nn.Conv2d(middle, coarse, 3, stride=2, padding=1)
        self.encode_coarse = _blocks(coarse, depths[2])
        self.from_coarse = nn.Conv2d(coarse, 4 * middle, 1)
        self.decode_middle = _blocks(middle, depths[1])
        self.from_middle = nn.Conv2d(middle, 4 * fine, 1)
        self.decode_fine = _blocks(fine, depths[0])

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, fine, H/2, W/2), (B, middle, H/4, W/4) and (B, coarse, H/8, W/8)."""
        fine = self.encode_fine(_relu(self.stem(F.pixel_unshuffle(picture - 0.5, 2))))
        middle = self.encode_middle(_relu(self.to_middle(fine)))
        coarse = self.encode_coarse(_relu(self.to_coarse(middle)))
        # One by one, so that what was encoded is gone while it is decoded.
        middle = _relu(middle + F.pixel_shuffle(self.from_coarse(coarse), 2))
        middle = self.decode_middle(middle)
        fine = _relu(fine + F.pixel_shuffle(self.from_middle(middle), 2))
        return smooth(self.decode_fine(fine)), middle, coarse


def smooth(features: Tensor) -> Tensor:
    """(B, C, h, w), each number half its own and half the mean of its 3 × 3."""
    return (features + F.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)) / 2


class BalancedAtoms(AtomDictionary):
    """Atoms with zero mean and unit L1 norm, so that flat areas and brightness cannot change.

    Buffers, set once before training (``training.dictionary``):
        mixing: (N, N), the sine networks' kernels → kernels whose responses to photos are uncorrelated.
        strength: (N,), 1 over the standard deviation of these responses, in units of a photo's contrast of 0.2.
    """

    mixing: Tensor
    strength: Tensor

    def __init__(self, sizes: tuple[int, ...], atoms: int) -> None:
        super().__init__(sizes, atoms)
        self.register_buffer("mixing", torch.eye(atoms))
        self.register_buffer("strength", torch.full((atoms,), 100.0))

    def shape_atoms(self, atoms: Tensor) -> Tensor:
        """Raw values (N, 1, k, k) → atoms of the same shape."""
        atoms = (self.mixing @ atoms.flatten(1)).view_as(atoms)
        atoms = atoms - atoms.mean((2, 3), keepdim=True)
        return atoms / atoms.abs().sum((2, 3), keepdim=True).clamp(min=1e-6)


class INIKNetFast(nn.Module):
    """See the module's description.

    Args:
        widths, depths: of the predictor at 1/2, 1/4 and 1/8 (depths in residual blocks; the first two twice over).
        atoms: N, how many atoms the dictionary has.
        sizes: kernel sizes r, odd, px.
        levels: how many picture sizes they are applied to: 1, 1/2, 1/4, 1/8.
    """

    def __init__(
        self,
        widths: tuple[int, int, int] = (32, 64, 96),
        depths: tuple[int, int, int] = (2, 2, 3),
        atoms: int = 10,
        sizes: tuple[int, ...] = (5, 9, 15),
        levels: int = 4,
    ) -> None:
        super().__init__()
        if not 1 <= levels <= 4:
            raise ValueError(f"levels must be 1, 2, 3 or 4, not {levels}")
        self.sizes, self.levels = tuple(sizes), levels
        self.predictor = Predictor(tuple(widths), tuple(depths))  # type: ignore[arg-type]
        self.dictionary = BalancedAtoms(self.sizes, atoms)
        fine, middle, coarse = widths
        self.mu_head = nn.Conv2d(fine, 4 * levels * (1 + len(self.sizes)), 1)
        channels = ((fine, 4 * atoms), (fine, atoms), (middle, atoms), (coarse, atoms))
        self.omega_heads = nn.ModuleList(nn.Conv2d(*io, 1) for io in channels[:levels])
        self.radius_head = nn.Conv2d(fine, 1, 1)
        self.trust_head, self.chroma_head = nn.Conv2d(fine, 1, 1), nn.Conv2d(fine, 1, 1)
        for head in (self.mu_head, *self.omega_heads, self.radius_head, self.trust_head, self.chroma_head):
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """What each μ stands for, px of the full picture: 1 (null), then sizes × 2^level, and so for each level."""
        return tuple(size for level in range(self.levels) for size in (1, *(size * 2**level for size in self.sizes)))

    def forward(self, x: Tensor, maps: bool | Sequence[str] = False) -> Restored:
        """(B, 3, H, W) display-referred RGB in [0, 1] → ``Restored`` with trust and maps.

        ``maps`` are all, none, or at least those of these names; the blur radius alone costs next to nothing.
        They are mu, omega, defocus_size, defocus_spread, coarse_trust, chroma and blur_radius; while training there is
        no omega.

        H and W must be multiples of 16 (8 below four levels) and at least 64 (8 · 2^(levels − 1)).
        """
        fine, middle, coarse = self.predictor(x)
        omegas = [head(f).float() for head, f in zip(self.omega_heads, (fine, fine, middle, coarse), strict=False)]
        omegas[1:] = [F.pixel_unshuffle(omega, 2) for omega in omegas[1:]]
        trust = self.trust_head(fine).float().sigmoid()
        chroma = (1 + self.chroma_head(fine).float()).clamp(0, 1)
        log_radius = self.radius_head(fine).float() if maps else None
        all_maps = maps and (isinstance(maps, bool) or list(maps) != ["blur_radius"])
        del middle, coarse  # the filters need the room

        y = x.float().contiguous()
        change = torch.zeros_like(y)
        scale = OMEGA_SCALE * (1 + len(self.sizes)) * self.dictionary.strength.view(-1, 1, 1, 1)
        banks = [phases(scale * v_r) for v_r in self.dictionary()]
        mus: list[Tensor] = []
        for level, omega in enumerate(omegas):
            mu = self._mu(fine, level)
            # Filtering stays in float32 whatever the predictor ran in: these are the picture's own pixels.
            with full_precision(x.device.type):
                if level:
                    y = F.avg_pool2d(y, 2)
                for nth, bank in enumerate(banks, start=1):
                    response = inverse_filter(y, omega, bank)
                    if level:
                        response = F.interpolate(response, scale_factor=2**level, mode="bilinear", align_corners=False)
                    change = torch.addcmul(change, mu[:, nth : nth + 1], response)
            if all_maps:
                mus.append(mu)
        chroma, light = resize(chroma, 2), brightness(change)
        colours = no_finer(chroma * (change - light), x.float() - brightness(x.float()))
        restored = x.float() + (light + colours)
        if log_radius is None:
            return Restored(restored, trust=trust)
        # The head predicts log(1 + radius): equal steps of it are equally visible steps of blur.
        log_radius = F.softplus(resize(log_radius, 2))
        radius = {"blur_radius": torch.expm1(log_radius)}
        if not all_maps:
            return Restored(restored, radius, trust=trust)
        found = {"mu": torch.cat(mus, 1)}
        if not self.training:  # no loss asks for it, and it is the largest by far
            omegas = [scale.view(1, -1, 1, 1) * F.pixel_shuffle(omega, 2) for omega in omegas]
            full = omegas[:1] + [F.interpolate(o, scale_factor=2.0**level) for level, o in enumerate(omegas) if level]
            found["omega"] = torch.cat(full, 1)
        found |= size_maps(found["mu"], self.kernel_sizes)
        found |= {"coarse_trust": F.interpolate(trust, scale_factor=2), "chroma": chroma}
        return Restored(restored, found | radius, trust=trust)

    def _mu(self, fine: Tensor, level: int) -> Tensor:
        """How much each kernel size counts at a level, (B, 1 + sizes, H, W); level by level takes less room."""
        weight, bias = (self.mu_head.get_parameter(name).chunk(self.levels)[level] for name in ("weight", "bias"))
        return F.pixel_shuffle(F.conv2d(fine, weight, bias).float().contiguous(), 2).softmax(1)

    def completed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights from before there were heads for α and κ, with heads that are zero."""
        heads = {key: v for key, v in self.state_dict().items() if key.startswith(("trust_head.", "chroma_head."))}
        return {key: torch.zeros(v.shape) for key, v in heads.items()} | tensors

    def kernels(self) -> dict[str, Tensor]:
        """What is mixed at each pixel and level: atoms_5, atoms_9 … (N, k, k)."""
        return {f"atoms_{v.shape[-1]}": v.squeeze(1) for v in self.dictionary()}


def brightness(x: Tensor) -> Tensor:
    """(B, 3, H, W) → (B, 1, H, W), by ``LUMA``."""
    return (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def no_finer(change: Tensor, colours: Tensor) -> Tensor:
    """Of a change of colours, what adds nothing to their finest octave, which may only fade.

    Args:
        change, colours: (B, 3, H, W), without brightness, as is what is returned.
    """
    coarse, gone = averaged(change), averaged(colours) - colours
    left = coarse + (change - coarse).maximum(gone.clamp(max=0)).minimum(gone.clamp(min=0))
    return left - brightness(left)


def averaged(x: Tensor) -> Tensor:
    """(B, C, H, W) without its finest octave."""
    return resize(F.avg_pool2d(x, 2), 2)


def inverse_filter(y: Tensor, omega: Tensor, bank: Tensor) -> Tensor:
    """Σ_n ω_n · (v_n ⋆ y) for one kernel size: (B, 3, H, W), (B, 4·N, H/2, W/2), ``phases`` of v → (B, 3, H, W).

    ω has its four phases (pixels of each 2 × 2) as channels, as pixel shuffle takes them, and so have the filters'
    results: N channels of one leave most of a processor idle. Colours go through the filters as batch, not as groups,
    which is fifty times as fast on a CPU. The border is mirrored.
    """
    reach, convolve = bank.shape[-1] // 2 - 1, every_other(bank)
    total = torch.eye(4, device=y.device).repeat(1, len(bank) // 4).view(4, -1, 1, 1)
    # Compiled or exported it is computed in one piece, and a colour at a time takes less room.
    at_once = 1 if torch.compiler.is_compiling() else y.shape[1]

    def filtered(y: Tensor, omega: Tensor) -> tuple[Tensor]:
        padded = F.pad(y, (reach,) * 4, mode="reflect")
        return (torch.cat([of_colours(some, omega) for some in padded.split(at_once, dim=1)], 1),)

    def of_colours(padded: Tensor, omega: Tensor) -> Tensor:
        if len(omega) > 1 and padded.shape[1] > 1:  # of one picture it is broadcast
            omega = omega.repeat_interleave(padded.shape[1], 0)
        response = convolve(padded.flatten(0, 1).unsqueeze(1))
        # In place where no gradient needs it. A convolution sums over n, several times as fast as a sum.
        weigh = torch.mul if torch.is_grad_enabled() else Tensor.mul_
        summed = F.conv2d(weigh(response, omega), total)
        return F.pixel_shuffle(summed.unflatten(0, padded.shape[:2]).flatten(1, 2), 2)

    return in_parts(filtered, reach + reach % 2, y, omega)[0]


def every_other(bank: Tensor) -> Callable[[Tensor], Tensor]:
    """What applies ``bank`` (M, 1, k, k) at every other pixel of rows and columns of (B, 1, H, W), H and W even."""
    if torch.onnx.is_in_onnx_export():
        return lambda y: F.conv2d(y, bank, stride=2)
    # The same, and in PyTorch two to five times as fast.
    halved = _halved(bank)
    return lambda y: F.conv2d(_halved(y), halved)


def _halved(x: Tensor) -> Tensor:
    return F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)


def phases(atoms: Tensor) -> Tensor:
    """Kernels (N, 1, k, k), k odd → (4·N, 1, k + 1, k + 1): each as it is to be for each pixel of 2 × 2.

    What they make of every other pixel of a picture, padded by k // 2, has four phases as channels; shuffled it is the
    picture convolved with ``atoms``.
    """
    shifted = [F.pad(atoms, (right, 1 - right, down, 1 - down)) for down, right in product((0, 1), repeat=2)]
    return torch.stack(shifted, 1).flatten(0, 1)
