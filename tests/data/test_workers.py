"""Worker processes: results in order, a few ahead, and every way in which one can end."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from transferlab.data.workers import AHEAD, WorkerLost, Workers
from transferlab.errors import RunFailed, UserError

# They load torch, so that each of them does not have to
pytestmark = pytest.mark.usefixtures("needs_torch")
ADVICE = "use fewer"


def workers(count: int, function: Callable[[Any], Any]) -> Workers[Any, Any]:
    return Workers(count, function, advice=ADVICE)


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of those that the test forks: this process may have others, as the servers of forks."""
    forked: list[int] = []
    original = os.fork

    def fork() -> int:
        forked.append(original())
        return forked[-1]

    monkeypatch.setattr(os, "fork", fork)
    yield
    for process in forked:
        with pytest.raises(ChildProcessError):
            os.waitpid(process, os.WNOHANG)


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_the_order_of_the_tasks_whoever_is_faster(count: int):
    def slow_if_even(number: int) -> tuple[int, int]:
        time.sleep(0.02 * (number % 2 == 0))
        return number * number, os.getpid()

    with workers(count, slow_if_even) as pool:
        done = list(pool.each(range(9)))

    assert [(task, result) for task, (result, _) in done] == [(n, n * n) for n in range(9)]
    processes = {process for _, (_, process) in done}
    assert len(processes) == count and os.getpid() not in processes


def test_results_larger_than_a_pipe_and_tasks_too_pass():
    with workers(2, lambda content: content[::-1]) as pool:
        task = os.urandom(3_000_000)
        results = [result for _, result in pool.each(5 * [task])]

    assert results == 5 * [task[::-1]]


def test_tasks_are_taken_a_few_ahead_and_no_more():
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with workers(2, abs) as pool:
        results = pool.each(tasks())
        for _ in range(5):
            next(results)
        assert len(taken) <= 5 + AHEAD * 2


def test_a_pool_does_one_list_after_another():
    with workers(2, abs) as pool:
        assert [list(pool.each([n, -n])) for n in (1, 2)] == [[(1, 1), (-1, 1)], [(2, 2), (-2, 2)]]


def test_once_it_is_stopped_no_task_is_started_and_those_that_were_are_finished():
    started: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            started.append(number)
            yield number

    with workers(2, abs) as pool:
        done = [task for task, _ in pool.each(tasks(), stop=lambda: len(started) == 5)]

    assert done == started == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [UserError("a.png: empty"), RunFailed("diverged")])
def test_a_message_for_the_user_arrives_as_it_is(error: Exception):
    def fail(task: int) -> None:
        raise error

    with workers(1, fail) as pool, pytest.raises(type(error), match=f"^{error}$"):
        list(pool.each([1]))


def test_a_defect_arrives_with_its_trace():
    with workers(1, lambda number: 1 // number) as pool, pytest.raises(RuntimeError) as failed:
        list(pool.each([0]))

    assert "ZeroDivisionError" in str(failed.value) and "test_workers.py" in str(failed.value)


def test_a_worker_without_memory_says_so():
    def fail(task: int) -> None:
        raise MemoryError

    with workers(1, fail) as pool, pytest.raises(RunFailed, match="no memory is left"):
        list(pool.each([1]))


@pytest.mark.parametrize(
    ("end", "ending"),
    [
        (lambda _: os.kill(os.getpid(), signal.SIGKILL),
         "was killed, perhaps because memory ran out"),
        (lambda _: os.kill(os.getpid(), signal.SIGVTALRM), "was killed by SIGVTALRM"),
        (lambda _: os._exit(3), "died with exit status 3"),
    ],
)  # fmt: skip
def test_a_worker_that_ends_is_noticed_and_named(end: Callable[[Any], None], ending: str):
    start = time.monotonic()
    with workers(2, end) as pool, pytest.raises(WorkerLost) as lost:
        list(pool.each([1, 2]))

    assert str(lost.value) == f"a worker process {ending}: use fewer"
    assert time.monotonic() - start < 5


def test_a_worker_that_died_idle_is_noticed_at_its_next_task():
    with workers(1, abs) as pool:
        os.kill(pool.workers[0].process, signal.SIGKILL)
        with pytest.raises(WorkerLost):
            list(pool.each(range(3)))


def test_workers_ignore_the_signals_that_their_parent_handles():
    def survive(number: int) -> int:
        os.kill(os.getpid(), number)
        return number

    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP]
    with workers(1, survive) as pool:
        assert [result for _, result in pool.each(numbers)] == numbers


def test_processes_that_the_system_refuses_are_named(monkeypatch: pytest.MonkeyPatch):
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(WorkerLost) as lost:
        workers(4, abs).__enter__()

    assert str(lost.value) == (
        "4 worker processes cannot be started: Resource temporarily unavailable; use fewer"
    )


def test_whoever_waits_may_leave():
    def slices() -> Iterator[float]:
        yield 0.01
        raise UserError("enough")

    with workers(1, time.sleep) as pool, pytest.raises(UserError, match="enough"):
        list(pool.each([60], slices=slices))


def test_workers_end_with_a_parent_that_is_killed():
    code = """\
        import os, signal, sys, time
        sys.modules["torch"] = type("Torch", (), {"set_num_threads": staticmethod(abs)})
        from transferlab.data.workers import Workers
        with Workers(2, time.sleep, advice="") as first, Workers(2, abs, advice="") as second:
            list(second.each([1]))
            print(*(w.process for pool in (first, second) for w in pool.workers), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    left = [int(word) for word in done.stdout.split()]

    assert done.returncode == -signal.SIGKILL and len(left) == 4
    deadline = time.monotonic() + 30
    while any(map(running, left)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
