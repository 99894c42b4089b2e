"""The rows of all finished runs of a store, and the run folders without a row.

Records are checked as they are read. Their rows are cached in the store's hidden folder, under the
digest of the file that holds them; records that changed since are read again.
"""

import contextlib
import hashlib
import io
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transferlab import __version__, store
from transferlab.errors import UserError
from transferlab.results import rows
from transferlab.runtime import files

log = logging.getLogger(__name__)
FOLDER = ".results"
MADE = 3  # increased when the content of rows changes, to invalidate cached ones
RUN_FOLDER = re.compile(r".*-([0-9a-f]{12})")
STAMP = ("_mtime_ns", "_size")  # of the record when its row was made


@dataclass(frozen=True)
class Unread:
    """A run folder without a row: `damage` is None if it has no record."""

    folder: Path
    id: str
    damage: str | None


def read(store_folder: Path) -> tuple[pa.Table, list[Unread]]:
    """The rows of all finished runs of a store, in the order of folder names, and the run folders
    without a row. Raises: UserError if the store cannot be read."""
    stamps = dict(_stamps(store_folder))
    finished = {name: stamp for name, stamp in stamps.items() if stamp is not None}
    unread = [
        Unread(store_folder / name, _identity(name), None) for name in stamps.keys() - finished
    ]
    table = _load(store_folder)
    cached = _cached_stamps(table)
    current = {name for name, stamp in finished.items() if cached.get(name) == stamp}
    new = []
    for name in sorted(finished.keys() - current):
        row = _read(store_folder / name, finished[name])
        unread.append(row) if isinstance(row, Unread) else new.append(row)
    if new or len(current) < len(cached):
        keep = pa.array([name in current for name in cached], pa.bool_())
        both = [table.filter(keep), pa.Table.from_pylist(new, schema=_schema())]
        table = pa.concat_tables(both).sort_by("path").combine_chunks()
        _save(store_folder, table)
    paths = pa.array([str(store_folder / name) for name in table["path"].to_pylist()], pa.string())
    columns = list(rows.kinds())
    table = table.select(columns).set_column(columns.index("path"), "path", paths)
    return table, sorted(unread, key=lambda run: run.folder)


def _read(folder: Path, stamp: tuple[int, int]) -> dict[str, Any] | Unread:
    identity = _identity(folder.name)
    try:
        row = rows.read(folder)
    except (UserError, AssertionError, KeyError, TypeError, AttributeError) as error:
        damage = str(error) if isinstance(error, UserError) else repr(error)
        if str(folder) not in damage:
            damage = f"{folder / 'result.json'} is damaged ({damage})"
        return Unread(folder, identity, damage)
    return row | dict(zip(STAMP, stamp, strict=True))


# --- the store ----------------------------------------------------------------------------------


def _stamps(store_folder: Path) -> Iterator[tuple[str, tuple[int, int] | None]]:
    """The run folders, with time and size of their records, None without one."""
    for name in sorted(store.folder_names(store_folder)):
        try:
            status = os.stat(f"{store_folder}/{name}/result.json")
        except OSError:
            if RUN_FOLDER.fullmatch(name):  # no other folder belongs to a run
                yield name, None
        else:
            yield name, (status.st_mtime_ns, status.st_size)


def _identity(name: str) -> str:
    return name.rpartition("-")[2]


# --- cached rows --------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _schema() -> pa.Schema:
    stamps = [pa.field(key, pa.int64()) for key in STAMP]
    made_by = {"made_by": f"transferlab {__version__}, {MADE}"}
    return pa.schema([*rows.schema(), *stamps], metadata=made_by)


def _cached_stamps(table: pa.Table) -> dict[str, tuple[int, int]]:
    """Folder name -> the stamp of its record when its row was made, in the order of the rows."""
    columns = (table[key].to_pylist() for key in ("path", *STAMP))
    return {name: (time, size) for name, time, size in zip(*columns, strict=True)}


def _load(store_folder: Path) -> pa.Table:
    """The rows saved last; none if there are none, or they have been changed since."""
    for path in (store_folder / FOLDER).glob("*.parquet"):
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != path.stem:
                continue
            table = pq.read_table(io.BytesIO(content))
        except (OSError, pa.ArrowException):
            continue
        if table.schema.equals(_schema(), check_metadata=True):
            return table
    return _schema().empty_table()


def _save(store_folder: Path, table: pa.Table) -> None:
    """Replace the cached rows, if the store can be written."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    content = buffer.getvalue()
    path = store_folder / FOLDER / f"{hashlib.sha256(content).hexdigest()}.parquet"
    try:
        files.make_folder(path.parent)
        files.write(path, lambda file: file.write(content))
    except UserError as error:
        log.debug("rows are not cached: %s", error)
        return
    for other in path.parent.glob("*.parquet"):
        if other != path:
            with contextlib.suppress(OSError):
                other.unlink()
