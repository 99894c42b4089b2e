"""What a benchmark found, on which machine and with which versions: as text and as JSON."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transferlab.bench import turns
from transferlab.bench.turns import Comparison, Ratio, Side, Spread
from transferlab.runtime import machine as machines
from transferlab.runtime import tables
from transferlab.runtime.provenance import versions


@dataclass(frozen=True)
class Machine:
    """`cores` are those that this process may use; `load` how many others' processes wanted one
    in the minute before, as the kernel counts."""

    cpu: str
    cores: int
    gpu: str | None
    load: float


@dataclass(frozen=True)
class Check:
    """Something that is so or not, beside the times: `weights bit-identical`, `14 of 14`.

    `passed` is None where nobody promises it, and it is only told.
    """

    what: str
    passed: bool | None
    found: str


@dataclass(frozen=True)
class Timing:
    """Seconds of a repetition of one side, in which it dealt with `count` of `unit`."""

    name: str
    spread: Spread
    count: int
    unit: str

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.count / self.spread.median


@dataclass(frozen=True)
class Report:
    """One benchmark: what was measured (`setting`, in words) and what came of it."""

    name: str
    setting: str
    repetitions: int
    ratios: tuple[Ratio, ...]
    timings: tuple[Timing, ...]
    checks: tuple[Check, ...]
    machine: Machine
    versions: dict[str, str]


def measure(
    name: str,
    setting: str,
    sides: Sequence[Side],
    comparisons: Sequence[Comparison],
    *,
    repetitions: int,
    warm: bool = True,
) -> Report:
    """Measure the sides in turn and compare them; no checks yet."""
    found = machine()
    times = turns.in_turn(sides, repetitions=repetitions, warm=warm)
    return Report(
        name=name,
        setting=setting,
        repetitions=repetitions,
        ratios=turns.ratios(comparisons, sides, times),
        timings=tuple(
            Timing(side.name, turns.spread(times[side.name]), side.count, side.unit)
            for side in sides
        ),
        checks=(),
        machine=found,
        versions=versions(),
    )


def machine() -> Machine:
    """This one, as it is before anything is measured."""
    return Machine(
        machines.cpu_name(), machines.cores(), machines.gpu_name(), round(os.getloadavg()[0], 1)
    )


def as_json(report: Report) -> str:
    """One object; whether a target is met, and units a second, are in it too."""
    record: dict[str, Any] = asdict(report)
    for raw, ratio in zip(record["ratios"], report.ratios, strict=True):
        raw["met"] = ratio.met
    for raw, timing in zip(record["timings"], report.timings, strict=True):
        raw["per_s"] = timing.rate
    return json.dumps(record, indent=1)


def as_text(report: Report) -> str:
    """Ratios, times, checks; then where it was measured."""
    lines = [f"bench {report.name}: {report.setting}", ""]
    lines += tables.table(
        ("ratio", "median", "range", "target", ""), [*map(_ratio_row, report.ratios)], right=(1,)
    )
    lines += [
        "",
        *tables.table(
            ("time", "median", "range", "rate"), [*map(_timing_row, report.timings)], right=(1, 3)
        ),
    ]
    if report.checks:
        checks = [*map(_check_row, report.checks)]
        lines += ["", *tables.table(("check", "", "found"), checks)]
    found, several = report.machine, "" if report.repetitions == 1 else "s, in turn"
    lines += [
        "",
        f"{report.repetitions} repetition{several}, one thread",
        f"machine   {found.cpu}, {found.cores} cores, {found.gpu or 'no GPU'}, load {found.load}",
        f"versions  {', '.join(f'{name} {version}' for name, version in report.versions.items())}",
    ]
    return "\n".join(lines)


# --- text ---------------------------------------------------------------------------------------


def _ratio_row(ratio: Ratio) -> tuple[str, ...]:
    comparison, spread = ratio.comparison, ratio.spread
    digits = 3 if spread.median < 2 else 2 if spread.median < 10 else 1
    words = "as fast as" if comparison.kind == "speed" else "as long as"
    target, verdict = "", ""
    if comparison.target is not None:
        bound = "at least" if comparison.kind == "speed" else "at most"
        target = f"{bound} {comparison.target:g}"
        verdict = "met" if ratio.met else "missed"
    return (
        f"{comparison.side}: {words} {comparison.against}",
        f"{spread.median:.{digits}f}",
        f"{spread.least:.{digits}f} to {spread.most:.{digits}f}",
        target,
        verdict,
    )


def _timing_row(timing: Timing) -> tuple[str, ...]:
    spread = timing.spread
    return (
        timing.name,
        _duration(spread.median),
        f"{_duration(spread.least)} to {_duration(spread.most)}",
        f"{timing.rate:,.{0 if timing.rate >= 100 else 2}f} {timing.unit}/s",
    )


def _check_row(check: Check) -> tuple[str, ...]:
    verdict = {True: "yes", False: "NO", None: ""}[check.passed]
    return (check.what, verdict, check.found)


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"
