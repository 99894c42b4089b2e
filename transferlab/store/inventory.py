"""Every run that a store knows: those of its sweeps, and those trained on their own.

Names the latest sweep and job of each run; `launch.status` determines its state.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from transferlab.errors import UserError
from transferlab.experiment.build import build_config
from transferlab.experiment.run import CONFIG, Run, make_run
from transferlab.runtime import commands, files
from transferlab.store import sweeps
from transferlab.store.folders import folder_names
from transferlab.store.sweeps import Job, Sweep

RUN_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class KnownRun:
    """A run with the latest sweep that it is part of, and the latest job, as task `task`.

    `sweep` is None for a run that its own command trained, `job` for a run never started.
    """

    run: Run
    sweep: Sweep | None
    job: Job | None
    task: int


def known_runs(store: Path, study: str | None = None) -> tuple[KnownRun, ...]:
    """The runs of a study, or all that the store knows, bases first.

    Raises: UserError if a record is damaged, or the store or the study is missing.
    """
    check(store)
    known: dict[str, KnownRun] = {}
    for sweep in sweeps.find(store, study):
        jobs = {
            identity: (job, task)
            for job in sweeps.jobs(sweep)
            for task, pack in enumerate(job.packs)
            for identity in pack
        }
        for run in sweep.runs():
            job, task = jobs.get(run.id, (None, 0))
            earlier = known.get(run.id)
            if job is None and earlier is not None:
                job, task = earlier.job, earlier.task
            known[run.id] = KnownRun(run, sweep, job, task)
    if study is None:
        known |= {run.id: KnownRun(run, None, None, 0) for run in _without_sweep(store, known)}
    return tuple(sorted(known.values(), key=lambda entry: entry.run.base is not None))


def check(store: Path) -> None:
    """Raises: UserError if there is no store."""
    if not store.is_dir():
        raise UserError(
            f"{store} is not a store: name one with --store DIR, or fill it with "
            f"{commands.study('quick', store)}"
        )


def _without_sweep(store: Path, known: Container[str]) -> Iterator[Run]:
    """Runs that are part of no sweep: each was trained by a command of its own."""
    for name in sorted(folder_names(store)):
        identity = name.rpartition("-")[2]
        if identity in known or not RUN_ID.fullmatch(identity):
            continue
        record = files.peek(store / name / CONFIG)
        try:
            run = make_run(build_config(record["config"])).in_store(store)
        except (KeyError, TypeError, UserError, AssertionError):
            continue
        if run.folder_name == name:
            yield run
