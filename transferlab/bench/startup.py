"""How soon a light command answers, against what it would take to import everything.

Every side is a process of its own, timed from outside. That a command takes no torch is looked up
in another process, in which it ends by naming what it has imported. Takes no torch itself.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from transferlab.bench import report, turns
from transferlab.bench.processes import python
from transferlab.bench.report import Check, Report
from transferlab.bench.turns import Comparison, Side

HEAVY = ("torch", "torchvision", "pytorch_lightning")
STACK = (*HEAVY, "hydra", "wandb", "pandas", "matplotlib")
LEAST = 10.0  # times as fast
TAKEN = 3  # exit status of LOOK: the command has imported some of HEAVY
LOOK = f"""
import sys
from transferlab.__main__ import main
code = main(sys.argv[1:])
taken = set({HEAVY}) & sys.modules.keys()
print(*sorted(taken), file=sys.stderr)
sys.exit(code or ({TAKEN} if taken else 0))
"""


@dataclass(frozen=True)
class Command:
    """A line for the front door; `target`: how many times as fast as importing everything."""

    name: str
    words: tuple[str, ...]
    target: float | None


COMMANDS = (
    Command("--help", ("--help",), LEAST),
    Command("status", ("status",), LEAST),
    Command("results", ("results", "--store", "published:yosinski2014"), None),
    Command("sweep dry_run=true", ("sweep", "+study=quick", "dry_run=true"), None),
)


def measure(*, repetitions: int) -> Report:
    """The commands in an empty store, and the imports. The dry run's networks are looked at once,
    by a process of its own, while warming up."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "runs").mkdir()
        imports = Side("importing the full stack", lambda: _timed(place, "-c", _imports()), 1,
                       "processes")  # fmt: skip
        sides = [_side(command, place) for command in COMMANDS]
        found = report.measure(
            "startup",
            f"commands in an empty store, each a process; the full stack is {', '.join(STACK)}",
            [imports, *sides],
            [Comparison(c.name, imports.name, "speed", c.target) for c in COMMANDS],
            repetitions=repetitions,
        )
        return replace(found, checks=tuple(_look(command, place) for command in COMMANDS))


def _side(command: Command, place: Path) -> Side:
    return Side(command.name, lambda: _timed(place, "-m", "transferlab", *command.words), 1,
                "processes")  # fmt: skip


def _imports() -> str:
    return f"import {', '.join(STACK)}"


def _timed(place: Path, *words: str) -> float:
    """A process of Python with these words, in s. Raises: RunFailed if it fails."""
    return turns.timed(lambda: python(place, *words))


def _look(command: Command, place: Path) -> Check:
    """Whether the command takes none of HEAVY. Raises: RunFailed if it fails."""
    code, err = python(place, "-c", LOOK, *command.words, also=(TAKEN,))
    taken = err.strip().splitlines()[-1] if code else "none"
    return Check(f"{command.name}: no torch in sys.modules", not code, taken)
