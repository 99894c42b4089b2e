"""The run folders of a store: their names, the unfinished runs, the space on the disk.

A run is finished if and only if its `result.json` exists. Nothing in a store is unpickled.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from transferlab.errors import UserError
from transferlab.experiment.run import RESULT, Run
from transferlab.runtime import commands, files, paths
from transferlab.runtime.files import explained


def folder_names(store: Path) -> frozenset[str]:
    """The names of the run folders in a store, by one listing; none if the store is missing.

    Raises: UserError if it cannot be read.
    """
    try:
        with os.scandir(store) as entries:
            return frozenset(entry.name for entry in entries if not entry.name.startswith("."))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise UserError(f"runtime.store={store} cannot be read: {error.strerror}") from error


def unfinished(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs without a result, in their order.

    Lists each store once, and opens only folders that exist.

    Raises: UserError if a store cannot be read.
    """
    listings: dict[str, tuple[str, frozenset[str]]] = {}
    left = []
    for run in runs:
        store = run.config.runtime.store
        if store not in listings:
            folder = paths.expand(store)
            listings[store] = str(folder), folder_names(folder)
        root, names = listings[store]
        name = run.folder_name  # a path built as text, for speed: a study may have 100,000 runs
        if name not in names or not os.path.exists(f"{root}/{name}/{RESULT}"):
            left.append(run)
    return tuple(left)


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
