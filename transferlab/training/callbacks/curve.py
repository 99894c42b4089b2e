"""The learning curve, `metrics.csv`."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from transferlab.runtime import files
from transferlab.store import Run


def write_curve(run: Run, curve: Sequence[Mapping[str, Any]]) -> None:
    """Write `metrics.csv` from the whole curve, atomically."""
    if not curve:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(curve[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    files.write(run.metrics, lambda file: file.write(text.getvalue().encode()))
