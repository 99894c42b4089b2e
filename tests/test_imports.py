"""The architecture: who imports whom, and what the light half must not take along."""

import ast
import subprocess
import sys
from pathlib import Path

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
    "store": {"errors", "config"},
    "plan": {"config"},
    "logs": set(),
    "signals": {"errors"},
    "data": {"errors", "own"},
    "resolve": {"errors", "config", "data", "splits"},
    "models": {"errors", "own"},
    "shapes": {"models"},
    "networks": {"config", "errors", "resolve", "store", "variants"},
    "estimate": {"config", "data", "networks", "resolve", "variants"},
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
    "trainer": {"assembly", "callbacks", "config", "errors", "signals"},
    "run": {
        "assembly", "callbacks", "checkpoints", "config", "data", "errors", "logs", "module",
        "progress", "record", "signals", "store", "trainer", "transfer",
    },
    "launch": {"config", "errors", "plan", "run", "signals", "store"},
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
    "cli": {"config", "errors", "launch", "logs", "resolve", "summary"},
    "__main__": {"cli", "errors"},
}  # fmt: skip
LIGHT = (
    "errors", "variants", "splits", "config", "store", "plan", "logs", "signals", "data",
    "data.folder", "resolve", "networks", "estimate", "launch", "launch.inline", "summary", "cli",
    "published", "rows", "results", "experiments", "pairs", "captions", "intervals", "tables",
    "formats", "overview", "explanations", "commands.results", "commands.report",
    "entries", "sync", "commands.sync", "__main__",
)  # fmt: skip
HEAVY = ("torch", "torchvision", "pytorch_lightning", "lightning", "wandb", "matplotlib")


def units() -> dict[str, list[Path]]:
    """Module or folder -> its files."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            found.setdefault(parts[0], []).append(path)
    return found


def imported(path: Path) -> set[str]:
    """The modules and folders of ours that a file imports, also within its functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name.split(".")[1] for name in names if name.startswith("transferlab.")}
    return {name for name in ours if name in units()}


def test_modules_are_those_of_the_table():
    assert set(units()) == set(ALLOWED)


def test_nobody_imports_what_the_table_does_not_allow():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for unit, paths in units().items()
        for path in paths
        for name in sorted(imported(path) - ALLOWED[unit] - {unit})
    ]

    assert wrong == []


def test_table_allows_nothing_that_nobody_imports():
    actual = {unit: set().union(*map(imported, paths)) for unit, paths in units().items()}
    unused = {
        f"{unit} -> {name}" for unit, names in ALLOWED.items() for name in names - actual[unit]
    }

    assert unused == set()


def test_table_goes_only_upwards():
    above: set[str] = set()
    for unit, names in ALLOWED.items():
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
