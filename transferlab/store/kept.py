"""What a command has read of a store, kept in the user's own cache for the next one.

A file for each store and kind, of this user only: it begins with the digest of the rest. What it
says of a record holds as long as the record's file has the same `stamp`.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transferlab import __version__
from transferlab.errors import UserError
from transferlab.experiment.run import RESULT, Run
from transferlab.runtime import environment, files, paths, reading
from transferlab.runtime.reading import MEGABYTE, MISSING, unreadable
from transferlab.store import records
from transferlab.store.folders import folder_names

log = logging.getLogger(__name__)
CACHE = "TRANSFERLAB_CACHE"
LIMIT = 4096 * MEGABYTE
DIGEST = 32  # bytes of a sha256
FINISHED = f"finished {__version__} 2"  # the number is increased when records are checked anew
Stamp = tuple[int, int, int, int]
Skipped = Mapping[str, str]


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


class Extracts:
    """What a command needs of the records of finished runs, as JSON. A record is read once, until
    its file changes. `folders`: the names in the store, listed once."""

    def __init__(self, store: Path, kind: str) -> None:
        """Raises: Unreadable if the store cannot be listed."""
        self.folders = folder_names(store)
        self._store, self._kind = str(store), kind
        content = load(store, kind)
        # Folder -> the stamp of its record, as a list, and what was made of it
        self._before: dict[str, list[Any]] = {} if content is None else json.loads(content)
        self._now: dict[str, list[Any]] = {}
        self._has_new = False

    def of(self, folder: str, make: Callable[[], Any]) -> Any:
        """What `make` makes of the record in that folder, now or before; None if there is none.

        Raises: as `make`, each time; Unreadable.
        """
        if folder not in self.folders:
            return None
        now = stamp(f"{self._store}/{folder}/{RESULT}")
        if now is None:
            return None
        known = self._before.get(folder)
        if known is None or known[0] != [*now]:
            made = make()
            if made is None:
                return None  # it was deleted meanwhile
            known, self._has_new = [now, made], True
        self._now[folder] = known
        return known[1]

    def keep(self) -> None:
        """Keep what was made for the next command, and nothing of folders that are gone."""
        if self._has_new:
            before = {name: known for name, known in self._before.items() if name in self.folders}
            content = json.dumps({**before, **self._now})
            save(Path(self._store), self._kind, content.encode())


class FinishedRuns:
    """Which runs of a store are finished, by records that were checked. One that cannot be used is
    read, and reported, each time. `folders`: the names in the store, listed once."""

    def __init__(self, store: Path) -> None:
        """Raises: Unreadable if the store cannot be listed."""
        self._skipped = Extracts(store, FINISHED)
        self.folders = self._skipped.folders

    def has(self, run: Run) -> bool:
        """Whether the run, which is of this store, is finished. Raises: Damaged, Unreadable."""
        return self.skipped(run) is not None

    def skipped(self, run: Run) -> Skipped | None:
        """The files that its training could not read, name -> sha256; None for a run that is not
        finished. Raises: Damaged, Unreadable."""

        def read() -> Skipped | None:
            record = records.read_result(run)
            return None if record is None else record["skipped"] or {}

        skipped: Skipped | None = self._skipped.of(run.folder_name, read)
        return skipped

    def keep(self) -> None:
        """Keep what was read for the next command."""
        self._skipped.keep()
