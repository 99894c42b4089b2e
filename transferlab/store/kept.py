"""What a command has read of a store, kept in the user's own cache for the next one.

A file for each store and kind, of this user only: it begins with the digest of the rest. What it
says of a record holds as long as the record's file has the same `stamp`.
"""

import hashlib
import json
import logging
import os
from pathlib import Path

from transferlab import __version__
from transferlab.errors import UserError
from transferlab.experiment.run import RESULT, Run
from transferlab.runtime import environment, files, paths, reading
from transferlab.runtime.reading import MEGABYTE, MISSING, unreadable
from transferlab.store import records

log = logging.getLogger(__name__)
CACHE = "TRANSFERLAB_CACHE"
LIMIT = 4096 * MEGABYTE
DIGEST = 32  # bytes of a sha256
FINISHED = f"finished {__version__} 1"  # the number is increased when records are checked anew
Stamp = tuple[int, int, int, int]


def stamp(path: str) -> Stamp | None:
    """What differs once a file was written, replaced or restored; None if it is missing. Of these
    the time of its last change of state (ctime) cannot be set by anybody. Raises: Unreadable."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in MISSING:
            return None
        raise unreadable(path, error) from error
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def load(store: Path, kind: str) -> bytes | None:
    """What this user saved last of that kind; None if that is nothing, or was changed since."""
    try:
        content = reading.read(_file(store, kind), limit=LIMIT)
    except UserError:
        return None
    if content is None or content.owner != os.geteuid():
        return None  # another user's could be anything
    digest, rest = content.data[:DIGEST], content.data[DIGEST:]
    return rest if hashlib.sha256(rest).digest() == digest else None


def save(store: Path, kind: str, content: bytes) -> None:
    """Replace what is kept of that kind, if the cache can be written."""
    try:
        path = _file(store, kind)
        files.make_folder(path.parent)
        files.write(path, lambda file: file.write(hashlib.sha256(content).digest() + content))
    except UserError as error:
        log.debug("%s of %s is not kept: %s", kind, store, error)


def folder() -> Path:
    """The folder of these files. Raises: UserError if the cache is another user's."""
    return paths.cache(environment.value(CACHE)) / "records"


def _file(store: Path, kind: str) -> Path:
    name = hashlib.sha256(f"{os.path.realpath(store)}\n{kind}".encode()).hexdigest()
    return folder() / f"{os.geteuid()}-{name}"


class FinishedRuns:
    """Which runs of a store are finished. A record is read and checked once, until its file
    changes; one that cannot be used is read, and reported, each time."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._before = self._kept()
        self._now: dict[str, Stamp] = {}  # folder -> the stamp of a record that was sound

    def has(self, run: Run) -> bool:
        """Whether the run, which is of this store, is finished. Raises: Damaged, Unreadable."""
        name = run.folder_name
        now = stamp(f"{self._store}/{name}/{RESULT}")
        if now is None:
            return False
        if self._before.get(name) != now and records.read_result(run) is None:
            return False  # it was deleted meanwhile
        self._now[name] = now
        return True

    def keep(self) -> None:
        """Keep what was read for the next command."""
        if self._now.items() - self._before.items():
            save(self._store, FINISHED, json.dumps({**self._before, **self._now}).encode())

    def _kept(self) -> dict[str, Stamp]:
        content = load(self._store, FINISHED)
        if content is None:
            return {}
        return {name: tuple(known) for name, known in json.loads(content).items()}
