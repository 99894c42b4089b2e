"""The architecture: who imports whom, and what the light half must not take along."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import transferlab

PACKAGE = Path(transferlab.__file__).parent
# Module or folder -> what it may import of ours, besides the package itself. In order: a
# module imports only from lines above its own. `launch` takes up `run` when it has to train.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "variants": {"errors"},
    "splits": {"errors"},
    "own": {"errors"},
    "strict": {"errors"},
    "config": {"errors", "strict", "variants"},
    "disk": {"errors"},
    "store": {"config", "disk", "errors"},
    "plan": {"config"},
    "logs": set(),
    "signals": {"errors"},
    "ranks": set(),
    "compiled": set(),
    "data": {"compiled", "errors", "own"},
    "resolve": {"config", "data", "errors", "splits"},
    "compose": {"config", "errors"},
    "study": {"compose", "config", "errors", "resolve"},
    "networks": {"config", "errors", "resolve", "store", "variants"},
    "estimate": {"config", "data", "networks", "resolve", "variants"},
    "memory": {"config", "networks"},
    "machine": set(),
    "models": {"compiled", "errors", "own"},
    "shapes": {"models", "networks"},
    "transfer": {"errors", "models", "variants"},
    "optimiser": set(),
    "module": {"optimiser"},
    "checkpoints": {"errors", "store"},
    "record": {"checkpoints", "config", "resolve"},
    "probe": {"errors", "models", "record", "shapes"},
    "loggers": {"config"},
    "callbacks": {
        "checkpoints", "config", "errors", "loggers", "logs", "module", "optimiser", "signals",
        "store",
    },
    "progress": {"callbacks", "logs", "module"},
    "assembly": {
        "checkpoints", "config", "data", "errors", "models", "module", "optimiser", "plan",
        "resolve", "store", "transfer", "variants",
    },
    "device": {"assembly", "config", "machine", "memory", "networks", "shapes"},
    "trainer": {"assembly", "callbacks", "config", "errors", "ranks", "signals"},
    "groups": {"assembly", "checkpoints", "device", "memory", "plan", "trainer"},
    "run": {
        "assembly", "callbacks", "checkpoints", "config", "data", "device", "errors", "groups",
        "logs", "machine", "module", "progress", "ranks", "record", "signals", "store", "trainer",
        "transfer",
    },
    "launch": {
        "config", "errors", "estimate", "logs", "machine", "memory", "networks", "plan", "ranks",
        "resolve", "run", "signals", "store", "strict",
    },
    "status": {"errors", "launch", "store"},
    "summary": {"config", "errors", "launch", "resolve", "store"},
    "published": {"compose", "config", "errors", "variants"},
    "rows": {"config", "errors", "store"},
    "results": {"errors", "launch", "published", "rows", "store"},
    "experiments": {"config"},
    "pairs": {"experiments", "results"},
    "captions": {"experiments", "pairs", "results"},
    "intervals": set(),
    "tables": {"captions", "errors", "experiments", "intervals", "pairs", "results"},
    "formats": {"errors"},
    "plots": {
        "captions", "errors", "experiments", "formats", "pairs", "published", "results", "tables",
    },
    "explanations": set(),
    "overview": {"errors", "pairs", "results", "rows", "variants"},
    "fragments": {"formats", "plots"},
    "report": {
        "errors", "experiments", "explanations", "fragments", "overview", "plots", "published",
        "results", "tables",
    },
    "entries": {
        "config", "errors", "launch", "loggers", "plots", "results", "store", "tables",
    },
    "sync": {"config", "entries", "errors", "loggers", "logs", "store"},
    "preparing": {"data", "disk", "errors", "logs", "signals"},
    "bench": {
        "assembly", "checkpoints", "compose", "config", "data", "errors", "launch", "machine",
        "models", "optimiser", "plan", "run", "signals", "store", "study", "trainer",
    },
    "commands": {
        "bench", "compose", "config", "data", "entries", "errors", "estimate", "formats", "launch",
        "logs", "machine", "memory", "plan", "plots", "preparing", "published", "report",
        "resolve", "results", "status", "store", "study", "summary", "sync", "tables",
    },
    "hydra_plugin": {"commands", "compose", "resolve"},
    "__main__": {"errors"},  # and `commands`, by name, when one is called
}  # fmt: skip
# The same within a folder whose files build on one another
LAUNCH: dict[str, set[str]] = {
    "settings": set(),
    "cluster": set(),
    "manifest": set(),
    "sweeps": {"manifest", "settings"},
    "inventory": {"sweeps"},
    "inline": set(),
    "worker": {"inline", "sweeps"},
    "supervisor": {"sweeps", "worker"},
    "local": {"settings", "supervisor", "sweeps"},
    "board": {"local"},
    "slurm": {"cluster", "settings", "sweeps"},
    "job": {"cluster", "settings", "supervisor", "sweeps"},
    "dispatch": {"board", "cluster", "local", "settings", "slurm", "sweeps"},
}
BENCH: dict[str, set[str]] = {
    "turns": set(),
    "report": {"turns"},
    "processes": set(),
    "stopwatch": set(),
    "bare": set(),
    "trials": set(),
    "photographs": set(),
    "loader": {"photographs", "processes", "report", "turns"},
    "pack": {"report", "trials", "turns"},
    "startup": {"processes", "report", "turns"},
    "step": {"bare", "report", "stopwatch", "trials", "turns"},
    "study": {"processes", "report", "turns"},
    "trainer": {"bare", "report", "stopwatch", "trials", "turns"},
}
PREPARING: dict[str, set[str]] = {
    "writing": set(),
    "workplace": {"writing"},
    "chunks": {"writing"},
    "journal": {"chunks", "writing"},
    "crew": set(),  # its workers load `chunks`, by name
    "space": {"chunks", "crew"},
    "meter": set(),
    "digests": {"chunks"},
    "finish": {"chunks", "digests", "journal", "workplace", "writing"},
    "verify": {"chunks", "digests", "meter"},
    "whole": {"chunks", "crew", "finish", "journal", "meter", "space", "workplace", "writing"},
}
# They measure what torch does
BENCH_HEAVY = {"bare", "loader", "stopwatch", "pack", "step", "trainer"}
COMMANDS: dict[str, set[str]] = {
    "flags": set(),
    "run": set(),
    "sweep": set(),
    "multirun": {"sweep"},
    "status": {"flags"},
    "retry": {"flags", "status"},
    "cancel": {"flags"},
    "results": {"flags"},
    "report": {"flags"},
    "prepare": {"flags"},
    "sync": {"flags"},
    "bench": {"flags"},
    "work": set(),
}
TABLES = {
    "transferlab": ALLOWED,
    "transferlab.launch": LAUNCH,
    "transferlab.bench": BENCH,
    "transferlab.preparing": PREPARING,
    "transferlab.commands": COMMANDS,
}
LIGHT = (
    "errors", "variants", "splits", "strict", "config", "disk", "store", "plan", "logs", "signals",
    "ranks", "data", "data.folder", "data.prepared", "resolve", "compose", "study", "networks",
    "estimate", "memory", "machine",
    *(f"launch.{name}" for name in LAUNCH), "status", "summary",
    "published", "rows", "results", "experiments", "pairs", "captions", "intervals", "tables",
    "formats", "overview", "explanations", "entries", "sync",
    *(f"bench.{name}" for name in BENCH if name not in BENCH_HEAVY),
    *(f"preparing.{name}" for name in PREPARING),
    *(f"commands.{name}" for name in COMMANDS), "hydra_plugin.launchers", "__main__",
)  # fmt: skip
HEAVY = ("torch", "torchvision", "pytorch_lightning", "lightning", "wandb", "matplotlib")


def units(package: str) -> dict[str, list[Path]]:
    """Module or folder of a package -> its files."""
    place = PACKAGE.parent / package.replace(".", "/")
    found: dict[str, list[Path]] = {}
    for path in sorted(place.rglob("*.py")):
        parts = path.relative_to(place).with_suffix("").parts
        if parts != ("__init__",):
            found.setdefault(parts[0], []).append(path)
    return found


def imported(path: Path) -> set[str]:
    """The full names of all that a file imports, also within its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def needs(package: str, paths: Iterable[Path]) -> set[str]:
    """The modules and folders of a package that some files import."""
    names = {name for path in paths for name in imported(path)}
    inside = {name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}.")}
    return {name.partition(".")[0] for name in inside} & units(package).keys()


@pytest.mark.parametrize("package", TABLES)
def test_modules_are_those_of_the_table(package: str):
    assert set(units(package)) == set(TABLES[package])


@pytest.mark.parametrize("package", TABLES)
def test_nobody_imports_what_the_table_does_not_allow(package: str):
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for unit, paths in units(package).items()
        for path in paths
        for name in sorted(needs(package, [path]) - TABLES[package][unit] - {unit})
    ]

    assert wrong == []


@pytest.mark.parametrize("package", TABLES)
def test_table_allows_nothing_that_nobody_imports(package: str):
    unused = {
        f"{unit} -> {name}"
        for unit, paths in units(package).items()
        for name in TABLES[package][unit] - needs(package, paths)
    }

    assert unused == set()


@pytest.mark.parametrize("package", TABLES)
def test_table_goes_only_upwards(package: str):
    above: set[str] = set()
    for unit, names in TABLES[package].items():
        assert names <= above, f"{unit} imports from below"
        above.add(unit)


def test_light_half_imports_and_resolves_without_the_heavy_packages():
    code = f"""
import importlib, sys
for name in {LIGHT!r}:
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


def test_every_module_of_the_light_half_is_there():
    for name in LIGHT:
        place = PACKAGE / name.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__init__.py").exists()
