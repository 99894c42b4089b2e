"""The order of what is measured, and ratios, with sides that report prepared times."""

import os
from pathlib import Path

import pytest

from transferlab.bench import harness
from transferlab.bench.harness import Check, Comparison, Machine, Ratio, Side, SideTime, Spread
from transferlab.runtime import machine, provenance


def side(name: str, times: list[float], calls: list[str] | None = None, count: int = 1) -> Side:
    """A side that takes these times, one after the other, and records its calls."""
    left = iter(times)

    def measure() -> float:
        if calls is not None:
            calls.append(name)
        return next(left)

    return Side(name, measure, count, "steps")


def ratio(comparison: Comparison, *sides: Side) -> Ratio:
    """The one ratio of a report of three repetitions."""
    report = harness.measure("x", "", sides, [comparison], repetitions=3, warm=False)
    (ratio,) = report.ratios
    return ratio


def test_sides_are_measured_in_turn_after_one_round_that_does_not_count():
    calls: list[str] = []
    sides = [side("a", [9.0, 1.0, 3.0], calls, count=4), side("b", [9.0, 2.0, 4.0], calls)]

    report = harness.measure("step", "digits", sides, [], repetitions=2)

    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert report.timings == (
        SideTime("a", Spread(2.0, 1.0, 3.0), 4, "steps", per_s=2.0),
        SideTime("b", Spread(3.0, 2.0, 4.0), 1, "steps", per_s=1 / 3),
    )
    assert (report.name, report.setting, report.repetitions) == ("step", "digits", 2)


def test_without_warming_up_every_round_counts():
    calls: list[str] = []

    report = harness.measure("x", "", [side("a", [9.0, 1.0], calls)], [], repetitions=2, warm=False)

    assert calls == ["a", "a"] and report.timings[0].spread == Spread(5.0, 1.0, 9.0)


def test_checks_are_made_after_everything_was_measured():
    calls: list[str] = []

    def checks() -> list[Check]:
        return [Check("rounds", None, str(len(calls)))]

    report = harness.measure(
        "x", "", [side("a", [1.0, 1.0], calls)], [], repetitions=1, checks=checks
    )

    assert report.checks == (Check("rounds", None, "2"),)


def test_a_speed_is_the_others_time_over_ones_own_and_a_time_the_other_way_round():
    times = {"a": [1.0, 2.0, 4.0], "b": [8.0, 6.0, 8.0]}
    speed, time = Comparison("a", "b", "speed", 3.0), Comparison("a", "b", "time", 0.25)

    assert ratio(speed, *(side(*item) for item in times.items())) == Ratio(
        speed, Spread(3.0, 2.0, 8.0), met=True
    )
    assert ratio(time, *(side(*item) for item in times.items())) == Ratio(
        time, Spread(1 / 3, 0.125, 0.5), met=False
    )


def test_ratios_are_those_of_pairs_not_of_medians():
    measured = ratio(
        Comparison("a", "b", "time", None),
        side("a", [1.0, 10.0, 100.0]),
        side("b", [100.0, 10.0, 2.0]),
    )

    assert measured.spread == Spread(1.0, 0.01, 50.0)


def test_sides_that_do_a_different_number_are_compared_by_one_of_them():
    measured = ratio(
        Comparison("a", "b", "speed", None),
        side("a", [1.0] * 3, count=10),
        side("b", [1.0] * 3, count=2),
    )

    assert measured.spread == Spread(5.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("kind", "median", "met"),
    [("speed", 1.7, True), ("speed", 1.69, False), ("time", 1.7, True), ("time", 1.71, False)],
)
def test_a_target_is_the_least_speed_and_the_most_time(kind: str, median: float, met: bool):
    assert Comparison("a", "b", kind, 1.7).met(median) is met  # type: ignore[arg-type]


def test_without_a_target_there_is_nothing_to_meet():
    assert Comparison("a", "b", "speed", None).met(1.0) is None


def test_time_is_taken_from_start_to_end():
    now = iter([10.0, 12.5])

    assert harness.timed(lambda: None, clock=lambda: next(now)) == 2.5


def test_the_machine_is_the_one_that_is_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Xeon: the fast one\n")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho NVIDIA H100\necho NVIDIA H200\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.26, 0.0, 0.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 3, 5}, raising=False)

    report = harness.measure("x", "", [side("a", [1.0, 1.0])], [], repetitions=1)

    assert report.machine == Machine(
        "Xeon: the fast one", "NVIDIA H100", 3, 1.3, provenance.versions()
    )


def test_a_tool_that_finds_no_gpu_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert harness.this_machine().gpu is None
