"""The hidden folder beside --out in which the data are made, by one process at a time.

It becomes --out by one rename. Until then its `settings.json` records settings and files, so that
work resumes only with the same ones.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transferlab.data.datasets.folder import Index
from transferlab.data.datasets.prepared_record import (
    RECORD,
    SUBSETS,
    PreparedRecord,
    PrepareSettings,
    read_record,
)
from transferlab.data.prepare import OUT
from transferlab.errors import UserError
from transferlab.runtime import locks
from transferlab.runtime.files import explained, sync_folder, write_json
from transferlab.runtime.locks import Hold

LOCK = "lock"
SETTINGS = "settings.json"
JOURNAL = "journal.jsonl"


def listing(index: Index) -> str:
    """A digest that changes with the name, class or subset of a file, or their order."""
    digest = hashlib.sha256("\n".join(index.classes).encode())
    for files in index.subsets.values():
        digest.update(b"\n\n" + b"\n".join(files.paths.tolist()))
    return digest.hexdigest()


def finished(out: Path, settings: PrepareSettings, sources: str) -> PreparedRecord | None:
    """The record at --out if it was made with these settings from the files of this digest, None if
    --out does not exist.

    Raises: UserError if --out is anything else.
    """
    if os.path.ismount(out):
        raise UserError(f"--out {out} is a mount point: name a folder below it")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / RECORD).exists():
        raise UserError(f"--out {out} exists and is not prepared data: choose another folder")
    record = read_record(out)
    _require_same(out, record.flat(), settings)
    if record.sources != sources:
        raise _made_otherwise(out, "from other files", "restore them")
    return record


@contextlib.contextmanager
def hold(out: Path, settings: PrepareSettings) -> Iterator[Hold]:
    """The lock on the folder in which --out is made, which is its file's parent.

    Raises: UserError if another process has it, or it was begun with other settings.
    """
    folder = out.with_name(f".{out.name}.partial")
    lock = folder / LOCK

    def refuse() -> None:
        owner = locks.describe_holder(lock)
        raise UserError(f"--out {out} is being made by {owner}: wait for it")

    with locks.held(lock, refuse, advice=OUT) as hold:
        if not (lock.exists() and os.path.samestat(lock.stat(), os.fstat(hold.file.fileno()))):
            # it was renamed between opening and locking
            raise UserError(f"--out {out} has just been finished: run the command again")
        _begin_or_resume(folder, settings)
        yield hold


def publish(hold: Hold, out: Path) -> None:
    """Rename the folder to --out in one step; then delete its working files."""
    folder = hold.path.parent
    for changed in (*(folder / name for name in SUBSETS), folder):
        sync_folder(changed)
    with explained(out, OUT), hold.moving(out / LOCK):
        os.rename(folder, out)
    sync_folder(out.parent)
    tidy(out)


def tidy(out: Path) -> None:
    """Delete the working files from --out."""
    for name in (JOURNAL, SETTINGS, LOCK, locks.record(Path(LOCK)).name):
        with contextlib.suppress(OSError):
            (out / name).unlink(missing_ok=True)


def _begin_or_resume(folder: Path, settings: PrepareSettings) -> None:
    """Record the settings of the folder, which may change until the first chunk is finished."""
    path, journal = folder / SETTINGS, folder / JOURNAL
    if path.exists() and journal.exists() and journal.stat().st_size:
        try:
            earlier = dict(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}): delete {folder}") from error
        _require_same(folder, earlier, settings)
        return
    for name in SUBSETS:
        shutil.rmtree(folder / name, ignore_errors=True)
    write_json(path, settings.flat(), OUT)


def _require_same(folder: Path, earlier: Mapping[str, Any], settings: PrepareSettings) -> None:
    """Raises: UserError that names the settings that differ."""
    now, earlier = settings.flat(), {"decode": "exact", **earlier}  # there was no choice once
    different = [key for key in now if earlier.get(key) != now[key]]
    if not different:
        return
    changes = [f"--{key} {_flag(earlier.get(key))} (now {_flag(now[key])})"
               for key in different if key != "listing"]  # fmt: skip
    if changes:
        cause, remedy = f"with {', '.join(changes)}", "use the same settings"
    else:
        cause, remedy = "from other files", "restore them"
    raise _made_otherwise(folder, cause, remedy)


def _made_otherwise(folder: Path, cause: str, remedy: str) -> UserError:
    return UserError(
        f"{folder} was made {cause}: {remedy}, choose another --out, or delete {folder} to start "
        "over"
    )


def _flag(value: object) -> str:
    return "none" if value is None else str(value)
