"""Paths as users write them, on machines that may have no home directory.

A container may run under a user id without an entry in the list of users, and with HOME unset.
"""

import functools
import logging
import os
import pwd
import tempfile
from pathlib import Path

from transferlab.errors import UserError
from transferlab.runtime import environment, folders

log = logging.getLogger(__name__)
NAME = "transferlab"


def home(user: str = "") -> Path | None:
    """A user's home directory, by default that of this process: HOME, or the list of users'."""
    if not user and (set_by_hand := environment.value("HOME")):
        return Path(set_by_hand)
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError:
        return None
    return Path(entry.pw_dir)


def expand(path: str | Path) -> Path:
    """The path with a leading `~` or `~NAME` replaced by the home directory.

    Raises: UserError if there is none, or the path is not UTF-8.
    """
    require_text(path)
    head, _, rest = str(path).partition("/")
    if not head.startswith("~"):
        return Path(path)
    if (folder := home(head[1:])) is None:
        raise UserError(
            f"{path}: {head} is unknown, since "
            + (f"there is no user {head[1:]}" if head[1:] else "HOME is not set")
            + f": write the path out, or ./{path} for a folder of that name"
        )
    return folder / rest


def absolute(path: str | Path) -> Path:
    """The path, expanded, from the root on. Raises: UserError as `expand` does."""
    folder = expand(path).absolute()
    require_text(folder)  # the working directory may have any name
    return folder


def require_text(path: str | Path) -> None:
    """Raises: UserError if a path is not UTF-8: records and tables, which are, cannot hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path} is not UTF-8: rename the file or folder, or use a link of another name"
        ) from error


def cache(setting: str | None) -> Path:
    """The folder for caches: `runtime.cache`, or the default.

    That is `transferlab` in XDG_CACHE_HOME or in `~/.cache`, and without a home a folder of this
    user's own among the temporary files.

    Raises: UserError if that is another user's.
    """
    if setting:
        return expand(setting)
    base = environment.value("XDG_CACHE_HOME")
    if base is not None and os.path.isabs(base):  # the specification ignores any other
        return Path(base) / NAME
    if (folder := home()) is not None:
        return folder / ".cache" / NAME
    return _without_home()


@functools.cache
def _without_home() -> Path:
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"
    try:
        folders.private(folder)
    except OSError as error:
        raise UserError(
            f"there is no home directory, and {folder} cannot hold the cache ({error}): "
            "set HOME or TRANSFERLAB_CACHE"
        ) from error
    log.warning("no home directory: the cache is %s; set HOME or TRANSFERLAB_CACHE", folder)
    return folder
