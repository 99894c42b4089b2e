"""Files that are whole or not there, and what to say where the disk refuses them.

What to do about a refusal depends on who writes: `store` and `preparing` say it in their own words.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from transferlab.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)


def replace(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a name of its own in the same folder, flush it to disk, and rename it.

    A reader, or a process killed at any moment, sees the old file or the new one, whole.

    Raises: OSError if the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(path: Path, *, full: str, refused: str) -> Iterator[None]:
    """Turns the operating system's refusal to write `path` into a message that says what to do.

    `full` is the advice for a disk that is full, `refused` for all else. Raises: UserError.
    """
    try:
        yield
    except OSError as error:
        advice = full if error.errno in FULL else refused
        raise UserError(f"{path} cannot be written: {error.strerror}; {advice}") from error
