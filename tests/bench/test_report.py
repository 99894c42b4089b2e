"""What is printed of a benchmark, for people and for programs, and the machine that it names."""

import json
import os
from pathlib import Path

import pytest

from transferlab.bench import report
from transferlab.bench.report import Check, Machine, Report, Timing
from transferlab.bench.turns import Comparison, Ratio, Side, Spread
from transferlab.runtime import machine, provenance

FOUND = Report(
    name="pack",
    setting="14 runs",
    repetitions=3,
    ratios=(
        Ratio(Comparison("packed", "alone", "speed", 1.7), Spread(1.8261, 1.7, 12.345)),
        Ratio(Comparison("Trainer", "a loop", "time", 1.05), Spread(1.2, 1.1, 1.3)),
        Ratio(Comparison("real", "resident", "speed", None), Spread(52.89, 46.3, 64.91)),
    ),
    timings=(
        Timing("packed", Spread(2.0, 1.5, 2.5), 14, "runs"),
        Timing("alone", Spread(0.0488, 0.0464, 1.0838), 96, "images"),
    ),
    checks=(Check("same bits", True, "14 of 14 runs"), Check("no torch", False, "torch")),
    machine=Machine("Xeon", 2, None, 0.4),
    versions={"python": "3.11.7", "torch": "2.15.0"},
)
TEXT = """\
bench pack: 14 runs

ratio                       median  range            target
--------------------------  ------  ---------------  ------------  ------
packed: as fast as alone     1.826  1.700 to 12.345  at least 1.7  met
Trainer: as long as a loop   1.200  1.100 to 1.300   at most 1.05  missed
real: as fast as resident     52.9  46.3 to 64.9

time     median  range                        rate
------  -------  -----------------  --------------
packed   2.00 s  1.50 s to 2.50 s      7.00 runs/s
alone   48.8 ms  46.4 ms to 1.08 s  1,967 images/s

check           found
---------  ---  -------------
same bits  yes  14 of 14 runs
no torch   NO   torch

3 repetitions, in turn, one thread
machine   Xeon, 2 cores, no GPU, load 0.4
versions  python 3.11.7, torch 2.15.0"""


def test_the_text_is_aligned_and_says_what_is_met():
    assert report.as_text(FOUND) == TEXT


def test_the_json_has_every_digit_and_what_is_met():
    record = json.loads(report.as_json(FOUND))

    assert record["ratios"][0] == {
        "comparison": {"side": "packed", "against": "alone", "kind": "speed", "target": 1.7},
        "spread": {"median": 1.8261, "least": 1.7, "most": 12.345},
        "met": True,
    }
    assert [ratio["met"] for ratio in record["ratios"]] == [True, False, None]
    assert record["timings"][0]["per_s"] == 7.0
    assert record["checks"][1] == {"what": "no torch", "passed": False, "found": "torch"}
    assert record["machine"] == {"cpu": "Xeon", "cores": 2, "gpu": None, "load": 0.4}
    assert record["versions"] == {"python": "3.11.7", "torch": "2.15.0"}
    assert (record["name"], record["setting"], record["repetitions"]) == ("pack", "14 runs", 3)


def test_a_measurement_has_the_ratios_and_the_times_of_its_sides():
    sides = [Side("a", lambda: 1.0, 4, "steps"), Side("b", lambda: 2.0, 4, "steps")]
    comparison = Comparison("a", "b", "speed", 1.5)

    found = report.measure("step", "some", sides, [comparison], repetitions=2)

    assert found.ratios == (Ratio(comparison, Spread(2.0, 2.0, 2.0)),)
    assert found.timings == (
        Timing("a", Spread(1.0, 1.0, 1.0), 4, "steps"),
        Timing("b", Spread(2.0, 2.0, 2.0), 4, "steps"),
    )
    assert tuple(found.versions) == provenance.VERSIONS


def test_the_machine_is_named_by_its_kernel_and_by_nvidias_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Xeon: the fast one\n")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho NVIDIA H100\necho NVIDIA H200\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(os, "getloadavg", lambda: (1.26, 0.0, 0.0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 3, 5}, raising=False)

    assert report.machine() == Machine("Xeon: the fast one", 3, "NVIDIA H100", 1.3)


def test_a_tool_that_finds_no_gpu_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert report.machine().gpu is None
