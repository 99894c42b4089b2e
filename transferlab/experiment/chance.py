"""Whether a network learned: its accuracy against that of a guess.

The best guess without looking at an image is the largest class, so that chance is the share of that
class in the validation images: 1 / classes only where these are balanced.
"""

import math
from collections.abc import Iterable
from functools import lru_cache

# The probability that a guess is taken for learning: that of a normal variable three standard
# deviations above its mean
LEVEL = 0.00135


def share_of_largest(counts: Iterable[int]) -> float:
    """The accuracy of the best guess, from the number of images of each class."""
    counts = tuple(counts)
    return max(counts) / sum(counts)


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
