"""Files that are on the disk when they are said to be, and what to do if they cannot be written."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from transferlab import disk


def explained(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turns the operating system's refusal to write `path` into a message that says what to do."""
    return disk.explained(
        path,
        full="make room, then give the same command: it goes on from there",
        refused="choose another place with --out DIR",
    )


def write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file, whole or not at all, and to the disk. Raises: UserError."""
    with explained(path):
        disk.replace(path, fill)


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
