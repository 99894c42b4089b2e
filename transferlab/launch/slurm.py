"""Submits a plan as SLURM jobs with plain `sbatch`, and returns immediately.

One array for all dependents of one base, bases first, cut at the site's limit. Queued runs are left
alone, so the same command can be repeated at any time. A job's record is written before `sbatch` is
called and holds its name: if this process dies in between, the next one finds the job by that.
"""

import logging
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import transferlab
from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment import plan, sbatch
from transferlab.experiment.launcher import ROLES, Resources, SlurmSettings, require_consistent
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.launch import queue
from transferlab.launch.cluster import Cluster, Queued, Refused
from transferlab.runtime import commands, files, paths
from transferlab.store import survey, sweeps
from transferlab.store.sweeps import Job, Sweep

log = logging.getLogger(__name__)
TEMPLATE = "job.sbatch"
# Begins the command of a job: from here on a signal waits for the handlers of `work`, where the
# node's env can hold it back (GNU coreutils 8.31)
HOLD_BACK = (
    "/bin/sh",
    "-c",
    'hold=--block-signal=HUP,INT,USR1,TERM; env "$hold" true 2>/dev/null && exec env "$hold" "$@"; '
    'exec "$@"',
    "transferlab",
)


@dataclass(frozen=True)
class Submission:
    """The jobs that one call submitted, and the ids of the runs that were already queued."""

    jobs: tuple[Job, ...]
    active: frozenset[str]


def submit(
    sweep: Sweep, todo: Iterable[Run], cluster: Cluster, *, fits: plan.Fits | None = None
) -> Submission:
    """Submit the runs that are not queued yet, in packs that fit. Their bases are among them, or
    finished.

    Raises: UserError with sbatch's message; jobs submitted before it stay, and are recorded.
    """
    assert isinstance(sweep.launcher, SlurmSettings)
    require_consistent(sweep.launcher)  # which an earlier version may have recorded
    script = template(sweep.launcher)
    todo = tuple(todo)
    _require_gpus(sweep.launcher, todo)
    with sweeps.submitting(sweep.store) as hold:
        survey.require(sweep.store)  # a job that may be queued must not be overlooked
        queue.settle(sweep.store, cluster, {run.id for run in store.unfinished(todo)})
        queued = queue.queued_runs(sweep.store, cluster)
        # Looked at after the queue: a job that has left it meanwhile has finished its runs
        unfinished = {run.id: run for run in store.unfinished(todo)}
        active = _satisfiable(queued, unfinished)
        missing = [run for run in unfinished.values() if run.id not in active]
        waits = {run: f"{entry.job}_{entry.task}" for run, entry in active.items()}
        submitted: list[Job] = []
        limit = cluster.max_array() if missing else 1
        for wave in plan.waves(plan.packs(missing, sweep.pack, fits=fits)):
            for dependency, group in _arrays(wave, waits, limit):
                job = _submit(sweep, group, dependency, script, cluster, hold)
                submitted.append(job)
                _report(job, dependency)
                for task, pack in enumerate(group):
                    waits |= {run.id: f"{job.id}_{task}" for run in pack.runs}
        return Submission(tuple(submitted), frozenset(active.keys() & unfinished.keys()))


def template(launcher: SlurmSettings) -> str:
    """The script that a job runs. Raises: UserError if it is missing."""
    if launcher.template is not None:
        file = paths.expand(launcher.template).absolute()
    else:
        package = Path(transferlab.__file__).parent
        inside = package / "slurm" / TEMPLATE
        file = inside if inside.exists() else package.parent / "slurm" / TEMPLATE
    if not file.is_file():
        raise UserError(
            f"launcher.template={file} is not a file: name the script that a job runs, or use "
            f"slurm/{TEMPLATE} with {commands.setting('launcher.template', None)}"
        )
    return str(file)


def options(
    job: Job, resources: Resources, *, launcher: SlurmSettings, devices: int, dependency: str | None
) -> tuple[str, ...]:
    """The options of `sbatch` for a job; `need` is the task that must succeed before."""
    throttle = f"%{resources.throttle}" if resources.throttle else ""
    values = {
        "job-name": job.name,
        "array": f"0-{len(job.packs) - 1}{throttle}",
        "output": str(job.folder.absolute()).replace("%", "%%") + "/%a.log",
        "open-mode": "append",
        "chdir": os.getcwd(),
        "signal": f"B:USR1@{launcher.signal_s}",
        "dependency": None if dependency is None else f"afterok:{dependency}",
        "kill-on-invalid-dep": "yes",
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
        "time": resources.time,
        "gres": resources.gres,
        "cpus-per-task": resources.cpus,
        "mem": resources.memory,
        "constraint": resources.constraint,
        "nodes": "1" if devices > 1 else None,
        "ntasks-per-node": devices if devices > 1 else None,
    }
    arguments = [f"--{name}={value}" for name, value in values.items() if value is not None]
    requeue = "--requeue" if launcher.requeues else "--no-requeue"
    return (requeue, *arguments, *(resources.extra or ()))


def _require_gpus(launcher: SlurmSettings, todo: Sequence[Run]) -> None:
    """Raises: UserError for a run on more devices than its job requests."""
    for run in todo:
        runtime = run.config.runtime
        for role in ROLES if runtime.accelerator != "cpu" else ():
            gres = launcher.resources(role).gres
            gpus = sbatch.gpus(gres)
            if gpus is not None and gpus < runtime.devices:
                raise UserError(
                    f"launcher.gres={gres} has fewer GPUs than runtime.devices={runtime.devices}: "
                    f"request {commands.setting('launcher.gres', f'gpu:{runtime.devices}')}"
                )


def _arrays(
    wave: Sequence[Pack], waits: Mapping[str, str], limit: int
) -> list[tuple[str | None, tuple[Pack, ...]]]:
    """The packs of a wave by dependency and resources, in arrays of at most `limit` tasks."""
    groups: dict[tuple[str | None, str, int], list[Pack]] = {}
    for pack in wave:
        dependency = None if pack.base is None else waits.get(pack.base.id)
        groups.setdefault((dependency, pack.role, pack.devices), []).append(pack)
    return [
        (dependency, tuple(group[start : start + limit]))
        for (dependency, _, _), group in groups.items()
        for start in range(0, len(group), limit)
    ]


def _submit(
    sweep: Sweep,
    group: Sequence[Pack],
    dependency: str | None,
    script: str,
    cluster: Cluster,
    hold: IO[bytes],
) -> Job:
    launcher, role = sweep.launcher, group[0].role
    assert isinstance(launcher, SlurmSettings)
    job = sweeps.prepare(sweep, group, role)
    arguments = options(
        job,
        launcher.resources(role),
        launcher=launcher,
        devices=group[0].devices,
        dependency=dependency,
    )
    template = Path(script).read_bytes()
    files.write(job.folder / TEMPLATE, lambda file: file.write(template))
    work = (sys.executable, "-m", "transferlab", "work", str(job.folder.absolute()))
    command = (*HOLD_BACK, *work)
    job = sweeps.record(replace(job, options=arguments))
    try:
        identity = cluster.submit(arguments, str(job.folder / TEMPLATE), command, hold=hold)
    except Refused:
        shutil.rmtree(job.folder)
        raise
    except UserError as error:  # if only the reply was lost, SLURM has the job under its name
        known = queue.identity(job, cluster)
        if known is None:
            raise UserError(
                f"{error}, and SLURM does not know job {job.name} after {queue.ASK_S} s: run the "
                "command again, which looks for it once more before it submits its runs again; "
                "should SLURM accept it later, it will exit without training"
            ) from error
        identity = known
    return sweeps.record(replace(job, id=identity))


def _report(job: Job, dependency: str | None) -> None:
    tasks, runs = len(job.packs), sum(map(len, job.packs))
    after = f"  after {dependency}" if dependency else ""
    log.info("job %s  %s  %d tasks, %d runs%s", job.id, job.name, tasks, runs, after)


def _satisfiable(active: dict[str, Queued], unfinished: Mapping[str, Run]) -> dict[str, Queued]:
    """Without pending runs whose base has left the queue: SLURM is about to cancel them."""
    lost = {
        run.id
        for run in unfinished.values()
        if run.base_id in unfinished and run.base_id not in active
    }
    return {run: entry for run, entry in active.items() if run not in lost or not entry.pending}
