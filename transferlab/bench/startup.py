"""The time of light commands against that of importing the full stack, and what starts a training.

Every side is a separate process, timed from outside. A training is timed until its first step, with
an empty store and an empty cache, and a worker until it has imported what it needs. That a command
imports no torch is checked in another process, which reports what it has imported.
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from transferlab.bench import harness
from transferlab.bench.harness import Check, Comparison, Report, Side
from transferlab.bench.processes import ONE_THREAD, python
from transferlab.errors import RunFailed
from transferlab.launch import local
from transferlab.runtime import preloaded
from transferlab.runtime.preloaded import Server

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
TORCH, TRAINING = "importing torch", "a training, before its first step"
FORKED, NEW = "a worker, forked", "a worker, a new process"
MOST = 1.5  # times as long as TORCH
# The command of a run, up to its first step
UNTIL_STEP = """
import os, sys
from transferlab.__main__ import main
from transferlab.training.callbacks.stop import Stop
Stop.on_train_batch_start = lambda *_: os._exit(0)
sys.exit(main(sys.argv[1:]) or "no step was taken")
"""
RUN = ("+split=random", "transfer.n=3")
IMPORTED = local.PRELOADED[-1]  # all that a worker needs
Work = dict[str, Callable[[], object]]  # by the name of the side
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
    with TemporaryDirectory() as name, Server(local.PRELOADED, ONE_THREAD) as server:
        folder = Path(name)
        (folder / "runs").mkdir()
        lines: dict[str, tuple[str, ...]] = {IMPORTS: ("-c", f"import {', '.join(STACK)}")}
        lines |= {
            name: ("-m", "transferlab", *arguments) for name, (arguments, _) in COMMANDS.items()
        }
        work: Work = {name: partial(python, folder, *words) for name, words in lines.items()}
        trainings, ratios = _trainings(folder, server)
        return harness.measure(
            "startup",
            f"commands in an empty store, each a process; the full stack is {', '.join(STACK)}",
            [
                Side(name, partial(harness.timed, action), 1, "processes")
                for name, action in (work | trainings).items()
            ],
            [
                *(Comparison(name, IMPORTS, "speed", goal) for name, (_, goal) in COMMANDS.items()),
                *ratios,
            ],
            repetitions=selected.repetitions,
            checks=lambda: [
                _light(name, arguments, folder) for name, (arguments, _) in COMMANDS.items()
            ],
        )


def _trainings(folder: Path, server: Server) -> tuple[Work, list[Comparison]]:
    """The starts of a training, and what they are compared with."""
    work: Work = {
        TORCH: partial(python, folder, "-c", "import torch"),
        TRAINING: _until_step,
        NEW: partial(python, folder, "-m", IMPORTED),
    }
    comparisons = [Comparison(TRAINING, TORCH, "time", MOST)]
    if preloaded.available():
        work[FORKED] = partial(_fork, server)
        comparisons.append(Comparison(FORKED, NEW, "speed", None))
    return work, comparisons


def _until_step() -> None:
    """A run of its own. Raises: RunFailed if it fails."""
    with TemporaryDirectory() as name:
        python(Path(name), "-c", UNTIL_STEP, *RUN)


def _fork(server: Server) -> None:
    """A worker that the server forks. Raises: RunFailed if it fails."""
    with open(os.devnull, "r+b") as null:
        files = {"stdin": null.fileno(), "log": null.fileno()}
        status = server.start(
            IMPORTED, (), environment={**os.environ, **ONE_THREAD}, **files
        ).wait()
    if status:
        raise RunFailed(f"a forked process that imports {IMPORTED} failed: exit status {status}")


def _light(name: str, arguments: tuple[str, ...], folder: Path) -> Check:
    """Whether the command imports none of HEAVY. Raises: RunFailed if it fails."""
    code, err = python(folder, "-c", LOOK, *arguments, also=(TAKEN,))
    imported = err.strip().splitlines()[-1] if code else "none"
    return Check(f"{name}: no torch in sys.modules", not code, imported)
