"""A cluster in memory: stands for `cluster.SlurmCluster`, with the queue of a real one.

Arrays, `afterok` on tasks, refusals, answers that get lost, jobs that SLURM has forgotten. A test
tells what happens to the tasks, as with facebookresearch/dora `dora/tests/fake_shep.py`.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from transferlab.errors import UserError
from transferlab.launch.cluster import Queued, Refused

BAD = ("FAILED", "CANCELLED", "PREEMPTED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL")
OVER = ("COMPLETED", *BAD)


@dataclass
class Submitted:
    """One call of `sbatch`, and the state of each of its tasks."""

    id: str
    options: tuple[str, ...]
    script: str
    command: tuple[str, ...]
    tasks: dict[int, str]
    codes: dict[int, str] = field(default_factory=dict)

    def option(self, name: str) -> str | None:
        """The value of an option, which must not occur twice."""
        found = [word.partition("=")[2] for word in self.options if word.startswith(f"--{name}=")]
        assert len(found) <= 1, f"--{name} is there {len(found)} times"
        return found[0] if found else None

    @property
    def name(self) -> str:
        return self.option("job-name") or ""

    @property
    def need(self) -> str | None:
        """The task that it depends on."""
        dependency = self.option("dependency")
        return None if dependency is None else dependency.removeprefix("afterok:")


class FakeCluster:
    """The interface that the launcher uses, and below it the events that a test triggers."""

    def __init__(self, *, max_array: int = 1001) -> None:
        self.limit = max_array
        self.jobs: dict[str, Submitted] = {}
        self.ids = itertools.count(100)
        # Of the next submissions: "", "refuse", "never" (it does not arrive), "lose" (the answer),
        # "crash" (of the one who submits), "late" (see `accept_late`)
        self.trouble: list[str] = []
        self.asked: list[str] = []  # which of the methods were called
        self.requeued: list[str] = []
        self.down = False
        self.late: list[tuple[Sequence[str], str, Sequence[str]]] = []
        self.owners: dict[str, int] = {}  # of jobs of other users

    # --- the protocol

    def submit(
        self, options: Sequence[str], script: str, command: Sequence[str], *, hold: IO[bytes]
    ) -> str:
        self.asked.append("submit")
        assert not hold.closed
        trouble = self.trouble.pop(0) if self.trouble else ""
        if trouble == "refuse":
            raise Refused("sbatch refused the job: sbatch: error: invalid partition specified: gpv")
        if trouble == "never":
            raise UserError("sbatch did not report whether it accepted the job")
        if trouble == "late":
            self.late.append((options, script, command))
            raise UserError("sbatch did not report whether it accepted the job")
        job = self._accept(options, script, command)
        if trouble == "lose":
            raise UserError("sbatch did not report whether it accepted the job")
        if trouble == "crash":
            raise KeyboardInterrupt
        return job.id

    def queue(self, jobs: Sequence[str], names: Sequence[str]) -> tuple[Queued, ...]:
        self.asked.append("queue")
        if self.down:
            raise UserError("squeue: Unable to contact slurm controller (connect failure)")
        return tuple(e for e in self._entries() if e.job in jobs or e.name in names)

    def identities(self, names: Sequence[str]) -> dict[str, str]:
        self.asked.append("identities")
        if self.down:
            raise UserError("squeue: Unable to contact slurm controller (connect failure)")
        return {job.name: job.id for job in self.jobs.values() if job.name in names}

    def max_array(self) -> int:
        return self.limit

    def cancel(self, ids: Sequence[str]) -> None:
        self.asked.append("cancel")
        for identity in ids:
            for task, state in self.jobs[identity].tasks.items():
                if state not in OVER:
                    self.jobs[identity].tasks[task] = "CANCELLED"

    def requeue(self, identity: str) -> None:
        self.requeued.append(identity)

    def endings(self, jobs: Sequence[str]) -> dict[str, str]:
        self.asked.append("endings")
        return {
            f"{job}_{task}": f"{state} {self.jobs[job].codes.get(task, '')}".strip()
            for job in jobs
            if job in self.jobs
            for task, state in self.jobs[job].tasks.items()
        }

    # --- the story

    def job(self, role: str) -> Submitted:
        """The one job of that role."""
        (found,) = [job for job in self.jobs.values() if f"-{role}-" in job.name]
        return found

    def set(self, identity: str, state: str, code: str = "") -> None:
        """Set the state of a task, `7_0`, or of all tasks of a job, with the consequences for
        dependents."""
        job, _, task = identity.partition("_")
        for number in [int(task)] if task else list(self.jobs[job].tasks):
            self.jobs[job].tasks[number] = state
            self.jobs[job].codes[number] = code
        for other in self.jobs.values():  # --kill-on-invalid-dep=yes
            if other.need is not None and other.need.partition("_")[0] == job:
                if self._state(other.need) in BAD and set(other.tasks.values()) == {"PENDING"}:
                    self.set(other.id, "CANCELLED")

    def accept_late(self) -> Submitted:
        """SLURM takes a job whose submission was not answered."""
        return self._accept(*self.late.pop(0))

    def forget(self, identity: str) -> None:
        """Purge a job, as SLURM does minutes after its end."""
        del self.jobs[identity]

    def _accept(self, options: Sequence[str], script: str, command: Sequence[str]) -> Submitted:
        identity = str(next(self.ids))
        job = Submitted(identity, tuple(options), script, tuple(command), {})
        first, _, last = (job.option("array") or "").partition("%")[0].partition("-")
        assert int(last) < self.limit, "sbatch: error: Invalid job array specification"
        job.tasks = dict.fromkeys(range(int(first), int(last) + 1), "PENDING")
        self.jobs[identity] = job
        return job

    def _state(self, identity: str) -> str:
        job, _, task = identity.partition("_")
        return self.jobs[job].tasks[int(task)] if job in self.jobs else "COMPLETED"

    def _entries(self) -> Iterator[Queued]:
        for job in self.jobs.values():
            waits = job.need is not None and self._state(job.need) != "COMPLETED"
            for task, state in job.tasks.items():
                if state not in OVER:
                    reason = {"PENDING": "Dependency" if waits else "Resources"}.get(state, "None")
                    uid = self.owners.get(job.id, os.geteuid())
                    yield Queued(f"{job.id}_{task}", state, uid, f"user{uid}", job.name, reason)
