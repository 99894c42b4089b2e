"""Folders that others may write as well: opened through no planted link, made for their group.

A store or a cache may belong to a group, and any of its members may replace what lies there by a
link. The path of a folder is therefore walked name by name, and a link is followed only if nobody
else can have made it: the same test as the kernel's `protected_symlinks`, for every folder that
others may write and not only for sticky ones.
"""

import contextlib
import errno
import os
import pwd
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from transferlab.runtime import commands

OTHERS = stat.S_IWGRP | stat.S_IWOTH
LINKS = 40  # that are followed on one path, as in Linux
# To stand in a folder needs no permission to list it; with O_DIRECTORY a disk is mounted on demand
_STAND = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class UnsafePath(OSError):
    """A name at which somebody else may have planted a link; the message says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.strerror = message


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A descriptor of the folder, for the `dir_fd` of a call, not to list it.

    Raises: UnsafePath for a link on its path that somebody else may have planted; OSError.
    """
    descriptor = _walk(folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make(folder: Path) -> None:
    """Make a folder and its missing parents, each shared as the one that it is made in.

    Raises: OSError; UnsafePath as `opened` does.
    """
    try:
        os.close(_walk(folder))
        return
    except FileNotFoundError:
        if folder.name:
            make(folder.parent)
    with opened(folder.parent) as parent:
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.mkdir(folder.name, dir_fd=parent)
        descriptor = os.open(
            folder.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent
        )
        try:
            share(descriptor, parent)
        finally:
            os.close(descriptor)


def create(name: str, flags: int, folder: int) -> int:
    """A new file in an open folder, shared as that, by its descriptor.

    Raises: FileExistsError if the name exists, also as a link to nothing; OSError.
    """
    flags |= os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o666, dir_fd=folder)
    share(descriptor, folder)
    return descriptor


def open_existing(path: Path, flags: int, folder: int | None = None) -> int:
    """The descriptor of a regular file in an open folder, which has no other name if it is to be
    written. Raises: UnsafePath if it is a link or anything else; OSError.
    """
    name = str(path) if folder is None else path.name
    try:  # O_NONBLOCK: a FIFO of that name would be waited for
        descriptor = os.open(
            name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
        )
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            link = f"{path} is a symbolic link, which is not followed: delete it"
            raise UnsafePath(link) from None
        raise
    status = os.fstat(descriptor)
    writes = flags & (os.O_WRONLY | os.O_RDWR)
    if stat.S_ISREG(status.st_mode) and not (writes and status.st_nlink > 1):
        return descriptor
    os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise UnsafePath(f"{path} is not a regular file: delete it")
    raise UnsafePath(
        f"{path} has {status.st_nlink} names (hard links), and all of them would be written: "
        "put a copy in its place"
    )


def share(descriptor: int, folder: int) -> None:
    """Let the group of a folder write what this user made in it, if it may write the folder.

    Nobody else gains anything: a file that cannot be given to that group stays as it is. In a
    sticky folder such as `/tmp` everybody keeps what is his own.
    """
    parent, own = os.fstat(folder), os.fstat(descriptor)
    if not parent.st_mode & stat.S_IWGRP or parent.st_mode & stat.S_ISVTX:
        return
    more = 0o2070 if stat.S_ISDIR(own.st_mode) else 0o060
    if own.st_uid != os.geteuid() or (own.st_mode & more == more and own.st_gid == parent.st_gid):
        return
    with contextlib.suppress(OSError):  # a group in which this user is not; a disk without modes
        if own.st_gid != parent.st_gid:
            os.chown(descriptor, -1, parent.st_gid)
        os.chmod(descriptor, stat.S_IMODE(own.st_mode) | more)


def private(folder: Path) -> Path:
    """The folder, made if it is missing: nobody else can write it, nor put another in its place.

    For what is executed or trusted unread, such as compiled code.

    Raises: UnsafePath if it is a link, or others can write it or a folder above it; OSError.
    """
    make(folder.parent)
    above = Path(os.path.realpath(folder.parent))
    for each in (above, *above.parents):
        mode = each.stat().st_mode
        if mode & OTHERS and not mode & stat.S_ISVTX:
            raise UnsafePath(f"others can write {each}, and so replace {folder}")
    with opened(folder.parent) as parent:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder.name, 0o700, dir_fd=parent)
        status = os.stat(folder.name, dir_fd=parent, follow_symlinks=False)
    own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not own or status.st_mode & OTHERS:
        raise UnsafePath(f"{folder} is not a folder that only you can write: delete it")
    return folder


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` whose name nobody can guess, deleted at the end of the block.

    For programs that write by names of their own: what is finished is renamed into its place.

    Raises: OSError; UnsafePath as `opened` does.
    """
    folder = parent / f".scratch.{secrets.token_hex(8)}"
    make(parent)
    with opened(parent) as descriptor:
        os.mkdir(folder.name, 0o700, dir_fd=descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def share_tree(folder: Path) -> None:
    """Share what another program has made, a folder and all below it, as `share` does; in place.

    Follows no link, and leaves alone what another user made. Raises: OSError.
    """
    with opened(folder.parent) as parent:
        _share_by_name(folder.name, parent)
    for _, names, others, descriptor in os.fwalk(folder):
        for name in (*names, *others):
            _share_by_name(name, descriptor)


def foreign(path: Path) -> str | None:
    """Whose the file or folder is that cannot be written, and what its owner can do about it.

    None if it is not another user's.
    """
    try:
        folder = next(p for p in path.absolute().parents if os.path.lexists(p))
        nearest = path if os.path.lexists(path) and os.access(folder, os.W_OK) else folder
        status = nearest.stat()
    except (OSError, StopIteration):
        return None
    if status.st_uid == os.geteuid():
        return None
    command = commands.line(str(nearest), program="chmod -R g+w")
    return (
        f"{nearest} belongs to {user(status.st_uid)} (mode {stat.S_IMODE(status.st_mode):o}), who "
        f"can share it with the group: {command}, and umask 002 from then on"
    )


def user(number: int) -> str:
    """A user's name, or number if it has no name here."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _share_by_name(name: str, folder: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.suppress(OSError):  # a link, or deleted since
        descriptor = os.open(name, flags, dir_fd=folder)
        try:
            share(descriptor, folder)
        finally:
            os.close(descriptor)


def _walk(folder: Path) -> int:
    """The descriptor of a folder that is reached through trusted links only."""
    if not hasattr(os, "O_PATH"):  # macOS, where a link cannot be opened and then read
        return os.open(folder, _STAND)
    names, links = list(reversed(folder.absolute().parts)), 0
    position = os.open("/", _STAND)
    try:
        while names:
            name = names.pop()
            try:
                step = os.open(name, _STAND | os.O_NOFOLLOW, dir_fd=position)
            except OSError as error:
                links += 1
                target = _target(name, position) if links <= LINKS else None
                if target is None:
                    error.filename = str(folder)
                    raise
                names += reversed(Path(target).parts)
                continue
            os.close(position)
            position = step
    except BaseException:
        os.close(position)
        raise
    return position


def _target(name: str, folder: int) -> str | None:
    """What a link in an open folder points to; None if the name is not a link.

    Raises: UnsafePath if somebody else may have made it.
    """
    try:
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        link = os.fstat(descriptor)
        if not stat.S_ISLNK(link.st_mode):
            return None
        target = os.readlink("", dir_fd=descriptor)
    finally:
        os.close(descriptor)
    if link.st_uid in (0, os.geteuid()) or not os.fstat(folder).st_mode & OTHERS:
        return target
    link_path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
    raise UnsafePath(
        f"{link_path} is a link to {target} that {user(link.st_uid)} made in a folder which others "
        "can write, and is not followed: name its target, or put a folder in its place"
    )
