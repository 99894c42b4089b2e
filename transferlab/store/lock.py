"""Who holds a run: one process at a time, and what it says of its progress."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from transferlab.runtime.files import explained, now, peek, write_json
from transferlab.store.runs import Run, make_folder

WAIT_S = 0.5


def is_owned(run: Run) -> bool:
    """Whether a process holds the run now, here or, where the disk is shared, elsewhere."""
    try:
        with run.lock.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_UN)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return True
        raise
    return False


@contextlib.contextmanager
def owned(run: Run, on_wait: Callable[[str], None], *, group: str | None = None) -> Iterator[None]:
    """Hold the run against every other process, waiting for one that holds it already.

    Makes the run's folder.

    The lock is the operating system's (POSIX, also over NFS), so it goes with a process that
    dies. `on_wait` is told once who is being waited for. `owner.json` is for people and `status`,
    and tells the processes of `group` that the run is theirs.
    """
    make_folder(run)
    with explained(run.folder):
        file = run.lock.open("a+b")
    with file:
        waiting = False
        while not _try_lock(file):
            if not waiting:
                on_wait(_owner_words(run))
                waiting = True
            time.sleep(WAIT_S)
        try:
            write_json(run.owner, {**_owner(), "group": group})
            yield
        finally:
            run.owner.unlink(missing_ok=True)
            fcntl.lockf(file, fcntl.LOCK_UN)


def wait_for(runs: Iterable[Run], group: str) -> None:
    """Until each of the runs is finished, or held by a process of the group."""
    for run in runs:
        while not run.result.exists() and peek(run.owner).get("group") != group:
            time.sleep(WAIT_S)


def report_progress(run: Run, *, step: int, total_steps: int, left_s: float | None) -> None:
    """Note in `owner.json` who trains the run, how far it is, and when this was written.

    `left_s` is the time left, in s, None while nobody can say.
    """
    progress = {"step": step, "total_steps": total_steps, "left_s": left_s}
    write_json(run.owner, {**_owner(), **progress})


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _owner() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": now()}


def _owner_words(run: Run) -> str:
    owner = peek(run.owner)
    if "pid" not in owner or "host" not in owner:
        return "another process"
    return f"process {owner['pid']} on {owner['host']}"
