"""Randomness without state: the order of images and their variation from (seed, epoch, index).

Batch k does not depend on what was computed before, or in which process, so that an interrupted run
ends with the weights of an uninterrupted one. Integers, but for the multiples of colours: the same
on every machine and with every version of every library.
"""

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from transferlab.data.crops import Crops

# One stream of numbers for each purpose
ORDER, ROW, COLUMN, MIRROR, HOLDOUT, SIDE, COLOUR = range(7)


@dataclass(frozen=True)
class Augmentation:
    """How training images vary: the keys of `data` and `train` of these names.

    `one_size`: all images are squares of one size, see `crops.Crops`.
    """

    mirror: bool
    pad: int
    scales: tuple[int, int] | None
    pca: float
    one_size: bool


@dataclass(frozen=True)
class Variation:
    """What was drawn for B training images: crops, mirror flags (B,), and multiples (B, 3) float32
    of the principal components of their colours, None where colours do not vary."""

    crops: Crops
    flips: np.ndarray
    alphas: np.ndarray | None


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
    return (_half_bits(*keys) * np.uint64(below) >> np.uint64(32)).astype(np.int64)


def normal(sd: float, *keys: int | np.ndarray) -> np.ndarray:
    """Gaussian numbers with mean zero, float32: the quantiles of numbers that are uniform."""
    quantile = NormalDist(0.0, sd).inv_cdf
    levels = (_half_bits(*keys) + np.float64(0.5)) / 2**32  # never 0 or 1
    numbers = [quantile(level) for level in levels.ravel().tolist()]
    return np.array(numbers, dtype=np.float32).reshape(levels.shape)


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


def draw(
    augmentation: Augmentation, seed: int, epochs: np.ndarray, positions: np.ndarray
) -> Variation:
    """What varies of the images at `positions` (B,) in their `epochs` (B,).

    Source: crops and mirroring, Krizhevsky et al. 2012, Sec. 4.1; scales, each as likely, Simonyan
    and Zisserman 2014, Sec. 3.1; colours, Krizhevsky et al. 2012, Sec. 4.1: one draw for all pixels
    of an image until it is used again.
    """
    where = np.stack([_half_bits(axis, seed, epochs, positions) for axis in (ROW, COLUMN)], axis=1)
    sides = alphas = None
    if augmentation.scales is not None:
        low, high = augmentation.scales
        sides = low + uniform(high - low + 1, SIDE, seed, epochs, positions)
    if augmentation.pca:
        images = (epochs[:, None], positions[:, None])
        alphas = normal(augmentation.pca, COLOUR, np.arange(3), seed, *images)
    flips = uniform(2, MIRROR, seed, epochs, positions).astype(bool) & augmentation.mirror
    return Variation(Crops(where, sides, augmentation.pad, augmentation.one_size), flips, alphas)


def _half_bits(*keys: int | np.ndarray) -> np.ndarray:
    """32 random bits for every combination of keys, as uint64."""
    return bits(*keys) >> np.uint64(32)
