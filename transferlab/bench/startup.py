"""The time of light commands, against the time to import the full stack.

Every side is a separate process, timed from outside. That a command imports no torch is checked
in another process, which reports what it has imported.
"""

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from transferlab.bench import harness
from transferlab.bench.harness import Check, Comparison, Report, Side
from transferlab.bench.processes import python

REPETITIONS = 7
HEAVY = ("torch", "torchvision", "pytorch_lightning")
STACK = (*HEAVY, "hydra", "wandb", "pandas", "matplotlib")
IMPORTS = "importing the full stack"
TAKEN = 3  # exit status of LOOK: the command has imported some of HEAVY
LOOK = f"""
import sys
from transferlab.__main__ import main
code = main(sys.argv[1:])
taken = set({HEAVY}) & sys.modules.keys()
print(*sorted(taken), file=sys.stderr)
sys.exit(code or ({TAKEN} if taken else 0))
"""
# Name -> the command line; how many times as fast as IMPORTS it should be
COMMANDS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "--help": (("--help",), 10.0),
    "status": (("status",), 10.0),
    "results": (("results", "--store", "published:yosinski2014"), None),
    "sweep dry_run=true": (("sweep", "+study=quick", "dry_run=true"), None),
}


def add_flags(parser: ArgumentParser) -> None:
    """Adds none: this benchmark has no flags of its own."""


def measure(selected: Namespace) -> Report:
    """The commands in an empty store, and the imports. The dry run's networks are probed once, by
    a process of its own, while warming up."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "runs").mkdir()
        lines: dict[str, tuple[str, ...]] = {IMPORTS: ("-c", f"import {', '.join(STACK)}")}
        lines |= {
            name: ("-m", "transferlab", *arguments) for name, (arguments, _) in COMMANDS.items()
        }
        return harness.measure(
            "startup",
            f"commands in an empty store, each a process; the full stack is {', '.join(STACK)}",
            [
                Side(
                    name,
                    partial(harness.timed, partial(python, folder, *arguments)),
                    1,
                    "processes",
                )
                for name, arguments in lines.items()
            ],
            [Comparison(name, IMPORTS, "speed", target) for name, (_, target) in COMMANDS.items()],
            repetitions=selected.repetitions,
            checks=lambda: [
                _light(name, arguments, folder) for name, (arguments, _) in COMMANDS.items()
            ],
        )


def _light(name: str, arguments: tuple[str, ...], folder: Path) -> Check:
    """Whether the command imports none of HEAVY. Raises: RunFailed if it fails."""
    code, err = python(folder, "-c", LOOK, *arguments, also=(TAKEN,))
    imported = err.strip().splitlines()[-1] if code else "none"
    return Check(f"{name}: no torch in sys.modules", not code, imported)
