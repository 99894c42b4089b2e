"""The one reader of records: every JSON file of a store, by the schema of its kind.

`read` raises what is wrong with a record; `peek` ignores damage, for what is only shown.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferlab.runtime import reading, typed
from transferlab.runtime.reading import Damaged, FileContent
from transferlab.store.schemas import FORMAT, RecordKind

Values = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """The checked values of a record, and the user id of the owner of its file."""

    values: Values
    owner: int


def read(path: Path | str, kind: RecordKind) -> Values | None:
    """The values of a record, with the keys of its schema and no others; None if it is missing.

    Raises: Damaged if it is not a record of that kind, or of another version; Unreadable.
    """
    record = read_record(path, kind)
    return None if record is None else record.values


def read_record(path: Path | str, kind: RecordKind) -> Record | None:
    """As `read`, with the file."""
    content = reading.read(path, limit=kind.limit, remedy=kind.remedy)
    return None if content is None else Record(parse(path, content, kind), content.owner)


def parse(path: Path | str, content: FileContent, kind: RecordKind) -> Values:
    """The values of a record whose content has been read from `path`. Raises: Damaged."""
    try:
        value = reading.json_value(content.data)
        if type(value) is not dict:
            raise ValueError("not a JSON object")
        if kind.versioned and (value.get("format") != FORMAT or value["format"] is True):
            raise another_version(path, value.get("format"))
        values: Values = typed.check(kind.schema, value)
    except Damaged:
        raise
    except ValueError as error:
        raise damaged(path, error, kind) from error
    return values


def require(path: Path | str, kind: RecordKind) -> Record:
    """As `read_record`, for a record that has to exist. Raises: Damaged if it does not."""
    record = read_record(path, kind)
    if record is None:
        raise damaged(path, "it is missing", kind)
    return record


def peek(path: Path | str, kind: RecordKind) -> Values:
    """A record that is only shown; empty if it is missing or damaged. Raises: Unreadable."""
    try:
        return read(path, kind) or {}
    except Damaged:
        return {}


def damaged(path: Path | str, reason: object, kind: RecordKind) -> Damaged:
    """The error for a record that is not what it should be."""
    return Damaged(f"{path} is damaged ({reason}): {kind.remedy}")


def another_version(path: Path | str, found: object) -> Damaged:
    """The error for a record of a format that this version does not read."""
    return Damaged(
        f"{path} was written by an incompatible version (format {reading.shown(found)}, this one "
        f"reads {FORMAT}): use that version, or another store"
    )
