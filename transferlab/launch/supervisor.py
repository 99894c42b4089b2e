"""Supervises the worker that trains one task of a job: starts it, stops it, records its ending.

A worker may die without reporting why, by SIGKILL or out of memory; its supervisor imports no torch
and outlives it. The local launcher supervises several workers, `work` in a SLURM job one.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from transferlab import store
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment.run import Run
from transferlab.launch import worker
from transferlab.launch.ending import Ending
from transferlab.runtime import files, preloaded, provenance, reading, signals
from transferlab.store import schemas, sweeps
from transferlab.store.sweeps import Job

MODULE = "transferlab.launch.worker"


class Supervised:
    """A worker process; its output goes to the log of its task."""

    def __init__(
        self,
        job: Job,
        task: int,
        runs: Sequence[Run],
        *,
        environment: Mapping[str, str],
        prefix: Sequence[str] = (),
        server: preloaded.Server | None = None,
        foreground: bool = True,
    ) -> None:
        """Start it. `prefix` begins its command line: `srun`, for instance. A `server` forks it.

        A worker that is not in the foreground does not receive a terminal's Ctrl-C, and one that
        is forked is not.

        Raises: UserError if the log cannot be written or the command is missing.
        """
        self.job, self.task, self.runs = job, task, tuple(runs)
        self.several, self.stopping = bool(prefix), False
        _forget_failures(self.runs)
        arguments = [str(job.folder), str(task)]
        command = [*prefix, sys.executable, "-m", MODULE, *arguments]
        submitted = {provenance.SUBMITTED: json.dumps(dict(job.code))}
        variables = {**os.environ, worker.LEASH: "1", **submitted, **environment}
        sweeps.note(job, task, started=files.now(), host=socket.gethostname(), ended=None,
                    code=None, worker=None, signals=None)  # fmt: skip
        with files.explained(job.log(task)):
            log = files.open_append(job.log(task))
        stdin, leash = os.pipe()
        self.leash = os.fdopen(leash, "wb")
        self.process: subprocess.Popen[bytes] | preloaded.Process
        with log, os.fdopen(stdin, "rb"):
            self.earlier = log.tell()
            if server is not None:
                self.process = server.start(
                    MODULE, arguments, stdin=stdin, log=log.fileno(), environment=variables
                )
                return
            try:
                with signals.held_back():
                    self.process = subprocess.Popen(
                        command,
                        stdin=stdin,
                        stdout=log,
                        stderr=log,
                        env=variables,
                        process_group=None if foreground else 0,
                    )
            except FileNotFoundError as error:
                self.leash.close()
                raise UserError(f"{command[0]} is not on the PATH of the job") from error

    def stop(self) -> None:
        """Ask it to save and exit."""
        self.stopping = True
        self.process.send_signal(signal.SIGUSR1)

    def wait(self, limit_s: float) -> Ending | None:
        """As `poll`, after at most `limit_s`, in s."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(limit_s)
        return self.poll()

    def poll(self) -> Ending | None:
        """How it ended, None while it is running. Records why its runs failed."""
        code = self.process.poll()
        if code is None:
            return None
        self.leash.close()
        ending = Ending(self._code_of_first() if self.several else code, asked=self.stopping)
        reason = None if ending.good or ending.interrupted else self._reason(ending)
        finished = not store.unfinished(self.runs)
        if ending.interrupted and finished:  # the signal came after the last run was finished
            ending = Ending(0)
        elif ending.good and not finished:
            ending = Ending(RunFailed.exit_code)
            reason = "the worker exited before the run was finished"
        sweeps.note(self.job, self.task, ended=files.now(), code=ending.noted)
        if reason is not None:
            note_failures(self.runs, reason)
        return ending

    def _code_of_first(self) -> int:
        """The exit status of rank 0. That of `srun` is the highest of all processes, those that it
        killed included, or 0 if it was killed itself."""
        code = self._noted_code()
        if code == Interrupted.exit_code and not self.stopping:  # by srun: another process failed
            return RunFailed.exit_code
        if isinstance(code, int):
            return code
        return Interrupted.exit_code if self.stopping else RunFailed.exit_code

    def _noted_code(self) -> object:
        return store.peek(self.job.task(self.task), schemas.NOTE).get("worker")

    def _reason(self, ending: Ending) -> str:
        """The last line that it printed, or the signal that killed it."""
        if ending.code < 0:
            return ending.message
        if self.several and self._noted_code() == Interrupted.exit_code:
            return "another process of this run died or failed; see the log of its job"
        with self.job.log(self.task).open("rb") as log:
            log.seek(max(self.earlier, os.fstat(log.fileno()).st_size - 4096))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else ending.message


def note_failures(runs: Sequence[Run], reason: str) -> None:
    """Record the reason for the runs that are not finished and have none of their own."""
    for run in runs:
        if not reading.exists(run.result_file) and not reading.exists(run.failure_file):
            store.note_failure(run, reason)


def unmet(runs: Sequence[Run]) -> str | None:
    """Why the runs cannot start: a base that is not finished; None if all are."""
    for base in (run.base for run in runs):
        if base is not None and store.read_result(base) is None:
            error = store.read_failure(base)
            return f"{base.label} is not finished" + (f": {error}" if error else "")
    return None


def _forget_failures(runs: Sequence[Run]) -> None:
    """Delete the reasons of earlier failures, since a worker may die before it does."""
    for run in runs:
        with files.explained(run.folder):
            run.failure_file.unlink(missing_ok=True)
