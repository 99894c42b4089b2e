"""Every finished run, with all its columns."""

import pandas as pd

from transferlab.experiment.metrics import METRICS
from transferlab.results import notes
from transferlab.results.exhibits import Selection

ORDER = ["data_set", "model", "split", "split_seed", "seed", "target", "base", "fine_tuned", "n"]


def build(selection: Selection) -> pd.DataFrame:
    """The columns of `Results.table`; differences to the target's base are of the metric."""
    metric, results = selection.metric, selection.results
    table = results.table.assign(metric=metric)
    table = table.sort_values(ORDER, na_position="first", ignore_index=True)
    empty = [f"{selection.nothing}: the table is empty"] if table.empty else []
    table.attrs = {
        "title": selection.exhibit.name,
        "metric": metric,
        "notes": [*empty, *notes.without_metric(selection), *notes.left_out(results)],
        "percent": [*METRICS, "chance", "target_base_metric", "delta_to_target_base"],
        "shown": ["label", "split", "split_seed", "seed", "data_set", "model", metric, "chance",
                  "delta_to_target_base", "counts", "steps", "time_s"],
    }  # fmt: skip
    return table
