"""Means with their spread, and two 95 % intervals: Student's t, and a bootstrap over whole splits.

The t-interval assumes independent values. Networks of one split share classes and base networks, so
the bootstrap resamples splits, each with all its networks; with few splits it is too narrow, and
with one there is none.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 2014


@dataclass(frozen=True)
class Summary:
    """`sd` divides by n - 1; `low` and `high` bound the t-interval. nan where undefined."""

    mean: float
    sd: float
    count: int
    low: float
    high: float


def summary(values: Sequence[float]) -> Summary:
    """The mean of the values, with its interval if there are two or more."""
    count = len(values)
    if count == 0:
        return Summary(math.nan, math.nan, 0, math.nan, math.nan)
    mean = math.fsum(values) / count
    if count == 1:
        return Summary(mean, math.nan, 1, math.nan, math.nan)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = special.stdtrit(count - 1, (1 + LEVEL) / 2) * sd / math.sqrt(count)
    return Summary(mean, sd, count, mean - half, mean + half)


def bootstrap(values: Sequence[float], groups: Sequence[Hashable]) -> tuple[float, float]:
    """The percentile interval of the mean when whole groups are resampled; nan for one group."""
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        return math.nan, math.nan
    group_of = np.array([names.index(group) for group in groups])
    sums = np.bincount(group_of, weights=np.asarray(values, dtype=float))
    counts = np.bincount(group_of)
    drawn = np.random.default_rng(SEED).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
