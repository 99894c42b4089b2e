"""The common parts of the tables: the frame with its notes, and the mean of a point."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from transferlab.results import comparable, intervals, notes, pairs
from transferlab.results.exhibits import Selection

REPEATED = ("unit", "splits", "seeds")
COUNTS = (*REPEATED, "at_chance")
Row = dict[str, Any]


def frame(
    selection: Selection,
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]] | pd.DataFrame,
    *,
    percent: Sequence[str],
    extra: Iterable[str] = (),
    by_experiment: bool = True,
) -> pd.DataFrame:
    """The rows as a table with a column `metric`; title and notes are in its `attrs`.

    `percent` names the columns of accuracies and `extra` are notes beside the usual ones. The rows
    of an experiment are together, or else all stay in their order.
    """
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    table = table.reindex(columns=list(columns))
    if by_experiment and "experiment" in columns:
        table = in_order(table, experiment=(part.name for part in selection.experiments))
    table = table.assign(metric=selection.metric).reset_index(drop=True)
    table.attrs = {
        "title": selection.exhibit.name,
        "metric": selection.metric,
        "notes": [*notes.of_selection(selection), *extra, *notes.repetition(table)],
        "percent": list(percent),
        "shown": list(columns),
    }
    return table


def together(selection: Selection) -> pd.DataFrame:
    """The runs of all experiments, of which there must be one, each with its experiment's name
    instead of the keys in which it agrees, and with what repeats in it."""
    keys = list(comparable.KEYS)
    parts = {
        part.name: pairs.repeated(part.runs.drop(columns=keys)) for part in selection.experiments
    }
    return pd.concat(parts, names=["experiment"]).reset_index(level=0).reset_index(drop=True)


def in_order(rows: pd.DataFrame, **orders: Iterable[str]) -> pd.DataFrame:
    """The rows sorted by these columns, each in the order of its values; otherwise as they are."""
    positions = {
        key: rows[key].map({value: place for place, value in enumerate(values)})
        for key, values in orders.items()
    }
    index = pd.DataFrame(positions).reset_index(drop=True).sort_values(list(orders), kind="stable")
    return rows.iloc[index.index]


def counting(runs: pd.DataFrame) -> pd.DataFrame:
    """Those that enter means: above chance level, as is what they rest on."""
    return runs[runs["counts"]]


def spread(
    runs: pd.DataFrame, by: Sequence[str], shown: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Mean accuracy, interval and counts of every group, of the runs that count or those shown.

    Every group of the runs has a row, indexed by `by`.
    """
    keys = list(by)
    shown = counting(runs) if shown is None else shown
    values = shown.assign(value=shown["accuracy"])
    table = averaged(values, keys, "count", bounds=intervals.ACCURACY)
    groups = runs.groupby(keys)
    at_chance = (~runs["counts"]).groupby([runs[key] for key in keys]).sum()
    table = table.reindex(at_chance.index).assign(at_chance=at_chance, unit=groups["unit"].first())
    return whole(table, "count", "splits", "seeds", "at_chance")


def paired(differences: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The columns of differences in pairs, of every group; indexed by `by`."""
    names = {"mean": "paired", "sd": "paired_sd"}
    return averaged(differences, by, "pairs").rename(columns=names)


def averaged(
    values: pd.DataFrame,
    by: Sequence[str],
    counted: str,
    *,
    bounds: tuple[float, float] = intervals.ANY,
) -> pd.DataFrame:
    """`intervals.over_repetitions` of every group, with `unit`, what repeats; the numbers of
    `splits` and of `seeds`, of which one is that of the repetitions; and in the column `counted`
    that of the values."""
    groups = values.groupby(list(by))
    return intervals.over_repetitions(values, by, bounds=bounds).assign(
        unit=groups["unit"].first(),
        splits=groups["halves"].nunique(),
        seeds=groups["seed"].nunique(dropna=False),
        **{counted: groups.size()},
    )


def whole(table: pd.DataFrame, *counts: str) -> pd.DataFrame:
    """The table with these columns as numbers of things: 0 where there is nothing."""
    return table.assign(**{key: table[key].fillna(0).astype(int) for key in counts})
