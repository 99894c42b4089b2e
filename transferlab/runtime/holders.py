"""The record of who holds a lock: made in one step, kept alive by a heartbeat, taken from the dead.

The operating system's locks may be missing on a disk, or count on one node only. The record counts
wherever a file is created exclusively (O_EXCL: every local disk, NFS from version 3, Lustre, GPFS).
Whether its holder lives is decided without comparing the clocks of two machines: on the node of the
holder by its process, elsewhere by a counter that the holder increases every BEAT_S.
"""

import contextlib
import functools
import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from transferlab.runtime import folders, reading, typed
from transferlab.runtime.typed import Between

BEAT_S = 10.0  # between two heartbeats
# Without a heartbeat a holder on another node is dead. NFS may show a file of up to 60 s ago
STALE_S = 120.0
SIZE = 512  # bytes of a record, so that a heartbeat never changes its length
PROC = Path("/proc")


@dataclass(frozen=True)
class Node:
    """A booted machine, and the process ids that are seen there; `pids` is None without /proc."""

    host: str
    boot: str
    pids: int | None


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock. `start` tells it from a later one with the same id; `locked`:
    it has the operating system's lock as well."""

    node: Node
    pid: int
    start: str | None
    token: str
    locked: bool

    def __str__(self) -> str:
        return f"process {self.pid} on {self.node.host}"


class _Fields(TypedDict):
    """The file: a `Holder` with its `Node`; `count` is there for its changes alone."""

    host: str
    boot: str
    pids: int | None
    pid: Annotated[int, Between(1, 2**31 - 1)]
    start: str | None
    token: str
    locked: bool
    count: int


@functools.cache
def this_node() -> Node:
    """The node that this process runs on, which does not change."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text("utf-8").strip()
        return Node(socket.gethostname(), boot, os.stat(PROC / "self/ns/pid").st_ino)
    except OSError:
        return Node(socket.gethostname(), "", None)


def this_process(*, locked: bool) -> Holder:
    pid = os.getpid()
    return Holder(this_node(), pid, _start(pid), secrets.token_hex(8), locked)


def alive(holder: Holder) -> bool | None:
    """Whether the holder's process lives; None if that cannot be seen from here."""
    node = this_node()
    if node != holder.node:
        return None
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    start = _start(holder.pid)
    if start is None or holder.start is None:
        return None
    return start == holder.start


def create(path: Path, holder: Holder) -> bool:
    """Make the record; False if there is one. Raises: OSError."""
    with folders.opened(path.parent) as folder:
        try:
            descriptor = folders.create(path.name, os.O_WRONLY, folder)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, _content(holder, 0))
        finally:
            os.close(descriptor)
    return True


def read(path: Path) -> bytes | None:
    """The record's content, which every heartbeat changes; None if there is none.

    Raises: UnsafePath if it is no regular file; OSError.
    """
    try:
        descriptor = folders.open_existing(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, SIZE)
    finally:
        os.close(descriptor)


def parse(content: bytes) -> Holder | None:
    """Whom the content names; None if it is damaged, or not yet written."""
    try:
        raw = typed.check(_Fields, reading.json_value(content))
    except ValueError:
        return None
    node = Node(raw["host"], raw["boot"], raw["pids"])
    return Holder(node, raw["pid"], raw["start"], raw["token"], raw["locked"])


def current(path: Path) -> Holder | None:
    """Whom the record names; None if it is missing, damaged or cannot be read."""
    with contextlib.suppress(OSError):
        content = read(path)
        return None if content is None else parse(content)
    return None


def remove(path: Path, content: bytes) -> None:
    """Remove the record of a dead holder, unless it has changed since it was read as `content`.

    It is moved aside and looked at again, since another node may have done the same in between and
    hold the lock by now: that record is put back. Raises: OSError.
    """
    if read(path) != content:
        return
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with folders.opened(path.parent) as folder:
        with contextlib.suppress(FileNotFoundError):
            os.rename(path.name, aside.name, src_dir_fd=folder, dst_dir_fd=folder)
            if read(aside) != content:
                # if a third has made one since, the holder of this one will notice
                with contextlib.suppress(FileExistsError):
                    os.link(aside.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            os.unlink(aside.name, dir_fd=folder)


def beat(path: Path, holder: Holder, count: int) -> bool:
    """Write the count into the holder's record; False if the record is missing or another's.

    Raises: OSError.
    """
    with folders.opened(path.parent) as folder:
        try:
            descriptor = folders.open_existing(path, os.O_RDWR, folder)
        except FileNotFoundError:
            return False
        try:  # what is written is what was looked at, even if the name is another's by now
            found = parse(os.read(descriptor, SIZE))
            if found is None or found.token != holder.token:
                return False
            os.pwrite(descriptor, _content(holder, count), 0)
        finally:
            os.close(descriptor)  # NFS sends it now
    return True


def _content(holder: Holder, count: int) -> bytes:
    fields: dict[str, Any] = asdict(holder)
    raw = fields.pop("node") | fields | {"count": count}
    return json.dumps(raw).encode().ljust(SIZE - 1) + b"\n"


def _start(pid: int) -> str | None:
    """When a process started, in ticks since the boot; "" if it has ended; None if not seen."""
    try:
        fields = (
            (PROC / str(pid) / "stat")
            .read_text("utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except OSError:
        return None
    return "" if fields[0] in "ZX" else fields[19]
