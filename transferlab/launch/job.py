"""One task of a SLURM job: `python -m transferlab work FOLDER`, from `slurm/job.sbatch`.

The only place in a job that handles signals and requeues. SIGUSR1 comes ahead of the time limit:
the worker saves, and the task is requeued under its own id, at most `launcher.requeues` times, and
not a third time if the last two starts trained nothing.
SIGTERM comes from a preemption, `scontrol requeue` or `scancel`: SLURM itself decides whether to
start it again.
"""

import logging
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment.launcher import SlurmSettings
from transferlab.experiment.run import Run
from transferlab.launch import progress, supervisor
from transferlab.launch.cluster import Cluster
from transferlab.launch.ending import Ending
from transferlab.launch.supervisor import Supervised
from transferlab.runtime import commands, environment, files, processes, signals
from transferlab.store import sweeps
from transferlab.store.sweeps import Job

log = logging.getLogger(__name__)
POLL_S = 0.2
IDLE_STARTS = 2  # requeues without a step of progress after which a job stops


@dataclass(frozen=True)
class SlurmTask:
    """The task of a SLURM job that this process runs; `starts` counts its restarts."""

    id: str
    number: int
    starts: int


def current() -> SlurmTask:
    """The task that SLURM's environment names; task 0 without an id outside of a job."""
    number = environment.number("SLURM_ARRAY_TASK_ID") or 0
    array = environment.value("SLURM_ARRAY_JOB_ID")
    identity = f"{array}_{number}" if array else environment.value("SLURM_JOB_ID") or ""
    return SlurmTask(identity, number, environment.number("SLURM_RESTART_COUNT") or 0)


def work(folder: Path, task: SlurmTask, cluster: Cluster) -> int:
    """Train the task's pack in a worker process and wait for it; the exit status.

    Raises: UserError for a missing job, or if SLURM refuses to requeue; RunFailed if the runs
    cannot start, or have reached the maximum number of requeues.
    """
    received = _Signals()
    job = sweeps.read_job(folder)
    if job.superseded:
        log.warning("job %s: another job trains its runs, since SLURM had not accepted this one in "
                    "time; nothing to do", job.name)  # fmt: skip
        return 0
    launcher = sweeps.sweep_of(job).launcher
    runs = sweeps.runs_of(job, task.number)
    idle = _note_start(job, task, runs)
    requeues = launcher.requeues if isinstance(launcher, SlurmSettings) else 0
    try:
        if task.starts > requeues:
            raise _requeue_limit(f"job {task.id} was requeued {task.starts} times", requeues)
        if idle == IDLE_STARTS:
            raise _no_progress(job, task, runs)
        # SLURM silently drops a dependency on a job that it has purged
        if (reason := supervisor.unmet(runs)) is not None:
            raise RunFailed(f"{runs[0].label} cannot start: {reason}")
        ending = _worker_ending(job, task, runs, received)
        if ending.interrupted and received.seen == {signal.SIGUSR1} and task.id:
            if task.starts == requeues:
                event = f"job {task.id} reached its time limit after {task.starts} requeues"
                raise _requeue_limit(event, requeues)
            log.info("saved; requeue %d of at most %d", task.starts + 1, requeues)
            with signals.held_back():  # SLURM answers by ending the job, `scontrol` included
                cluster.requeue(task.id)
    except (UserError, RunFailed) as error:
        supervisor.note_failures(runs, str(error))
        sweeps.note(job, task.number, ended=files.now(), code=error.exit_code)
        raise
    if ending.code < 0:
        log.error("error: the worker was %s", ending.message)
    return ending.status


def _worker_ending(job: Job, task: SlurmTask, runs: Sequence[Run], received: "_Signals") -> Ending:
    """Start the task's worker, ask it to stop when a signal arrives, and wait for its end."""
    if received.seen:  # while this process started: there is nothing to save
        sweeps.note(job, task.number, ended=files.now(), code=Interrupted.exit_code,
                    signals=received.names(), asked=received.asked)  # fmt: skip
        return Ending(Interrupted.exit_code, asked=True)
    devices = runs[0].config.runtime.devices
    together = devices > 1 and bool(task.id)
    threads = sweeps.sweep_of(job).launcher.threads
    worker = Supervised(
        job,
        task.number,
        runs,
        environment={
            "OMP_NUM_THREADS": str(threads),
            **(processes.environment() if together else {}),
        },
        prefix=_srun(devices) if together else (),
    )
    received.forward_to(worker)
    while (ending := worker.wait(POLL_S)) is None:
        if names := received.fresh():  # noted now: SLURM may not wait until all is saved
            sweeps.note(job, task.number, signals=names, asked=received.asked)
    received.forward_to(None)
    sweeps.note(job, task.number, signals=received.names(), asked=received.asked)
    return ending


def _note_start(job: Job, task: SlurmTask, runs: Sequence[Run]) -> int:
    """Note that the task starts; how many of its starts, one after the other, saved no step."""
    earlier, steps = sweeps.read_note(job, task.number), progress.trained(runs)
    idle = 0
    if task.starts and earlier.get("trained") == steps:
        idle = earlier.get("idle", 0) + (earlier.get("starts") != task.starts)
    sweeps.note(job, task.number, queued_as=task.id, starts=task.starts, trained=steps, idle=idle,
                signals=None, asked=None)  # fmt: skip
    return idle


def _no_progress(job: Job, task: SlurmTask, runs: Sequence[Run]) -> RunFailed:
    saved = [step for step in progress.trained(runs) if step is not None]
    retry = commands.line("retry", "--store", str(sweeps.sweep_of(job).store))
    return RunFailed(
        f"job {task.id} was requeued twice without a step of progress, at step "
        f"{min(saved, default=0)}: increase launcher.time, or decrease launcher.signal_s; if it "
        f"was preempted, submit it again with {retry}"
    )


def _requeue_limit(event: str, requeues: int) -> RunFailed:
    return RunFailed(
        f"{event}; launcher.requeues={requeues} is the maximum: increase launcher.time"
    )


def _srun(devices: int) -> tuple[str, ...]:
    """One process per device. When one fails the others are killed; when one finishes, rank 0 has
    time to write the results."""
    command = ("srun", f"--ntasks={devices}", "--nodes=1", "--kill-on-bad-exit=1", "--wait=600")
    cpus = environment.value("SLURM_CPUS_PER_TASK")  # which srun does not inherit from the job
    return (*command, *(("--cpus-per-task=" + cpus,) if cpus else ()))


class _Signals:
    """Receives the watched signals, and asks the worker to stop as soon as one arrives."""

    def __init__(self) -> None:
        self.seen: set[signal.Signals] = set()
        self.asked: float | None = None  # when the first arrived, in s since the epoch
        self.worker: Supervised | None = None
        self.noted = 0
        for number in signals.WATCHED:
            signal.signal(number, self._receive)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.WATCHED)

    def names(self) -> list[str]:
        return sorted(number.name for number in self.seen)

    def fresh(self) -> list[str]:
        """The names of all, if one has arrived since the last call."""
        names, noted = self.names(), self.noted
        self.noted = len(names)
        return names if len(names) > noted else []

    def forward_to(self, worker: Supervised | None) -> None:
        """Ask this worker to stop when a signal arrives, or because one has."""
        self.worker = worker
        if worker is not None and self.seen:
            worker.stop()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.seen.add(signal.Signals(number))
        self.asked = self.asked or time.time()
        if self.worker is not None:
            self.worker.stop()
