"""Which runs count, by the metric that is shown: those that learned, and whose base did.

Columns of a results table that depend on a metric are made here; nothing is averaged.
"""

import pandas as pd

from transferlab.experiment import chance
from transferlab.experiment.metrics import measure_of


def with_metric(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The table with the columns that depend on a metric: `learned`, `counts`, `target_base_metric`
    and `delta_to_target_base`.

    A run counts if it learned and its base network counts; one whose base network has no record in
    the table is judged alone.
    """
    base = table["target_base_id"].map(table.set_index("id")[metric]).astype(float)
    learned = _learned(table, metric)
    return table.assign(
        learned=learned,
        counts=_counts(table["id"], table["base_id"], learned),
        target_base_metric=base,
        delta_to_target_base=table[metric] - base,
    )


def _learned(table: pd.DataFrame, metric: str) -> pd.Series:
    """Whether each run learned by that metric; a run that lacks it, as its record says."""
    guess = measure_of(metric).guess
    keys = ["chance", *([] if guess is None else [guess])]
    is_unknown = table[metric].isna() | table["val_images"].isna()
    columns = (table[key].tolist() for key in (metric, "val_images", "learned", *keys))
    values = [
        recorded
        if unknown
        else chance.above(value, metric, dict(zip(keys, guesses, strict=True)), images=images)
        for unknown, value, images, recorded, *guesses in zip(is_unknown, *columns, strict=True)
    ]
    return pd.Series(values, index=table.index, dtype=bool)


def _counts(ids: pd.Series, bases: pd.Series, learned: pd.Series) -> pd.Series:
    """Whether each run learned, and its base, and the base of that."""
    counts = learned.astype(bool)
    while True:
        base_counts = bases.map(pd.Series(counts.to_numpy(), index=ids)).ne(False)
        if (counts & base_counts).equals(counts):
            return counts
        counts = counts & base_counts
