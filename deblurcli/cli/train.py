"""``deblur train``: weights from a recipe and a folder of sharp photos."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--photos", required=True, type=click.Path(path_type=Path), help="Folder of sharp photos to train on.")
@click.option("--valid", type=click.Path(path_type=Path), help="Folder of sharp photos to validate on.")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder of the run; goes on if it exists."
)
@click.option("--minutes", type=click.FloatRange(0, min_open=True), required=True, help="Stop after this long.")
@click.option("--cooldown", type=click.IntRange(1), metavar="STEPS", help="Finish: lower the learning rate to zero.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="bf16", show_default=True)
@click.option("--compile", "compile_network", is_flag=True, help="Compile the network first; pays on GPUs.")
@click.option("--every", type=float, default=10.0, show_default=True, help="Minutes between validations.")
def train(
    recipe: Path,
    photos: Path,
    valid: Path | None,
    output: Path,
    minutes: float,
    cooldown: int | None,
    device: str,
    precision: str,
    compile_network: bool,
    every: float,
) -> None:
    """Train a network as a RECIPE (a .toml file) says, in slices of any length.

    \b
    deblur train iniknet-fast.toml --photos sharp/ --valid valid/ -o runs/a --minutes 60
    deblur train iniknet-fast.toml --photos sharp/ --valid valid/ -o runs/a --minutes 60
    deblur train iniknet-fast.toml --photos sharp/ --valid valid/ -o runs/a --minutes 30 --cooldown 3000

    The second line goes on where the first stopped, the third finishes. The weights are runs/a/best.safetensors.
    Recipes lie in deblurcli/training/recipes/.
    """
    import torch

    from deblurcli.backends.torch_backend import choose_device
    from deblurcli.datasets.photos import load_tiles
    from deblurcli.errors import UsageError
    from deblurcli.evaluation.validation import validation_cases
    from deblurcli.training import loop
    from deblurcli.training.config import load_recipe

    target = choose_device(device)
    saved = output / "state.pt"
    state = loop.start(load_recipe(recipe), target, resuming=saved.is_file())
    if saved.is_file():
        state.load(saved)
    if cooldown:
        if state.cooldown:
            raise UsageError(f"{output}: is being cooled down already", "Leave --cooldown out to go on with that.")
        state.cooldown = (state.step, cooldown)
    loop.train(
        state,
        load_tiles(photos).to(target),
        validation_cases(valid) if valid else [],
        output,
        minutes=minutes,
        autocast=torch.bfloat16 if precision == "bf16" else None,
        every=every,
        compile_network=compile_network,
    )
