"""The validations of a run: how many there are, and what the best of them say.

The paper plots the mean of the ten best of some 450 validations. Of a short curve that is the mean
of most of it, and not near its end: the number has its name only where it is as selective.
"""

import math
from collections.abc import Sequence

BEST = 10
LEAST = 10 * BEST  # validations


def count(*, steps: int, every: int | None, images: int, batch_size: int) -> int:
    """The validations of a run of `steps`: one `every` so many, once an epoch for None, and one at
    the end. `images` are those of an epoch."""
    return math.ceil(steps / (every or math.ceil(images / batch_size)))


def mean_of_best(accuracies: Sequence[float]) -> float | None:
    """The mean of the ten best; None for fewer than LEAST.

    Source: yosinski/convnet_transfer, notebook.
    """
    if len(accuracies) < LEAST:
        return None
    return sum(sorted(accuracies)[-BEST:]) / BEST
