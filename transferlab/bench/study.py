"""A whole study by `sweep` with two workers, in packs, against a process for each run.

The other side is what a user does without `sweep`: `python -m transferlab` once for every run, base
networks first, one after another as in a loop of the shell, or several at once as with `xargs -P2`,
against which packs alone make the difference. Each side starts with an empty store and an empty
cache.
"""

import itertools
import json
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transferlab import store
from transferlab.bench import flags, harness
from transferlab.bench.harness import Check, Comparison, Report, Side
from transferlab.bench.processes import Processes, command
from transferlab.experiment import compose, plan
from transferlab.experiment.config import RunConfig
from transferlab.experiment.keys import flatten
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.run import Run
from transferlab.experiment.study import expand, load

log = logging.getLogger(__name__)
REPETITIONS = 1
LEAST = 2.0  # against processes one after another
WORKERS = 2  # of sweep
SWEEP = "sweep"
FOUND = (".digest", ".store", ".cache")  # ends of keys whose values a run finds where it starts


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--study", default="quick", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--steps", type=flags.positive, metavar="N",
                        help="training steps (default: those of the recipe)")  # fmt: skip
    parser.add_argument("--at-once", type=flags.positive, default=1, metavar="N",
                        help="single runs at a time (default: 1, as in a loop)")  # fmt: skip


def measure(selected: Namespace) -> Report:
    """Wall time of both sides, and whether all runs of both were finished.

    Raises: UserError for an unknown study, RunFailed if a process fails.
    """
    name, at_once, steps = selected.study, selected.at_once, selected.steps
    common = ["runtime.threads=1"]
    common += [] if steps is None else ["train.epochs=null", f"train.total_steps={steps}"]
    order = "one after another" if at_once == 1 else f"{at_once} at a time"
    processes = f"a process a run, {order}"
    with TemporaryDirectory() as own:
        places = [f"runtime.store={own}/runs", f"runtime.cache={own}/cache"]
        runs = plan.order(resolve_all(expand(load(name), [*common, *places])))
    finished: dict[str, int] = {}

    def by_sweep(folder: Path) -> None:
        command(folder, "sweep", f"+study={name}", f"launcher.jobs={WORKERS}", *common)

    def side(name: str, train: Callable[[Path], None]) -> Side:
        def measured() -> float:
            with TemporaryDirectory() as folder:
                elapsed_s = harness.timed(lambda: train(Path(folder)))
                trained = [run.in_store(Path(folder) / "runs") for run in runs]
                finished[name] = len(trained) - len(store.unfinished(trained))
            return elapsed_s

        return Side(name, measured, len(runs), "runs")

    return harness.measure(
        "study",
        f"{len(runs)} runs of study {name}, sweep with {WORKERS} workers",
        [side(SWEEP, by_sweep),
         side(processes, lambda folder: by_processes(runs, at_once, folder))],
        [Comparison(SWEEP, processes, "speed", LEAST if at_once == 1 else None)],
        repetitions=selected.repetitions,
        warm=False,
        checks=lambda: [
            Check(f"{name}: all runs finished", done == len(runs), f"{done} of {len(runs)} runs")
            for name, done in finished.items()
        ],
    )  # fmt: skip


def by_processes(runs: Sequence[Run], at_once: int, folder: Path) -> None:
    """A command for every run, in a store in the folder, so many at a time; base networks first."""
    arguments = {run.id: overrides(run.config) for run in runs}  # Hydra is not thread-safe
    number = itertools.count(1)

    def train(run: Run) -> None:
        processes.command(*arguments[run.id])
        log.info("run %d of %d: %s", next(number), len(runs), run.label)

    with ThreadPoolExecutor(at_once) as pool, Processes(folder) as processes:
        for wave in plan.waves(plan.packs(runs)):
            list(pool.map(train, (run for pack in wave for run in pack.runs)))


def overrides(config: RunConfig) -> list[str]:
    """The overrides that make this run of the defaults of conf/."""
    split = f"+split={config.split.name}"
    default = compose.compose("config", [split])
    changed = [split]
    for key, value in flatten(config).items():
        if value != _at(default, key) and not key.endswith(FOUND):
            changed.append(f"{key}={json.dumps(value)}")
    return changed


def _at(config: Mapping[str, Any], key: str) -> Any:
    """The value of a key in a nested config; None in a section that it lacks."""
    value: Any = config
    for name in key.split("."):
        value = None if value is None else value[name]
    return value
