"""Files that are on the disk when they are said to be, and what to do if they cannot be written."""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from transferlab.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the operating system's refusal to write `path` into a message that says what to do."""
    try:
        yield
    except OSError as error:
        advice = "choose another place with --out DIR"
        if error.errno in FULL:
            advice = "make room, then give the same command: it goes on from there"
        raise UserError(f"{path} cannot be written: {error.strerror}; {advice}") from error


def write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file, whole or not at all, and to the disk. Raises: UserError."""
    temporary = path.with_name(f".{path.name}")
    with explained(path):
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a record. Raises: UserError."""
    text = json.dumps(value, indent=1, allow_nan=False)
    write(path, lambda file: file.write(text.encode() + b"\n"))


def settle(folder: Path) -> None:
    """Have the disk keep what was made, renamed and deleted in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
