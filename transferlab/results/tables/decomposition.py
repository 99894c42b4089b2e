"""The drop from baseB to AnB at every n as co-adaptation and specificity, in pairs."""

from collections.abc import Iterator

import pandas as pd

from transferlab.results import pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import (
    REPEATED,
    averaged,
    frame,
    in_order,
    together,
    whole,
)

PARTS = {"co-adaptation": "baseB - BnB", "specificity": "BnB - AnB", "total": "baseB - AnB"}
COLUMNS = (
    "experiment", "split", "n", "part", "difference", "mean", "sd", "pairs", "low", "high",
    *REPEATED,
)  # fmt: skip
PERCENT = ("mean", "sd", "low", "high")
BY = ["experiment", "split", "n", "part"]


def build(selection: Selection) -> pd.DataFrame:
    """A pair is a base, a selffer and a transfer for the same target, split and seed that all
    count, so that the parts add up. The 95 % interval is over `unit`."""
    if not selection.experiments:
        return frame(selection, COLUMNS, [], percent=PERCENT)
    runs = together(selection)
    triples = pairs.triples(runs)
    unmatched = list(_unmatched(runs, triples))
    return frame(selection, COLUMNS, _rows(runs, triples), percent=PERCENT, extra=unmatched)


def _rows(runs: pd.DataFrame, triples: pd.DataFrame) -> pd.DataFrame:
    """Every part at every n > 0 at which a split has runs, with a pair or without."""
    kept = ["experiment", "split", "n", "seed", "halves", "unit", "repetition"]
    values = triples.melt(kept, list(PARTS), "part")
    cuts = runs.loc[runs["n"] > 0, ["experiment", "split", "n"]].drop_duplicates()
    every = cuts.merge(pd.DataFrame({"part": PARTS.keys(), "difference": PARTS.values()}), "cross")
    rows = every.set_index(BY).join(averaged(values, BY, "pairs"))
    rows = whole(rows, "pairs", "splits", "seeds").sort_index().reset_index()
    return in_order(rows, split=runs["split"].unique())


def _unmatched(runs: pd.DataFrame, triples: pd.DataFrame) -> Iterator[str]:
    """The networks in no triple, with the reasons, of every experiment and kind of split."""
    in_triple = runs.set_index(pairs.PAIR).index.isin(triples.set_index(pairs.PAIR).index)
    for (experiment, split), unpaired in runs[~in_triple & (runs["n"] > 0)].groupby(
        BY[:2], sort=False
    ):
        of_split = runs[(runs["experiment"] == experiment) & (runs["split"] == split)]
        for reason in pairs.unmatched(of_split, unpaired):
            yield f"{experiment} {split}: {reason}"
