"""Every run that a store knows of: those of its sweeps, and those trained by themselves.

Says with which sweep and job a run was started last, and nothing of what became of it: see
`status`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from transferlab.errors import UserError
from transferlab.experiment import plan
from transferlab.experiment.build import build_config, vary_config
from transferlab.experiment.identity import identify, run_id
from transferlab.experiment.plan import Node
from transferlab.runtime import files
from transferlab.store import runs as store
from transferlab.store import sweeps
from transferlab.store.runs import Run
from transferlab.store.sweeps import Job, Sweep


@dataclass(frozen=True)
class Known:
    """A run that was asked for: its node, its place, and the latest sweep and job that have it."""

    node: Node
    run: Run
    sweep: Sweep | None
    job: Job | None
    task: int


def runs(place: Path, study: str | None = None) -> tuple[Known, ...]:
    """The runs of a study, or all that the store knows, bases first.

    Raises: UserError if a record is damaged, or the store or the study is not there.
    """
    check(place)
    found: dict[str, Known] = {}
    for sweep in sweeps.find(place, study):
        jobs = {
            run: (job, task)
            for job in sweeps.jobs(sweep)
            for task, pack in enumerate(job.packs)
            for run in pack
        }
        for node in sweep.nodes():
            job, task = jobs.get(node.id, (None, 0))
            earlier = found.get(node.id)
            if job is None and earlier is not None:
                job, task = earlier.job, earlier.task
            run = store.locate(node.config, node.id)
            found[node.id] = Known(node, run, sweep, job, task)
    if study is None:
        found |= {run.node.id: run for run in _single(place, found)}
    return tuple(sorted(found.values(), key=lambda run: run.node.base is not None))


def check(place: Path) -> None:
    """Raises: UserError if there is no store."""
    if not place.is_dir():
        raise UserError(
            f"{place} is not a store: name one with --store DIR, or fill it with "
            "python -m transferlab sweep +study=quick"
        )


def _single(place: Path, found: Mapping[str, Known]) -> Iterator[Known]:
    """Runs that no sweep has: each was trained by a command of its own."""
    for name in sorted(store.folders(place)):
        identity = name.rpartition("-")[2]
        folder = place / name
        if identity in found or not re.fullmatch(r"[0-9a-f]{12}", identity):
            continue
        record = files.peek(folder / "config.json")
        try:
            config = build_config(record["config"])
            same = run_id(config) == identity
        except (KeyError, TypeError, UserError, AssertionError):
            continue
        if same:
            config = vary_config(config, {"runtime.store": str(place)})
            _, _, base = identify(config)
            run = Run(identity, config.label, folder)
            yield Known(plan.Node(identity, base, config), run, None, None, 0)
