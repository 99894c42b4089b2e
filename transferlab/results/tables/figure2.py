"""Figure 2 in numbers: random halves, the mean of every series at every n."""

import pandas as pd

from transferlab.results import notes, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import COUNTS, frame, in_order, spread, together

COLUMNS = ("experiment", "series", "n", "mean", "sd", "count", "low", "high", *COUNTS)
PERCENT = ("mean", "sd", "low", "high")


def build(selection: Selection) -> pd.DataFrame:
    """Means over repetitions of `count` networks; where all have the same networks, these are the
    paper's means. `low` and `high` are the 95 % interval over `unit`, within 0 and 1."""
    rows: pd.DataFrame | list[dict[str, object]] = []
    if selection.experiments:
        rows = spread(together(selection), ["experiment", "series", "n"]).reset_index()
        rows = in_order(rows, series=pairs.SERIES)
    warnings = notes.of_means(selection.experiments)
    return frame(selection, COLUMNS, rows, percent=PERCENT, extra=warnings)
