"""Times of several things measured in turn (A B A B ...), and their ratios with the spread.

Only ratios within one call are claimed: what a shared machine does to one side it does to the
other. One repetition of every side warms up and is not counted.
"""

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

log = logging.getLogger(__name__)
Times = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Side:
    """One of the things compared.

    `measure` does it once and returns how long that took, in s: `count` of `unit` (`images`).
    """

    name: str
    measure: Callable[[], float]
    count: int
    unit: str


@dataclass(frozen=True)
class Comparison:
    """A side against another, by their names.

    `speed`: how many times as fast it is, at least `target`; `time`: how many times as long it
    takes, at most `target`. None: nothing is asked of it.
    """

    side: str
    against: str
    kind: Literal["speed", "time"]
    target: float | None


@dataclass(frozen=True)
class Spread:
    """Of one number from every repetition."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Ratio:
    """What came of a comparison; `met` is None where there is no target."""

    comparison: Comparison
    spread: Spread

    @property
    def met(self) -> bool | None:
        target = self.comparison.target
        if target is None:
            return None
        median = self.spread.median
        return median >= target if self.comparison.kind == "speed" else median <= target


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long `work` takes, in s."""
    start = clock()
    work()
    return clock() - start


def in_turn(sides: Sequence[Side], *, repetitions: int, warm: bool) -> dict[str, tuple[float, ...]]:
    """The time of every repetition of each side, in s; `warm`: after one that does not count."""
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(0 if warm else 1, repetitions + 1):
        for side in sides:
            took_s = side.measure()
            about = f"repetition {number} of {repetitions}" if number else "warming up"
            log.info("%s: %s  %.3f s", about, side.name, took_s)
            if number:
                times[side.name].append(took_s)
    return {name: tuple(some) for name, some in times.items()}


def ratios(
    comparisons: Iterable[Comparison], sides: Iterable[Side], times: Times
) -> tuple[Ratio, ...]:
    """Each comparison, of the times of one unit in the same repetition."""
    count = {side.name: side.count for side in sides}
    found = []
    for comparison in comparisons:
        side, against = comparison.side, comparison.against
        longer = [
            (a / count[side]) / (b / count[against])
            for a, b in zip(times[side], times[against], strict=True)
        ]
        faster = comparison.kind == "speed"
        found.append(Ratio(comparison, spread([1 / r for r in longer] if faster else longer)))
    return tuple(found)


def spread(numbers: Sequence[float]) -> Spread:
    return Spread(statistics.median(numbers), min(numbers), max(numbers))
