"""A run's folder: its named paths, its lock, and the records that say what became of it.

Only `result.json` says that a run is finished. It is written last and atomically, and carries the
digest of the weights. Nothing here is unpickled, and nothing here knows what a network is.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from transferlab import config as configs
from transferlab import disk
from transferlab.config import RunConfig
from transferlab.errors import UserError

WAIT_S = 0.5
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
    identity = configs.run_id(config) if identity is None else identity
    name = folder_name(config, identity)
    return Run(identity, config.label, Path(config.runtime.store).expanduser() / name)


def folder_name(config: RunConfig, identity: str) -> str:
    """What the folder of the run with this id is called."""
    parts = (config.label, config.split_label, config.model.name)
    return "-".join((*map(_safe, parts), identity))


def create(run: Run, config: RunConfig) -> None:
    """Make the folder and, first of all in it, `config.json`, if they are not there yet.

    For the run's owner: see `owned`.

    Raises: UserError if the store cannot be written, or the folder was made by another version.
    """
    _make_folder(run)
    if run.config.exists():
        read_config(run)
        return
    record = {"format": configs.FORMAT, "id": run.id, "label": run.label}
    write_json(run.config, {**record, "config": configs.to_dict(config)})


def read_config(run: Run) -> RunConfig:
    """The config that the folder was made for. Raises: UserError if it is damaged or foreign."""
    record = read_json(run.config)
    damaged = (
        f"{run.config} is damaged: it is not the config of run {run.id}. "
        "Delete the file, or put the right one back"
    )
    if record.get("id") != run.id or not isinstance(record.get("config"), dict):
        raise UserError(damaged)
    try:
        config = configs.build(record["config"])
        matches = configs.run_id(config) == run.id
    except (UserError, AssertionError) as error:
        raise UserError(f"{damaged} ({error})") from error
    if not matches:
        raise UserError(damaged)
    return config


def read_result(run: Run) -> dict[str, Any] | None:
    """The record of a finished run, None while there is none.

    Raises: UserError for a record that is damaged, foreign or of an incompatible version.
    """
    if not run.result.exists():
        return None
    record = read_json(run.result)
    sound = isinstance(record.get("weights_sha256"), str) and isinstance(
        record.get("metrics"), dict
    )
    if record.get("id") != run.id or not sound:
        raise UserError(
            f"{run.result} is damaged: it is not the record of run {run.id}. "
            "Delete the file to train the run again, or put the right one back"
        )
    return record


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


def finish(run: Run, record: dict[str, Any]) -> None:
    """Declare the run finished: `result.json`, last and atomically; then drop what only training
    needs."""
    write_json(run.result, {"format": configs.FORMAT, "id": run.id, "label": run.label, **record})
    for path in (run.checkpoint, run.failure):
        path.unlink(missing_ok=True)


def note_failure(run: Run, error: str) -> None:
    """Record in `failure.json` why the run stopped; it stays unfinished."""
    with contextlib.suppress(UserError):  # a full disk is perhaps what it failed of
        _make_folder(run)
        write_json(run.failure, {"error": error, "time": now()})


def sha256(path: Path) -> str:
    """The digest of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_weights(run: Run, result: dict[str, Any]) -> Path:
    """The path of a finished run's weights, which are the ones its record speaks of.

    Raises: UserError if they are missing or have another digest.
    """
    if not run.weights.exists():
        raise UserError(f"{run.weights} is missing: delete {run.result} to train {run.label} again")
    if (digest := sha256(run.weights)) != result["weights_sha256"]:
        raise UserError(
            f"{run.weights} has the digest {digest[:12]}..., and {run.result} says "
            f"{result['weights_sha256'][:12]}...: the weights were changed or damaged. Put the "
            f"right file back, or delete {run.folder} to train {run.label} again"
        )
    return run.weights


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a record atomically."""
    text = json.dumps(value, indent=1, allow_nan=False)
    write(path, lambda file: file.write(text.encode() + b"\n"))


def write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically, as `disk.replace` does.

    Raises: UserError if the disk is full or the folder cannot be written.
    """
    with explained(path):
        disk.replace(path, fill)


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


def explained(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turns the operating system's refusal to write `path` into a message that says what to do."""
    return disk.explained(
        path,
        full="make room, then give the same command: it goes on from the last checkpoint",
        refused="choose a store that can be written, with runtime.store=DIR",
    )


def is_owned(run: Run) -> bool:
    """Whether a process holds the run now, here or, where the disk is shared, elsewhere."""
    try:
        with run.lock.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_UN)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return True
        raise
    return False


def peek(path: Path) -> dict[str, Any]:
    """A record that may be gone or half there by now, `owner.json` for instance; else empty."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


@contextlib.contextmanager
def owned(run: Run, on_wait: Callable[[str], None], *, group: str | None = None) -> Iterator[None]:
    """Hold the run against every other process, waiting for one that holds it already.

    Makes the run's folder.

    The lock is the operating system's (POSIX, also over NFS), so it goes with a process that
    dies. `on_wait` is told once who is being waited for. `owner.json` is for people and `status`,
    and tells the processes of `group` that the run is theirs.
    """
    _make_folder(run)
    with explained(run.folder):
        file = run.lock.open("a+b")
    with file:
        waiting = False
        while not _try_lock(file):
            if not waiting:
                on_wait(_owner_words(run))
                waiting = True
            time.sleep(WAIT_S)
        try:
            write_json(run.owner, {**_owner(), "group": group})
            yield
        finally:
            run.owner.unlink(missing_ok=True)
            fcntl.lockf(file, fcntl.LOCK_UN)


def wait_for(runs: Iterable[Run], group: str) -> None:
    """Until each of the runs is finished, or held by a process of the group."""
    for run in runs:
        while not run.result.exists() and peek(run.owner).get("group") != group:
            time.sleep(WAIT_S)


def report_progress(run: Run, *, step: int, total_steps: int, left_s: float | None) -> None:
    """Note in `owner.json` who trains the run, how far it is, and when this was written.

    `left_s` is the time left, in s, None while nobody can say.
    """
    progress = {"step": step, "total_steps": total_steps, "left_s": left_s}
    write_json(run.owner, {**_owner(), **progress})


def clean(run: Run) -> None:
    """Remove what earlier tries left: half-written files, why they failed. For the owner."""
    run.failure.unlink(missing_ok=True)
    for path in run.folder.glob(".*"):
        if re.match(r"\.(config|result|failure|owner|metrics|last|weights)\.", path.name):
            path.unlink(missing_ok=True)


@lru_cache(maxsize=16_384)
def _safe(part: str) -> str:
    """As a part of a folder's name."""
    return re.sub(r"[^\w.+-]+", "_", part).lstrip(".")


def _make_folder(run: Run) -> None:
    with explained(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _owner() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "heartbeat": now()}


def _owner_words(run: Run) -> str:
    owner = peek(run.owner)
    if "pid" not in owner or "host" not in owner:
        return "another process"
    return f"process {owner['pid']} on {owner['host']}"


def read_json(path: Path) -> dict[str, Any]:
    """A record that this version can read. Raises: UserError if it is damaged or another's."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is damaged ({error}): put a good copy back, or delete the file"
        ) from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is damaged (not a JSON object): put a good copy back or delete it")
    if record.get("format") != configs.FORMAT:
        raise UserError(
            f"{path} was written by an incompatible version (format {record.get('format')}, this "
            f"one reads {configs.FORMAT}): use that version, or another store"
        )
    return record


def now() -> str:
    """This moment as it stands in records, with the zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
