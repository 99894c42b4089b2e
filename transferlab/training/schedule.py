"""Learning rates by step.

Source: yosinski/convnet_transfer, solver prototxt files. Steps are counted from 1, as Caffe counts
iterations: step i is the i-th update.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class StepDecay:
    """lr * factor ** floor(i / every): the step `every` itself already has the lower rate."""

    lr: float
    every: int
    factor: float
    warmup_steps: int

    def __call__(self, i: int) -> float:
        return _warm(i, self.warmup_steps) * self.lr * self.factor ** (i // self.every)


@dataclass(frozen=True)
class Drops:
    """lr * factor ** (the number of `steps` up to i): each of them already has the lower rate."""

    lr: float
    steps: Sequence[int]
    factor: float
    warmup_steps: int

    def __call__(self, i: int) -> float:
        return _warm(i, self.warmup_steps) * self.lr * self.factor ** bisect_right(self.steps, i)


@dataclass(frozen=True)
class Cosine:
    """A linear warm-up to lr in `warmup_steps`, then half a cosine down to 0 at the last step.

    0 after that: a scheduler asks for the rate of the next step even when there is none.
    """

    lr: float
    total_steps: int
    warmup_steps: int

    def __call__(self, i: int) -> float:
        if i <= self.warmup_steps:
            return self.lr * _warm(i, self.warmup_steps)
        if i > self.total_steps:
            return 0.0
        done = (i - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))


def _warm(i: int, warmup_steps: int) -> float:
    return min(1.0, i / warmup_steps) if warmup_steps else 1.0
