"""A whole study by `sweep` with two workers, in packs, against one process a run.

The other side is what a user does without `sweep`: `python -m transferlab` once for every run, base
networks first, one after another as in a loop of the shell, or several at once as with `xargs -P2`,
against which packs alone make the difference. Each side starts with an empty store and an empty
cache. Takes no torch itself.
"""

import itertools
import json
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from transferlab import store
from transferlab.bench import report, turns
from transferlab.bench.processes import front_door
from transferlab.bench.report import Check, Report
from transferlab.bench.turns import Comparison, Side
from transferlab.experiment import compose, plan
from transferlab.experiment import study as studies
from transferlab.experiment.config import RunConfig, flatten
from transferlab.experiment.plan import Node

log = logging.getLogger(__name__)
LEAST = 2.0  # against processes one after another
WORKERS = 2  # of sweep
SWEEP = "sweep"
FOUND = (".digest", ".store", ".cache")  # ends of keys whose values a run finds where it starts


@dataclass(frozen=True)
class Task:
    """A study by name or file, and words for all its runs."""

    study: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A command line that trains one run."""

    label: str
    words: tuple[str, ...]


def measure(study: str, *, steps: int | None, at_once: int, repetitions: int) -> Report:
    """Wall time of both sides, and whether all runs of both were finished.

    `at_once` is how many of the processes of a run there are at a time.

    Raises: UserError for a study that is not there, RunFailed if a process fails.
    """
    short = () if steps is None else ("train.epochs=null", f"train.total_steps={steps}")
    task = Task(study, ("runtime.threads=1", *short))
    how = "one after another" if at_once == 1 else f"{at_once} at a time"
    processes = f"a process a run, {how}"
    nodes = plan.order(studies.expand(studies.load(study), task.words))
    sides = {
        SWEEP: partial(by_sweep, task),
        processes: partial(by_processes, lines(nodes), at_once),
    }
    finished: dict[str, int] = {}

    def side(name: str) -> Side:
        def measured() -> float:
            with TemporaryDirectory() as folder:
                elapsed_s = turns.timed(lambda: sides[name](Path(folder)))
                finished[name] = count(nodes, Path(folder))
            return elapsed_s

        return Side(name, measured, len(nodes), "runs")

    found = report.measure(
        "study",
        f"{len(nodes)} runs of study {study}, sweep with {WORKERS} workers",
        [side(SWEEP), side(processes)],
        [Comparison(SWEEP, processes, "speed", LEAST if at_once == 1 else None)],
        repetitions=repetitions,
        warm=False,
    )
    checks = (
        Check(f"{name}: all runs finished", finished[name] == len(nodes),
              f"{finished[name]} of {len(nodes)} runs")
        for name in sides
    )  # fmt: skip
    return replace(found, checks=tuple(checks))


def by_sweep(task: Task, place: Path) -> None:
    """The study in a store in `place`, by one command."""
    words = [f"+study={task.study}", f"launcher.jobs={WORKERS}", *task.words]
    front_door(place, "sweep", *words)


def lines(nodes: Iterable[Node]) -> tuple[tuple[Line, ...], ...]:
    """A command for every run: those of all base networks, then those of all others."""
    return tuple(
        tuple(Line(n.label, tuple(overrides(n.config))) for pack in wave for n in pack.nodes)
        for wave in plan.waves(plan.packs(nodes))
    )


def by_processes(waves: Sequence[Sequence[Line]], at_once: int, place: Path) -> None:
    """Every run by its command, in a store in `place`, so many at a time, wave after wave."""
    number, total = itertools.count(1), sum(map(len, waves))

    def train(line: Line) -> None:
        front_door(place, *line.words)
        log.info("run %d of %d: %s", next(number), total, line.label)

    with ThreadPoolExecutor(at_once) as pool:
        for wave in waves:
            list(pool.map(train, wave))


def count(nodes: Iterable[Node], place: Path) -> int:
    """How many of the runs the store in `place` has the record of."""
    names = {store.folder_name(node.config, node.id) for node in nodes}
    return len(store.finished(place / "runs", names))


def overrides(config: RunConfig) -> list[str]:
    """The words that make this run of the defaults of conf/."""
    split = f"+split={config.split.name}"
    default = compose.compose("config", [split])
    words = [split]
    for key, value in flatten(config).items():
        group, _, leaf = key.rpartition(".")
        if value != (default[group] if group else default)[leaf] and not key.endswith(FOUND):
            words.append(f"{key}={json.dumps(value)}")
    return words
