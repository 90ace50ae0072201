"""The recipes that come with the program. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path


def recipes() -> list[Path]:
    """Their files."""
    return sorted(Path(__file__).parent.glob("*.toml"))


def about(recipe: Path) -> str:
    """What a recipe says of itself in its first line."""
    return recipe.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def found(recipe: Path) -> Path:
    """The file, or where there is none, the recipe of this name, with ``.toml`` or without, that comes along."""
    own = {file.stem: file for file in recipes()}
    return recipe if recipe.exists() else own.get(str(recipe).removesuffix(".toml"), recipe)
