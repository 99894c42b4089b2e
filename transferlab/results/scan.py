"""The rows of all finished runs of a store, and the run folders without a row.

Records are checked as they are read. Their rows are kept in the user's cache (`store.kept`);
records that changed since are read again.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transferlab import __version__, store
from transferlab.errors import UserError
from transferlab.experiment.run import RESULT
from transferlab.results import rows
from transferlab.runtime.reading import Unreadable
from transferlab.store import kept, reader, schemas
from transferlab.store.folders import RUN_FOLDER
from transferlab.store.kept import Stamp

KIND = "rows"
MADE = 6  # increased when the content of rows changes, to invalidate kept ones
STAMP = ("_mtime_ns", "_ctime_ns", "_size", "_inode")  # of the record when its row was made


@dataclass(frozen=True)
class Unread:
    """A run folder without a row: `damage` is None if it has no record. `unreadable`: it may have
    one, which this user cannot read."""

    folder: Path
    id: str
    damage: str | None
    unreadable: bool = False


def read(store_folder: Path) -> tuple[pa.Table, list[Unread]]:
    """The rows of all finished runs of a store, in the order of folder names, and the run folders
    without a row. Raises: UserError if the store cannot be read."""
    unread: list[Unread] = []
    finished = dict(_stamps(store_folder, unread))
    table = _load(store_folder)
    cached = _cached_stamps(table)
    current = {name for name, stamp in finished.items() if cached.get(name) == stamp}
    new = []
    for name in sorted(finished.keys() - current):
        row = _read(store_folder / name, finished[name])
        if isinstance(row, Unread):
            unread.append(row)
        elif row is not None:
            new.append(row)
    if new or len(current) < len(cached):
        keep = pa.array([name in current for name in cached], pa.bool_())
        both = [table.filter(keep), pa.Table.from_pylist(new, schema=_schema())]
        table = pa.concat_tables(both).sort_by("path").combine_chunks()
        _save(store_folder, table)
    parent = str(store_folder / "x").removesuffix("x")
    paths = pc.binary_join_element_wise(parent, table["path"], "")
    columns = list(rows.kinds())
    table = table.select(columns).set_column(columns.index("path"), "path", paths)
    return table, sorted(unread, key=lambda run: run.folder)


def _read(folder: Path, stamp: Stamp) -> dict[str, Any] | Unread | None:
    """The row of a finished run; None of a network that was trained elsewhere."""
    identity = _identity(folder.name)
    try:
        row = rows.read(folder)
    except UserError as error:
        damage = str(error)
        if str(folder) not in damage:
            damage = str(reader.damaged(folder / RESULT, error, schemas.RESULT))
        return Unread(folder, identity, damage, isinstance(error, Unreadable))
    return row and row | dict(zip(STAMP, stamp, strict=True))


# --- the store ----------------------------------------------------------------------------------


def _stamps(store_folder: Path, unread: list[Unread]) -> Iterator[tuple[str, Stamp]]:
    """The folders with a record, with its time and size; adds run folders without to `unread`."""
    for name in sorted(store.folder_names(store_folder)):
        damage = None
        try:
            stamp = kept.stamp(f"{store_folder}/{name}/{RESULT}")
        except Unreadable as error:
            stamp, damage = None, str(error)
        if stamp is not None:
            yield name, stamp
        elif RUN_FOLDER.fullmatch(name):  # no other folder belongs to a run
            unread.append(Unread(store_folder / name, _identity(name), damage, damage is not None))


def _identity(name: str) -> str:
    return name.rpartition("-")[2]


# --- cached rows --------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _schema() -> pa.Schema:
    stamps = [pa.field(key, pa.int64()) for key in STAMP]
    made_by = {"made_by": f"transferlab {__version__}, {MADE}"}
    return pa.schema([*rows.schema(), *stamps], metadata=made_by)


def _cached_stamps(table: pa.Table) -> dict[str, Stamp]:
    """Folder name -> the stamp of its record when its row was made, in the order of the rows."""
    columns = (table[key].to_pylist() for key in ("path", *STAMP))
    return {name: tuple(stamp) for name, *stamp in zip(*columns, strict=True)}


def _load(store_folder: Path) -> pa.Table:
    """The rows that were kept; none if there are none."""
    content = kept.load(store_folder, KIND)
    if content is not None:
        try:
            table = pq.ParquetFile(pa.BufferReader(content)).read()
        except pa.ArrowException:
            return _schema().empty_table()
        if table.schema.equals(_schema(), check_metadata=True):
            return table
    return _schema().empty_table()


def _save(store_folder: Path, table: pa.Table) -> None:
    """Replace the rows that are kept."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    kept.save(store_folder, KIND, buffer.getvalue())
