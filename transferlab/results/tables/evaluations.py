"""Every evaluation of finished runs, with what was asked in words."""

import pandas as pd

from transferlab.results import notes
from transferlab.results.evaluated import HEAD, TAIL
from transferlab.results.exhibits import Selection

UNITS = ("loss",)  # metrics that are no fractions


def build(selection: Selection) -> pd.DataFrame:
    """The columns of `evaluated.read`, of the runs that are shown."""
    results = selection.results
    shown = results.evaluations["kept_with"].isin(results.table["id"])  # of one experiment, perhaps
    table = results.evaluations[shown].reset_index(drop=True)
    metrics = [key for key in table if key not in (*HEAD, *TAIL)]
    empty = [f"{selection.nothing}: the table is empty"] if table.empty else []
    averages = ["below an average are its runs, each alone"] if table["runs"].gt(1).any() else []
    table.attrs = {
        "title": selection.exhibit.name,
        "notes": [*empty, *averages, *notes.left_out(results)],
        "percent": [key for key in metrics if key not in UNITS],
        "shown": ["label", "id", "model", "runs", "asked", "data_set", "images", *metrics],
    }
    return table
