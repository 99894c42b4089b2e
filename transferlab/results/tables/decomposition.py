"""The drop from baseB to AnB at every n as co-adaptation and specificity, in pairs."""

from collections.abc import Iterator

import pandas as pd

from transferlab.results import intervals, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import Row, frame

PARTS = {"co-adaptation": "baseB - BnB", "specificity": "BnB - AnB", "total": "baseB - AnB"}
COLUMNS = (
    "experiment", "split", "n", "part", "difference", "mean", "sd", "pairs", "low", "high",
    "boot_low", "boot_high", "splits", "seeds",
)  # fmt: skip
PERCENT = ("mean", "sd", "low", "high", "boot_low", "boot_high")


def build(selection: Selection) -> pd.DataFrame:
    """A pair is a base, a selffer and a transfer for the same target, split and seed that all
    learned, so that the parts add up. 95 % intervals: t over the pairs; bootstrap over whole
    splits."""
    rows: list[Row] = []
    unmatched: list[str] = []
    for experiment in selection.experiments:
        for split, runs in experiment.runs.groupby("split", sort=False):
            triples = pairs.triples(runs)
            rows += [
                {"experiment": experiment.name, "split": split, **row}
                for row in _parts(runs, triples)
            ]
            unmatched += [
                f"{experiment.name} {split}: {reason}" for reason in pairs.unmatched(runs, triples)
            ]
    return frame(selection, COLUMNS, rows, percent=PERCENT, extra=unmatched)


def _parts(runs: pd.DataFrame, triples: pd.DataFrame) -> Iterator[Row]:
    for n in sorted(set(runs["n"]) - {0}):
        at_n = triples[triples["n"] == n]
        for part, difference in PARTS.items():
            values = at_n[part].tolist()
            spread = intervals.summary(values)
            low, high = intervals.bootstrap(values, at_n["unit"].tolist())
            yield {
                "n": n,
                "part": part,
                "difference": difference,
                "mean": spread.mean,
                "sd": spread.sd,
                "pairs": spread.count,
                "low": spread.low,
                "high": spread.high,
                "boot_low": low,
                "boot_high": high,
                "splits": at_n["unit"].nunique(),
                "seeds": at_n["seed"].nunique(dropna=False),
            }
