"""Carries a plan out in worker processes on this machine, a pack each, bases first.

A failure stops only its dependents. On a signal the workers save and exit, and running the same
command again resumes.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from transferlab import store
from transferlab.errors import Interrupted
from transferlab.experiment import plan
from transferlab.experiment.launcher import LocalSettings
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.launch.supervisor import Supervised
from transferlab.runtime import environment, machine, preloaded, signals
from transferlab.store import schemas, sweeps
from transferlab.store.sweeps import Job, Sweep

log = logging.getLogger(__name__)
POLL_S = 0.1
# What a worker imports; the server has imported it
PRELOADED = ("transferlab.launch.worker", "transferlab.experiment.resolve",
             "transferlab.training.run")  # fmt: skip


@dataclass
class Progress:
    """The progress of a plan; reasons by run id."""

    total: int
    running: dict[int, Supervised] = field(default_factory=dict)  # by task
    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    interrupted: set[str] = field(default_factory=set)


class Observer(Protocol):
    """Shows the progress."""

    def started(self, pack: Pack, progress: Progress) -> None: ...

    def ended(self, pack: Pack, progress: Progress) -> None: ...

    def blocked(self, pack: Pack, reason: str, progress: Progress) -> None: ...

    def refresh(self, progress: Progress) -> None: ...


def carry_out(
    sweep: Sweep, todo: Iterable[Run], observer: Observer, *, fits: plan.Fits | None = None
) -> Progress:
    """Train the runs and wait for them, in packs that fit. Failures are returned, not
    raised.

    Raises: UserError if the store cannot be written; Interrupted after everything was saved.
    """
    assert isinstance(sweep.launcher, LocalSettings)
    runs = tuple(todo)
    packs = plan.packs(runs, sweep.pack, fits=fits)
    job = sweeps.record(sweeps.prepare(sweep, packs, sweeps.LOCAL))
    progress = Progress(total=len(runs))
    threads = _threads(sweep.launcher)
    with (
        sweeps.carrying_out(job),
        signals.watch() as stop,
        stop.deferred(),
        preloaded.Server(PRELOADED, threads) if preloaded.available() else nullcontext() as server,
    ):
        pool = _WorkerPool(sweep.launcher, job, packs, observer, progress, server)
        try:
            pool.work(stop)
        finally:
            pool.dismiss()
    if stop.number is not None and len(progress.done) < len(runs):
        raise Interrupted(
            f"stopped: {len(progress.done)} of {len(runs)} runs are done, "
            f"{len(progress.interrupted)} saved a checkpoint"
        )
    return progress


class _WorkerPool:
    """The workers, and the packs that are waiting for one."""

    def __init__(
        self,
        launcher: LocalSettings,
        job: Job,
        packs: Sequence[Pack],
        observer: Observer,
        progress: Progress,
        server: preloaded.Server | None,
    ) -> None:
        self.server = server
        self.launcher, self.job, self.packs = launcher, job, packs
        self.observer, self.progress = observer, progress
        self.waiting = deque(range(len(packs)))
        self.unfinished = {run.id for pack in packs for run in pack.runs}
        self.slots = deque(range(launcher.jobs))
        self.slot_of: dict[int, int] = {}

    def work(self, stop: signals.StopRequest) -> None:
        """Run until no pack is waiting or running, or a stop is requested."""
        while stop.number is None:
            self._block()
            self._start()
            if not self.progress.running:
                return
            time.sleep(POLL_S)
            self._collect()
            self.observer.refresh(self.progress)

    def dismiss(self) -> None:
        """Stop the running workers, and wait until they have saved."""
        for worker in self.progress.running.values():
            worker.stop()
        if self.progress.running:
            log.info("stopping: %d workers are saving", len(self.progress.running))
        while self.progress.running:
            time.sleep(POLL_S)
            self._collect()

    def _block(self) -> None:
        """Drop the packs whose base has failed."""
        for task in list(self.waiting):
            base = self.packs[task].base
            if base is None or base.id not in self.progress.failed:
                continue
            reason = self.progress.failed[base.id]
            self.waiting.remove(task)
            for run in self.packs[task].runs:
                self.progress.blocked[run.id] = f"its base failed: {reason}"
            self.observer.blocked(self.packs[task], f"its base failed: {reason}", self.progress)

    def _start(self) -> None:
        if self.launcher.fail_fast and self.progress.failed:
            return
        for task in list(self.waiting):
            if not self.slots:
                return
            base = self.packs[task].base
            if base is not None and base.id in self.unfinished:
                continue
            self.waiting.remove(task)
            slot = self.slot_of[task] = self.slots.popleft()
            self.progress.running[task] = Supervised(
                self.job,
                task,
                self.packs[task].runs,
                environment=self._environment(slot, self.packs[task]),
                server=self.server,
                foreground=False,
            )
            self.observer.started(self.packs[task], self.progress)

    def _environment(self, slot: int, pack: Pack) -> Mapping[str, str]:
        """The worker's share of the machine."""
        variables = {
            **_threads(self.launcher),
            environment.CORES: str(max(1, machine.cores() // self.launcher.jobs)),
        }
        if gpus := self.launcher.gpus:
            numbers = range(slot * pack.devices, (slot + 1) * pack.devices)
            own = dict.fromkeys(str(gpus[number % len(gpus)]) for number in numbers)
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(own)
        return variables

    def _collect(self) -> None:
        """Record the outcome of the workers that have ended."""
        for task, worker in list(self.progress.running.items()):
            ending = worker.poll()
            if ending is None:
                continue
            del self.progress.running[task]
            self.slots.append(self.slot_of.pop(task))
            for run, record, fault in store.outcomes(self.packs[task].runs):
                if record is not None:
                    self.progress.done.add(run.id)
                    self.unfinished.discard(run.id)
                elif fault is not None:
                    self.progress.failed[run.id] = str(fault)
                elif ending.interrupted:
                    self.progress.interrupted.add(run.id)
                else:
                    failure = store.peek(run.failure_file, schemas.FAILURE)
                    error = failure.get("error", ending.message)
                    self.progress.failed[run.id] = f"{error}; see {worker.job.log(task)}"
            self.observer.ended(self.packs[task], self.progress)


def _threads(launcher: LocalSettings) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(launcher.threads)}


def running(progress: Progress) -> list[tuple[Pack, dict[str, object]]]:
    """Each pack that is being trained, with what the owner of its first run reports."""
    return [
        (Pack(worker.runs), store.peek(worker.runs[0].owner_file, schemas.OWNER))
        for worker in progress.running.values()
    ]
