"""Python processes for the benchmarks that start processes, each with one thread."""

import logging
import os
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryFile

from transferlab.errors import RunFailed

log = logging.getLogger(__name__)
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
END_S = 60.0  # for an interrupted process to save and to end its own; then it is killed


class Processes(AbstractContextManager["Processes"]):
    """Processes with store and cache in a folder, started from any thread.

    Those that still run at the end of the block, as after an interruption, are asked to stop and
    waited for: they write into the folder, and end processes that they have started.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        self.ended, self.lock = False, threading.Lock()

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.ended, left = True, tuple(self.running)
        try:
            for process in left:
                process.terminate()
            for process in left:
                process.wait(END_S)
        except subprocess.TimeoutExpired:
            log.warning("a process of the benchmark did not stop in %.0f s: it is killed", END_S)
        finally:  # also if another signal comes meanwhile
            for process in left:
                process.kill()
                process.wait()

    def python(self, *arguments: str, also: tuple[int, ...] = ()) -> tuple[int, str]:
        """`python ARGUMENTS`: exit status and stderr.

        Raises: RunFailed with the last line of stderr if the status is neither 0 nor one of `also`.
        """
        environment = os.environ | {
            "TRANSFERLAB_STORE": str(self.folder / "runs"),
            "TRANSFERLAB_CACHE": str(self.folder / "cache"),
            **ONE_THREAD,
        }
        with TemporaryFile() as errors:  # a pipe would have to be read while waiting for the end
            with self.lock:
                if self.ended:
                    raise RunFailed("the benchmark has ended")
                process = subprocess.Popen([sys.executable, *arguments], cwd=self.folder,
                                           env=environment, stdout=subprocess.DEVNULL,
                                           stderr=errors)  # fmt: skip
                self.running.append(process)
            status = process.wait()
            self.running.remove(process)
            errors.seek(0)
            err = errors.read().decode(errors="replace")
        if status not in (0, *also):
            last = (err.strip().splitlines() or [f"exit status {status}"])[-1]
            raise RunFailed(f"python {' '.join(arguments)} failed: {last}")
        return status, err

    def command(self, *arguments: str) -> None:
        """`python -m transferlab ARGUMENTS`. Raises: RunFailed if it fails."""
        self.python("-m", "transferlab", *arguments)


def python(folder: Path, *arguments: str, also: tuple[int, ...] = ()) -> tuple[int, str]:
    """`Processes.python` of a single process."""
    with Processes(folder) as processes:
        return processes.python(*arguments, also=also)


def command(folder: Path, *arguments: str) -> None:
    """`Processes.command` of a single process."""
    with Processes(folder) as processes:
        processes.command(*arguments)
