"""A run's folder: its named paths, its lock, and the records that say what became of it.

Only `result.json` says that a run is finished. It is written last and atomically, and carries the
digest of the weights. Nothing here is unpickled, and nothing here knows what a network is.
"""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from transferlab.errors import UserError
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import run_id
from transferlab.runtime.files import explained

RESULT = "result.json"


@dataclass(frozen=True)
class Run:
    """Where one run lives. `id` and the folder's name follow from the config alone."""

    id: str
    label: str
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.ckpt"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.safetensors"

    @property
    def result(self) -> Path:
        return self.folder / RESULT

    @property
    def failure(self) -> Path:
        return self.folder / "failure.json"

    @property
    def owner(self) -> Path:
        return self.folder / "owner.json"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"


def locate(config: RunConfig, identity: str | None = None) -> Run:
    """The run of a resolved config: `<store>/<label>-<split>-<model>-<id>/`. Touches no disk.

    `identity` is the run's id where it is known already.
    """
    identity = run_id(config) if identity is None else identity
    name = folder_name(config, identity)
    return Run(identity, config.label, Path(config.runtime.store).expanduser() / name)


def folder_name(config: RunConfig, identity: str) -> str:
    """What the folder of the run with this id is called."""
    parts = (config.label, config.split_label, config.model.name)
    return "-".join((*map(_safe, parts), identity))


def folders(store: Path) -> frozenset[str]:
    """The names of the run folders in a store, with one look at the disk; none if it is not there.

    Raises: UserError if it cannot be read.
    """
    try:
        with os.scandir(store) as entries:
            return frozenset(entry.name for entry in entries if not entry.name.startswith("."))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise UserError(f"runtime.store={store} cannot be read: {error.strerror}") from error


def finished(store: Path, names: Iterable[str]) -> frozenset[str]:
    """Of these run folders of a store those with a record: a look at the list, and at each there.

    Raises: UserError if the store cannot be read.
    """
    there, start = folders(store), os.path.join(store, "")
    return frozenset(n for n in names if n in there and os.path.exists(f"{start}{n}/{RESULT}"))


def require_space(folder: Path, need_bytes: int) -> None:
    """Raises: UserError if the disk that holds `folder` has less than `need_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise UserError(
            f"{folder} is on a disk with {free / 1e6:.0f} MB free and the run needs "
            f"{need_bytes / 1e6:.0f} MB: make room, or choose another with runtime.store=DIR"
        )


def require_writable(folder: Path) -> None:
    """Raises: UserError if `folder`, or what there is above it, cannot be written."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        with explained(folder):
            (there / f".{os.getpid()}").touch()  # the system's own words for it
            (there / f".{os.getpid()}").unlink()


@lru_cache(maxsize=16_384)
def _safe(part: str) -> str:
    """As a part of a folder's name."""
    return re.sub(r"[^\w.+-]+", "_", part).lstrip(".")


def make_folder(run: Run) -> None:
    with explained(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)
