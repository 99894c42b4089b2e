"""Who holds a run: one process at a time, and what it says of its progress."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from transferlab.runtime import locks
from transferlab.runtime.files import now, peek, write_json
from transferlab.store.runs import Run


def is_owned(run: Run) -> bool:
    """Whether another process holds the run, on this node or, if the disk is shared, on any."""
    return locks.is_held(run.lock, kind=locks.Kind.PROCESS)


@contextlib.contextmanager
def owned(run: Run, on_wait: Callable[[str], None], *, group: str | None = None) -> Iterator[None]:
    """Hold the run against every other process, waiting for one that holds it already.

    Makes the run's folder. `on_wait` is called once, with the owner. `owner.json` is for people
    and `status`, and shows the processes of `group` that the run is theirs.
    """

    def wait() -> None:
        on_wait(_owner_words(run))

    with locks.held(run.lock, wait, kind=locks.Kind.PROCESS):
        try:
            write_json(run.owner, {**_owner(), "group": group})
            yield
        finally:
            run.owner.unlink(missing_ok=True)


def wait_for(runs: Iterable[Run], group: str) -> None:
    """Until each of the runs is finished, or held by a process of the group."""
    for run in runs:
        while not run.result.exists() and peek(run.owner).get("group") != group:
            time.sleep(locks.WAIT_S)


def report_progress(run: Run, *, step: int, total_steps: int, left_s: float | None) -> None:
    """Note in `owner.json` who trains the run, how far it is, and when this was written.

    `left_s` is the time left, in s, None while nobody can say.
    """
    progress = {"step": step, "total_steps": total_steps, "left_s": left_s}
    write_json(run.owner, {**_owner(), **progress})


def _owner() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": now()}


def _owner_words(run: Run) -> str:
    owner = peek(run.owner)
    if "pid" not in owner or "host" not in owner:
        return "another process"
    return f"process {owner['pid']} on {owner['host']}"
