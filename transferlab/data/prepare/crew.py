"""Worker processes of one thread each, which are given tasks a few ahead and no more.

They ignore signals, which are the parent's to heed, and end with it, also if it is killed.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import TypeVar

from transferlab.errors import RunFailed

AHEAD = 2  # tasks given out for each worker: one at work, one waiting
LOOK_S = 0.5  # between two looks whether to stop
# Loaded once, in the process that all workers are forked from
PRELOAD = ["torchvision.io", "transferlab.data.prepare.chunks"]
Task = TypeVar("Task")
Result = TypeVar("Result")


class Crew:
    """`jobs` workers, who are let go at the end of the block."""

    def __init__(self, jobs: int, stop: Callable[[], bool]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self.jobs, self.stop = jobs, stop
        self.pool = ProcessPoolExecutor(jobs, context, initializer=_begin)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.pool.shutdown(cancel_futures=True)

    def each(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """What the function makes of every task, in the order in which it is done.

        Once `stop` says so no more are begun, and those at work are finished.
        Raises: what the function raises; RunFailed if a worker dies.
        """
        left, given = iter(tasks), dict[Future[Result], Task]()
        while True:
            try:
                while len(given) < AHEAD * self.jobs and not self.stop():
                    task = next(left)
                    given[self.pool.submit(function, task)] = task
            except StopIteration:
                pass
            except BrokenProcessPool as error:
                raise self._dead() from error
            if not given:
                return
            done, _ = wait(given, timeout=LOOK_S, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    result = future.result()
                except BrokenProcessPool as error:
                    raise self._dead() from error
                yield given.pop(future), result
            if self.stop():
                given = {future: task for future, task in given.items() if not future.cancel()}

    def _dead(self) -> RunFailed:
        return RunFailed(
            "a worker process was killed, for want of memory perhaps: what is done is kept; "
            f"give the same command, with --jobs below {self.jobs} if it happens again"
        )


def _begin() -> None:
    """Make a worker of this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
