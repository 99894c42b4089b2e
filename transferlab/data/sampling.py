"""Randomness without state: the order of images and their crops from (seed, epoch, index).

Batch k does not depend on what was computed before, or in which process, so that an interrupted run
ends with the weights of an uninterrupted one. Integers only: the same on every machine and with
every version of every library.
"""

from functools import lru_cache

import numpy as np

ORDER, ROW, COLUMN, MIRROR, HOLDOUT = range(5)  # one stream of numbers for each purpose


def bits(*keys: int | np.ndarray) -> np.ndarray:
    """64 random bits for every combination of keys, broadcast, as uint64.

    Source: SplitMix64, Steele, Lea, Flood 2014, Fig. 17, applied to each key in turn.
    """
    state = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = state ^ np.asarray(key).astype(np.uint64)
            state = state + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def uniform(below: int, *keys: int | np.ndarray) -> np.ndarray:
    """Integers 0..below-1, equally likely (below 2**32), as int64."""
    return ((bits(*keys) >> np.uint64(32)) * np.uint64(below) >> np.uint64(32)).astype(np.int64)


@lru_cache(maxsize=2)  # a batch can lie across the end of an epoch
def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of `count` images in one epoch, (count,) int64."""
    return np.argsort(bits(ORDER, seed, epoch, np.arange(count)), kind="stable")


def batch(
    step: int, *, seed: int, count: int, batch_size: int, reshuffle: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Epoch and position, each (B,) int64, of the images of step 0, 1, ...

    Epochs follow each other without a gap: every batch is full, and the last of an epoch takes its
    missing images from the next (as the authors' reader did). Without `reshuffle` every epoch has
    the order of the first, as theirs.
    """
    counts = step * batch_size + np.arange(batch_size)  # images drawn before each of these
    epochs = counts // count
    positions = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        members = epochs == epoch
        order = permutation(seed, int(epoch) if reshuffle else 0, count)
        positions[members] = order[counts[members] % count]
    return epochs, positions


def crops(
    seed: int, epochs: np.ndarray, positions: np.ndarray, *, slack: int, mirror: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Corners (B, 2) of random crops, row then column in 0..slack-1, and mirror flags (B,).

    Source: Caffe's data layer at the time draws modulo (256 - 227), so offset 29 never occurs.
    """
    below = max(slack, 1)
    rows = uniform(below, ROW, seed, epochs, positions)
    columns = uniform(below, COLUMN, seed, epochs, positions)
    flips = uniform(2, MIRROR, seed, epochs, positions).astype(bool) & mirror
    return np.stack([rows, columns], axis=1), flips
