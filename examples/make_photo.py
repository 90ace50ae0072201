"""How examples/photo.jpg was made: a sharp CC0 photo, defocused by this project's own synthesis.

python examples/make_photo.py OUT.jpg [--radius PX]        (needs scikit-image, which holds the photo)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from skimage import data

from deblurcli import Photo, write_photo
from deblurcli.photo.transfer import linear_to_srgb, srgb_to_linear
from deblurcli.synthesis.psf import Lens
from deblurcli.synthesis.scene import blur_by_field
from deblurcli.synthesis.sensor import expose, quantise

parser = argparse.ArgumentParser()
parser.add_argument("output", type=Path)
parser.add_argument("--radius", type=float, default=2.5, help="circle of confusion at the left edge, px")
options = parser.parse_args()

generator = torch.Generator().manual_seed(0)
codes = torch.from_numpy(data.chelsea()).permute(2, 0, 1).unsqueeze(0)
linear = srgb_to_linear(codes / 255)
height, width = linear.shape[-2:]
padded = torch.nn.functional.pad(linear, (16, 16, 16, 16), mode="reflect")
# The plane of focus lies behind the right ear, so that everything in front of it is blurred, the nearer the more.
field = torch.linspace(options.radius, 0.6 * options.radius, width + 32).expand(1, 1, height + 32, width + 32)
lens = Lens.discs(1)
seen = blur_by_field(padded, field, lens)[..., 16:-16, 16:-16]
noisy = expose(seen, torch.tensor([1e-4]), torch.tensor([1e-6]), generator)
picture = quantise(linear_to_srgb(noisy.clamp(0, 1)))[0].permute(1, 2, 0).numpy()
write_photo(options.output, Photo((picture * 255).round().astype("uint8"), format="jpeg"), quality=96)
