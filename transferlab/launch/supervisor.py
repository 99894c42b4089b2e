"""Watches over the worker that trains one task of a job: starts it, stops it, tells how it ended.

A worker may die of what it cannot tell about itself, SIGKILL or want of memory; its supervisor
takes no torch and outlives it. The local launcher supervises several, `work` in a job of SLURM one.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transferlab import plan, store
from transferlab.errors import Interrupted
from transferlab.launch import sweeps, worker
from transferlab.launch.sweeps import Job
from transferlab.plan import Node

MODULE = "transferlab.launch.worker"


@dataclass(frozen=True)
class Ending:
    """How a worker ended: its exit status, or the signal that killed it."""

    code: int

    @property
    def good(self) -> bool:
        return self.code == 0

    @property
    def interrupted(self) -> bool:
        return self.code == Interrupted.exit_code

    @property
    def words(self) -> str:
        """`exit status 1`, or what killed it."""
        if self.code >= 0:
            return f"exit status {self.code}"
        name = signal.Signals(-self.code).name
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"


class Supervised:
    """A worker process, its output in the task's log."""

    def __init__(
        self,
        job: Job,
        task: int,
        nodes: Sequence[Node],
        *,
        environment: Mapping[str, str],
        prefix: Sequence[str] = (),
        foreground: bool = True,
    ) -> None:
        """Start it. `prefix` is what its command line begins with, `srun` for instance.

        Not in the foreground, a terminal's Ctrl-C is for the launcher alone.
        """
        self.job, self.task, self.nodes = job, task, tuple(nodes)
        command = [*prefix, sys.executable, "-m", MODULE, str(job.folder), str(task)]
        with store.explained(job.log(task)), job.log(task).open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, worker.LEASH: "1", **environment},
                process_group=None if foreground else 0,
            )

    def stop(self) -> None:
        """Ask it to save and to leave."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)

    def poll(self) -> Ending | None:
        """How it ended, None while it lives. What its runs failed of is noted then."""
        code = self.process.poll()
        if code is None:
            return None
        assert self.process.stdin is not None
        self.process.stdin.close()
        ending = Ending(code)
        sweeps.note(self.job, self.task, ended=store.now(), code=code)
        if not (ending.good or ending.interrupted):
            note_failures(self.nodes, self._last_words(ending))
        return ending

    def _last_words(self, ending: Ending) -> str:
        """What a defect printed last, or what killed it."""
        if ending.code < 0:
            return ending.words
        with store.explained(self.job.log(self.task)), self.job.log(self.task).open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 4096))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else ending.words


def note_failures(nodes: Sequence[Node], reason: str) -> None:
    """Note it for the runs that are neither finished nor have a reason of their own."""
    for node in nodes:
        place = store.locate(node.config, node.id)
        if not place.result.exists() and not place.failure.exists():
            store.note_failure(place, reason)


def unmet(nodes: Sequence[Node]) -> str | None:
    """Why the runs cannot start yet: the base that is not finished; None if it is."""
    for node in nodes:
        base = plan.base_of(node.config)
        if base is None:
            continue
        place = store.locate(base, node.base)
        if store.read_result(place) is None:
            why = store.peek(place.failure).get("error")
            return f"{place.label} is not finished" + (f": {why}" if why else "")
    return None
