"""Locks on files: one holder at a time, and none once the holder has died.

The operating system keeps them, also between nodes that share a disk: NFS 4, GPFS, and Lustre
mounted with `flock`. There are two kinds, which do not see each other, since neither suits every
caller.
"""

import contextlib
import errno
import fcntl
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import IO

from transferlab.runtime import files, folders
from transferlab.runtime.files import IN_STORE, Advice, explained

WAIT_S = 0.5  # between two attempts


class Kind(Enum):
    """What owns a lock, and therefore when it is released.

    OPEN_FILE (`flock`): whoever has the file open. A child process that inherits the descriptor
    holds the lock as well, which is how a submission stays locked while `sbatch` outlives a killed
    `sweep`. Two threads of a process exclude each other.

    PROCESS (`lockf`, a POSIX record lock): the one process. Its children do not inherit the lock,
    so a killed training releases its run although worker processes of its loader, forked with
    every descriptor, live on for seconds. Opening and closing the file elsewhere in the process
    releases the lock, so the holder itself must not call `is_held`.
    """

    OPEN_FILE = "flock"
    PROCESS = "lockf"


@contextlib.contextmanager
def held(
    path: Path,
    on_wait: Callable[[], object],
    *,
    kind: Kind = Kind.OPEN_FILE,
    advice: Advice = IN_STORE,
) -> Iterator[IO[bytes]]:
    """Hold the lock on a file, which is made if it is missing, as is its folder; yields the file.

    If the lock is taken, calls `on_wait` once and waits. An `on_wait` that raises refuses instead.

    Raises: UserError if the file cannot be opened.
    """
    with explained(path.parent, advice):
        folders.make(path.parent)
        file = files.open_append(path)
    with file:  # closing it releases the lock, unless a child has inherited it
        if not _acquire(file, kind, fcntl.LOCK_EX):
            on_wait()
            while not _acquire(file, kind, fcntl.LOCK_EX):
                time.sleep(WAIT_S)
        yield file


def is_held(path: Path, *, kind: Kind = Kind.OPEN_FILE) -> bool:
    """Whether somebody holds the lock on a file.

    False if the file does not exist, or is on a disk without locks, as a copied store may be.
    """
    try:
        with path.open("rb") as file:
            return not _acquire(file, kind, fcntl.LOCK_SH)
    except OSError:
        return False


def _acquire(file: IO[bytes], kind: Kind, operation: int) -> bool:
    lock = fcntl.flock if kind is Kind.OPEN_FILE else fcntl.lockf
    try:
        lock(file, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True
