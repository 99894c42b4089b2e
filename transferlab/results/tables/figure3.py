"""Figure 3 in numbers: frozen transfers by what A and B are, and random filters."""

from collections.abc import Iterator

import pandas as pd

from transferlab.results import pairs
from transferlab.results.exhibits import Selection
from transferlab.results.naming import MANMADE_NATURAL, SIZE_MATCHED, TASKS, WHOLE, tasks
from transferlab.results.tables.frame import (
    COUNTS,
    counting,
    frame,
    in_order,
    paired,
    spread,
    together,
    whole,
)

# The halves of unequal size, by the kind of split: each as a target is a series too
TARGETS = {
    MANMADE_NATURAL: {"A": "man-made", "B": "natural"},
    SIZE_MATCHED: {"A": "as many as man-made", "B": "as many as natural"},
}
FILTERS = "random filters"
COLUMNS = (
    "experiment", "series", "n", "mean", "sd", "count", "base", "relative", "paired", "paired_sd",
    "pairs", "low", "high", "further_low", "further_high", *COUNTS, "learned",
)  # fmt: skip
# In files alone, so that a table fits into a window; `base` is the mean at n = 0
UNSHOWN = ("sd", "base", "paired_sd")
BY = ["experiment", "series", "n"]
COMPARED = {"splits": "splits_compared", "seeds": "seeds_compared"}
FURTHER = ["further_low", "further_high"]
PERCENT = ("mean", "sd", "base", "relative", "paired", "paired_sd", "low", "high", *FURTHER)


def build(selection: Selection) -> pd.DataFrame:
    """`relative` is the mean less the mean of base networks, as in the paper; `paired` the mean
    difference of each network to the base of its own target, with its 95 % interval over `unit`.
    `further_low` to `further_high` is where a further split of that kind lies with 95 %: what one
    split of another kind, as man-made/natural, is to be compared with.

    Where untrained filters never learned, that is the result: shown with `learned` false.
    """
    rows = _rows(together(selection)) if selection.experiments else pd.DataFrame()
    table = frame(selection, COLUMNS, rows, percent=PERCENT)
    table.attrs["shown"] = [key for key in COLUMNS if key not in UNSHOWN]
    return table


def both(split: str) -> str:
    """The series of both halves as a target, where they are of unequal size."""
    return f"{tasks(split)}, both"


def to(split: str, target: str) -> str:
    """The series of one of these halves, A or B, as a target."""
    return f"{tasks(split)}, target {TARGETS[split][target]}"


def filters(split: str) -> str:
    """The series of random filters."""
    return FILTERS if split == WHOLE else f"{FILTERS}, {tasks(split)}"


def _rows(runs: pd.DataFrame) -> pd.DataFrame:
    """`splits` and `seeds` are those of `paired`, and at n = 0 of the mean."""
    series = list(_series(runs))
    every = pd.concat(part.assign(series=name) for name, part, _ in series)
    shown = pd.concat(part.assign(series=name) for name, _, part in series)
    with_cut = every[every["n"] > 0].set_index(BY[:2]).index
    every, shown = (part[part.set_index(BY[:2]).index.isin(with_cut)] for part in (every, shown))
    means = spread(every, BY, shown).drop(columns=["low", "high", *FURTHER]).reset_index()
    base = means.loc[means["n"] == 0, [*BY[:2], "mean"]].rename(columns={"mean": "base"})
    differences = paired(pairs.to_base(shown[shown["n"] > 0]), BY).drop(columns="unit")
    compared = differences.rename(columns=COMPARED).reset_index()
    learned = counting(shown)[BY].drop_duplicates().assign(learned=True)
    rows = means.merge(base, "left").merge(compared, "left", on=BY).merge(learned, "left", on=BY)
    rows = rows.assign(
        relative=rows["mean"] - rows["base"],
        **{key: rows[of_pairs].fillna(rows[key]) for key, of_pairs in COMPARED.items()},
        learned=rows["learned"].eq(True),
    )
    rows[FURTHER] = rows[FURTHER].where(rows["unit"] == "split")
    return in_order(whole(rows, "pairs", *COMPARED), series=(name for name, _, _ in series))


def _series(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Every series: its name, its runs, and those that are shown."""
    for split in [*TASKS, *(own for own in runs["split"].unique() if own not in TASKS)]:
        halves = runs[(runs["split"] == split) & (runs["series"] != "random")]
        if split in TARGETS:
            for target in TARGETS[split]:
                direction = halves[halves["target"] == target]
                yield to(split, target), direction, counting(direction)
            yield both(split), halves, _in_both(counting(halves))
        else:
            yield tasks(split), halves, counting(halves)
    untrained = runs[runs["series"] == "random"]
    for split in untrained["split"].unique():
        bases = runs[(runs["split"] == split) & (runs["series"] == "baseB")]
        with_bases = pd.concat([bases, untrained[untrained["split"] == split]])
        yield filters(split), with_bases, _or_at_chance(with_bases)


def _in_both(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose split, seed and n have a run for both targets; compared only if both are."""
    groups = runs.groupby(["experiment", "n", "halves", "seed"], dropna=False)
    gain = runs["gain"].where(groups["gain"].transform("count") == 2)
    return runs.assign(gain=gain)[groups["target"].transform("nunique") == 2]


def _or_at_chance(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that count; at an n with none, those that do not, with their difference."""
    none = ~runs.groupby(["experiment", "n"])["counts"].transform("any")
    gain = runs["gain"].mask(none & runs["base_counts"], runs["delta"])
    return runs.assign(gain=gain)[runs["counts"] | none]
