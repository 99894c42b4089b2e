"""Whether a network learned: its accuracy, or average precision, against that of a guess.

The best guess without looking at an image is the largest class, so that chance is the share of that
class in the validation images: 1 / classes only where these are balanced. Of images with several
labels it is the mean share of positive images, and a network learned if its mean average precision
is above that of every one of `average_precision.ORDERS` random orders of the images.
"""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from transferlab.experiment import average_precision, metrics

# The probability that a guess is taken for learning: that of a normal variable three standard
# deviations above its mean
LEVEL = 0.00135


def share_of_largest(counts: Iterable[int]) -> float:
    """The accuracy of the best guess, from the number of images of each class."""
    counts = tuple(counts)
    return max(counts) / sum(counts)


def of_labels(labels: np.ndarray) -> dict[str, float]:
    """What a guess reaches on validation images with labels (N,) or (N, K), for a record: `chance`
    and, of each measure that has one, its `guess`."""
    if labels.ndim == 1:
        return {"chance": share_of_largest(np.bincount(labels).tolist())}
    bounds = average_precision.guesses(labels)
    return {
        "chance": average_precision.chance(labels),
        **{m.guess: bounds[m.name] for m in metrics.MEASURES if m.guess is not None},
    }


def above(value: float, metric: str, guess: Mapping[str, float], *, images: int) -> bool:
    """Whether a value of a metric says that the network learned. `guess`: see `of_labels`."""
    bound = metrics.measure_of(metric).guess
    if bound is None:
        return learned(value, chance=guess["chance"], images=images)
    return value > guess[bound]


def learned(accuracy: float, *, chance: float, images: int) -> bool:
    """Whether guesses reach that accuracy on `images` images with a probability below LEVEL.

    An exact one-sided binomial test of the number of hits against the rate `chance`.
    """
    return _tail(round(accuracy * images), images, chance) < LEVEL


@lru_cache(maxsize=65_536)
def _tail(hits: int, images: int, chance: float) -> float:
    """The probability of at least so many hits; 1 for no more than a guess has on average."""
    if hits <= images * chance:
        return 1.0
    ways = math.lgamma(images + 1) - math.lgamma(hits + 1) - math.lgamma(images - hits + 1)
    term = math.exp(ways + hits * math.log(chance) + (images - hits) * math.log1p(-chance))
    tail, odds = 0.0, chance / (1 - chance)
    while hits <= images and term > 1e-12 * tail:
        tail += term
        term *= (images - hits) / (hits + 1) * odds  # below 1 above the mean
        hits += 1
    return tail
