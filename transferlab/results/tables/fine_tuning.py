"""What fine-tuned networks gain at every n, in pairs: the comparisons of Table 1 by layer.

Yosinski et al. 2014, Sec. 4.1. The paper has no such table: no AnB+ of its release shares its
target with a BnB+.
"""

import pandas as pd

from transferlab.results import notes, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import REPEATED, averaged, frame, in_order, together, whole
from transferlab.results.tables.table1 import COMPARISONS, NAMES

COLUMNS = (
    "experiment", "n", "comparison", "mean", "sd", "pairs", "low", "high", *REPEATED,
)  # fmt: skip
PERCENT = ("mean", "sd", "low", "high")
BY = ["experiment", "n", "comparison"]


def build(selection: Selection) -> pd.DataFrame:
    """`mean` is the mean difference of the fine-tuned networks to the base of their own target, or
    of AnB+ to the BnB+ of the same target and n; the 95 % interval is over `unit`."""
    rows: pd.DataFrame | list[dict[str, object]] = []
    if selection.experiments:
        rows = _rows(together(selection))
    kinds = notes.kinds(selection.experiments)
    return frame(selection, COLUMNS, rows, percent=PERCENT, extra=kinds)


def _rows(runs: pd.DataFrame) -> pd.DataFrame:
    """Every comparison at every n > 0 that has a run, with a pair or without."""
    differences = [
        pairs.compared(runs, *comparison).assign(comparison=name)
        for name, comparison in zip(NAMES, COMPARISONS, strict=True)
    ]
    cuts = runs.loc[runs["n"] > 0, BY[:2]].drop_duplicates()
    every = cuts.merge(pd.DataFrame({BY[2]: NAMES}), "cross").set_index(BY)
    rows = every.join(averaged(pd.concat(differences), BY, "pairs")).reset_index()
    rows = whole(rows, "pairs", "splits", "seeds")
    return in_order(rows, n=sorted(rows["n"].unique()), comparison=NAMES)
