"""What a plot is drawn from: the runs of one experiment, with what comparing them needs.

Runs of several experiments never share axes. The caller says which one is meant; without a word
that works only if there is just one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pandas as pd

from transferlab.errors import UserError
from transferlab.results import comparable, loading, pairs, published, tables
from transferlab.results.comparable import Experiment
from transferlab.results.figures import style
from transferlab.results.loading import Results

Selection = Callable[[pd.DataFrame, Results], Sequence[Experiment]]


@dataclass(frozen=True, eq=False)
class Choice:
    """One experiment: `runs` as `pairs.prepare` makes them, and `results` cut down to them."""

    plot: str
    name: str
    metric: str
    runs: pd.DataFrame
    results: Results


def metric_of(results: Results, metric: str | None) -> str:
    """The metric asked for, or the one that the results are shown in. Raises: UserError."""
    chosen = results.metric if metric is None else metric
    if chosen not in tables.METRICS:
        known = ", ".join(tables.METRICS)
        raise UserError(f"metric={chosen} is not there: choose one of {known}")
    return chosen


def found(results: Results, plot: str, metric: str | None = None) -> tuple[Experiment, ...]:
    """The experiments of which this plot has something to show."""
    prepared = pairs.prepare(results.table, metric_of(results, metric))
    return tuple(SELECTIONS[plot](prepared, results))


def choose(
    results: Results, plot: str, metric: str | None = None, experiment: str | None = None
) -> Choice:
    """The experiment of that name, or the only one. Raises: UserError if that is not one."""
    chosen = metric_of(results, metric)
    there = found(results, plot, chosen)
    if not there:
        words, study = NEEDS[plot]
        raise UserError(
            f"{plot} has nothing to show of {results.store}: no finished run {words}; make them "
            f"with python -m transferlab sweep +study={study}"
        )
    if experiment is not None:
        there = tuple(one for one in there if one.name == experiment) or _unknown(experiment, there)
    if len(there) > 1:
        raise UserError(
            f"{plot} shows one experiment and {results.store} has {len(there)}, which are not to "
            f"be mixed: choose one with --experiment, {_names(there)}"
        )
    one = there[0]
    table = results.table[results.table["id"].isin(one.runs["id"])]
    return Choice(plot, one.name, chosen, one.runs, replace(results, table=table))


def behind(choice: Choice, wanted: bool) -> Choice | None:
    """The published networks for the same plot in the same metric, if they are to be drawn."""
    if not wanted or published.is_published(choice.results.store):
        return None
    return _published(choice.plot, choice.metric)


def notes(choice: Choice) -> list[str]:
    """What is left out of the results as a whole, if anything."""
    left = choice.results.left_out
    counts = left.loc[left["kind"] != "chance", "kind"].value_counts(sort=False)
    if not len(counts):
        return []
    words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return [f"Left out of all runs of the store: {words}."]


@cache
def _published(plot: str, metric: str) -> Choice:
    return choose(loading.load(style.PUBLISHED), plot, metric)


def _unknown(name: str, there: Sequence[Experiment]) -> tuple[Experiment, ...]:
    raise UserError(f"--experiment '{name}' is not there: choose one of {_names(there)}")


def _names(there: Sequence[Experiment]) -> str:
    return ", ".join(f"'{one.name}'" for one in there)


# --- which runs a plot shows --------------------------------------------------------------------


def _plain(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["transfer.keep"] == 0]


def _with(runs: pd.DataFrame, shown: Callable[[pd.DataFrame], pd.Series]) -> Sequence[Experiment]:
    """The experiments in which there is a run to be shown, named as if there were no others."""
    parts = [one.runs for one in comparable.split(runs) if shown(one.runs).any()]
    return comparable.split(pd.concat(parts).drop_duplicates("id")) if parts else ()


def _figure2(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    runs = _plain(runs)
    return comparable.split(runs[(runs["split"] == "random") & (runs["series"] != "random")])


def _figure3(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    runs = _plain(runs)
    runs = runs[runs["series"].isin(["baseB", "AnB", "random"])]
    return _with(runs, lambda some: some["n"] > 0)


def _decomposition(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    runs = _plain(runs)
    runs = runs[runs["series"].isin(["baseB", "BnB", "AnB"]) & (runs["split"] != "whole")]
    return _with(runs, lambda some: some["n"] > 0)


def _curves(runs: pd.DataFrame, results: Results) -> Sequence[Experiment]:
    found = set(loading.curves(results)["id"])
    return _with(runs, lambda some: some["id"].isin(found))


def _reduced(runs: pd.DataFrame, _: Results) -> Sequence[Experiment]:
    """Base networks that differ in their images per class, which else tells experiments apart."""
    runs = runs[runs["series"] == "baseB"]
    per_class = runs["data.per_class"]
    alike = comparable.split(runs.assign(**{"data.per_class": None}))
    return [
        replace(one, runs=one.runs.assign(**{"data.per_class": per_class.loc[one.runs.index]}))
        for one in alike
        if per_class.loc[one.runs.index].nunique(dropna=False) > 1
    ]


SELECTIONS: dict[str, Selection] = {
    "figure2": _figure2,
    "interpretation": _figure2,
    "figure3": _figure3,
    "decomposition": _decomposition,
    "curves": _curves,
    "reduced": _reduced,
}
# Plot -> what its runs have, and a study that makes such
NEEDS = {
    "figure2": ("has random halves", "quick"),
    "interpretation": ("has random halves", "quick"),
    "figure3": ("is a frozen transfer or has random filters", "manmade_natural"),
    "decomposition": ("is a frozen selffer or transfer", "quick"),
    "curves": ("is there", "quick"),
    "reduced": ("is a base network with fewer images per class beside one with more", "reduced"),
}
