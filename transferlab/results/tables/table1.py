"""Table 1: what fine-tuning gains, pooled over networks as printed, and in pairs beside it."""

from collections.abc import Iterable, Iterator

import pandas as pd

from transferlab.results import notes, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import (
    COUNTS,
    counting,
    frame,
    paired,
    together,
    whole,
)

FROM_LAYERS = (1, 3, 5)  # networks with an n of so much or more
COMPARISONS = (("AnB+", "baseB"), ("AnB+", "BnB+"), ("BnB+", "baseB"))  # the last: not the paper's
NAMES = [f"{series} - {other}" for series, other in COMPARISONS]
COLUMNS = (
    "experiment", "layers", "comparison", "pooled", "count", "count_other", "paired", "paired_sd",
    "pairs", "low", "high", *COUNTS,
)  # fmt: skip
PERCENT = ("pooled", "paired", "paired_sd", "low", "high")
BY = ["experiment", "layers", "comparison"]


def build(selection: Selection) -> pd.DataFrame:
    """`pooled` is a difference of means over all networks, whose halves may be of unequal
    difficulty, as the paper has it; `paired` is over networks with the same target, split, seed
    (and n), averaged within each repetition, and its 95 % interval is over `unit`."""
    rows = _rows(together(selection)) if selection.experiments else pd.DataFrame()
    warnings = notes.of_means(selection.experiments)
    if len(rows):
        warnings += _notes(rows)
    table = frame(selection, COLUMNS, rows, percent=PERCENT, extra=warnings)
    table.attrs["digits"] = {"pooled": 1}  # as printed in the paper
    return table


def _rows(runs: pd.DataFrame) -> pd.DataFrame:
    runs = runs.assign(last=runs.groupby("experiment")["n"].transform("max"))
    compared = [_compared(runs, series, other) for series, other in COMPARISONS]
    networks, others, matched = (_by_layers(parts) for parts in zip(*compared, strict=True))
    mean, other_mean = (counting(part).groupby(BY)["accuracy"] for part in (networks, others))
    at_chance = [(~part.set_index(BY)["counts"]).groupby(BY).sum() for part in (networks, others)]
    every = _by_layers([runs])[BY[:2]].drop_duplicates()
    rows = every.merge(pd.DataFrame({BY[2]: NAMES}), "cross").set_index(BY)
    rows = rows.assign(
        pooled=mean.mean() - other_mean.mean(),
        count=mean.size(),
        count_other=other_mean.size(),
        at_chance=at_chance[0].add(at_chance[1], fill_value=0),
    )
    rows = rows.join(paired(matched, BY)).reset_index()
    return whole(rows, "count", "count_other", "at_chance", "pairs", "splits", "seeds")


def _by_layers(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The runs of every range of layers, in `layers`: base networks, and those with such an n."""
    runs = pd.concat(parts, ignore_index=True)
    runs = runs.merge(pd.DataFrame({"first": FROM_LAYERS}), "cross")
    runs = runs[runs["n"].where(runs["n"] > 0, runs["last"]) >= runs["first"]]
    return runs.assign(layers=runs["first"].astype(str) + "-" + runs["last"].astype(str))


def _compared(runs: pd.DataFrame, series: str, other: str) -> Iterator[pd.DataFrame]:
    """The networks of two series, and the differences of those in pairs."""
    networks, others = runs[runs["series"] == series], runs[runs["series"] == other]
    for part in (networks, others, pairs.compared(runs, series, other)):
        yield part.assign(comparison=f"{series} - {other}")


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    uneven = rows[rows["uneven"].eq(True)]
    for comparison, of_comparison in uneven.groupby("comparison", sort=False):
        layers = ", ".join(of_comparison["layers"].unique())
        yield (
            f"{comparison} of layers {layers}: the repetitions have different n, and are compared "
            "at equal n by an additive fit of repetition and n"
        )
    if (rows["pairs"].eq(0) & (rows["comparison"] == "AnB+ - BnB+")).any():
        yield "AnB+ - BnB+ without a pair: compare AnB+ - baseB with BnB+ - baseB, both paired"
