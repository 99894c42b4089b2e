"""The process that trains one pack of a job: `python -m transferlab.launch.worker FOLDER TASK`.

Started by a launcher, here or in a SLURM job; its exit status is that of the command line. It saves
and exits on a signal, and when the launcher that started it dies.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from transferlab import store
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment.run import Run
from transferlab.launch import edited, inline
from transferlab.runtime import logs, output, processes, reading, signals
from transferlab.runtime.signals import StopRequest
from transferlab.store import sweeps

log = logging.getLogger(__name__)
LEASH = "TRANSFERLAB_LEASH"  # set: stdin is a pipe that ends when the launcher does
GRACE_S = 10  # for rank 0 to record why it failed, before srun kills it with the others


def main(arguments: Sequence[str]) -> int:
    """Train a task's pack; the exit status: 0 done, 1 failed, 2 usage error, 75 interrupted.

    Of several processes that train together rank 0 records it: `srun` merges all exit statuses.
    """
    folder, task = Path(arguments[0]), int(arguments[1])
    with output.guarded(), signals.watch() as stop:
        if LEASH in os.environ:
            threading.Thread(target=_exit_with_launcher, daemon=True).start()
        logs.to_stderr()
        code = _train(folder, task, stop)
        with stop.deferred():
            if processes.size() > 1 and processes.rank() == 0:
                sweeps.note(sweeps.read_job(folder), task, worker=code)
            elif processes.size() > 1 and code:
                time.sleep(GRACE_S)  # srun kills the others when one has failed
        return code


def _train(folder: Path, task: int, stop: StopRequest) -> int:
    runs: Sequence[Run] = ()
    try:
        job = sweeps.read_job(folder)
        runs = sweeps.runs_of(job, task)
        edited.compare(job, task, runs)
        runs = _resolved(runs, stop)
        log.info("%s", "  ".join(run.label for run in runs))
        inline.train(runs, stop)
    except (UserError, RunFailed) as error:
        log.error("error: %s", error)
        return error.exit_code
    except KeyboardInterrupt as error:
        if runs and not store.unfinished(runs):
            return 0  # the signal came when they were finished
        log.info("%s; saved", str(error) or "stopped")
        return Interrupted.exit_code
    return 0


def _resolved(runs: Sequence[Run], stop: StopRequest) -> Sequence[Run]:
    """The runs with the halves of the images. Raises: UserError if these have changed since the
    runs were submitted, which is then recorded."""
    with stop.deferred():  # an import that is cut short leaves half a module
        from transferlab.experiment.resolve import resolve_all  # numpy: half of what `status` needs
    stop.check()
    try:
        return resolve_all(run.config for run in runs)
    except UserError as error:
        for run in runs:
            if not reading.exists(run.result_file):
                store.note_failure(run, str(error))
        raise


def _exit_with_launcher() -> None:
    """Wait for the end of the pipe from the launcher, which is that of the launcher."""
    while os.read(0, 1024):
        pass
    if processes.rank() == 0:
        os.kill(os.getpid(), signal.SIGUSR1)


if __name__ == "__main__":
    sys.exit(signals.process(lambda: main(sys.argv[1:])))
