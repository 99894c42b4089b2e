"""Carries a plan out as jobs of SLURM: plain `sbatch`, and it returns at once.

One array for all that wait for the same base, bases first, cut at the site's limit. What is queued
already is left alone, so that the same command can be given at any time. A job's record is written
before `sbatch` is called and has the name under which the queue knows it: if this process dies in
between, the next one finds the job by its name.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import transferlab
from transferlab import plan, store
from transferlab.errors import Interrupted, UserError
from transferlab.launch import sweeps
from transferlab.launch.cluster import Cluster, Queued
from transferlab.launch.settings import Resources, Slurm
from transferlab.launch.sweeps import Job, Sweep
from transferlab.plan import Node, Pack

TEMPLATE = "job.sbatch"


@dataclass(frozen=True)
class Submission:
    """What one call submitted, and the runs that were in the queue already."""

    jobs: tuple[Job, ...]
    active: frozenset[str]


def submit(sweep: Sweep, todo: Iterable[Node], cluster: Cluster) -> Submission:
    """Submit the runs that are not in the queue yet. Bases of the runs are among them, or done.

    Raises: UserError with sbatch's own words; what was submitted before stays, and is recorded.
    """
    assert isinstance(sweep.launcher, Slurm)
    script = template(sweep.launcher)
    with sweeps.submitting(sweep.store) as hold:
        active = in_queue(sweep.store, cluster)
        left = [node for node in todo if node.id not in active and not _finished(node)]
        waits = {run: f"{entry.job}_{entry.task}" for run, entry in active.items()}
        submitted: list[Job] = []
        limit = cluster.max_array()
        for wave in plan.waves(plan.packs(left, sweep.pack)):
            for need, group in _arrays(wave, waits, limit):
                job = _submit(sweep, group, need, script, cluster, hold)
                submitted.append(job)
                for task, pack in enumerate(group):
                    waits |= {node.id: f"{job.id}_{task}" for node in pack.nodes}
        return Submission(tuple(submitted), frozenset(active))


def in_queue(place: Path, cluster: Cluster) -> dict[str, Queued]:
    """The store's runs that are in the queue, and where. Jobs found by name alone get their id."""
    by_name: dict[str, list[Queued]] = {}
    for entry in cluster.queue():
        by_name.setdefault(entry.name, []).append(entry)
    active: dict[str, Queued] = {}
    for job in (job for sweep in sweeps.find(place) for job in sweeps.jobs(sweep)):
        for entry in by_name.get(job.name, ()):
            if job.id is None:
                job = sweeps.submitted(job, entry.job)
            if entry.task < len(job.packs) and not _over(job, entry):
                active |= dict.fromkeys(job.packs[entry.task], entry)
    return active


def cancel(place: Path, cluster: Cluster) -> tuple[Queued, ...]:
    """Cancel the store's jobs that are in the queue, and no others; those it were."""
    names = {job.name for sweep in sweeps.find(place) for job in sweeps.jobs(sweep)}
    with sweeps.submitting(place):
        ours = tuple(entry for entry in cluster.queue() if entry.name in names)
        if ours:
            cluster.cancel(list(dict.fromkeys(entry.job for entry in ours)))
    return ours


def template(launcher: Slurm) -> str:
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
    job: Job, asked: Resources, *, launcher: Slurm, devices: int, need: str | None
) -> tuple[str, ...]:
    """What `sbatch` is told of a job; `need` is the task that must have ended well before."""
    throttle = f"%{asked.throttle}" if asked.throttle else ""
    given = {
        "job-name": job.name,
        "array": f"0-{len(job.packs) - 1}{throttle}",
        "output": str(job.folder).replace("%", "%%") + "/%a.log",
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
        need = None if pack.base is None else waits.get(pack.base)
        devices = pack.nodes[0].config.runtime.devices
        groups.setdefault((need, pack.role, devices), []).append(pack)
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
    launcher = sweep.launcher
    assert isinstance(launcher, Slurm)
    role = group[0].role
    job = sweeps.prepare(sweep, group, role)
    chosen = options(
        job,
        launcher.resources(role),
        launcher=launcher,
        devices=group[0].nodes[0].config.runtime.devices,
        need=need,
    )
    with store.explained(job.folder):
        shutil.copy(script, job.folder / TEMPLATE)
    command = (sys.executable, "-m", "transferlab", "work", str(job.folder.absolute()))
    job = sweeps.asked(job, chosen)
    try:
        identity = cluster.submit(chosen, str(job.folder / TEMPLATE), command, hold=hold)
    except UserError:
        entry = next((entry for entry in cluster.queue() if entry.name == job.name), None)
        if entry is None:  # refused; otherwise only the answer got lost
            shutil.rmtree(job.folder)
            raise
        identity = entry.job
    return sweeps.submitted(job, identity)


def _over(job: Job, entry: Queued) -> bool:
    """Whether the task has ended badly and SLURM is only clearing up after it."""
    code = store.peek(job.task(entry.task)).get("code")
    return entry.state == "COMPLETING" and code not in (None, 0, Interrupted.exit_code)


def _finished(node: Node) -> bool:
    return store.locate(node.config, node.id).result.exists()
