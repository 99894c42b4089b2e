"""All sweeps and jobs of a store: those that can be read, and what is wrong with the others."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from transferlab.errors import UserError
from transferlab.runtime import reading
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import sweeps
from transferlab.store.sweeps import Job, Sweep

Fault = Damaged | Unreadable


@dataclass(frozen=True)
class Survey:
    """The sweeps of a store, the latest last, the jobs of each, the latest last, and what is wrong
    with those that are left out."""

    sweeps: tuple[Sweep, ...]
    jobs: Mapping[Path, tuple[Job, ...]]  # by the folder of the sweep
    faults: tuple[Fault, ...]


def read(store: Path, study: str | None = None) -> Survey:
    """All sweeps and jobs of a store, or of one study, that can be read.

    Raises: UserError if there is none of that study, and nothing that could hide it.
    """
    faults: list[Fault] = []
    dated: list[tuple[float, Sweep]] = []
    jobs: dict[Path, tuple[Job, ...]] = {}
    for folder in _folders(store / sweeps.FOLDER, sweeps.RECORD, faults):
        try:
            sweep = sweeps.read(folder)
            assert sweep.manifest.rows  # raises if the list of its runs is damaged
            dated.append((os.stat(folder / sweeps.RECORD).st_mtime, sweep))
        except (Damaged, Unreadable) as error:
            faults.append(error)
        except OSError as error:
            faults.append(reading.unreadable(folder / sweeps.RECORD, error))
        else:
            jobs[folder] = _jobs_of(sweep, faults)
    known = tuple(sweep for _, sweep in sorted(dated, key=lambda pair: pair[0]))
    matches = tuple(s for s in known if study in (None, s.study, s.folder.name))
    if study is not None and not matches and not faults:
        names = ", ".join(sorted({sweep.study for sweep in known})) or "no study"
        raise UserError(f"study={study} was never started in {store}, which has {names}")
    return Survey(matches, jobs, tuple(faults))


def require(store: Path) -> Survey:
    """As `read`, where nothing may be overlooked. Raises: Damaged, Unreadable."""
    survey = read(store)
    for fault in survey.faults:
        raise fault
    return survey


def _folders(parent: Path, record: str, faults: list[Fault]) -> Iterator[Path]:
    """The folders in `parent` that have such a record; adds what cannot be read to `faults`."""
    try:
        names = reading.names(parent)
    except Unreadable as error:
        faults.append(error)
        return
    for name in names:
        try:
            if reading.exists(parent / name / record):
                yield parent / name
        except Unreadable as error:
            faults.append(error)


def _jobs_of(sweep: Sweep, faults: list[Fault]) -> tuple[Job, ...]:
    """The jobs of a sweep that can be read, the latest last."""
    jobs = []
    for folder in _folders(sweep.folder / sweeps.JOBS, sweeps.JOB_RECORD, faults):
        try:
            jobs.append(sweeps.read_job(folder))
        except (Damaged, Unreadable) as error:
            faults.append(error)
    return sweeps.in_order(jobs)
