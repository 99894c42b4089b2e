"""Finished runs in one CSV file, read like a store: what a repository keeps of a study.

`results --archive FILE.csv` writes it, and `--store FILE.csv` reads it. It has the columns of
`rows` but for those that are empty or name a machine or its folders. Learning curves and weights
stay in the store.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from transferlab.errors import UserError
from transferlab.experiment.identity import NOT_IN_ID
from transferlab.results import formats, rows
from transferlab.runtime.escapes import restored

SUFFIX = ".csv"
LOCAL = frozenset(("path", "host", *NOT_IN_ID))
REMEDY = "make it anew with results --archive FILE.csv"
ORDER = ["split", "split_seed", "seed", "target", "base", "fine_tuned", "n", "id"]


def is_archive(store: Path | str) -> bool:
    """Whether `store` names a CSV file, not a folder."""
    return Path(store).suffix.lower() == SUFFIX and not Path(store).is_dir()


def text(table: pd.DataFrame, *, with_paths: bool = False) -> str:
    """The runs of a results table as an archive, sorted by split, seed, target and variant.

    `with_paths`: with the hosts, and the folders but that of the run, which a reader sets.
    """
    local = [key for key in rows.kinds() if key in LOCAL or key.startswith("runtime.")]
    left_out = {"path"} if with_paths else {*local}
    shared = [key for key in rows.kinds() if key not in left_out]
    kept = [key for key in shared if key in rows.HEAD or table[key].notna().any()]
    ordered = table.sort_values(ORDER, na_position="first")[kept]
    return formats.csv(ordered)


def read(file: Path) -> pa.Table:
    """The rows of an archive; a run's `path` is `FILE/ID`.

    Raises: UserError if the file cannot be read, a column is unknown or missing, a value is of the
        wrong kind, or a run occurs twice.
    """
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            head = reader.fieldnames or ()
            found = [(reader.line_num, cells) for cells in reader]
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is not a table of runs ({error}): {REMEDY}") from error
    _require_columns(file, head)
    by_id: dict[object, Mapping[str, object]] = {}
    for line, cells in found:
        try:
            row = rows.from_text({k: restored(v) if v else v for k, v in cells.items()})
        except UserError as error:
            raise UserError(f"{file} line {line}: {error}") from error
        if row["id"] in by_id:
            raise UserError(f"{file} line {line}: the run {row['id']} occurs twice: {REMEDY}")
        by_id[row["id"]] = row | {"path": f"{file}/{row['id']}"}
    return rows.table(by_id.values())


def _require_columns(file: Path, head: object) -> None:
    assert isinstance(head, list | tuple)
    unknown = [key for key in head if key not in rows.kinds()]
    missing = [key for key in rows.HEAD if key not in head]
    if unknown or missing:
        parts = [
            f"{what} {', '.join(keys[:5])}"
            for what, keys in (("no column", missing), ("unknown columns", unknown))
            if keys
        ]
        raise UserError(f"{file} is not a table of runs ({'; '.join(parts)}): {REMEDY}")
