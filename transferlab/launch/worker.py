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
from transferlab.launch import inline
from transferlab.runtime import logs, processes, signals
from transferlab.store import sweeps

log = logging.getLogger(__name__)
LEASH = "TRANSFERLAB_LEASH"  # set: stdin is a pipe that ends when the launcher does
GRACE_S = 10  # for rank 0 to record why it failed, before srun kills it with the others


def main(arguments: Sequence[str]) -> int:
    """Train a task's pack; the exit status: 0 done, 1 failed, 2 usage error, 75 interrupted.

    Of several processes that train together rank 0 records it: `srun` merges all exit statuses.
    """
    folder, task = Path(arguments[0]), int(arguments[1])
    if LEASH in os.environ:
        threading.Thread(target=_exit_with_launcher, daemon=True).start()
    logs.to_stderr()
    code = _train(folder, task)
    if processes.size() > 1 and processes.rank() == 0:
        sweeps.note(sweeps.read_job(folder), task, worker=code)
    elif processes.size() > 1 and code:
        time.sleep(GRACE_S)  # srun kills the others when one has failed
    return code


def _train(folder: Path, task: int) -> int:
    # numpy: half of the start-up time of `status`
    from transferlab.experiment.resolve import resolve_all

    try:
        with signals.watch() as stop:
            runs = sweeps.runs_of(sweeps.read_job(folder), task)
            try:
                runs = resolve_all(run.config for run in runs)
            except UserError as error:  # the images have changed since this was submitted
                for run in runs:
                    if not run.result_file.exists():
                        store.note_failure(run, str(error))
                raise
            log.info("%s", "  ".join(run.label for run in runs))
            inline.train(runs, stop)
    except (UserError, RunFailed) as error:
        log.error("error: %s", error)
        return error.exit_code
    except KeyboardInterrupt as error:
        log.info("%s; saved", str(error) or "stopped")
        return Interrupted.exit_code
    return 0


def _exit_with_launcher() -> None:
    """Wait for the end of the pipe from the launcher, which is that of the launcher."""
    while os.read(0, 1024):
        pass
    if processes.rank() == 0:
        os.kill(os.getpid(), signal.SIGUSR1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
