"""A benchmark's report as text and as JSON."""

import json

from transferlab.bench import report
from transferlab.bench.harness import (
    Check,
    Comparison,
    Machine,
    Ratio,
    Report,
    SideTime,
    Spread,
)

REPORT = Report(
    name="pack",
    setting="14 runs",
    repetitions=3,
    ratios=(
        Ratio(Comparison("packed", "alone", "speed", 1.7), Spread(1.8261, 1.7, 12.345), True),
        Ratio(Comparison("Trainer", "a loop", "time", 1.05), Spread(1.2, 1.1, 1.3), False),
        Ratio(Comparison("real", "resident", "speed", None), Spread(52.89, 46.3, 64.91), None),
    ),
    timings=(
        SideTime("packed", Spread(2.0, 1.5, 2.5), 14, "runs", 7.0),
        SideTime("alone", Spread(0.0488, 0.0464, 1.0838), 96, "images", 1967.2),
    ),
    checks=(Check("same bits", True, "14 of 14 runs"), Check("no torch", False, "torch")),
    machine=Machine("Xeon", None, 2, 0.4, {"python": "3.11.7", "torch": "2.15.0"}),
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


def test_the_text_is_aligned_and_marks_met_targets():
    assert "\n".join(report.as_lines(REPORT)) == TEXT


def test_the_json_has_every_digit_and_marks_met_targets():
    record = json.loads("".join(report.as_json(REPORT)))

    assert record["ratios"][0] == {
        "comparison": {"side": "packed", "against": "alone", "kind": "speed", "target": 1.7},
        "spread": {"median": 1.8261, "least": 1.7, "most": 12.345},
        "met": True,
    }
    assert [ratio["met"] for ratio in record["ratios"]] == [True, False, None]
    assert record["timings"][0]["per_s"] == 7.0
    assert record["checks"][1] == {"what": "no torch", "passed": False, "found": "torch"}
    assert record["machine"] == {
        "cpu": "Xeon", "gpu": None, "cores": 2, "load": 0.4,
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
    }  # fmt: skip
    assert (record["name"], record["setting"], record["repetitions"]) == ("pack", "14 runs", 3)
