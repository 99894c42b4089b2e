"""What a task of a job does: `python -m transferlab work FOLDER`, from `slurm/job.sbatch`.

The one owner of signals and requeues of a job. SIGUSR1 comes ahead of the time limit: the worker
saves, and the task is requeued under its own id, so often at most. SIGTERM comes of a preemption,
of `scontrol requeue` and of `scancel`, and SLURM itself knows whether the task shall start again.
"""

import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from transferlab import store
from transferlab.errors import RunFailed
from transferlab.launch import supervisor, sweeps
from transferlab.launch.cluster import Cluster
from transferlab.launch.settings import Slurm
from transferlab.launch.supervisor import Supervised

log = logging.getLogger(__name__)
POLL_S = 0.2


@dataclass(frozen=True)
class Task:
    """Which task of which job of SLURM this process is; `starts` counts from 0."""

    id: str
    number: int
    starts: int


def current() -> Task:
    """As SLURM's environment says; task 0 of no job outside of one."""
    number = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    identity = f"{array}_{number}" if array else os.environ.get("SLURM_JOB_ID", "")
    return Task(identity, number, int(os.environ.get("SLURM_RESTART_COUNT", "0")))


def work(folder: Path, task: Task, cluster: Cluster) -> int:
    """Train the task's pack in a worker process and wait for it; the exit status.

    Raises: UserError for a job that is not there; RunFailed if it cannot start.
    """
    signals = _Signals()
    job = sweeps.read_job(folder)
    launcher = sweeps.sweep_of(job).launcher
    nodes = sweeps.nodes_of(job, task.number)
    sweeps.note(job, task.number, queued_as=task.id, starts=task.starts, started=store.now(),
                host=socket.gethostname(), ended=None, code=None)  # fmt: skip
    requeues = launcher.requeues if isinstance(launcher, Slurm) else 0
    try:
        if task.starts > requeues:
            reason = (
                f"job {task.id} was requeued {task.starts} times, more than launcher.requeues="
                f"{requeues}: give it more launcher.time"
            )
            supervisor.note_failures(nodes, reason)
            raise RunFailed(reason)
        # SLURM drops a dependency on a job that it has forgotten, without a word
        if (why := supervisor.unmet(nodes)) is not None:
            raise RunFailed(f"{nodes[0].label} starts from {why}")
    except RunFailed as error:
        sweeps.note(job, task.number, ended=store.now(), code=error.exit_code)
        raise
    devices = nodes[0].config.runtime.devices
    worker = Supervised(
        job,
        task.number,
        nodes,
        environment={"OMP_NUM_THREADS": str(launcher.threads)},
        prefix=_srun(devices) if devices > 1 and task.id else (),
    )
    while (ending := worker.poll()) is None:
        time.sleep(POLL_S)
        if signals.fresh():
            worker.stop()
    if ending.interrupted and signals.seen == {signal.SIGUSR1} and task.id:
        log.info("saved; requeue %d of at most %d", task.starts + 1, requeues)
        cluster.requeue(task.id)
    if ending.code < 0:
        log.error("error: the worker was %s", ending.words)
        return RunFailed.exit_code
    return ending.code


def _srun(devices: int) -> tuple[str, ...]:
    """One process for each device; when one of them fails the others end too."""
    return ("srun", f"--ntasks={devices}", "--nodes=1", "--kill-on-bad-exit=1", "--unbuffered")


class _Signals:
    """Notes the signals that come; nothing else happens of them here."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self._fresh = False
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def fresh(self) -> bool:
        """Whether one came since this was asked last."""
        fresh, self._fresh = self._fresh, False
        return fresh

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.seen.add(number)
        self._fresh = True
