"""Figure 3 in numbers: frozen transfers between dissimilar or random halves, random filters."""

from collections.abc import Iterator

import pandas as pd

from transferlab.results import intervals
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import (
    COUNTS,
    HALVES,
    Row,
    by_n,
    frame,
    learned,
    paired,
    spread,
)

TARGETS = {"A": "man-made", "B": "natural"}
FILTERS = "random filters"
COLUMNS = (
    "experiment", "series", "n", "mean", "sd", "count", "base", "relative", "paired", "paired_sd",
    "pairs", "low", "high", *COUNTS, "learned",
)  # fmt: skip
PERCENT = ("mean", "sd", "base", "relative", "paired", "paired_sd", "low", "high")
NAN = float("nan")


def build(selection: Selection) -> pd.DataFrame:
    """`relative` is the mean less the mean of base networks, as in the paper; `paired` the mean
    difference of each network to the base of its own target, with its t-interval.

    Where untrained filters never learned, that is the result: shown with `learned` false.
    """
    rows = [
        {"experiment": experiment.name, **row}
        for experiment in selection.experiments
        for row in _all_series(experiment.runs)
    ]
    return frame(selection, COLUMNS, rows, percent=PERCENT)


def _all_series(runs: pd.DataFrame) -> Iterator[Row]:
    for split, name in HALVES.items():
        halves = runs[(runs["split"] == split) & (runs["series"] != "random")]
        if split == "manmade_natural":
            for target, kind in TARGETS.items():
                yield from _series(f"{name}, target {kind}", halves[halves["target"] == target])
            yield from _both_directions(f"{name}, both", halves)
        else:
            yield from _series(name, halves)
    filters = runs[runs["series"] == "random"]
    for split in filters["split"].unique():
        bases = runs[(runs["split"] == split) & (runs["series"] == "baseB")]
        name = FILTERS + (f", {HALVES[split]}" if split in HALVES else "")
        with_bases = pd.concat([bases, filters[filters["split"] == split]])
        yield from _series(name, with_bases, chance_counts=True)


def _series(name: str, runs: pd.DataFrame, *, chance_counts: bool = False) -> Iterator[Row]:
    """A row an n. `chance_counts`: where no network learned, show those that did not."""
    if not (runs["n"] > 0).any():
        return
    base = intervals.summary(learned(runs[runs["n"] == 0])["accuracy"].tolist()).mean
    for n, networks in by_n(runs):
        shown = learned(networks)
        any_learned = len(shown) > 0
        if chance_counts and not any_learned:
            shown = networks.assign(gain=networks["delta"].where(networks["base_learned"]))
        gains = shown["gain"].dropna().tolist() if n else []
        row = spread(networks, shown)
        yield _row(name, n, row, base, paired(intervals.summary(gains)), any_learned)


def _both_directions(name: str, runs: pd.DataFrame) -> Iterator[Row]:
    """The mean of both targets, of the splits and seeds for which both learned."""
    if not (runs["n"] > 0).any():
        return
    base = NAN
    for n, networks in by_n(runs):
        by_split = learned(networks).groupby(["unit", "seed"], dropna=False)
        both = by_split.filter(lambda targets: len(targets) == 2)
        units = both.groupby(["unit", "seed"], dropna=False)
        mean = intervals.summary(units["accuracy"].mean().tolist()).mean
        base = mean if n == 0 else base
        gains = both.dropna(subset="gain").groupby(["unit", "seed"], dropna=False)["gain"]
        values = gains.mean()[gains.size() == 2].tolist() if n else []
        row = spread(networks, both) | {"mean": mean, "sd": NAN}
        yield _row(name, n, row, base, paired(intervals.summary(values)), len(both) > 0)


def _row(series: str, n: int, mean: Row, base: float, pairs: Row, any_learned: bool) -> Row:
    return {
        "series": series,
        "n": n,
        **mean,
        "base": base,
        "relative": mean["mean"] - base,
        **pairs,
        "learned": any_learned,
    }
