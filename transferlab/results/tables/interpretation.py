"""Figure 2, interpreted, in numbers: the level of every series, as a paired difference from baseB.

Yosinski et al. 2014, Fig. 2, lower panel. Differs: the paper shades the gaps between means, which
are of different halves where a series lacks some; here the gaps are those of `decomposition`.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pandas as pd

from transferlab.results import notes, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables import decomposition, figure2
from transferlab.results.tables.frame import REPEATED, frame, in_order, paired, together

COLUMNS = ("experiment", "series", "n", "level", "difference", "pairs", *REPEATED)
PERCENT = ("level", "difference")
DROPS = {"co-adaptation": "BnB", "total": "AnB"}  # the series that ends the drop from baseB
BY = ["series", "n"]


def build(selection: Selection) -> pd.DataFrame:
    """`level` is the mean of baseB plus `difference`, that of a series to the base of its own
    target, split and seed.

    BnB and AnB are compared in the triples of `decomposition`, so that baseB less BnB is its
    co-adaptation and BnB less AnB its specificity; fine-tuned networks each with its own base.
    """
    parts = [
        selection.results.once(
            (_levels, experiment),
            partial(_levels, replace(selection, experiments=(experiment,))),
        )
        for experiment in selection.experiments
    ]
    rows: pd.DataFrame | list[dict[str, object]] = pd.concat(parts) if parts else []
    kinds = notes.kinds(selection.experiments)
    return frame(selection, COLUMNS, rows, percent=PERCENT, extra=kinds)


def _levels(selection: Selection) -> pd.DataFrame:
    means = figure2.build(selection)
    base = means[means["series"] == "baseB"].assign(difference=0.0, pairs=0)
    rows = pd.concat(
        [base[[*BY, "mean", "difference", "pairs", *REPEATED]], *_differences(selection)]
    )
    rows["level"] = base["mean"].sum(min_count=1) + rows["difference"]
    return in_order(rows.assign(experiment=selection.experiment.name), series=pairs.SERIES)


def _differences(selection: Selection) -> Iterator[pd.DataFrame]:
    """The series but baseB, with the difference to it at every n that has a pair."""
    drops = decomposition.build(selection)
    drops = drops[drops["part"].isin(DROPS) & (drops["pairs"] > 0)]
    yield drops.assign(series=drops["part"].map(DROPS), difference=-drops["mean"].astype(float))
    runs = together(selection)
    tuned = pairs.to_base(runs[runs["fine_tuned"]])
    if len(tuned):
        yield paired(tuned, BY).reset_index().rename(columns={"paired": "difference"})
