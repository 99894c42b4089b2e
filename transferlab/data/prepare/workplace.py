"""The hidden folder beside DST in which the work goes on, for one process at a time.

It becomes DST by one rename. Until then it says in `settings.json` what it is for, so that work is
gone on with only under the same settings and for the same files.
"""

import contextlib
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transferlab.data.datasets import prepared
from transferlab.data.datasets.folder import Index
from transferlab.data.datasets.prepared import Pixels, Record
from transferlab.data.prepare import OUT
from transferlab.errors import UserError
from transferlab.runtime import locks
from transferlab.runtime.files import explained, sync_folder, write_json

LOCK = "lock"
SETTINGS = "settings.json"
JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Settings:
    """All that must be the same for work to be gone on with. `listing`: digest of the files."""

    pixels: Pixels
    val: str | None
    holdout: float | None
    listing: str

    def flat(self) -> dict[str, Any]:
        """Every setting by the name of its flag, and `listing`."""
        rest = {"val": self.val, "holdout": self.holdout, "listing": self.listing}
        return {**asdict(self.pixels), **rest}


def listing(index: Index) -> str:
    """A digest that changes with the name, class or subset of a file, or their order."""
    digest = hashlib.sha256(b"\n".join(map(os.fsencode, index.classes)))
    for files in (index.train, index.val):
        digest.update(b"\n\n" + b"\n".join(files.paths.tolist()))
    return digest.hexdigest()


def finished(dst: Path, settings: Settings) -> Record | None:
    """What is at DST if it was made so, None if nothing is there.

    Raises: UserError if something else is there.
    """
    if os.path.ismount(dst):
        raise UserError(f"--out {dst} is where a disk is mounted: name a folder in it")
    if not dst.exists() or (dst.is_dir() and not any(dst.iterdir())):
        return None
    if not (dst / prepared.RECORD).exists():
        raise UserError(f"--out {dst} is there and is not prepared data: choose another place")
    record = prepared.read_record(dst)
    there = Settings(record.pixels, record.val, record.holdout, record.listing)
    _require_same(dst, there.flat(), settings)
    return record


@contextlib.contextmanager
def hold(dst: Path, settings: Settings) -> Iterator[Path]:
    """The folder in which DST is made, for this process alone.

    Raises: UserError if another process has it, or it was begun with other settings.
    """
    place = dst.with_name(f".{dst.name}.partial")
    with _locked(place, dst):
        _begin_or_go_on(place, settings)
        yield place


def _begin_or_go_on(place: Path, settings: Settings) -> None:
    """Note what the folder is for. While nothing is done in it, that may change."""
    path, journal = place / SETTINGS, place / JOURNAL
    if path.exists() and journal.exists() and journal.stat().st_size:
        _require_same(place, _read(path), settings)
        return
    for name in prepared.SUBSETS:
        shutil.rmtree(place / name, ignore_errors=True)
    write_json(path, settings.flat(), OUT)


def publish(place: Path, dst: Path) -> None:
    """Make the folder DST, in one step; then drop what only the making needed."""
    for folder in (*(place / name for name in prepared.SUBSETS), place):
        sync_folder(folder)
    with explained(dst, OUT):
        os.rename(place, dst)
    sync_folder(dst.parent)
    tidy(dst)


def tidy(dst: Path) -> None:
    """Remove from DST what only the making needed."""
    for name in (JOURNAL, SETTINGS, LOCK):
        with contextlib.suppress(OSError):
            (dst / name).unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(place: Path, dst: Path) -> Iterator[None]:
    path = place / LOCK

    def refuse() -> None:
        try:
            owner = path.read_text()
        except FileNotFoundError:  # it has been finished since
            owner = ""
        raise UserError(f"--out {dst} is being made by {owner or 'another process'}: wait for it")

    with locks.held(path, refuse, advice=OUT) as file:
        if not (path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno()))):
            # it was renamed between the two
            raise UserError(f"--out {dst} has just been finished: give the same command")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        file.flush()
        yield


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): delete {path.parent}") from error
    return raw if isinstance(raw, dict) else {}


def _require_same(place: Path, there: dict[str, Any], settings: Settings) -> None:
    """Raises: UserError that names what differs."""
    wanted = settings.flat()
    differs = [key for key in wanted if there.get(key) != wanted[key]]
    named = [f"--{key} {_word(there.get(key))} (now {_word(wanted[key])})"
             for key in differs if key != "listing"]  # fmt: skip
    if not differs:
        return
    what = f"was made with {', '.join(named)}" if named else "was made of other files"
    raise UserError(
        f"{place} {what}: "
        + ("give the same again, " if named else "put them back as they were, ")
        + f"choose another --out, or delete {place} to begin anew"
    )


def _word(value: object) -> str:
    return "none" if value is None else str(value)
