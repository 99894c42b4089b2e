"""Means over splits with their 95 % interval: the split is the unit of repetition.

Runs of one split share its classes and its base networks, so that another n, direction or seed
repeats neither. They are averaged within their split first, and Student's t is taken over the means
of the splits. One split has no interval. README.md beside this file shows the coverage.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

LEVEL = 0.95
ACCURACY = (0.0, 1.0)
ANY = (-math.inf, math.inf)


def over_splits(
    values: pd.DataFrame, by: Sequence[str], *, bounds: tuple[float, float] = ANY
) -> pd.DataFrame:
    """Mean and interval of every group of values.

    values: columns `value`, `unit` (the split), `n`, and those of `by`. Within a split, directions
    and seeds are averaged at each n, and then the n. If splits of a group have different n, their
    means are compared at equal n: each is adjusted for the n it lacks by the additive fit of split
    and n to the group (least-squares means).

    Returns rows indexed by `by`, with columns mean, sd, low, high, splits, and `uneven`, true where
    splits have different n. `mean` is that of the splits, the plain mean where all have the same
    runs; `sd` is that between splits. sd, low and high are nan for one split, and for splits that
    cannot be compared because they share no n. An interval is cut off at `bounds`, beyond which
    no true mean can be, so that it covers no less.
    """
    keys = list(by)
    group = values.groupby(keys).ngroup()
    cells = values.assign(group=group).groupby(["group", "unit", "n"])["value"].mean()
    means = cells.groupby(["group", "unit"]).mean()
    uneven, apart = _uneven(cells), []
    for number in uneven:
        adjusted = _adjusted(cells[number])
        if adjusted is None:
            apart.append(number)
        else:
            means[number] = adjusted
    splits = means.groupby("group")
    count, mean, sd = splits.size(), splits.mean(), splits.std()
    sd[apart] = math.nan
    half = special.stdtrit(count - 1.0, (1 + LEVEL) / 2) * sd / np.sqrt(count)
    table = pd.DataFrame(
        {
            "mean": mean,
            "sd": sd,
            "low": (mean - half).clip(lower=bounds[0]),
            "high": (mean + half).clip(upper=bounds[1]),
            "splits": count,
            "uneven": count.index.isin(uneven),
        }
    )
    names = values[keys].assign(group=group).drop_duplicates("group").set_index("group")
    return names.join(table).set_index(keys)


def _uneven(cells: pd.Series) -> list[int]:
    """The groups in which a split lacks an n that another has."""
    every = cells.reset_index().groupby("group")["n"].nunique()
    fewest = cells.groupby(["group", "unit"]).size().groupby("group").min()
    return list(every.index[fewest < every])


def _adjusted(cells: pd.Series) -> pd.Series | None:
    """The means of the splits at equal n, from values by split and n, some of them missing.

    None if the additive fit is not determined: two sets of splits share no n.
    """
    grid = cells.unstack("n")
    rows, columns = np.nonzero(grid.notna().to_numpy())
    splits, cuts = grid.shape
    design = np.zeros((len(rows), splits + cuts))
    design[np.arange(len(rows)), rows] = 1
    design[np.arange(len(rows)), splits + columns] = 1
    effects, _, rank, _ = np.linalg.lstsq(design, grid.to_numpy()[rows, columns])
    if rank < splits + cuts - 1:
        return None
    return pd.Series(effects[:splits] + effects[splits:].mean(), index=grid.index)
