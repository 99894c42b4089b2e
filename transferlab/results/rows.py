"""The finished runs of a store as rows, a row a record, and the run folders without a row.

Records are checked as they are read: one whose config does not belong to its run id, or whose
numbers are invalid, gets no row. Rows are cached in the store's hidden folder, under the digest of
the file that holds them; records that changed are read again. Nothing is compared or averaged here.
"""

import contextlib
import dataclasses
import hashlib
import io
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from transferlab import __version__, store
from transferlab.errors import UserError
from transferlab.experiment.config import RunConfig, TransferConfig
from transferlab.experiment.identity import run_id
from transferlab.experiment.keys import known_keys
from transferlab.results.metrics import METRICS
from transferlab.runtime import files
from transferlab.runtime.provenance import VERSIONS

log = logging.getLogger(__name__)
FOLDER = ".results"
MADE = 1  # raised when rows are made otherwise, so that cached ones are not used
RUN_FOLDER = re.compile(r".*-([0-9a-f]{12})")
ACCURACIES = (*METRICS, "chance")

HEAD: dict[str, type] = {
    "id": str, "label": str, "variant": str, "base": str, "target": str, "n": int,
    "fine_tuned": bool, "split": str, "split_seed": int, "data": str, "model": str, "seed": int,
    **dict.fromkeys(ACCURACIES, float), "learned": bool, "target_base_id": str,
}  # fmt: skip
OTHER_METRICS = dict.fromkeys(("val_loss_final", "train_loss_final", "train_accuracy_final"), float)
PROVENANCE: dict[str, type] = {
    "base_id": str, "prefix_unchanged": bool, "weights_sha256": str, "num_classes": int,
    "train_images": int, "val_images": int, "steps": int, "images": int, "time_s": float,
    "images_per_s": float, "pack_size": int, "finished": str, "commit": str, "dirty": bool,
    "host": str, "device": str, "threads": int, "cpu_count": int,
}  # fmt: skip
_KEYS = tuple(known_keys())
_values = attrgetter(*_KEYS)  # what `config.flat` gives, in a tenth of the time
STAMP: dict[str, type] = {"_mtime_ns": int, "_size": int}


@dataclass(frozen=True)
class Unread:
    """A run folder without a row: `damage` says what is wrong with its record, None if it has
    none."""

    folder: Path
    id: str
    damage: str | None


@lru_cache(maxsize=1)
def kinds() -> Mapping[str, type]:
    """The columns of a row, each with its kind; any but those of `HEAD` may be empty."""
    fields = {key: kind for key, kind in _config_kinds().items() if key != "seed"}
    versions = {f"versions.{name}": str for name in VERSIONS}
    return {
        **HEAD,
        **fields,
        **OTHER_METRICS,
        **PROVENANCE,
        "skipped": int,
        **versions,
        "path": str,
    }


def read(store_folder: Path) -> tuple[pa.Table, list[Unread]]:
    """The rows of all finished runs of a store, with the columns of `kinds()` and in the order of
    folder names; and the run folders without a row. Raises: UserError if it cannot be read."""
    stamps = dict(_stamps(store_folder))
    finished = {name: stamp for name, stamp in stamps.items() if stamp is not None}
    unread = [
        Unread(store_folder / name, _identity(name), None) for name in stamps.keys() - finished
    ]
    rows = _load(store_folder)
    cached = _cached_stamps(rows)
    current = {name for name, stamp in finished.items() if cached.get(name) == stamp}
    new = []
    for name in sorted(finished.keys() - current):
        read = _read(store_folder / name, finished[name])
        unread.append(read) if isinstance(read, Unread) else new.append(read)
    if new or len(current) < len(cached):
        keep = pa.array([name in current for name in cached], pa.bool_())
        both = [rows.filter(keep), pa.Table.from_pylist(new, schema=_schema())]
        rows = pa.concat_tables(both).sort_by("path").combine_chunks()
        _save(store_folder, rows)
    paths = pa.array([str(store_folder / name) for name in rows["path"].to_pylist()], pa.string())
    rows = rows.select(list(kinds())).set_column(len(kinds()) - 1, "path", paths)
    return rows, sorted(unread, key=lambda run: run.folder)


def row(
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    *,
    identity: str,
    label: str,
    target_base_id: str,
    path: str,
) -> dict[str, Any]:
    """One row of the table, from a flat config and what `result.json` holds.

    Raises: UserError for a value of the wrong kind.
    """
    variant = str(config["transfer.variant"])
    metrics, versions = record["metrics"], record.get("versions") or {}
    cells = {
        **config,
        "id": identity,
        "label": label,
        "variant": variant,
        "base": None if variant == "base" else variant[0],
        "target": config["transfer.target"],
        "n": config["transfer.n"],
        "fine_tuned": variant.endswith("+"),
        "split": config["split.name"],
        "split_seed": config["split.seed"],
        "data": config["data.name"],
        "model": config["model.name"],
        **{key: metrics.get(key) for key in (*ACCURACIES, *OTHER_METRICS)},
        "learned": record.get("learned"),
        "target_base_id": target_base_id,
        **{key: record.get(key) for key in PROVENANCE},
        "skipped": len(record.get("skipped") or ()),
        **{f"versions.{name}": versions.get(name) for name in VERSIONS},
        "path": path,
    }
    return {key: _checked(key, kind, cells[key]) for key, kind in kinds().items()}


def table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows made by `row`, as a table like that of `read`."""
    fields = [field for field in _schema() if field.name not in STAMP]
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))


# --- a record -----------------------------------------------------------------------------------


def _read(folder: Path, stamp: tuple[int, int]) -> dict[str, Any] | Unread:
    identity = _identity(folder.name)
    try:
        row = _row_of(folder)
    except (UserError, AssertionError, KeyError, TypeError, AttributeError) as error:
        damage = str(error) if isinstance(error, UserError) else repr(error)
        if str(folder) not in damage:
            damage = f"{folder / 'result.json'} is damaged ({damage})"
        return Unread(folder, identity, damage)
    return row | dict(zip(STAMP, stamp, strict=True))


def _row_of(folder: Path) -> dict[str, Any]:
    finished = store.read_finished(folder)
    if finished is None:
        raise UserError("it was deleted while the store was read")
    run, record = finished
    if record.get("prefix_unchanged") is False:
        raise UserError("its frozen stages have changed since they were copied")
    return row(
        dict(zip(_KEYS, _values(run.config), strict=True)),
        record,
        identity=run.id,
        label=run.label,
        target_base_id=_target_base_id(run.config),
        path=folder.name,
    )


def _target_base_id(config: RunConfig) -> str:
    """The id of the base network of the run's own target, all else the same."""
    transfer = TransferConfig("base", 0, config.variant.target, 0)
    return _id(replace(config, transfer=transfer))


_id = lru_cache(maxsize=65_536)(run_id)


def _checked(key: str, kind: type, value: object) -> object:
    if value is None and (key not in HEAD or key in ("base", "split_seed", "seed")):
        return None
    if kind is float and type(value) is int:
        value = float(value)  # type: ignore[arg-type]
    if type(value) is not kind:
        raise UserError(f"{key}={value!r} is not of the type {kind.__name__}")
    if key in ACCURACIES and not 0 <= value <= 1:  # type: ignore[operator]
        raise UserError(f"{key}={value} is not an accuracy: must be between 0 and 1")
    return value


@lru_cache(maxsize=1)
def _config_kinds() -> Mapping[str, type]:
    """Every key of a run's config and the kind of its values, None aside."""
    by_key: dict[str, type] = {}
    for name, hint in get_type_hints(RunConfig).items():
        inside = get_type_hints(hint) if dataclasses.is_dataclass(hint) else {"": hint}
        for leaf, of_leaf in inside.items():
            types = (of_leaf, *get_args(of_leaf))
            kind = next((kind for kind in (float, int, bool) if kind in types), str)
            by_key[f"{name}.{leaf}".rstrip(".")] = kind
    return by_key


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
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    fields = [(key, types[kind]) for key, kind in {**kinds(), **STAMP}.items()]
    return pa.schema(fields, metadata={"made_by": f"transferlab {__version__}, {MADE}"})


def _cached_stamps(rows: pa.Table) -> dict[str, tuple[int, int]]:
    """Folder name -> the stamp of its record when its row was made, in the order of the rows."""
    columns = (rows[key].to_pylist() for key in ("path", *STAMP))
    return {name: (time, size) for name, time, size in zip(*columns, strict=True)}


def _load(store_folder: Path) -> pa.Table:
    """The rows saved last; none if there are none, or they have been changed since."""
    for path in (store_folder / FOLDER).glob("*.parquet"):
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != path.stem:
                continue
            rows = pq.read_table(io.BytesIO(content))
        except (OSError, pa.ArrowException):
            continue
        if rows.schema.equals(_schema(), check_metadata=True):
            return rows
    return _schema().empty_table()


def _save(store_folder: Path, rows: pa.Table) -> None:
    """Save the rows in place of those saved before, if the store can be written."""
    buffer = io.BytesIO()
    pq.write_table(rows, buffer)
    content = buffer.getvalue()
    path = store_folder / FOLDER / f"{hashlib.sha256(content).hexdigest()}.parquet"
    try:
        path.parent.mkdir(exist_ok=True)
        files.write(path, lambda file: file.write(content))
    except (OSError, UserError) as error:
        log.debug("rows are not cached: %s", error)
        return
    for other in path.parent.glob("*.parquet"):
        if other != path:
            with contextlib.suppress(OSError):
                other.unlink()
