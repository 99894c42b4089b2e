"""The report of a benchmark as text and as JSON."""

import json
from dataclasses import asdict

from transferlab.bench.harness import Check, Ratio, Report, SideTime
from transferlab.runtime import tables


def as_json(report: Report) -> list[str]:
    """One object with every digit."""
    return json.dumps(asdict(report), indent=1).split("\n")


def as_lines(report: Report) -> list[str]:
    """Ratios, times, checks; then where it was measured."""
    lines = [f"bench {report.name}: {report.setting}", ""]
    lines += tables.table(
        ("ratio", "median", "range", "target", ""), [*map(_ratio, report.ratios)], right=(1,)
    )
    lines += ["", *tables.table(
        ("time", "median", "range", "rate"), [*map(_side_time, report.timings)], right=(1, 3)
    )]  # fmt: skip
    if report.checks:
        lines += ["", *tables.table(("check", "", "found"), [*map(_check, report.checks)])]
    machine, several = report.machine, "" if report.repetitions == 1 else "s, in turn"
    return [
        *lines,
        "",
        f"{report.repetitions} repetition{several}, one thread",
        f"machine   {machine.cpu}, {machine.cores} cores, {machine.gpu or 'no GPU'}, "
        f"load {machine.load}",
        f"versions  {', '.join(f'{name} {text}' for name, text in machine.versions.items())}",
    ]


def _ratio(ratio: Ratio) -> tuple[str, ...]:
    comparison, spread = ratio.comparison, ratio.spread
    digits = 3 if spread.median < 2 else 2 if spread.median < 10 else 1
    speed = comparison.kind == "speed"
    bound = "at least" if speed else "at most"
    return (
        f"{comparison.side}: as {'fast' if speed else 'long'} as {comparison.against}",
        f"{spread.median:.{digits}f}",
        f"{spread.least:.{digits}f} to {spread.most:.{digits}f}",
        "" if comparison.target is None else f"{bound} {comparison.target:g}",
        {None: "", True: "met", False: "missed"}[ratio.met],
    )


def _side_time(side: SideTime) -> tuple[str, ...]:
    spread = side.spread
    return (
        side.name,
        _duration(spread.median),
        f"{_duration(spread.least)} to {_duration(spread.most)}",
        f"{side.per_s:,.{0 if side.per_s >= 100 else 2}f} {side.unit}/s",
    )


def _check(check: Check) -> tuple[str, ...]:
    return (check.what, {True: "yes", False: "NO", None: ""}[check.passed], check.found)


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"
