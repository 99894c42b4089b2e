"""Table 1: what fine-tuning gains, pooled over networks as printed, and in pairs beside it."""

from collections.abc import Iterator

import pandas as pd

from transferlab.results import intervals, notes, pairs
from transferlab.results.exhibits import Selection
from transferlab.results.tables.frame import COUNTS, Row, frame, learned, paired

FROM_LAYERS = (1, 3, 5)  # networks with an n of so much or more
COMPARISONS = (("AnB+", "baseB"), ("AnB+", "BnB+"), ("BnB+", "baseB"))  # the last: not the paper's
COLUMNS = (
    "experiment", "layers", "comparison", "pooled", "count", "count_other", "paired", "paired_sd",
    "pairs", "low", "high", *COUNTS,
)  # fmt: skip
PERCENT = ("pooled", "paired", "paired_sd", "low", "high")


def build(selection: Selection) -> pd.DataFrame:
    """`pooled` is a difference of means over all networks, whose halves may be of unequal
    difficulty; `paired` is over networks with the same target, split, seed (and n)."""
    rows = [
        {"experiment": experiment.name, **row}
        for experiment in selection.experiments
        for layer in FROM_LAYERS
        for row in _comparisons(experiment.runs, layer)
    ]
    warnings = [note for part in selection.experiments for note in notes.uneven(part)]
    if any(row["comparison"] == "AnB+ - BnB+" and not row["pairs"] for row in rows):
        warnings.append(
            "AnB+ - BnB+ without a pair: compare AnB+ - baseB with BnB+ - baseB, both paired"
        )
    table = frame(selection, COLUMNS, rows, percent=PERCENT, extra=warnings)
    table.attrs["digits"] = {"pooled": 1}  # as printed in the paper
    return table


def _comparisons(runs: pd.DataFrame, layer: int) -> Iterator[Row]:
    """The comparisons of networks whose n is `layer` or more; none if there is no such n."""
    last = int(runs["n"].max())
    if last < layer:
        return
    runs = runs[(runs["n"] == 0) | (runs["n"] >= layer)]
    for series, other in COMPARISONS:
        networks, others = runs[runs["series"] == series], runs[runs["series"] == other]
        mean, other_mean = (
            intervals.summary(learned(part)["accuracy"].tolist()) for part in (networks, others)
        )
        matched = pairs.to_base(networks) if other == "baseB" else pairs.matched(networks, others)
        yield {
            "layers": f"{layer}-{last}",
            "comparison": f"{series} - {other}",
            "pooled": mean.mean - other_mean.mean,
            "count": mean.count,
            "count_other": other_mean.count,
            **paired(intervals.summary(matched["difference"].tolist())),
            "splits": matched["unit"].nunique(),
            "seeds": matched["seed"].nunique(dropna=False),
            "at_chance": int((~networks["learned"]).sum() + (~others["learned"]).sum()),
        }
