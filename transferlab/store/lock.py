"""The owner of a run: one process at a time, and the progress that it reports."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from transferlab.experiment.run import Run
from transferlab.runtime import locks, reading
from transferlab.runtime.files import now, write_json
from transferlab.runtime.reading import Unreadable
from transferlab.store import schemas
from transferlab.store.reader import peek


def is_owned(run: Run) -> bool:
    """Whether another process holds the run, on this node or, if the disk is shared, on any."""
    return locks.is_held(run.lock_file, kind=locks.Kind.PROCESS)


@contextlib.contextmanager
def owned(run: Run, on_wait: Callable[[str], None], *, group: str | None = None) -> Iterator[None]:
    """Hold the run against every other process, waiting for one that holds it already.

    Makes the run's folder. `on_wait` is called once, with the owner. `owner.json` is for people and
    `status`, and tells the processes of `group` that they own the run.
    """

    def wait() -> None:
        on_wait(_describe_owner(run))

    with locks.held(run.lock_file, wait, kind=locks.Kind.PROCESS):
        try:
            write_json(run.owner_file, {**_owner(), "group": group})
            yield
        finally:
            run.owner_file.unlink(missing_ok=True)


def wait_for(runs: Iterable[Run], group: str) -> None:
    """Wait until each of the runs is finished, or held by a process of the group."""
    for run in runs:
        while not reading.exists(run.result_file) and _owner_of(run).get("group") != group:
            time.sleep(locks.WAIT_S)


def report_progress(run: Run, *, step: int, total_steps: int, left_s: float | None) -> None:
    """Record in `owner.json` which process trains the run, its progress, and the current time.

    `left_s` is the time left, in s; None if it is unknown.
    """
    progress = {"step": step, "total_steps": total_steps, "left_s": left_s}
    write_json(run.owner_file, {**_owner(), **progress})


def _owner() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": now()}


def _owner_of(run: Run) -> dict[str, Any]:
    return peek(run.owner_file, schemas.OWNER)


def _describe_owner(run: Run) -> str:
    try:
        owner = _owner_of(run)
    except Unreadable:
        owner = {}
    if not owner:
        return "another process"
    return f"process {owner['pid']} on {owner['host']}"
