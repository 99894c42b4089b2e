"""Weights & Biases rebuilt from the store: a W&B run for each entry that is new or has changed.

The store is the only source: nothing is read back from W&B. An entry is written as a whole and
replaces any run with its id. The digest of its content is written last, into the folder that W&B
makes of it: an unchanged entry is not written again, and one that was interrupted is.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from transferlab.errors import RunFailed, UserError
from transferlab.results.wandb.entries import Entry
from transferlab.runtime import files, locks, reading
from transferlab.runtime.progress import Bar, Display
from transferlab.store import FORMAT, mirrors, reader, schemas

log = logging.getLogger(__name__)
NOTE = "transferlab.json"  # in the folder of a W&B run that `sync` has written
FOLDER = re.compile(r"(offline-)?run-\d{8}_\d{6}-(.+)")
OUT = files.Advice(
    full="make room, then run the command again", refused="choose another with --out DIR"
)
Folders = Mapping[str, Sequence[Path]]  # of a W&B run, by its id


def require_login() -> None:
    """Raises: UserError if W&B has no login."""
    if not mirrors.logged_in():
        raise UserError(
            "you are not logged in to Weights & Biases: run wandb login, or set WANDB_API_KEY; or "
            "omit --online and send the folder later"
        )


def write(
    entries: Sequence[Entry], folder: Path, *, online: bool, cache: Path
) -> tuple[int, list[str]]:
    """Write the new and changed entries below `folder`, which is called `wandb` or `.wandb`;
    `online` sends them as well. Returns their number, and why others were left out.

    Raises: UserError if the folder cannot be written, RunFailed if W&B fails.
    """

    def refuse() -> NoReturn:
        raise UserError(f"another sync is writing {folder}: wait until it has finished")

    with locks.held(folder / "lock", refuse, advice=OUT):
        folders = _written(folder, online=online)
        new = [entry for entry in entries if not _is_current(entry, folders)]
        left_out = _write_all(new, folders, folder, online=online, cache=cache) if new else []
    return len(new) - len(left_out), left_out


def _write_all(
    entries: Sequence[Entry], folders: Folders, folder: Path, *, online: bool, cache: Path
) -> list[str]:
    """Write the entries in place of their old folders. Why some were left out."""
    mode = "online" if online else "offline"
    mirrors.prepare(cache, mode=mode, rebuilt=True)
    import wandb

    left_out, name = [], ""
    try:
        for entry in _with_progress(entries):
            name = entry.page.name
            try:
                rows = entry.rows()
            except UserError as error:
                left_out.append(str(error))
                continue
            for old in folders.get(entry.page.id, ()):
                shutil.rmtree(old)
            run = mirrors.WandB(
                entry.page, folder=folder, project=entry.project, cache=cache, mode=mode,
                rebuilt=True,
            )  # fmt: skip
            _write(entry, rows, run)
    except (wandb.Error, OSError) as error:
        raise RunFailed(f"Weights & Biases: {name}: {' '.join(str(error).split())}") from error
    finally:
        wandb.teardown()  # ends the process that W&B starts with its first run
    return left_out


def _write(entry: Entry, rows: Iterable[mirrors.Row], run: mirrors.WandB) -> None:
    folder = Path(run.run.settings.sync_dir)
    _note(folder, None)
    # W&B keeps tables there until they are sent: beside the run, not in a cache
    os.environ["WANDB_DATA_DIR"] = str(folder / "data")
    for row in rows:
        run.log(row)
    if media := entry.media():
        run.log({"step": 0, **media})
    run.run.summary.update(entry.summary)
    run.close(0)
    _note(folder, entry.digest)


def _with_progress(entries: Sequence[Entry]) -> Iterator[Entry]:
    with Display(log) as display:
        for number, entry in enumerate(entries):
            bar = Bar("sync", number, len(entries), "entries")
            display.show(lambda bar=bar: [bar])  # type: ignore[misc]
            yield entry


# --- earlier entries ----------------------------------------------------------------------------


def _written(folder: Path, *, online: bool) -> Folders:
    """The folders that `sync` has written; others are left alone."""
    folders: dict[str, list[Path]] = {}
    for name in reading.names(folder):
        match = FOLDER.fullmatch(name)
        if match and bool(match[1]) != online and reading.exists(folder / name / NOTE):
            folders.setdefault(match[2], []).append(folder / name)
    return folders


def _is_current(entry: Entry, folders: Folders) -> bool:
    of_entry = folders.get(entry.page.id, ())
    if len(of_entry) != 1:
        return False
    note = reader.peek(of_entry[0] / NOTE, schemas.MIRROR)
    return note.get("digest") == entry.digest


def _note(folder: Path, digest: str | None) -> None:
    files.write_json(folder / NOTE, {"format": FORMAT, "digest": digest})
