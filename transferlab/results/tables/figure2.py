"""Figure 2 in numbers: random halves, the mean of every series at every n."""

import pandas as pd

from transferlab.results import notes, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import COUNTS, by_n, frame, spread

COLUMNS = ("experiment", "series", "n", "mean", "sd", "count", "low", "high", *COUNTS)


def build(selection: Selection) -> pd.DataFrame:
    """Means over networks, as the paper has them; `low` and `high` are the 95 % t-interval."""
    rows = [
        {"experiment": experiment.name, "series": series, "n": n, **spread(runs)}
        for experiment in selection.experiments
        for series in pairs.SERIES
        for n, runs in by_n(experiment.runs[experiment.runs["series"] == series])
    ]
    warnings = [note for part in selection.experiments for note in notes.uneven(part)]
    percent = ("mean", "sd", "low", "high")
    return frame(selection, COLUMNS, rows, percent=percent, extra=warnings)
