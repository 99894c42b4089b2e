"""The common parts of the tables: the frame with its notes, and the mean of a point."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from transferlab.results import intervals, notes
from transferlab.results.exhibits import Selection
from transferlab.results.intervals import Summary

COUNTS = ("splits", "seeds", "at_chance")
HALVES = {"random": "random halves", "manmade_natural": "man-made/natural"}
Row = dict[str, Any]


def frame(
    selection: Selection,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    percent: Sequence[str],
    extra: Iterable[str] = (),
) -> pd.DataFrame:
    """The rows as a table with a column `metric`; title and notes are in its `attrs`.

    `percent` names the columns of accuracies and `extra` are notes beside the usual ones.
    """
    table = pd.DataFrame(
        [{**row, "metric": selection.metric} for row in rows], columns=[*columns, "metric"]
    )
    table.attrs = {
        "title": selection.exhibit.name,
        "metric": selection.metric,
        "notes": [*notes.of_selection(selection), *extra],
        "percent": list(percent),
        "shown": list(columns),
    }
    return table


def by_n(runs: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
    """The runs at every n, in order."""
    for n in sorted(set(runs["n"].tolist())):
        yield n, runs[runs["n"] == n]


def learned(runs: pd.DataFrame) -> pd.DataFrame:
    """Those above chance level."""
    return runs[runs["learned"]]


def spread(runs: pd.DataFrame, shown: pd.DataFrame | None = None) -> Row:
    """Mean, interval and counts of the runs that learned, or of those to be shown."""
    shown = learned(runs) if shown is None else shown
    accuracy = intervals.summary(shown["accuracy"].tolist())
    return {
        "mean": accuracy.mean,
        "sd": accuracy.sd,
        "count": accuracy.count,
        "low": accuracy.low,
        "high": accuracy.high,
        "splits": shown["unit"].nunique(),
        "seeds": shown["seed"].nunique(dropna=False),
        "at_chance": int((~runs["learned"]).sum()),
    }


def paired(difference: Summary) -> Row:
    """The columns of a difference in pairs."""
    return {
        "paired": difference.mean,
        "paired_sd": difference.sd,
        "pairs": difference.count,
        "low": difference.low,
        "high": difference.high,
    }
