"""``deblur train``: weights from a recipe and a folder of sharp photos."""

from __future__ import annotations

import time
from pathlib import Path

import click

from deblurcli.cli.values import Number, Word


def _list(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from deblurcli.training.recipes import about, recipes

    for recipe in recipes():
        print(f"{recipe.name:28}{about(recipe)}")
    ctx.exit()


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--photos", required=True, type=click.Path(path_type=Path), help="Folder of sharp photos to train on.")
@click.option(
    "--smooth",
    type=click.Path(path_type=Path),
    help="Folder of photos in focus whose smooth parts (faces, cloth, sky) are to be left alone.",
)
@click.option("--valid", type=click.Path(path_type=Path), help="Folder of sharp photos to validate on.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of the run; an existing run is continued.",
)
@click.option("--minutes", type=Number(0, above=True, example=60), help="Stop after this long, start-up included.")
@click.option(
    "--steps", type=Number(1, whole=True, example=1000), help="Stop after this many steps, and say what took how long."
)
@click.option(
    "--cooldown",
    type=Number(1, whole=True, example=3000),
    metavar="STEPS",
    help="Finish: lower the learning rate to zero.",
)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value of the recipe.")
@click.option("--weights", metavar="TAG|FILE", help="Start from these weights; they may be of a smaller network.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--precision",
    type=Word(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="auto is bf16 where the device supports it.",
)
@click.option("--compile", "compile_network", is_flag=True, help="Compile the network first; worthwhile on GPUs.")
@click.option(
    "--every",
    type=Number(0, above=True, example=10),
    default=10.0,
    show_default=True,
    help="Minutes between validations.",
)
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the recipes.")
def train(
    recipe: Path,
    photos: Path,
    smooth: Path | None,
    valid: Path | None,
    output: Path,
    minutes: float | None,
    steps: int | None,
    cooldown: int | None,
    changes: tuple[str, ...],
    weights: str | None,
    device: str,
    precision: str,
    compile_network: bool,
    every: float,
) -> None:
    """Train a network as a RECIPE (a .toml file) says, in slices of any length.

    \b
    deblur train iniknet-fast.toml --photos sharp/ --valid valid/ -o runs/a --minutes 60
    deblur train iniknet-fast.toml --photos sharp/ --valid valid/ -o runs/a --minutes 60
    deblur train iniknet-fast.toml --photos sharp/ --valid valid/ -o runs/a --cooldown 3000
    deblur train iniknet-fast.toml --photos mine/ -o runs/b --weights FILE --set learning_rate=3e-4 --minutes 60

    The second line goes on where the first stopped, the third finishes, the fourth trains given weights on your own
    photos. runs/a/best.safetensors are the weights that scored best on --valid, last.safetensors those at the
    end. --list lists the recipes that come with deblur; every value changed along the way is recorded in the weights.
    """
    until = time.monotonic() + 60 * (minutes or float("inf"))

    import torch

    from deblurcli.backends.torch_backend import choose_device
    from deblurcli.cli.messages import say
    from deblurcli.datasets.photos import load_tiles
    from deblurcli.errors import UsageError
    from deblurcli.evaluation.validation import validation_cases
    from deblurcli.training import loop, pace
    from deblurcli.training.config import load_recipe
    from deblurcli.training.state import saved_pieces

    if not (minutes or steps or cooldown):
        raise UsageError("this training would never end", "Give --minutes, --steps or --cooldown.")
    target = choose_device(device)
    resuming = bool(saved_pieces(output))
    if resuming and weights:
        raise UsageError(f"{output}: this run has already started, with weights of its own", "Leave --weights out.")
    wanted = load_recipe(recipe, changes)
    tiles = load_tiles(photos).to(target)
    soft = load_tiles(smooth).to(target) if smooth else None
    cases = validation_cases(valid) if valid else []
    state = loop.start(wanted, target, weights=weights, resuming=resuming)
    if resuming:
        state.load(output)
    if cooldown:
        state.cool_down(cooldown)
    bf16 = precision == "bf16" or (precision == "auto" and pace.computes_in_bf16(target))
    say(f"{state.recipe.network} on {target} in {'bf16' if bf16 else 'fp32'}, from step {state.step}")
    loop.train(
        state,
        tiles,
        cases,
        output,
        smooth=soft,
        source=photos.resolve().name,
        until=until,
        steps=steps,
        autocast=torch.bfloat16 if bf16 else None,
        every=every,
        compile_network=compile_network,
    )
