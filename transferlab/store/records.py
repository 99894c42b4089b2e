"""The JSON records in a run's folder: its config, its result, and why it failed."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment.build import build_config, config_dict
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import run_id
from transferlab.experiment.run import CONFIG, RESULT, Run, make_run
from transferlab.runtime.files import now, sha256, write_json
from transferlab.store.folders import make_folder

FORMAT = 1  # of the store's records; increased when an older version would misread them
TEMPORARY = re.compile(r"\.(config|result|failure|owner|metrics|last|weights|mean|inference)\.")


def create(run: Run) -> None:
    """Make the folder and, before any other file, `config.json`, unless they exist.

    To be called by the run's owner: see `lock.owned`.

    Raises: UserError if the store cannot be written, or the folder was made by another version.
    """
    make_folder(run)
    if run.config_file.exists():
        read_config(run)
        return
    record = {"format": FORMAT, "id": run.id, "label": run.label}
    write_json(run.config_file, {**record, "config": config_dict(run.config)})


def read_config(run: Run) -> RunConfig:
    """The config that the folder was made for. Raises: UserError if it is damaged or foreign."""
    return _read_config(run.config_file, run.id)


def _read_config(path: Path, identity: str) -> RunConfig:
    record = read_json(path)
    damaged = (
        f"{path} is damaged: it is not the config of run {identity}. "
        "Restore the right file, or delete it"
    )
    if record.get("id") != identity or not isinstance(record.get("config"), dict):
        raise UserError(damaged)
    try:
        config = build_config(record["config"])
        matches = run_id(config) == identity
    except (UserError, AssertionError) as error:
        raise UserError(f"{damaged} ({error})") from error
    if not matches:
        raise UserError(damaged)
    return config


def read_result(run: Run) -> dict[str, Any] | None:
    """The record of a finished run; None for a run that is not finished.

    Raises: UserError for a record that is damaged, foreign or of an incompatible version.
    """
    return _read_result(run.result_file, run.id)


def read_finished(folder: Path) -> tuple[Run, dict[str, Any]] | None:
    """The finished run in a folder, and its record; None if it is not finished.

    The config is the recorded one: if the store was moved since, see `Run.in_store`.

    Raises: UserError as `read_result` does, and if the folder is named after another run.
    """
    record = _read_result(folder / RESULT, folder.name.rpartition("-")[2])
    if record is None:
        return None
    run = make_run(build_config(record["config"]))
    if run.folder_name != folder.name:
        raise UserError(f"its config is that of run {run.label} {run.id}, not of this folder")
    return run, record


def read_copy(folder: Path) -> dict[str, Any]:
    """The record of the finished run in a folder that may have been copied and renamed.

    Raises: UserError if the run is not finished, or as `read_result` does.
    """
    path = folder / RESULT
    identity = str(read_json(path).get("id")) if path.exists() else ""
    record = _read_result(path, identity)
    if record is None:
        raise UserError(f"{folder} has no {RESULT}: it is not the folder of a finished run")
    return record


def read_copied_config(folder: Path) -> RunConfig:
    """The config in such a folder. Raises: UserError as `read_copy` and `read_config` do."""
    return _read_config(folder / CONFIG, read_copy(folder)["id"])


def finish(run: Run, record: dict[str, Any]) -> None:
    """Mark the run as finished by its `result.json`; then remove files that only training needs."""
    write_json(run.result_file, {"format": FORMAT, "id": run.id, "label": run.label, **record})
    for path in (run.checkpoint_file, run.failure_file):
        path.unlink(missing_ok=True)


def note_failure(run: Run, error: str) -> None:
    """Record in `failure.json` why the run stopped; it stays unfinished."""
    with contextlib.suppress(UserError):  # a full disk may be the reason of the failure
        make_folder(run)
        write_json(run.failure_file, {"error": error, "time": now()})


def check_file(path: Path, recorded: str, *, record: Path) -> Path:
    """The path of a finished run's file, which has the sha256 that `record` names.

    Raises: UserError if it is missing or has another digest.
    """
    remedy = f"restore the right file, or delete {path.with_name(RESULT)} to train the run again"
    if not path.exists():
        raise UserError(f"{path} is missing: {remedy}")
    if (digest := sha256(path)) != recorded:
        raise UserError(
            f"{path} has the digest {digest[:12]}..., but {record} records {recorded[:12]}...: "
            f"the file was changed or damaged; {remedy}"
        )
    return path


def clean(run: Run) -> None:
    """Remove what earlier attempts left: temporary files and `failure.json`. For the owner."""
    run.failure_file.unlink(missing_ok=True)
    for path in run.folder.glob(".*"):
        if TEMPORARY.match(path.name):
            path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """A record that this version can read. Raises: UserError if it cannot, or it is damaged."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}): restore the file, or delete it") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is damaged (not a JSON object): restore the file, or delete it")
    if record.get("format") != FORMAT:
        raise UserError(
            f"{path} was written by an incompatible version (format {record.get('format')}, this "
            f"one reads {FORMAT}): use that version, or another store"
        )
    return record


def _read_result(path: Path, identity: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    record = read_json(path)
    complete = isinstance(record.get("weights_sha256"), str) and isinstance(
        record.get("metrics"), dict
    )
    if record.get("id") != identity or not complete:
        raise UserError(
            f"{path} is damaged: it is not the record of run {identity}. "
            "Restore the right file, or delete it to train the run again"
        )
    return record


def finished_records(store: Path) -> Iterator[dict[str, Any]]:
    """Every `result.json` of a store, except damaged ones and those of another version."""
    try:
        folders = [entry.path for entry in os.scandir(store) if not entry.name.startswith(".")]
    except OSError:
        return
    for folder in folders:
        try:
            with open(os.path.join(folder, RESULT), "rb") as file:
                record = json.load(file)
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("format") == FORMAT:
            yield record
