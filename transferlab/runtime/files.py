"""Everything that is written to a disk: atomically, through no planted link, shared as its folder.

A reader sees the old file or the new one, never a part of it. Stores and caches may be shared with
others, so a file of ours is never opened through a link that somebody else may have made; and what
is made in a folder that its group may write is made for that group, whatever the umask, as git's
`core.sharedRepository` does. `runtime.folders` makes and opens folders by the same two rules. The
remedy for a disk error depends on the caller: see `Advice`.
"""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from transferlab.errors import UserError
from transferlab.runtime import commands, folders
from transferlab.runtime.folders import UnsafePath

FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM)


def replace(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file under another name in the same folder, flush it to disk, and rename it.

    A reader sees the old file or the new one, complete, also if the writer is killed, which leaves
    `.NAME.TOKEN` behind. A file or link of another user that has the name is replaced.

    Raises: OSError if the disk is full or the folder cannot be written.
    """
    temporary = f".{path.name}.{secrets.token_hex(8)}"
    with folders.opened(path.parent) as folder:

        def create(name: str, _flags: int) -> int:
            return folders.create(name, os.O_WRONLY, folder)

        try:
            with open(temporary, "wb", opener=create) as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)


def probe(folder: Path) -> None:
    """Make a file in the folder and delete it. Raises: OSError if it cannot be written."""
    with folders.opened(folder) as descriptor:
        name = f".probe.{secrets.token_hex(8)}"
        os.close(folders.create(name, os.O_WRONLY, descriptor))
        os.unlink(name, dir_fd=descriptor)


def open_append(path: Path) -> IO[bytes]:
    """A file that grows, such as a log: opened to read it and to append; made if it is missing.

    Raises: OSError; UnsafePath if the name is a link, or not that of one regular file.
    """
    return _open(path, "a+b", os.O_APPEND)


def open_update(path: Path) -> IO[bytes]:
    """A file that is written in place, such as images: opened to read and to write at any position;
    made if it is missing, and never cut. Raises: as `open_append`.
    """
    return _open(path, "r+b", 0)


def _open(path: Path, mode: str, flags: int) -> IO[bytes]:
    def opener(_name: str, _flags: int) -> int:
        with folders.opened(path.parent) as folder:
            try:
                return folders.create(path.name, os.O_RDWR | flags, folder)
            except FileExistsError:
                descriptor = folders.open_existing(path, os.O_RDWR | flags, folder)
                folders.share(descriptor, folder)  # SLURM made the log of a job, for one
                return descriptor

    return open(path, mode, opener=opener)


@dataclass(frozen=True)
class Advice:
    """What to do if the disk is `full`, and if it is `refused` for any other reason."""

    full: str
    refused: str


IN_STORE = Advice(
    full="make room, then run the command again: it resumes from the last checkpoint",
    refused=f"choose a store that can be written, with {commands.setting('runtime.store', 'DIR')}",
)


@contextlib.contextmanager
def explained(path: Path, advice: Advice = IN_STORE) -> Iterator[None]:
    """Turns an error of the operating system in writing `path` into a message with advice.

    Raises: UserError.
    """
    try:
        yield
    except UnsafePath as error:
        raise UserError(str(error)) from error
    except OSError as error:
        remedy = advice.full if error.errno in FULL else advice.refused
        if error.errno in DENIED and (owner := folders.foreign(path)) is not None:
            remedy = f"{owner}, or {remedy}"
        raise UserError(f"{path} cannot be written: {error.strerror}; {remedy}") from error


def make_folder(folder: Path, advice: Advice = IN_STORE) -> None:
    """Make a folder and its parents as `folders.make` does. Raises: UserError."""
    with explained(folder, advice):
        folders.make(folder)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk: files created, renamed and deleted."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The digest of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, fill: Callable[[IO[bytes]], object], advice: Advice = IN_STORE) -> None:
    """Write a file atomically, as `replace` does.

    Raises: UserError if the disk is full or the folder cannot be written.
    """
    with explained(path, advice):
        replace(path, fill)


def write_json(path: Path, value: dict[str, Any], advice: Advice = IN_STORE) -> None:
    """Write a record atomically. Raises: UserError as `write` does."""
    text = json.dumps(value, indent=1, allow_nan=False)
    write(path, lambda file: file.write(text.encode() + b"\n"), advice)


def now() -> str:
    """The current time in the format of records, with the time zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
