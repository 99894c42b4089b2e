"""Reads what others may have written: regular files of a limited size, and strict JSON.

A file can be missing, damaged or unreadable, which are three answers: "permission denied" and a
disk that fails never count as missing. No link is followed in the last part of a path and nothing
is waited for, so a link, a FIFO, a device or a folder in place of a file is damage.
"""

import errno
import json
import os
import reprlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from transferlab.errors import UserError
from transferlab.runtime import folders

MISSING = (errno.ENOENT, errno.ENOTDIR)
REFUSED = (errno.EACCES, errno.EPERM)
NO_FILE = (errno.ELOOP, errno.ENXIO)  # of `open`: a link, and a socket
INTEGERS = range(-(2**63), 2**64)  # of JSON: what 64 bits hold
MEGABYTE = 1_000_000
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Damaged(UserError):
    """A file that holds something else than it should; the message says what to do."""


class Unreadable(UserError):
    """A file or folder that may exist and that cannot be read."""


@dataclass(frozen=True)
class FileContent:
    """The bytes of a file, and the user id of its owner."""

    data: bytes
    owner: int


def read(path: Path | str, *, limit: int, remedy: str = "delete it") -> FileContent | None:
    """The content of a regular file; None if it is missing.

    `remedy` is what to do with a damaged one.

    Raises: Damaged if it is no regular file, or larger than `limit` bytes; Unreadable.
    """
    try:
        descriptor = os.open(path, FLAGS)
    except OSError as error:
        if error.errno in MISSING:
            return None
        if error.errno in NO_FILE:
            raise Damaged(f"{path} is damaged (not a regular file): {remedy}") from error
        raise unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(f"{path} is damaged (not a regular file): {remedy}")
        if status.st_size > limit:
            reason = f"{status.st_size:,} bytes, at most {limit:,} are read"
            raise Damaged(f"{path} is damaged ({reason}): {remedy}")
        return FileContent(_all(descriptor, status.st_size), status.st_uid)
    except OSError as error:
        raise unreadable(path, error) from error
    finally:
        os.close(descriptor)


def json_value(data: bytes) -> Any:
    """The value of a JSON text. Raises: ValueError, also for `NaN` and `Infinity`, an integer of
    more than 64 bits, and for brackets nested too deeply. A number such as 1e999 is infinite."""
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None


def shown(value: object) -> str:
    """A value of a file for a message, shortened."""
    return reprlib.repr(value)


def exists(path: Path | str) -> bool:
    """Whether there is anything of that name. Raises: Unreadable if that cannot be determined."""
    try:
        os.stat(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in MISSING:
            return False
        raise unreadable(path, error) from error
    return True


def is_folder(path: Path | str) -> bool:
    """Whether it is a folder, or a link to one. Raises: Unreadable."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        if error.errno in (*MISSING, errno.ELOOP):
            return False
        raise unreadable(path, error) from error


def names(folder: Path | str) -> list[str]:
    """The names in a folder, sorted; none if it is missing. Raises: Unreadable."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []
        raise unreadable(folder, error) from error


def unreadable(path: Path | str, error: OSError) -> Unreadable:
    """The error for a path that the operating system does not let this user read."""
    if error.errno in REFUSED:
        remedy = f"ask {_owner(path)} for permission to read it"
    elif error.errno == errno.ENOTDIR:
        remedy = "name a folder"
    else:
        remedy = "check the disk, then run the command again"
    return Unreadable(f"{path} cannot be read: {error.strerror}; {remedy}")


def _owner(path: Path | str) -> str:
    """Who can give access: the owner of the nearest part of the path that can be looked at."""
    for part in (Path(path), *Path(path).absolute().parents):
        try:
            return f"its owner {folders.user(os.stat(part).st_uid)}"
        except OSError:
            continue
    return "its owner"


def _all(descriptor: int, size: int) -> bytes:
    parts = []
    while part := os.read(descriptor, size + 1):
        parts.append(part)
        size = max(size - len(part), 0)
    return b"".join(parts)


# --- JSON ---------------------------------------------------------------------------------------


def _integer(text: str) -> int:
    number = int(text) if len(text) <= len(str(INTEGERS.stop)) else INTEGERS.stop
    if number not in INTEGERS:
        raise ValueError(f"an integer of {len(text)} digits is beyond 64 bits")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_no_constant)
