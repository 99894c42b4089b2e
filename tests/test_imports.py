"""The architecture: which room imports which, and what the light half must not load."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import transferlab

PACKAGE = Path(transferlab.__file__).parent
# Room -> the rooms it may import. In order: a room imports only from those above its own line.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "runtime": {"errors"},
    "models": {"errors", "runtime"},
    "data": {"errors", "runtime"},
    "experiment": {"data", "errors", "models", "runtime"},
    "store": {"errors", "experiment", "runtime"},
    "results": {"errors", "experiment", "runtime", "store"},
    "training": {"data", "errors", "experiment", "models", "runtime", "store"},
    "evaluation": {
        "data", "errors", "experiment", "models", "runtime", "store", "training",
    },
    "launch": {"errors", "experiment", "models", "runtime", "store", "training"},
    "bench": {"data", "errors", "experiment", "launch", "runtime", "store", "training"},
    "cli": {
        "bench", "data", "errors", "evaluation", "experiment", "launch", "models", "results",
        "runtime", "store",
    },
    "__main__": {"errors", "runtime"},  # and `cli`, by name, when a command is called
}  # fmt: skip
HEAVY = (
    "torch", "torchvision", "timm", "pytorch_lightning", "lightning", "wandb", "matplotlib",
)  # fmt: skip
# What the light half leaves to torch; `training` as a whole, and what draws
HEAVY_MODULES = (
    "runtime.bfloat16", "runtime.compiled", "runtime.devices",
    "models",
    "data.half", "data.loader", "data.mean", "data.ring", "data.transforms", "data.datasets.decode",
    "data.datasets.mapped",
    "experiment.cost.probe", "training", "results.figures", "results.page.html",
    "results.page.report",
    "evaluation.chatfield2014", "evaluation.dense", "evaluation.export", "evaluation.features",
    "evaluation.posteriors", "evaluation.reading", "evaluation.scorer", "evaluation.svm",
    "evaluation.tally",
    "bench.loader", "bench.loops", "bench.reading", "bench.step", "bench.trainer",
)  # fmt: skip
# And they alone of their packages
LIGHT_MODULES = (
    "models", "models.facts", "models.geometry", "models.libraries", "models.zoo",
    "models.zoo.published",
)  # fmt: skip


@cache
def modules() -> dict[str, Path]:
    """Module of the package -> its file; `store` is store/__init__.py."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return {name: path for name, path in found.items() if name}


def room(module: str) -> str:
    return module.partition(".")[0]


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules of the package that a file imports, also within its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                module = full.removeprefix("transferlab.") in modules()
                names.add(full if module else str(node.module))
    inside = {name.removeprefix("transferlab.") for name in names if name != "transferlab"}
    return frozenset(inside & modules().keys())


def floors(arrows: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each room: 1 for one that imports nothing."""

    def floor(name: str) -> int:
        return 1 + max(map(floor, arrows[name]), default=0)

    return {name: floor(name) for name in arrows}


def between_rooms() -> dict[str, set[str]]:
    """Room -> the rooms that it imports."""
    found: dict[str, set[str]] = {name: set() for name in ROOMS}
    for name, path in modules().items():
        found[room(name)] |= {room(other) for other in imported(path)} - {room(name)}
    return found


def test_rooms_are_those_of_the_table():
    assert {room(name) for name in modules()} == set(ROOMS)


def test_no_room_imports_what_the_table_does_not_allow():
    wrong = [
        f"{name} imports {other}"
        for name, path in modules().items()
        for other in sorted(imported(path))
        if room(other) not in ROOMS[room(name)] | {room(name)}
    ]

    assert wrong == []


def test_table_allows_nothing_that_no_room_imports():
    assert between_rooms() == ROOMS


def test_table_goes_only_upwards():
    above: set[str] = set()
    for name, others in ROOMS.items():
        assert others <= above, f"{name} imports from below"
        above.add(name)


def test_no_modules_import_one_another_in_a_circle():
    arrows = {name: imported(path) - {name} for name, path in modules().items()}

    list(TopologicalSorter(arrows).static_order())  # CycleError names the circle


def test_every_room_says_what_it_is_for_and_what_it_may_import():
    for name in ROOMS:
        path = PACKAGE / name / "__init__.py"
        if path.exists():
            purpose, _, rest = (ast.get_docstring(ast.parse(path.read_text())) or "").partition(
                "May import: "
            )
            assert purpose, name
            assert set(re.findall(r"\w+", rest.partition(".")[0])) & set(ROOMS) == ROOMS[name]


def test_no_module_is_imported_under_another_name():
    aliases = [
        f"{name}: {node.module}.{alias.name} as {alias.asname}"
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname and f"{node.module}.{alias.name}".removeprefix("transferlab.") in modules()
    ]

    assert aliases == []


def test_a_class_name_means_one_thing():
    homes: dict[str, list[str]] = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name.lstrip("_"), []).append(name)

    assert {word: where for word, where in homes.items() if len(where) > 1} == {}


def light(names: Iterable[str]) -> list[str]:
    return [
        name
        for name in names
        if name in LIGHT_MODULES
        or not any(name == heavy or name.startswith(f"{heavy}.") for heavy in HEAVY_MODULES)
    ]


def test_light_half_imports_and_resolves_without_the_heavy_packages():
    code = f"""
import importlib, sys
for name in {light(modules())!r}:
    importlib.import_module("transferlab." + name)
    heavy = sorted(set({HEAVY!r}) & set(sys.modules))
    assert not heavy, (name, heavy)
from transferlab import data
data.describe("digits", root=None, val=None, holdout=0.2)
data.describe("cifar10", root=None, val=None, holdout=None)
data.train_counts("digits", root=None, val=None, holdout=0.2)
heavy = sorted(set({HEAVY!r}) & set(sys.modules))
assert not heavy, ("describe", heavy)
print("light")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("light\n", "")


def test_every_heavy_module_exists():
    assert [name for name in (*HEAVY_MODULES, *LIGHT_MODULES) if name not in modules()] == []


if __name__ == "__main__":  # the number of floors and arrows, for whoever asks
    arrows = between_rooms()
    depth = floors(arrows)
    for name in ROOMS:
        print(f"{depth[name]:2}  {name:10}  <- {' '.join(sorted(arrows[name]))}")
    print(
        f"{len(ROOMS)} rooms, {max(depth.values())} floors, {sum(map(len, arrows.values()))} arrows"
    )
