"""The learning curve of a finished run: `metrics.csv`, a row a validation."""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transferlab.experiment.metrics import MEASURES
from transferlab.runtime import reading
from transferlab.runtime.reading import MEGABYTE, Damaged
from transferlab.store.schemas import LARGEST

FILE = "metrics.csv"
LARGEST_CURVE = 1024 * MEGABYTE
FRACTIONS = ("train/accuracy", *(measure.column for measure in MEASURES))
REQUIRED = ("step", "train/loss", "val/loss")
Row = dict[str, Any]


def has_curve(folder: str) -> bool:
    """Whether a run's folder has the file of a curve, or may have one: `read_curve` tells."""
    try:
        os.stat(f"{folder}/{FILE}", follow_symlinks=False)
    except OSError as error:
        return error.errno not in reading.MISSING
    return True


def read_curve(
    folder: Path, *, run: str, steps: int, values: Mapping[str, float]
) -> tuple[Row, ...] | None:
    """The rows of the curve in a run's folder, as a mirror receives them; None if it has none.

    `run` is the label and id for messages; `steps` and `values`, the step and the measures of the
    last validation by column, are those of the run's record.

    Raises: Damaged if it is not the complete curve of that record; Unreadable.
    """
    path = folder / FILE
    remedy = f"restore the file, or delete {folder} to train the run again"
    content = reading.read(path, limit=LARGEST_CURVE, remedy=remedy)
    if content is None:
        return None
    try:
        lines = csv.reader(io.StringIO(content.data.decode("utf-8"), newline=""), strict=True)
        names = next(lines, [])
        if missing := [key for key in (*REQUIRED, *values) if key not in names]:
            raise ValueError(f"it has no column {missing[0]}")
        rows = tuple(_row(names, line) for line in lines if line)
        if any(row["step"] <= before["step"] for before, row in zip(rows, rows[1:], strict=False)):
            raise ValueError("its steps do not increase")
        last = {"step": steps, **values}
        if not rows or any(rows[-1][key] != value for key, value in last.items()):
            raise ValueError("its last row differs from the run's record")
    except (ValueError, csv.Error) as error:
        raise Damaged(f"{path} is not the curve of {run} ({error}): {remedy}") from error
    return rows


def _row(names: Sequence[str], line: Sequence[str]) -> Row:
    """The values of a line. Raises: ValueError for one that is no number, or out of bounds."""
    if len(line) != len(names):
        raise ValueError("a line has more or fewer values than the first one")
    return {name: _number(name, text) for name, text in zip(names, line, strict=True)}


def _number(name: str, text: str) -> float:
    try:
        value = int(text[:20]) if name == "step" else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name}={reading.shown(text)} is not a finite number")
    if (name == "step" and not 0 <= value <= LARGEST) or (
        name in FRACTIONS and not 0 <= value <= 1
    ):
        raise ValueError(f"{name}={reading.shown(text)} is out of bounds")
    return value
