"""Carries a plan out as jobs of SLURM: plain `sbatch`, and it returns at once.

One array for all that wait for the same base, bases first, cut at the site's limit. What is queued
already is left alone, so that the same command can be given at any time. A job's record is written
before `sbatch` is called and has the name under which the queue knows it: if this process dies in
between, the next one finds the job by its name.
"""

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import transferlab
from transferlab.errors import Interrupted, UserError
from transferlab.experiment import plan
from transferlab.experiment.launcher import Resources, SlurmSettings
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.launch.cluster import Cluster, Queued, Refused
from transferlab.runtime import files
from transferlab.store import sweeps
from transferlab.store.sweeps import Job, Sweep

log = logging.getLogger(__name__)
TEMPLATE = "job.sbatch"
HOPELESS = "DependencyNeverSatisfied"  # the reason of a job that will not start


@dataclass(frozen=True)
class Submission:
    """What one call submitted, and the runs of it that were in the queue already."""

    jobs: tuple[Job, ...]
    active: frozenset[str]


def submit(
    sweep: Sweep, todo: Iterable[Run], cluster: Cluster, *, fits: plan.Fits | None = None
) -> Submission:
    """Submit the runs that are not in the queue yet, in packs that fit. Bases of the runs are
    among them, or done.

    Raises: UserError with sbatch's own words; what was submitted before stays, and is recorded.
    """
    assert isinstance(sweep.launcher, SlurmSettings)
    script = template(sweep.launcher)
    with sweeps.submitting(sweep.store) as hold:
        unfinished = {run.id: run for run in todo if not run.result_file.exists()}
        active = _hopeful(_adopted(sweep.store, cluster), unfinished)
        left = [run for run in unfinished.values() if run.id not in active]
        waits = {run: f"{entry.job}_{entry.task}" for run, entry in active.items()}
        submitted: list[Job] = []
        limit = cluster.max_array() if left else 1
        for wave in plan.waves(plan.packs(left, sweep.pack, fits=fits)):
            for need, group in _arrays(wave, waits, limit):
                job = _submit(sweep, group, need, script, cluster, hold)
                submitted.append(job)
                _tell(job, need)
                for task, pack in enumerate(group):
                    waits |= {run.id: f"{job.id}_{task}" for run in pack.runs}
        return Submission(tuple(submitted), frozenset(active.keys() & unfinished.keys()))


def in_queue(place: Path, cluster: Cluster) -> dict[str, Queued]:
    """The store's runs that are in the queue, and where. Not asked if nothing was submitted."""
    return _active(_entries(place, cluster))


def cancel(place: Path, cluster: Cluster) -> tuple[Queued, ...]:
    """Cancel the store's jobs that are in the queue, and no others; those it were."""
    if not _submitted(place):
        return ()
    with sweeps.submitting(place):
        ours = tuple(entry for _, entry in _entries(place, cluster))
        if ours:
            cluster.cancel(list(dict.fromkeys(entry.job for entry in ours)))
    return ours


def template(launcher: SlurmSettings) -> str:
    """The script that a job runs. Raises: UserError if it is not there."""
    if launcher.template is not None:
        place = Path(launcher.template).expanduser().absolute()
    else:
        package = Path(transferlab.__file__).parent
        inside = package / "slurm" / TEMPLATE
        place = inside if inside.exists() else package.parent / "slurm" / TEMPLATE
    if not place.is_file():
        raise UserError(f"launcher.template={place} is not a file")
    return str(place)


def options(
    job: Job, asked: Resources, *, launcher: SlurmSettings, devices: int, need: str | None
) -> tuple[str, ...]:
    """What `sbatch` is told of a job; `need` is the task that must have ended well before."""
    throttle = f"%{asked.throttle}" if asked.throttle else ""
    given = {
        "job-name": job.name,
        "array": f"0-{len(job.packs) - 1}{throttle}",
        "output": str(job.folder.absolute()).replace("%", "%%") + "/%a.log",
        "open-mode": "append",
        "chdir": os.getcwd(),
        "signal": f"B:USR1@{launcher.signal_s}",
        "dependency": None if need is None else f"afterok:{need}",
        "kill-on-invalid-dep": "yes",
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "time": asked.time,
        "gres": asked.gres,
        "cpus-per-task": asked.cpus,
        "mem": asked.memory,
        "constraint": asked.constraint,
        "nodes": "1" if devices > 1 else None,
        "ntasks-per-node": devices if devices > 1 else None,
    }
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return ("--requeue", *words, *(asked.extra or ()))


def _arrays(
    wave: Sequence[Pack], waits: Mapping[str, str], limit: int
) -> list[tuple[str | None, tuple[Pack, ...]]]:
    """The packs of a wave by what they wait for and ask for, in arrays of at most `limit` tasks."""
    groups: dict[tuple[str | None, str, int], list[Pack]] = {}
    for pack in wave:
        need = None if pack.base is None else waits.get(pack.base.id)
        groups.setdefault((need, pack.role, pack.devices), []).append(pack)
    return [
        (need, tuple(group[start : start + limit]))
        for (need, _, _), group in groups.items()
        for start in range(0, len(group), limit)
    ]


def _submit(
    sweep: Sweep,
    group: Sequence[Pack],
    need: str | None,
    script: str,
    cluster: Cluster,
    hold: IO[bytes],
) -> Job:
    launcher, role = sweep.launcher, group[0].role
    assert isinstance(launcher, SlurmSettings)
    job = sweeps.prepare(sweep, group, role)
    chosen = options(
        job,
        launcher.resources(role),
        launcher=launcher,
        devices=group[0].devices,
        need=need,
    )
    with files.explained(job.folder):
        shutil.copy(script, job.folder / TEMPLATE)
    command = (sys.executable, "-m", "transferlab", "work", str(job.folder.absolute()))
    job = sweeps.record(replace(job, options=chosen))
    try:
        identity = cluster.submit(chosen, str(job.folder / TEMPLATE), command, hold=hold)
    except Refused:
        shutil.rmtree(job.folder)
        raise
    except UserError:  # if only the answer got lost, the queue knows the job by its name
        found = _queued_as(job, cluster)
        if found is None:
            raise
        identity = found
    return sweeps.record(replace(job, id=identity))


def _tell(job: Job, need: str | None) -> None:
    tasks, runs = len(job.packs), sum(map(len, job.packs))
    after = f"  after {need}" if need else ""
    log.info("job %s  %s  %d tasks, %d runs%s", job.id, job.name, tasks, runs, after)


def _queued_as(job: Job, cluster: Cluster) -> str | None:
    with contextlib.suppress(UserError):
        return next((entry.job for entry in cluster.queue() if entry.name == job.name), None)
    return None


def _submitted(place: Path) -> dict[str, Job]:
    """The store's jobs that SLURM was asked to take, by name."""
    found = (job for sweep in sweeps.find(place) for job in sweeps.jobs(sweep))
    return {job.name: job for job in found if job.role != sweeps.LOCAL}


def _entries(place: Path, cluster: Cluster) -> list[tuple[Job, Queued]]:
    """The store's jobs that are in the queue, once for each task there."""
    if not (ours := _submitted(place)):
        return []
    return [(ours[entry.name], entry) for entry in cluster.queue() if entry.name in ours]


def _active(entries: Iterable[tuple[Job, Queued]]) -> dict[str, Queued]:
    active: dict[str, Queued] = {}
    for job, entry in entries:
        if entry.task < len(job.packs) and not _over(job, entry):
            active |= dict.fromkeys(job.packs[entry.task], entry)
    return active


def _adopted(place: Path, cluster: Cluster) -> dict[str, Queued]:
    """As `in_queue`; jobs whose submission was not recorded, because it was killed, are now."""
    entries = _entries(place, cluster)
    for job, entry in {job.name: (job, entry) for job, entry in entries}.values():
        if job.id is None:
            sweeps.record(replace(job, id=entry.job))
    return _active(entries)


def _hopeful(active: dict[str, Queued], unfinished: Mapping[str, Run]) -> dict[str, Queued]:
    """Without runs that wait for a base that is not coming: SLURM is about to cancel them."""
    lost = {
        run.id
        for run in unfinished.values()
        if run.base_id in unfinished and run.base_id not in active
    }
    return {run: entry for run, entry in active.items() if run not in lost or not entry.pending}


def _over(job: Job, entry: Queued) -> bool:
    """Whether it has ended badly and SLURM is only clearing up after it, or it will never start."""
    code = files.peek(job.task(entry.task)).get("code")
    failed = entry.state == "COMPLETING" and code not in (None, 0, Interrupted.exit_code)
    return failed or entry.reason == HOPELESS
