"""Every run that a store knows: those of its sweeps, and those trained on their own.

Names the latest sweep and job of each run; `launch.status` determines its state.
"""

import itertools
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from transferlab.errors import UserError
from transferlab.experiment.run import Run
from transferlab.runtime import commands, reading
from transferlab.runtime.garbage import uncollected
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import records, survey
from transferlab.store.folders import RUN_FOLDER, folder_names
from transferlab.store.sweeps import Job, Sweep

Fault = Damaged | Unreadable


@dataclass(frozen=True)
class KnownRun:
    """A run with the latest sweep that it is part of, and the latest job, as task `task`.

    `sweep` is None for a run that its own command trained, `job` for a run never started.
    """

    run: Run
    sweep: Sweep | None
    job: Job | None
    task: int


@dataclass(frozen=True)
class Inventory:
    """The runs, bases first, what is wrong with records and folders that are left out, and all jobs
    of the store."""

    runs: tuple[KnownRun, ...]
    faults: tuple[Fault, ...]
    jobs: tuple[Job, ...]


@uncollected()
def known_runs(store: Path, study: str | None = None) -> Inventory:
    """The runs of a study, or all that the store knows.

    Raises: UserError if the store or the study is missing; Unreadable if the store cannot be read.
    """
    check(store)
    known: dict[str, KnownRun] = {}
    surveyed = survey.read(store, study)
    faults = list(surveyed.faults)
    for sweep in surveyed.sweeps:
        jobs = {
            identity: (job, task)
            for job in surveyed.jobs[sweep.folder]
            for task, pack in enumerate(job.packs)
            for identity in pack
        }
        for run in _runs_of(sweep, faults):
            job, task = jobs.get(run.id, (None, 0))
            earlier = known.get(run.id)
            if job is None and earlier is not None:
                job, task = earlier.job, earlier.task
            known[run.id] = KnownRun(run, sweep, job, task)
    if study is None:
        alone = _without_sweep(store, known, faults)
        known |= {run.id: KnownRun(run, None, None, 0) for run in alone}
    runs = sorted(known.values(), key=lambda entry: entry.run.base is not None)
    jobs_of_store = tuple(itertools.chain.from_iterable(surveyed.jobs.values()))
    return Inventory(tuple(runs), tuple(faults), jobs_of_store)


def check(store: Path) -> None:
    """Raises: UserError if there is no store, Unreadable if that cannot be determined."""
    if reading.is_folder(store):
        return
    if store.exists():
        raise UserError(
            f"{store} is a file, not a store: name the folder of a store with --store DIR; "
            "results and report also read archives, FILE.csv"
        )
    raise UserError(
        f"{store} is not a store: name one with --store DIR, or fill it with "
        f"{commands.study('quick', store)}"
    )


def _runs_of(sweep: Sweep, faults: list[Fault]) -> Iterator[Run]:
    """The runs of a sweep, but for rows that are damaged."""
    for identity in sweep.manifest.rows:
        try:
            yield sweep.manifest.run(identity, store=sweep.store)
        except Damaged as error:
            faults.append(error)


def _without_sweep(store: Path, known: Container[str], faults: list[Fault]) -> Iterator[Run]:
    """Runs that are part of no sweep: each was trained by a command of its own."""
    for name in sorted(folder_names(store)):
        match = RUN_FOLDER.fullmatch(name)
        if match is None or match[1] in known:
            continue
        try:
            run = records.read_run(store / name)
        except (Damaged, Unreadable) as error:
            faults.append(error)
            continue
        if run is not None:
            yield run.in_store(store)
