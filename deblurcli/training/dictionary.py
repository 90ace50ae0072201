"""A start for the atoms: a basis of the best linear inverses, so that training need not find them by chance.

Ten random atoms span next to nothing of the inverse kernels that deblurring needs, and learning ten shapes and how to
mix them at once is slow. What they should span is known beforehand: for a picture with the power spectrum of photos
(1/f²), blurred by a PSF of ours and with the sensor's noise, the best filter of a given support has a closed form.
The atoms' sine networks are fitted to whatever ten shapes lose least against those filters, in dB. Where the network
does not do so itself (INIKNet's), they are also kept from brightening the picture and from being alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from deblurcli.networks.blocks import AtomDictionary
from deblurcli.networks.iniknet_fast import OMEGA_SCALE, BalancedAtoms
from deblurcli.synthesis.psf import Lens, LensPrior, otf, psf

GRID = 96  # px; the correlations of blurred pictures have faded well within half of it
BRIGHTNESS = 0.5  # of a photo, on average; white is 1


@dataclass(frozen=True)
class Problem:
    """K deblurring problems for filters of T taps, as least squares over the statistics of photos.

    Attributes:
        normal: (K, T, T) correlations of the blurred picture with itself, tap against tap.
        wanted: (K, T) correlations of what is missing with the blurred picture.
        before: (K,) mean squared error of the blurred picture. best: of the best filter with these taps.
    """

    normal: Tensor
    wanted: Tensor
    before: Tensor
    best: Tensor

    def correlations(self, atoms: Tensor) -> Tensor:
        """Between the responses of ``atoms`` (N, T): (K, N, N)."""
        return atoms @ self.normal @ atoms.T

    def deviations(self, atoms: Tensor) -> Tensor:
        """Standard deviations (N,) of the responses of ``atoms`` (N, T), over all problems."""
        return (atoms @ self.normal.mean(0) * atoms).sum(1).sqrt()

    def loss(self, atoms: Tensor) -> Tensor:
        """How many dB more error (K,) the best mixtures of ``atoms`` (N, T) leave than the best filters."""
        normal = self.correlations(atoms)
        # A trace of ridge: mixtures that cancel each other are no basis to learn from.
        jitter = 1e-3 * normal.diagonal(dim1=1, dim2=2).mean(1).view(-1, 1, 1) * torch.eye(len(atoms))
        wanted = self.wanted @ atoms.T
        removed = (wanted * torch.linalg.solve(normal + jitter, wanted)).sum(1)
        return 10 * torch.log10((self.before - removed) / self.best)


def problem(size: int, radius: Tensor, noise: Tensor, lens: Lens, contrast: float = 0.2) -> Problem:
    """Problems for filters of ``size`` × ``size`` taps.

    Args:
        radius: (K,) blur radii, px. noise: (K,) standard deviations. lens: K lenses.
        contrast: standard deviation of the photos' values, white is 1.
    """
    frequency = torch.fft.fftfreq(GRID).view(-1, 1), torch.fft.rfftfreq(GRID).view(1, -1)
    power = 1 / (frequency[0] ** 2 + frequency[1] ** 2 + (1 / GRID) ** 2)
    power = power * contrast**2 / torch.fft.irfft2(power, s=(GRID, GRID))[0, 0]
    transfer = otf(psf(radius, lens, 51)[:, 1:2], GRID, GRID)[:, 0]
    blurred = power * transfer.abs() ** 2
    itself = torch.fft.irfft2(blurred, s=(GRID, GRID))
    itself[:, 0, 0] += noise**2
    cross = torch.fft.irfft2(power * transfer.real, s=(GRID, GRID))

    row = torch.arange(size).repeat_interleave(size) - size // 2
    column = torch.arange(size).repeat(size) - size // 2
    normal = itself[:, row.view(-1, 1) - row, column.view(-1, 1) - column]
    wanted = (cross - itself)[:, row, column]
    before = contrast**2 - 2 * cross[:, 0, 0] + itself[:, 0, 0]
    best = before - (wanted * torch.linalg.solve(normal.double(), wanted.double()).float()).sum(1)
    return Problem(normal, wanted, before, best)


def fit_atoms(dictionary: AtomDictionary, steps: int, seed: int = 0) -> float:
    """Fits the atoms in place and returns the dB that their best mixtures lose on average.

    Each size is asked to undo the radii for which it is wide enough: up to half its side.
    """
    generator = torch.Generator().manual_seed(seed)
    problems = []
    for size in dictionary.sizes:
        count = 32
        radius = torch.logspace(-0.15, torch.tensor(size / 2).log10().item(), count)
        noise = torch.tensor([0.5, 1.0, 2.0, 4.0]).repeat(count // 4) / 255
        problems.append(problem(size, radius, noise, LensPrior().draw(count, generator)))
    balanced = isinstance(dictionary, BalancedAtoms)
    optimizer = torch.optim.Adam(dictionary.parameters(), 3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    lost = torch.tensor(torch.nan)
    for _ in tqdm(range(steps), desc="fitting atoms", unit="", leave=False, disable=None):
        sizes = [(p, v.flatten(1)) for p, v in zip(problems, dictionary.sample(), strict=True)]
        imbalance = torch.zeros(())
        if not balanced:
            imbalance = torch.stack([_brightening(p, v) for p, v in sizes]).mean()
            sizes = [(p, _normalised(p, v)) for p, v in sizes]
            imbalance = imbalance + torch.stack([_likeness(p, v) for p, v in sizes]).mean()
        lost = torch.stack([p.loss(v).mean() for p, v in sizes]).mean()
        optimizer.zero_grad()
        (lost + imbalance).backward()
        optimizer.step()
        scheduler.step()
    with torch.no_grad():
        if isinstance(dictionary, BalancedAtoms):
            _decorrelate(dictionary, problems)
        else:
            _make_loud(dictionary, problems)
    return float(lost.detach())


def _normalised(p: Problem, atoms: Tensor) -> Tensor:
    """Atoms (N, T) with mean 0, whose responses to photos have a deviation of 1."""
    atoms = atoms - atoms.mean(1, keepdim=True)
    return atoms / p.deviations(atoms).unsqueeze(1)


def _brightening(p: Problem, atoms: Tensor) -> Tensor:
    """What atoms (N, T) add to the brightness of photos, squared, in units of what else they add."""
    added = BRIGHTNESS * atoms.sum(1) / p.deviations(atoms - atoms.mean(1, keepdim=True))
    return torch.log1p(added.square()).mean()


def _likeness(p: Problem, atoms: Tensor) -> Tensor:
    """Mean squared correlation between the responses of different normalised atoms (N, T)."""
    return p.correlations(atoms).mean(0).fill_diagonal_(0).square().mean()


def _make_loud(dictionary: AtomDictionary, problems: list[Problem]) -> None:
    """Sets the strength of unbalanced atoms: an ω of 1 then is what it is for balanced ones."""
    loudness = [p.deviations(v.flatten(1)) for p, v in zip(problems, dictionary.sample(), strict=True)]
    mean = torch.stack(loudness).log().mean(0).exp()
    for kernel, deviation in zip(dictionary.kernels, mean, strict=True):
        kernel.get_parameter("value.weight").mul_(OMEGA_SCALE * (1 + len(dictionary.sizes)) / deviation)


def _decorrelate(dictionary: BalancedAtoms, problems: list[Problem]) -> None:
    """Sets mixing and strength: mixtures that cancel each other take far longer to learn than independent atoms."""

    def covariances(atoms: list[Tensor]) -> Tensor:
        """Per size, the mean over its problems: (sizes, N, N)."""
        return torch.stack([p.correlations(v.flatten(1)).mean(0) for v, p in zip(atoms, problems, strict=True)])

    # Unit norm is left out here: the mixing goes in front of it.
    mean = covariances([v - v.mean((2, 3), keepdim=True) for v in dictionary.raw()])
    mean = (mean / mean.diagonal(dim1=1, dim2=2).sum(1).view(-1, 1, 1)).mean(0)
    ridge = 1e-4 * mean.diagonal().mean() * torch.eye(len(mean))
    dictionary.mixing.copy_(torch.linalg.inv(torch.linalg.cholesky(mean + ridge)))
    deviation = covariances(dictionary.sample()).diagonal(dim1=1, dim2=2).sqrt()
    dictionary.strength.copy_(1 / deviation.log().mean(0).exp())
