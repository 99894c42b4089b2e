"""The one atomic write: a reader sees the old file or the new one, never a part of it.

The remedy for a disk error depends on the caller: see `Advice`.
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
from transferlab.runtime import commands

FULL = (errno.ENOSPC, errno.EDQUOT)


def replace(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file under another name in the same folder, flush it to disk, and rename it.

    A reader sees the old file or the new one, complete, also if the writer is killed, which leaves
    `.NAME.TOKEN` behind.

    Raises: OSError if the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:  # fails if a file or link of that name exists
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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
    except OSError as error:
        remedy = advice.full if error.errno in FULL else advice.refused
        raise UserError(f"{path} cannot be written: {error.strerror}; {remedy}") from error


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


def peek(path: Path) -> dict[str, Any]:
    """A record such as `owner.json`; empty if it is missing or damaged."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def now() -> str:
    """The current time in the format of records, with the time zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
