"""Locks on files: one holder at a time, on any file system, and none once the holder has died.

A lock is two things. The operating system's lock excludes at once and is released when its holder
dies, but some file systems have none (ENOSYS, ENOLCK), and on others it counts on one node only. A
record beside the file (`holders`) excludes everywhere, and its heartbeat shows other nodes that the
holder lives. A holder that was suspended for long finds that its record is another's, and stops.

PyPI's filelock 4.3 was measured against it. Its `SoftFileLease` is alike: a record with a
heartbeat, and on its own node a look at the process; to take and release one costs half as much,
1 ms here. But it has no lock of the system beside it, which a child can inherit (OPEN_FILE below)
and which counts between containers; its files are not shared with a group; it cannot move with its
folder. Its `FileLock`, at a third, does without the system's lock on ENOSYS alone, and excludes no
other node where that does not. A killed holder of this node is noticed at once by all three.
"""

import contextlib
import errno
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import IO

from transferlab.errors import Interrupted
from transferlab.runtime import files, folders, holders
from transferlab.runtime.files import IN_STORE, Advice, explained
from transferlab.runtime.holders import Holder

log = logging.getLogger(__name__)
WAIT_S = 0.5  # between two attempts
TAKEN = (errno.EACCES, errno.EAGAIN)
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


class Kind(Enum):
    """What owns the operating system's lock, and therefore when it is released.

    OPEN_FILE (`flock`): whoever has the file open. A child process that inherits the descriptor
    holds the lock as well, which is how a submission stays locked while `sbatch` outlives a killed
    `sweep`. Two threads of a process exclude each other.

    PROCESS (`lockf`, a POSIX record lock): the one process. Its children do not inherit the lock,
    so a killed training releases its run although worker processes of its loader, forked with
    every descriptor, live on for seconds.
    """

    OPEN_FILE = "flock"
    PROCESS = "lockf"


class Hold:
    """A lock that this process holds. `file` is the open file, for a child to inherit."""

    def __init__(self, path: Path, file: IO[bytes], holder: Holder) -> None:
        self.path, self.file, self.holder = path, file, holder
        self._record, self._count = record(path), 0
        self._changing, self._released = threading.Lock(), threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    @contextlib.contextmanager
    def moving(self, path: Path) -> Iterator[None]:
        """For the block that renames the folder of the lock: its file will be `path`."""
        with self._changing:
            yield
            self.path, self._record = path, record(path)

    def release(self) -> None:
        """Delete the record, unless another holds the lock by now."""
        with self._changing:
            self._released.set()
            found = holders.current(self._record)
            if found is not None and found.token == self.holder.token:
                with contextlib.suppress(OSError):
                    self._record.unlink()

    def _beat(self) -> None:
        while not self._released.wait(holders.BEAT_S):
            if not self._is_own() and not self._released.wait(WAIT_S) and not self._is_own():
                self._stop()

    def _is_own(self) -> bool:
        """Send a heartbeat; False if the record is missing or another's."""
        with self._changing:
            self._count += 1
            try:
                return self._released.is_set() or holders.beat(
                    self._record, self.holder, self._count
                )
            except OSError:  # a disk may not answer for a while: whose it is shows when it does
                return True

    def _stop(self) -> None:
        """End this process immediately, as if it were killed: it must not write any more."""
        other = holders.current(self._record)
        log.error(
            "%s is no longer held by this process: %s; this process was suspended for longer than "
            "%.0f s, or its record was deleted; it stops without writing anything",
            *(self.path, f"{other} took it over" if other else "its record is gone"),
            holders.STALE_S,
        )
        os._exit(Interrupted.exit_code)


@contextlib.contextmanager
def held(
    path: Path,
    on_wait: Callable[[], object],
    *,
    kind: Kind = Kind.OPEN_FILE,
    advice: Advice = IN_STORE,
) -> Iterator[Hold]:
    """Hold the lock on a file, which is made if it is missing, as is its folder.

    If a living process holds it, calls `on_wait` once and waits. An `on_wait` that raises refuses
    instead. A holder on another node that has sent no heartbeat for STALE_S is dead.

    Raises: UserError if the file or its record cannot be made.
    """
    with explained(path.parent, advice):
        folders.make(path.parent)
        file = files.open_append(path)
    with file:  # closing it releases the system's lock, unless a child has inherited it
        attempt = _Attempt(path, file, kind)
        waits = False
        with explained(record(path), advice):
            while (holder := attempt.take()) is None:
                if attempt.seen_alive and not waits:
                    waits = True
                    on_wait()
                time.sleep(WAIT_S)
        hold = Hold(path, file, holder)
        _own.add(holder.token)
        try:
            yield hold
        finally:
            _own.discard(holder.token)
            hold.release()


def is_held(path: Path, *, kind: Kind = Kind.OPEN_FILE) -> bool:
    """Whether somebody holds the lock on a file; of a process on another node its record says so.

    One look at the folder if nobody does. Never raises OSError.
    """
    try:
        content = holders.read(record(path))
    except NotADirectoryError:
        return False
    except OSError:  # there is a record that cannot be read
        return True
    if content is None:
        return False
    holder = holders.parse(content)
    if holder is None or holder.node != holders.this_node() or holder.token in _own:
        return True
    if holders.alive(holder):
        return True
    try:
        with open(folders.open_existing(path, os.O_RDONLY), "rb") as file:
            return _system_lock(file, kind, fcntl.LOCK_SH) is False
    except OSError:
        return False


def describe_holder(path: Path) -> str:
    """`process 7 on n1`; `another process` if the record does not say."""
    return str(holders.current(record(path)) or "another process")


def record(path: Path) -> Path:
    """Where the holder of the lock on a file is recorded."""
    return path.with_name(f"{path.name}.holder")


_own: set[str] = set()  # the tokens of this process's locks: `lockf` would release what it asks for
_without_locks: set[int] = set()  # the devices that this was reported of


class _Attempt:
    """To take a lock, in as many tries as it needs. `seen_alive`: its holder lives."""

    def __init__(self, path: Path, file: IO[bytes], kind: Kind) -> None:
        self.path, self.file, self.kind = path, file, kind
        self.locked: bool | None = False
        self.seen_alive = False
        self._content: bytes | None = None
        self._unchanged_s, self._looked = 0.0, 0.0

    def take(self) -> Holder | None:
        """This process as the holder, None if another is or may be. Raises: OSError."""
        if self.locked is False:
            self.locked = _system_lock(self.file, self.kind, fcntl.LOCK_EX)
            if self.locked is None:
                _report_no_locks(self.path)
        if self.locked is False:
            self.seen_alive = True
            return None
        own, place = holders.this_process(locked=bool(self.locked)), record(self.path)
        while not holders.create(place, own):
            content = holders.read(place)
            if content is not None:
                if not self._is_stale(content):
                    return None
                holders.remove(place, content)
        return own

    def _is_stale(self, content: bytes) -> bool:
        """Whether the holder that wrote this is dead."""
        holder = holders.parse(content)
        living = None if holder is None else holders.alive(holder)
        if living is None and holder is not None and holder.node == holders.this_node():
            # its process cannot be seen, but it would have the lock that this one has
            living = False if self.locked and holder.locked else None
        if living is not None:
            self.seen_alive = living
            return not living
        return self._is_silent(content, holder)

    def _is_silent(self, content: bytes, holder: Holder | None) -> bool:
        """Whether the record has not changed for STALE_S, by this node's clock alone."""
        now = time.monotonic()
        if content != self._content:
            if self._content is None:
                log.info(
                    "%s is held by %s: waiting for its heartbeat, or for %.0f s without one",
                    *(self.path, holder or "a process that cannot be identified", holders.STALE_S),
                )
            else:
                self.seen_alive = True
            self._content, self._unchanged_s = content, 0.0
        else:  # a look that took long, on a disk that did not answer, counts as a short one
            self._unchanged_s += min(now - self._looked, 2 * WAIT_S)
        self._looked = now
        if self._unchanged_s < holders.STALE_S:
            return False
        log.info("%s: no heartbeat for %.0f s: taken over", self.path, holders.STALE_S)
        return True


def _report_no_locks(path: Path) -> None:
    """Log it, once for a file system."""
    device = path.stat().st_dev
    if device not in _without_locks:
        _without_locks.add(device)
        log.info("%s is on a file system without locks: heartbeats take their place", path)


def _system_lock(file: IO[bytes], kind: Kind, operation: int) -> bool | None:
    """Take the operating system's lock; False if it is taken, None if there are no locks."""
    lock = fcntl.flock if kind is Kind.OPEN_FILE else fcntl.lockf
    try:
        lock(file, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        if error.errno in UNSUPPORTED:
            return None
        raise
    return True
