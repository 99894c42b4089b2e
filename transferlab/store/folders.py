"""The run folders of a store: their names, and the space on the disk."""

import os
import re
import shutil
from pathlib import Path

from transferlab.errors import UserError
from transferlab.experiment.run import Run
from transferlab.runtime import commands, files, reading
from transferlab.runtime.files import explained

RUN_FOLDER = re.compile(r".*-([0-9a-f]{12})", re.DOTALL)


def folder_names(store: Path) -> frozenset[str]:
    """The names in a store, by one listing; none if the store is missing.

    Of names that begin with a dot only those that end as a run's: the others are ours (`.sweeps`),
    or hidden on purpose.

    Raises: Unreadable.
    """
    names = reading.names(store)
    return frozenset(n for n in names if not n.startswith(".") or RUN_FOLDER.fullmatch(n))


def require_space(folder: Path, need_bytes: int) -> None:
    """Raises: UserError if the disk that holds `folder` has less than `need_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise UserError(
            f"{folder} is on a disk with {free / 1e6:.0f} MB free and the run needs "
            f"{need_bytes / 1e6:.0f} MB: make room, or choose another with "
            f"{commands.setting('runtime.store', 'DIR')}"
        )


def require_writable(folder: Path) -> None:
    """Raises: UserError if `folder`, or its nearest parent that exists, cannot be written."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        with explained(folder):  # raises with the system's own message
            files.probe(nearest)


def make_folder(run: Run) -> None:
    files.make_folder(run.folder)
