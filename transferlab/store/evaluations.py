"""The evaluations of finished runs: `evaluations/ID.json` in the folder of a run.

An evaluation asks finished runs something without training them. Its id is a digest of all that
decides the answer, the question: it is in the record, from which the id is checked, so that no
record is taken for the answer to another question. One of several runs is kept with the first.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transferlab.experiment.identity import ID_DIGITS
from transferlab.runtime import files, reading
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import reader, schemas
from transferlab.store.reader import Values
from transferlab.store.schemas import FORMAT

FOLDER = "evaluations"
SUFFIX = ".json"


def identity(question: Mapping[str, Any]) -> str:
    """The id of the evaluation that asks this: 12 hexadecimal digits, as of a run."""
    text = json.dumps(question, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:ID_DIGITS]


def path(folder: Path, evaluation_id: str) -> Path:
    """The record of an evaluation of the run in `folder`."""
    return folder / FOLDER / f"{evaluation_id}{SUFFIX}"


def read(folder: Path, evaluation_id: str) -> Values | None:
    """The record of an evaluation; None if there is none. Raises: Damaged, Unreadable."""
    file = path(folder, evaluation_id)
    record = reader.read(file, schemas.EVALUATION)
    if record is None:
        return None
    if {record["id"], identity(record["question"])} != {evaluation_id}:
        reason = f"it is not the record of evaluation {evaluation_id}"
        raise reader.damaged(file, reason, schemas.EVALUATION)
    if len(record["runs"]) != len(record["question"]["networks"]):
        reason = "it names other runs than networks"
        raise reader.damaged(file, reason, schemas.EVALUATION)
    return record


def write(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write the record of an evaluation of the run in `folder`, atomically; its path.

    Raises: UserError if the disk is full or the folder cannot be written.
    """
    file = path(folder, record["id"])
    files.make_folder(file.parent)
    files.write_json(file, {"format": FORMAT, **record})
    return file


def of_run(folder: Path | str) -> Iterator[Values | Damaged | Unreadable]:
    """Every evaluation of the run in `folder`, by id: its record, or what is wrong with it."""
    try:
        names = reading.names(f"{folder}/{FOLDER}")  # no Path, which takes longer than the look
    except (Damaged, Unreadable) as error:
        yield error
        return
    for name in sorted(names):
        if name.startswith(".") or not name.endswith(SUFFIX):
            continue
        try:
            record = read(Path(folder), name.removesuffix(SUFFIX))
        except (Damaged, Unreadable) as error:
            yield error
        else:
            if record is not None:  # else it was deleted meanwhile
                yield record
