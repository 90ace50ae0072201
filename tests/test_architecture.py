"""The house keeps its shape: who may import whom, what stays free of torch, what each network declares."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

import deblurcli
from deblurcli.networks.spec import DEFAULT_NETWORK, NETWORKS, NetworkSpec, trainable_networks

PACKAGE = Path(deblurcli.__file__).parent

# Room → what its modules may import of ours: rooms, or single modules of a room. From the ground up.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "arrays": set(),
    "guard": set(),
    "tiling": {"arrays", "errors"},
    "scales": {"arrays", "networks.spec", "photo.transfer", "tiling"},
    "parts": {"tiling"},
    "patterns": {"arrays", "guard", "photo.transfer"},
    "photo": {"arrays", "errors"},
    "networks": {"errors"},
    "weights": {"arrays", "errors", "networks", "photo.atomic"},
    "maps": {"arrays", "errors", "networks.spec", "photo", "tiling"},
    "synthesis": {"arrays", "errors", "photo.transfer"},
    "datasets": {"arrays", "errors", "photo"},
    "integrations": {"errors", "photo.atomic"},
}
MAY_IMPORT["focus"] = {"arrays", "errors", "maps.block_means", "networks.spec", "photo", "tiling"}
MAY_IMPORT["backends"] = MAY_IMPORT["weights"] | {"weights"}
MAY_IMPORT["lopsided"] = {"arrays", "tiling"}
MAY_IMPORT["restoration"] = {"arrays", "focus", "photo.photo"}
MAY_IMPORT["careful"] = {"arrays", "backends.backend"}
MAY_IMPORT["restore"] = MAY_IMPORT["backends"] | {
    "backends",
    "careful",
    "focus",
    "guard",
    "lopsided",
    "parts",
    "patterns",
    "restoration",
    "scales",
    "tiling",
    "photo",
}
MAY_IMPORT["restore"] |= {"maps.block_means"}
MAY_IMPORT["loading"] = MAY_IMPORT["backends"] | {"backends", "restore"}
MAY_IMPORT["look"] = MAY_IMPORT["restore"] | {"restore", "parts", "maps"}
MAY_IMPORT["batch"] = MAY_IMPORT["restore"] | {"restore", "restoration", "loading", "look", "maps"}
MAY_IMPORT["evaluation"] = MAY_IMPORT["restore"] | {"restore", "loading", "synthesis", "datasets"}
MAY_IMPORT["training"] = MAY_IMPORT["evaluation"] | {"evaluation"}
MAY_IMPORT["cli"] = MAY_IMPORT["training"] | {"training", "maps", "look", "batch", "integrations"}
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT[""] = set(MAY_IMPORT)  # the public root, deblurcli/__init__.py

# Rooms and modules that get by on few libraries, and those.
LIBRARIES = {
    "errors": set(),
    "arrays": {"numpy"},
    "guard": {"numpy"},
    "tiling": {"numpy"},
    "maps.block_means": {"numpy"},
    "networks": {"numpy", "torch"},
}

# Importing any of these loads no torch, so that --help is quick and the ONNX path works without it.
TORCH_FREE = (
    "",
    "arrays",
    "errors",
    "tiling",
    "guard",
    "patterns",
    "focus",
    "restore",
    "loading",
    "batch*",
    "photo*",
    "maps*",
    "integrations*",
    "look*",
    "cli*",
    "networks.spec",
    "weights.store",
    "weights.checkpoint",
    "backends.backend",
    "backends.guided",
    "backends.onnx_backend",
    "backends.onnx_files",
)


class Import(NamedTuple):
    """``target`` is a dotted name; ``loads`` tells whether it is imported as soon as its module is."""

    target: str
    line: int
    loads: bool


def imports(node: ast.AST, loads: bool = True) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (Import(alias.name, child.lineno, loads) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (Import(f"{module}.{alias.name}", child.lineno, loads) for alias in names)
            case ast.ImportFrom():
                raise AssertionError(f"line {child.lineno}: write 'from deblurcli…', not a relative import")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from imports(child, loads=False)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from imports(ast.Module(child.body, []), loads=False)
                yield from imports(ast.Module(child.orelse, []), loads)
            case _:
                yield from imports(child, loads)


def module_name(file: Path) -> str:
    """deblurcli/photo/decode.py → "photo.decode"; a package's __init__.py → the package."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {module: list(imports(ast.parse(file.read_text(), file))) for module, file in MODULES.items()}


def ours(target: str) -> str | None:
    """The module of ours that "deblurcli.photo.decode.read_photo" comes from ("" is the root); None if not ours."""
    package, *parts = target.split(".")
    if package != "deblurcli":
        return None
    return next(name for n in range(len(parts), -1, -1) if (name := ".".join(parts[:n])) in MODULES)


def room(module: str) -> str:
    return module.partition(".")[0]


def lies_in(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


# ---- who may import whom ------------------------------------------------------------------------------------------


def test_every_room_has_its_place() -> None:
    assert {room(module) for module in MODULES} <= MAY_IMPORT.keys()


@pytest.mark.parametrize("name", sorted({room(module) for module in MODULES} & MAY_IMPORT.keys()))
def test_imports_go_one_way(name: str) -> None:
    wrong = []
    for module in (m for m in MODULES if room(m) == name):
        for target, line, _ in IMPORTS[module]:
            other = ours(target)
            if other is None or target == "deblurcli.__version__" or (other and room(other) == name):
                continue
            if not (other and lies_in(other, MAY_IMPORT[name])):
                wrong.append(f"{MODULES[module].relative_to(PACKAGE.parent)}:{line}: {target}")
    assert not wrong, (
        f"{name or 'the root'} may import {sorted(MAY_IMPORT[name])}, and __version__, not:\n" + "\n".join(wrong)
    )


def test_imports_make_no_circle() -> None:
    """Nowhere do modules need one another, be it for types only; none needs the root but for its version."""
    needs: dict[str, set[str]] = {}
    for module in MODULES:
        targets = (ours(i.target) for i in IMPORTS[module] if i.target != "deblurcli.__version__")
        needs[module] = {other for other in targets if other} - {module}
    TopologicalSorter(needs).prepare()  # raises CycleError, which says who is in it


@pytest.mark.parametrize("name", LIBRARIES)
def test_libraries(name: str) -> None:
    allowed = LIBRARIES[name] | sys.stdlib_module_names | {"deblurcli"}
    used = {imported.target.partition(".")[0] for m in MODULES if lies_in(m, {name}) for imported in IMPORTS[m]}
    assert used <= allowed


def test_modules_stay_readable_in_one_sitting() -> None:
    lines = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for file in MODULES.values()}
    assert {file: n for file, n in lines.items() if n > 500} == {}


# ---- torch, and other things that take long to import -------------------------------------------------------------


def way_to_torch(module: str) -> list[str]:
    """The chain of imports by which loading ``module`` loads torch; empty if it does not."""
    came_from, waiting = {module: ""}, [module]
    while waiting:
        here = waiting.pop()
        parents = (f"deblurcli.{here.rpartition('.')[0]}".rstrip("."),)  # Python loads a module's packages first
        for target in chain((i.target for i in IMPORTS[here] if i.loads), parents):
            if target.partition(".")[0] == "torch":
                way = [target]
                while here:
                    way.insert(0, here)
                    here = came_from[here]
                return way
            other = ours(target)
            if other is not None and other not in came_from:
                came_from[other] = here
                waiting.append(other)
    return []


@pytest.mark.parametrize("module", sorted(m for m in MODULES if any(fnmatch(m, pattern) for pattern in TORCH_FREE)))
def test_loads_no_torch(module: str) -> None:
    assert not (way := way_to_torch(module)), " → ".join(way)


def test_a_way_to_torch_is_found() -> None:
    assert way_to_torch("training.config") == ["training.config", "synthesis.pairs", "torch"]


def test_help_is_fast_because_it_loads_little() -> None:
    """Of what is installed only click: whatever takes time to load waits until a command needs it."""
    script = "import sys; from deblurcli.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}  # of this process, as -S leaves out what else starts with Python
    command = [sys.executable, "-S", "-c", script, "--help"]
    done = subprocess.run(command, env=os.environ | paths, capture_output=True, text=True, check=False)
    assert "Usage" in done.stdout, done.stderr
    loaded = done.stderr.split()
    installed = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"__main__", "deblurcli"}
    assert installed == {"click", "click_default_group"}


# ---- the table of networks ----------------------------------------------------------------------------------------


def test_default_network_is_for_users() -> None:
    assert not NETWORKS[DEFAULT_NETWORK].untrained


@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_network_is_what_the_table_says(spec: NetworkSpec) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from deblurcli.networks.build import build_network

    assert spec.min_size % spec.multiple_of == 0
    assert spec.context == "global" or spec.halo <= spec.context

    network = build_network(spec.name).eval()
    if not spec.untrained:
        assert sum(parameter.numel() for parameter in network.parameters()) == spec.parameters

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 3, 256, 256))
    assert counter.get_total_flops() / 2 / 256**2 / 1000 == pytest.approx(spec.cost, rel=0.02)

    height, width = spec.min_size, spec.min_size + spec.multiple_of
    picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        restored = network(picture, maps=True)
    assert restored.picture.shape == picture.shape
    assert {name: tuple(plane.shape) for name, plane in restored.maps.items()} == {
        map_spec.name: (1, map_spec.channels, *((1, 1) if map_spec.per_photo else (height, width)))
        for map_spec in spec.maps
    }
    for map_spec in spec.maps:
        (low, high), plane = map_spec.range, restored.maps[map_spec.name]
        # Within rounding: a softmax's planes add up to one, give or take a few bits.
        assert low is None or plane.min() >= low - 1e-5
        assert high is None or plane.max() <= high + 1e-5


@pytest.mark.parametrize("name", trainable_networks())
def test_untrained_it_returns_nearly_what_it_was_given(name: str) -> None:
    """Training then has nothing to unlearn, and speed can be measured without weights."""
    import torch
    from torch.nn.functional import avg_pool2d

    from deblurcli.guard import is_sound
    from deblurcli.networks.build import build_network

    gray = torch.rand(1, 1, 68, 68, generator=torch.Generator().manual_seed(1))
    picture = avg_pool2d(gray, 5, stride=1).repeat(1, 3, 1, 1)  # in colours, some are only nearly what they are
    with torch.no_grad():
        restored = build_network(name).eval()(picture).picture
    before, after = (x[0].permute(1, 2, 0).numpy() for x in (picture, restored))
    assert is_sound(before, after)
    inside = (restored - picture)[..., 12:-12, 12:-12]  # some pad with black
    assert inside.square().mean() < 0.1 * picture.var()
