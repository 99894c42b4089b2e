"""Worker processes of one thread each, with a few tasks ahead of them and no more.

They ignore signals, which the parent handles, and end with the parent, also if it is killed.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from typing import TypeVar

from transferlab.errors import RunFailed

AHEAD = 2  # tasks submitted for each worker: one being worked on, one waiting
# Loaded once, in the process that all workers are forked from
PRELOAD = ["torch", "transferlab.data.prepare.chunks"]
Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers(AbstractContextManager["Workers"]):
    """`jobs` processes, until the end of the block. `stop`: whether to start no more tasks."""

    def __init__(self, jobs: int, stop: Callable[[], bool]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self.jobs, self.stop = jobs, stop
        self.pool = ProcessPoolExecutor(jobs, context, initializer=_become_worker)

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def each(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """Every task with the function's result, in order.

        Once `stop` is true no task is started, and those that were are finished.
        Raises: what the function raises; RunFailed if a worker dies.
        """
        pending: deque[tuple[Task, Future[Result]]] = deque()
        try:
            for task in tasks:
                if self.stop():
                    break
                pending.append((task, self.pool.submit(function, task)))
                if len(pending) == AHEAD * self.jobs:
                    first, future = pending.popleft()
                    yield first, future.result()
            for task, future in pending:
                if not (self.stop() and future.cancel()):
                    yield task, future.result()
        except BrokenProcessPool as error:
            raise RunFailed(
                "a worker process was killed, perhaps for lack of memory: finished images are "
                "kept; run the command again, with fewer --jobs if this happens again"
            ) from error


def _become_worker() -> None:
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
