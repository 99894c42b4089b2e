"""The JSON records in a run's folder: its config, its result, and why it failed.

A record counts if it is of its schema, and of the run in whose folder it lies: the digest of its
config is its id, and that of the folder. Every command asks here.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from transferlab.errors import UserError
from transferlab.experiment.build import build_config, config_dict
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import run_id
from transferlab.experiment.keys import image_paths
from transferlab.experiment.run import CONFIG, RESULT, Run, make_run
from transferlab.experiment.variables import conceal
from transferlab.runtime import paths, reading
from transferlab.runtime.files import now, write_json
from transferlab.runtime.reading import Damaged, FileContent, Unreadable
from transferlab.store import reader, schemas, trust
from transferlab.store.folders import folder_names, make_folder
from transferlab.store.reader import Record, Values
from transferlab.store.schemas import FORMAT, RecordKind

TEMPORARY = re.compile(
    r"\.(config|result|failure|owner|lock|metrics|last|weights|mean|inference)\."
)
LARGEST_FILE = 2**40  # bytes, of the weights of a network


class Outcome(NamedTuple):
    """What a store says of a run: the record if it is finished, `fault` if that cannot be used."""

    run: Run
    record: Values | None
    fault: Damaged | Unreadable | None


def create(run: Run) -> None:
    """Make the folder and, before any other file, `config.json`, unless they exist.

    To be called by the run's owner: see `lock.owned`.

    Raises: UserError if the store cannot be written, or the folder was made by another version.
    """
    make_folder(run)
    if reading.exists(run.config_file):
        read_config(run)
        return
    record = {"format": FORMAT, "id": run.id, "label": run.label}
    write_json(run.config_file, {**record, "config": config_dict(run.config)})


def read_config(run: Run) -> RunConfig:
    """The config that the folder was made for.

    Raises: Damaged if it is missing or foreign as well; Unreadable.
    """
    return _read_config(run.config_file, run.id)[0]


def read_run(folder: Path) -> Run | None:
    """The run in a folder, by its config, or by its result if that is all that is left of it; None
    if it has neither.

    Raises: Damaged if the folder is named after another run as well; Unreadable.
    """
    if not reading.exists(folder / CONFIG):
        finished = read_finished(folder)
        return None if finished is None else finished[0]
    run = make_run(_read_config(folder / CONFIG, folder.name.rpartition("-")[2])[0])
    _require_name(run, folder, folder / CONFIG, schemas.CONFIG)
    return run


def read_result(run: Run) -> Values | None:
    """The record of a finished run; None for a run that is not finished.

    Raises: Damaged for a record that is foreign or of an incompatible version as well; Unreadable.
    """
    return _result_of(run, run.result_file)


def outcomes(runs: Iterable[Run]) -> Iterator[Outcome]:
    """What the stores say of each run, in the order of the runs.

    Lists each store once, and opens only folders that exist.

    Raises: Unreadable if a store cannot be listed.
    """
    listings: dict[str, tuple[str, frozenset[str]]] = {}
    for run in runs:
        store = run.config.runtime.store
        if store not in listings:
            folder = paths.expand(store)
            listings[store] = str(folder), folder_names(folder)
        root, names = listings[store]
        name = run.folder_name  # a path built as text, for speed: a study may have 100,000 runs
        try:
            record = _result_of(run, f"{root}/{name}/{RESULT}") if name in names else None
            yield Outcome(run, record, None)
        except (Damaged, Unreadable) as error:
            yield Outcome(run, None, error)


def unfinished(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The runs without a record that can be used, in their order."""
    return tuple(outcome.run for outcome in outcomes(runs) if outcome.record is None)


def read_finished(folder: Path) -> tuple[Run, Values] | None:
    """The finished run in a folder, and its record; None if it is not finished.

    The config is the recorded one: if the store was moved since, see `Run.in_store`.

    Raises: as `read_result`, and Damaged if the folder is named after another run.
    """
    path = folder / RESULT
    record = reader.read(path, schemas.RESULT)
    if record is None:
        return None
    run = _run_of(record, path)
    _require_name(run, folder, path, schemas.RESULT)
    return run, record


def read_copy(folder: Path) -> Record:
    """The record of the finished run in a folder that may have been copied and renamed.

    Raises: UserError if the run is not finished, or as `read_result` does.
    """
    path = folder / RESULT
    record = reader.read_record(path, schemas.RESULT)
    if record is None:
        raise UserError(f"{folder} has no {RESULT}: it is not the folder of a finished run")
    _run_of(record.values, path)
    return record


def read_copied_config(folder: Path, identity: str) -> RunConfig:
    """The config in such a folder, to be trained again.

    Raises: Damaged, Unreadable; UserError if it is another user's and names code.
    """
    config, owner = _read_config(folder / CONFIG, identity)
    trust.require(folder / CONFIG, owner, trust.of_configs([config]), folder=folder)
    return config


def finish(run: Run, record: Mapping[str, Any]) -> None:
    """Mark the run as finished by its `result.json`; then remove files that only training needs."""
    write_json(run.result_file, {"format": FORMAT, "id": run.id, "label": run.label, **record})
    for path in (run.checkpoint_file, run.failure_file):
        path.unlink(missing_ok=True)


def note_failure(run: Run, error: str) -> None:
    """Record in `failure.json` why the run stopped; it stays unfinished."""
    error = conceal(error, image_paths(run.config))
    with contextlib.suppress(UserError):  # a full disk may be the reason of the failure
        make_folder(run)
        write_json(run.failure_file, {"error": error, "time": now()})


def read_failure(run: Run) -> str | None:
    """Why the last attempt stopped; None if it did not fail. Raises: Damaged, Unreadable."""
    failure = reader.read(run.failure_file, schemas.FAILURE)
    return None if failure is None else failure["error"] or "no reason was recorded"


def read_file(path: Path, recorded: str, *, record: Path) -> FileContent:
    """The content of a finished run's file, which has the sha256 that `record` names.

    Raises: Damaged if it is missing or has another digest; Unreadable.
    """
    remedy = f"restore the right file, or delete {path.with_name(RESULT)} to train the run again"
    content = reading.read(path, limit=LARGEST_FILE, remedy=remedy)
    if content is None:
        raise Damaged(f"{path} is missing: {remedy}")
    if (digest := hashlib.sha256(content.data).hexdigest()) != recorded:
        raise Damaged(
            f"{path} has the digest {digest[:12]}..., but {record} records {recorded[:12]}...: "
            f"the file was changed or damaged; {remedy}"
        )
    return content


def clean(run: Run) -> None:
    """Remove what earlier attempts left: temporary files and `failure.json`. For the owner."""
    run.failure_file.unlink(missing_ok=True)
    for name in reading.names(run.folder):
        if TEMPORARY.match(name):
            (run.folder / name).unlink(missing_ok=True)


# --- whose record it is -------------------------------------------------------------------------


def _read_config(path: Path, identity: str) -> tuple[RunConfig, int]:
    """The config of that run in a file, and the user id of the owner of the file."""
    read = reader.require(path, schemas.CONFIG)
    record = read.values
    reason = f"it is not the config of run {identity}"
    if record["id"] != identity:
        raise reader.damaged(path, reason, schemas.CONFIG)
    try:
        config = build_config(record["config"], recorded=True)
        matches = run_id(config) == identity
    except (UserError, AssertionError) as error:
        raise reader.damaged(path, f"{reason}: {error}", schemas.CONFIG) from error
    if not matches:
        raise reader.damaged(path, reason, schemas.CONFIG)
    return config, read.owner


def _result_of(run: Run, path: Path | str) -> Values | None:
    """The record of that run. Raises: Damaged, Unreadable."""
    record = reader.read(path, schemas.RESULT)
    if record is None:
        return None
    if record["id"] != run.id or not _is_config_of(record["config"], run.config):
        found = _run_of(record, path)
        if found.id != run.id:
            reason = f"it is not the record of run {run.id}"
            raise reader.damaged(path, reason, schemas.RESULT)
    else:
        _check_parts(record, run, path)
    return record


def _require_name(run: Run, folder: Path, path: Path, kind: RecordKind) -> None:
    """Raises: Damaged unless the folder is named after the run."""
    if run.folder_name != folder.name:
        reason = f"it is that of run {run.label} {run.id}, not of this folder"
        raise reader.damaged(path, reason, kind)


def _run_of(record: Values, path: Path | str) -> Run:
    """The run that a record is of, by its config. Raises: Damaged if it names another one."""
    reason = f"it is not the record of run {record['id']}"
    try:
        run = make_run(build_config(record["config"], recorded=True))
    except (UserError, AssertionError) as error:
        raise reader.damaged(path, f"{reason}: {error}", schemas.RESULT) from error
    if run.id != record["id"]:
        reason = f"{reason}: its config is that of {run.label} {run.id}"
        raise reader.damaged(path, reason, schemas.RESULT)
    _check_parts(record, run, path)
    return run


def _check_parts(record: Values, run: Run, path: Path | str) -> None:
    """Raises: Damaged if what follows from the config is different, or frozen stages changed."""
    for key, value in (("label", run.label), ("base_id", run.base_id)):
        if record[key] != value:
            raise reader.damaged(path, f"{key}={record[key]} must be {value}", schemas.RESULT)
    if record["prefix_unchanged"] is False:
        reason = "its frozen stages have changed since they were copied"
        raise reader.damaged(path, reason, schemas.RESULT)


def _is_config_of(raw: Values, config: RunConfig) -> bool:
    """Whether a recorded config is the same, key for key, but for `runtime`. If it is not, it may
    still be another spelling, by other paths for instance."""
    for name, section in vars(config).items():
        if name == "runtime":
            continue
        values, kinds = _plain(section)
        recorded = raw.get(name)
        if not isinstance(recorded, dict):
            recorded = {"": recorded}
        # In the order of the fields; 1, 1.0 and true are equal, and three kinds
        if recorded != values or [*map(type, recorded.values())] != kinds:
            return False
    return True


@lru_cache(maxsize=65_536)
def _plain(section: Any) -> tuple[dict[str, Any], list[type]]:
    """A section of a config as JSON reads it, and the types of its values; a number as `""`."""
    values = dict(vars(section)) if hasattr(section, "__dict__") else {"": section}
    values = {key: [*each] if isinstance(each, tuple) else each for key, each in values.items()}
    return values, [*map(type, values.values())]
