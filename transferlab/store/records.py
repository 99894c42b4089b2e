"""The JSON records in a run's folder: config, result, failure."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transferlab.errors import UserError
from transferlab.experiment.build import build_config, config_dict
from transferlab.experiment.config import FORMAT, RunConfig
from transferlab.experiment.identity import run_id
from transferlab.runtime.files import now, sha256, write_json
from transferlab.store.runs import Run, make_folder


def create(run: Run, config: RunConfig) -> None:
    """Make the folder and, first of all in it, `config.json`, if they are not there yet.

    For the run's owner: see `owned`.

    Raises: UserError if the store cannot be written, or the folder was made by another version.
    """
    make_folder(run)
    if run.config.exists():
        read_config(run)
        return
    record = {"format": FORMAT, "id": run.id, "label": run.label}
    write_json(run.config, {**record, "config": config_dict(config)})


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
        config = build_config(record["config"])
        matches = run_id(config) == run.id
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


def finish(run: Run, record: dict[str, Any]) -> None:
    """Declare the run finished: `result.json`, last and atomically; then drop what only training
    needs."""
    write_json(run.result, {"format": FORMAT, "id": run.id, "label": run.label, **record})
    for path in (run.checkpoint, run.failure):
        path.unlink(missing_ok=True)


def note_failure(run: Run, error: str) -> None:
    """Record in `failure.json` why the run stopped; it stays unfinished."""
    with contextlib.suppress(UserError):  # a full disk is perhaps what it failed of
        make_folder(run)
        write_json(run.failure, {"error": error, "time": now()})


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


def clean(run: Run) -> None:
    """Remove what earlier tries left: half-written files, why they failed. For the owner."""
    run.failure.unlink(missing_ok=True)
    for path in run.folder.glob(".*"):
        if re.match(r"\.(config|result|failure|owner|metrics|last|weights)\.", path.name):
            path.unlink(missing_ok=True)


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
    if record.get("format") != FORMAT:
        raise UserError(
            f"{path} was written by an incompatible version (format {record.get('format')}, this "
            f"one reads {FORMAT}): use that version, or another store"
        )
    return record


def finished_records(store: Path) -> Iterator[dict[str, Any]]:
    """Every `result.json` of the store's runs; without those that cannot be read or are foreign."""
    try:
        folders = [entry.path for entry in os.scandir(store) if not entry.name.startswith(".")]
    except OSError:
        return
    for folder in folders:
        try:
            with open(os.path.join(folder, "result.json"), "rb") as file:
                record = json.load(file)
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("format") == FORMAT:
            yield record
