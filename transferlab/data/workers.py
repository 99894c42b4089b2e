"""Worker processes of one thread each, forked from this one, which send back what they make.

They inherit data set and shared memory, and a pipe to and from each is all that they need. torch's
DataLoader and `concurrent.futures` also need semaphores and files in /dev/shm, of which containers
have 64 MB, and sockets, whose paths are too long in some folders for temporary files; a worker of
theirs that cannot send a batch waits for ever. Here one that ends is noticed by its closed pipe.
"""

import gc
import multiprocessing.connection
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import repeat
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from transferlab.errors import RunFailed, UserError
from transferlab.runtime import signals

AHEAD = 2  # tasks for each worker that are started before the oldest result is taken
END_S = 1.0  # for a killed process to end; one that waits for a hung disk does not
Task = TypeVar("Task")
Result = TypeVar("Result")
Slices = Callable[[], Iterable[float | None]]  # the timeouts of a wait, see `waiting.slices`


class WorkerLost(RunFailed):
    """A worker died, or cannot be started."""


@dataclass
class _Worker:
    """A process, the pipes that lead to it and from it, the task that it works on, and how it has
    ended."""

    process: int
    tasks: Connection
    results: Connection
    number: int | None = None
    ending: str | None = None

    def wait(self) -> str:
        """How it has ended, after waiting for that a moment."""
        end = time.monotonic() + END_S
        while self.ending is None:
            ended, status = os.waitpid(self.process, os.WNOHANG)
            if ended:
                self.ending = _ending(os.waitstatus_to_exitcode(status))
            elif time.monotonic() >= end:
                return "does not answer"
            else:
                time.sleep(0.005)
        return self.ending


class Workers(AbstractContextManager["Workers[Task, Result]"], Generic[Task, Result]):
    """`count` processes that call `function`, until the end of the block.

    They receive no signals, which their parent handles, and end with it, also if it is killed.
    `advice` is what a user may do if one dies.
    """

    def __init__(self, count: int, function: Callable[[Task], Result], *, advice: str) -> None:
        self.count, self.function, self.advice = count, function, advice
        self.workers: list[_Worker] = []
        self.started = 0  # tasks

    def __enter__(self) -> "Workers[Task, Result]":
        """Start them. Raises: WorkerLost if the system refuses."""
        import torch  # loaded once, not in each worker

        try:
            with signals.held_back():  # in the workers for good
                for _ in range(self.count):
                    self.workers.append(self._fork(torch))
        except OSError as error:
            self.__exit__()
            raise WorkerLost(
                f"{self.count} worker processes cannot be started: {error.strerror}; {self.advice}"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for worker in self.workers:
            worker.tasks.close()
            worker.results.close()
            worker.wait()
        self.workers = []

    def kill(self) -> None:
        """Kill them; whoever waits for a result then gets a `WorkerLost`."""
        for worker in self.workers:
            if worker.ending is None:
                os.kill(worker.process, signal.SIGKILL)

    def each(
        self,
        tasks: Iterable[Task],
        *,
        stop: Callable[[], bool] = lambda: False,
        slices: Slices = lambda: repeat(None),
    ) -> Iterator[tuple[Task, Result]]:
        """Every task with its result, in order; tasks are taken a few ahead and no more.

        Once `stop` is true no task is started, and those that were are finished.
        Raises: what the function raises; WorkerLost; what `slices` raises while this waits.
        """
        waiting = iter(tasks)
        pending: deque[tuple[int, Task]] = deque()
        results: dict[int, Result] = {}
        while True:
            for worker in self.workers:
                if worker.number is None and len(pending) < AHEAD * self.count and not stop():
                    for task in waiting:
                        pending.append((self._start(worker, task), task))
                        break
            if not pending:
                return
            number, task = pending[0]
            if number not in results:
                results |= self._finished(slices)
                continue
            pending.popleft()
            yield task, results.pop(number)

    def _start(self, worker: _Worker, task: Task) -> int:
        """Send a task to an idle worker, which is reading; its number."""
        self.started += 1
        worker.number = self.started
        try:
            worker.tasks.send_bytes(pickle.dumps(task))
        except OSError as error:
            raise self._lost(worker) from error
        return worker.number

    def _finished(self, slices: Slices) -> dict[int, Result]:
        """The results that have arrived by number, at least one."""
        busy = {worker.results: worker for worker in self.workers if worker.number is not None}
        ready: list[Any] = []
        for timeout in slices():
            ready = multiprocessing.connection.wait(list(busy), timeout)
            if ready:
                break
        results = {}
        for connection in ready:
            worker = busy[connection]
            try:
                good, value = pickle.loads(connection.recv_bytes())
            except (EOFError, OSError) as error:
                raise self._lost(worker) from error
            assert worker.number is not None
            number, worker.number = worker.number, None
            if not good:
                raise value
            results[number] = value
        return results

    def _lost(self, worker: _Worker) -> WorkerLost:
        return WorkerLost(f"a worker process {worker.wait()}: {self.advice}")

    def _fork(self, torch: Any) -> _Worker:
        """A new process, which never returns from here. It inherits the parent's ends of the pipes
        of earlier ones, which see that the parent has died after this one has ended."""
        tasks, to_worker = multiprocessing.Pipe(duplex=False)
        from_worker, results = multiprocessing.Pipe(duplex=False)
        process = os.fork()
        if process == 0:
            code = 1
            try:
                for worker in (*self.workers, _Worker(0, to_worker, from_worker)):
                    worker.tasks.close()  # or it would not see the end of its own
                    worker.results.close()
                gc.freeze()  # what it has inherited belongs to the parent, also on a GPU
                torch.set_num_threads(1)
                _work(self.function, tasks, results)
                code = 0
            finally:
                os._exit(code)
        tasks.close()
        results.close()
        return _Worker(process, to_worker, from_worker)


def _work(function: Callable[[Any], Any], tasks: Connection, results: Connection) -> None:
    """Do tasks until the parent closes the pipe, or dies."""
    while True:
        try:
            task = pickle.loads(tasks.recv_bytes())
        except EOFError:
            return
        try:
            outcome = True, function(task)
        except (UserError, RunFailed) as error:
            outcome = False, error
        except MemoryError:
            outcome = False, RunFailed("no memory is left for a worker process")
        except Exception:
            outcome = False, RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
        try:
            results.send_bytes(pickle.dumps(outcome))
        except BrokenPipeError:
            return


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed, perhaps because memory ran out"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"died with exit status {code}"
