"""The jobs of a store in SLURM's queue: whoever submitted them, and whether they were accepted.

A job is recorded before `sbatch` is called, and its id when that has reported it. Jobs are asked
for by their ids, and those without one by their unique names. A job that SLURM does not know is
superseded before its runs are submitted again: should SLURM accept it later, it exits.
"""

import contextlib
import logging
import os
import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from transferlab.errors import Interrupted, UserError
from transferlab.launch.cluster import TIMEOUT_S, Cluster, Queued
from transferlab.store import reader, schemas, survey, sweeps
from transferlab.store.sweeps import Job

log = logging.getLogger(__name__)
ASK_S = 60  # for which a job without an answer of sbatch is looked for
PAUSE_S = 5  # between two queries
NEVER = "DependencyNeverSatisfied"  # the reason of a job that will not start


@dataclass(frozen=True)
class Cancelled:
    """The tasks that were cancelled, and those of other users, which they alone can cancel."""

    tasks: tuple[Queued, ...]
    others: tuple[Queued, ...]


def queued_runs(root: Path, cluster: Cluster) -> dict[str, Queued]:
    """The queued runs of the store, by id. Queries nothing if nothing was submitted."""
    return queued_runs_of(_submitted(root), cluster)


def queued_runs_of(jobs: Iterable[Job], cluster: Cluster) -> dict[str, Queued]:
    """The same of jobs that have been read."""
    active: dict[str, Queued] = {}
    for job, entry in _entries(_of_slurm(jobs), cluster):
        if entry.task < len(job.packs) and not job.superseded and not _over(job, entry):
            active |= dict.fromkeys(job.packs[entry.task], entry)
    return active


def cancel(root: Path, cluster: Cluster) -> Cancelled:
    """Cancel this user's queued jobs of the store, and no others."""
    if not _submitted(root):
        return Cancelled((), ())
    with sweeps.submitting(root):
        queued = [entry for _, entry in _entries(_submitted(root), cluster)]
        own = tuple(entry for entry in queued if entry.uid == os.geteuid())
        if own:
            cluster.cancel(list(dict.fromkeys(entry.job for entry in own)))
    return Cancelled(own, tuple(entry for entry in queued if entry.uid != os.geteuid()))


def settle(root: Path, cluster: Cluster, runs: Container[str]) -> None:
    """Find out what became of jobs that train one of the runs and whose submission was not
    answered: record their ids, or supersede them. Raises: UserError if SLURM does not answer."""
    unsettled = [
        job
        for job in _submitted(root)
        if job.id is None
        and not job.superseded
        and any(run in runs for p in job.packs for run in p)
    ]
    if not unsettled:
        return
    last = max(datetime.fromisoformat(job.submitted).timestamp() for job in unsettled)
    limit_s = min(ASK_S, last + TIMEOUT_S + ASK_S - time.time())
    for job in _look_for(unsettled, cluster, limit_s):
        log.warning(
            "job %s: sbatch did not report whether SLURM accepted it, and SLURM does not know it: "
            "its runs are submitted again. It cannot be excluded that SLURM accepts it later; it "
            "will then exit without training",
            job.name,
        )
        sweeps.record(replace(job, superseded=True))


def identity(job: Job, cluster: Cluster) -> str | None:
    """The id of a job whose submission was not answered; None if SLURM does not know it after a
    minute."""
    unknown = _look_for([job], cluster, ASK_S, insist=True)
    return None if unknown else sweeps.read_job(job.folder).id


def _look_for(
    jobs: Sequence[Job], cluster: Cluster, limit_s: float, *, insist: bool = False
) -> list[Job]:
    """Record the ids of jobs that SLURM knows by name; the others, after `limit_s`, in s.

    Raises: UserError if SLURM does not answer, unless `insist`: then it is asked again.
    """
    end = time.monotonic() + limit_s
    left = list(jobs)
    while True:
        with contextlib.suppress(*([UserError] if insist else [])):
            known = cluster.identities([job.name for job in left])
            for job in left:
                if job.name in known:
                    sweeps.record(replace(job, id=known[job.name]))
            left = [job for job in left if job.name not in known]
        remaining_s = end - time.monotonic()
        if not left or remaining_s <= 0:
            return left
        log.info(
            "sbatch did not report whether SLURM accepted job %s: looking for it, %.0f s more",
            left[0].name,
            remaining_s,
        )
        time.sleep(min(PAUSE_S, remaining_s))


def _submitted(root: Path) -> list[Job]:
    """The store's jobs that were submitted to SLURM."""
    return _of_slurm(job for of_sweep in survey.read(root).jobs.values() for job in of_sweep)


def _of_slurm(jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if job.role != sweeps.LOCAL]


def _entries(jobs: Iterable[Job], cluster: Cluster) -> list[tuple[Job, Queued]]:
    """The queued jobs of these, once for each task. SLURM may use an id again, for another job."""
    by_name = {job.name: job for job in jobs}
    if not by_name:
        return []
    ids = [job.id for job in by_name.values() if job.id is not None]
    names = [job.name for job in by_name.values() if job.id is None]
    queued = cluster.queue(ids, names)
    return [(by_name[entry.name], entry) for entry in queued if entry.name in by_name]


def _over(job: Job, entry: Queued) -> bool:
    """Whether the task has failed and SLURM is only completing it, or it will never start."""
    code = reader.peek(job.task(entry.task), schemas.NOTE).get("code")
    failed = entry.state == "COMPLETING" and code not in (None, 0, Interrupted.exit_code)
    return failed or entry.reason == NEVER
