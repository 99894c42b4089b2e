"""The harness of all benchmarks: sides measured in turn (A B A B ...), ratios with their spread.

Only ratios within one call are reported: a busy machine slows both sides alike. The first
repetition of every side warms up and is not counted.
"""

import logging
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from transferlab.runtime import machine, provenance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Side:
    """One of the implementations compared.

    `measure` runs it once and returns the time in s, for `count` of `unit` (`images`).
    """

    name: str
    measure: Callable[[], float]
    count: int
    unit: str


@dataclass(frozen=True)
class Comparison:
    """A side against another, by their names.

    `speed`: how many times as fast it is, at least `target`; `time`: how many times as long it
    takes, at most `target`. None: it has no target.
    """

    side: str
    against: str
    kind: Literal["speed", "time"]
    target: float | None

    def met(self, median: float) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return median >= self.target if self.kind == "speed" else median <= self.target


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of a number over all repetitions."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Ratio:
    """The result of a comparison; `met` is None where there is no target."""

    comparison: Comparison
    spread: Spread
    met: bool | None


@dataclass(frozen=True)
class SideTime:
    """Seconds per repetition of one side, for `count` of `unit`, and units per second."""

    name: str
    spread: Spread
    count: int
    unit: str
    per_s: float


@dataclass(frozen=True)
class Check:
    """A fact checked beside the times: `weights bit-identical`, `14 of 14 runs`.

    `passed` is None where the fact is only reported, since nothing guarantees it.
    """

    what: str
    passed: bool | None
    found: str


@dataclass(frozen=True)
class Machine:
    """The machine and the versions with which a benchmark was measured.

    `cores` are those that this process may use; `load` is the kernel's load average over the last
    minute.
    """

    cpu: str
    gpu: str | None
    cores: int
    load: float
    versions: dict[str, str]


@dataclass(frozen=True)
class Report:
    """The result of one benchmark; `setting` describes what was measured."""

    name: str
    setting: str
    repetitions: int
    ratios: tuple[Ratio, ...]
    timings: tuple[SideTime, ...]
    checks: tuple[Check, ...]
    machine: Machine


def measure(
    name: str,
    setting: str,
    sides: Sequence[Side],
    comparisons: Iterable[Comparison],
    *,
    repetitions: int,
    warm: bool = True,
    checks: Callable[[], Iterable[Check]] = tuple,
) -> Report:
    """Measure the sides in turn, compare them, then make the checks. `warm`: warm up first."""
    here = this_machine()
    times = _in_turn(sides, repetitions=repetitions, warm=warm)
    return Report(
        name=name,
        setting=setting,
        repetitions=repetitions,
        ratios=tuple(_ratio(comparison, sides, times) for comparison in comparisons),
        timings=tuple(_side_time(side, times[side.name]) for side in sides),
        checks=tuple(checks()),
        machine=here,
    )


def this_machine() -> Machine:
    """This machine, as it is now."""
    return Machine(
        cpu=machine.cpu_name(),
        gpu=machine.gpu_name(),
        cores=machine.cores(),
        load=round(os.getloadavg()[0], 1),
        versions=provenance.versions(),
    )


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The seconds that `work` takes."""
    start = clock()
    work()
    return clock() - start


def _in_turn(sides: Sequence[Side], *, repetitions: int, warm: bool) -> dict[str, list[float]]:
    """The time of every counted repetition of each side, in s.

    Progress is logged, not drawn: a drawing thread would share the measured core.
    """
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(0 if warm else 1, repetitions + 1):
        for side in sides:
            took_s = side.measure()
            label = f"repetition {number} of {repetitions}" if number else "warming up"
            log.info("%s: %s  %.3f s", label, side.name, took_s)
            if number:
                times[side.name].append(took_s)
    return times


def _ratio(comparison: Comparison, sides: Iterable[Side], times: dict[str, list[float]]) -> Ratio:
    """The ratio of the times of one unit in the same repetition."""
    count = {side.name: side.count for side in sides}
    above, below = comparison.side, comparison.against
    if comparison.kind == "speed":
        above, below = below, above
    spread = _spread(
        [
            (a / count[above]) / (b / count[below])
            for a, b in zip(times[above], times[below], strict=True)
        ]
    )
    return Ratio(comparison, spread, comparison.met(spread.median))


def _side_time(side: Side, times: Sequence[float]) -> SideTime:
    spread = _spread(times)
    return SideTime(side.name, spread, side.count, side.unit, side.count / spread.median)


def _spread(numbers: Sequence[float]) -> Spread:
    return Spread(statistics.median(numbers), min(numbers), max(numbers))
