"""Means over repetitions with their 95 % interval; what repeats says `pairs.repeated`.

Runs of one split share its classes and its base networks, so that another n, direction or seed
repeats neither: where there are several splits, they are what repeats. Runs are averaged within
their repetition first, and Student's t is taken over the means of these. One repetition has no
interval. README.md beside this file shows the coverage.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

LEVEL = 0.95
ACCURACY = (0.0, 1.0)
ANY = (-math.inf, math.inf)


def over_repetitions(
    values: pd.DataFrame,
    by: Sequence[str],
    *,
    bounds: tuple[float, float] = ANY,
) -> pd.DataFrame:
    """Mean and interval of every group of values.

    values: columns `value`, `repetition`, `n`, and those of `by`. Within a repetition, directions
    (and where splits repeat, seeds) are averaged at each n, and then the n. If repetitions of a
    group have different n, their means are compared at equal n: each is adjusted for the n it lacks
    by the additive fit of repetition and n to the group (least-squares means).

    Returns rows indexed by `by`, with columns mean, sd, low, high, further_low, further_high,
    repetitions, and `uneven`, true where repetitions have different n. `mean` is that of the
    repetitions, the plain mean where all have the same runs; `sd` is that between them. low to high
    is the interval of the true mean, further_low to further_high that of the mean of one further
    repetition (the prediction interval of a normal sample). sd and both intervals are nan for one
    repetition, and for those that cannot be compared because they share no n. An interval is cut
    off at `bounds`, beyond which no true mean can be, so that it covers no less.
    """
    keys = list(by)
    group = values.groupby(keys).ngroup()
    cells = values.assign(group=group).groupby(["group", "repetition", "n"])["value"].mean()
    means = cells.groupby(["group", "repetition"]).mean()
    uneven, apart = _uneven(cells), []
    for number in uneven:
        adjusted = _adjusted(cells[number])
        if adjusted is None:
            apart.append(number)
        else:
            means[number] = adjusted
    repeated = means.groupby("group")
    count, mean, sd = repeated.size(), repeated.mean(), repeated.std()
    sd[apart] = math.nan
    from scipy import special  # slow to import, and not needed to list runs

    spread = special.stdtrit(count - 1.0, (1 + LEVEL) / 2) * sd
    half, further = spread / np.sqrt(count), spread * np.sqrt(1 + 1 / count)
    table = pd.DataFrame(
        {
            "mean": mean,
            "sd": sd,
            "low": (mean - half).clip(lower=bounds[0]),
            "high": (mean + half).clip(upper=bounds[1]),
            "further_low": (mean - further).clip(lower=bounds[0]),
            "further_high": (mean + further).clip(upper=bounds[1]),
            "repetitions": count,
            "uneven": count.index.isin(uneven),
        }
    )
    names = values[keys].assign(group=group).drop_duplicates("group").set_index("group")
    return names.join(table).set_index(keys)


def _uneven(cells: pd.Series) -> list[int]:
    """The groups in which a repetition lacks an n that another has."""
    every = cells.reset_index().groupby("group")["n"].nunique()
    fewest = cells.groupby(["group", "repetition"]).size().groupby("group").min()
    return list(every.index[fewest < every])


def _adjusted(cells: pd.Series) -> pd.Series | None:
    """The means of the repetitions at equal n, from values by repetition and n, some missing.

    None if the additive fit is not determined: two sets of repetitions share no n.
    """
    grid = cells.unstack("n")
    rows, columns = np.nonzero(grid.notna().to_numpy())
    count, cuts = grid.shape
    design = np.zeros((len(rows), count + cuts))
    design[np.arange(len(rows)), rows] = 1
    design[np.arange(len(rows)), count + columns] = 1
    effects, _, rank, _ = np.linalg.lstsq(design, grid.to_numpy()[rows, columns])
    if rank < count + cuts - 1:
        return None
    return pd.Series(effects[:count] + effects[count:].mean(), index=grid.index)
