"""The one judgement of what stopped a task."""

import signal
from typing import Any

import pytest

from transferlab.launch import ending
from transferlab.launch.ending import Ending


def test_the_message_of_an_ending():
    assert Ending(3).message == "exit status 3"
    assert Ending(-signal.SIGSEGV).message == "killed by SIGSEGV"
    assert Ending(-40).message == "killed by signal 40"
    assert [Ending(code).status for code in (0, 1, 2, 75, -9, -10)] == [0, 1, 2, 75, 1, 75]
    assert [Ending(code).noted for code in (0, 1, 2, 75, -9, -10)] == [0, 1, 2, 75, -9, 75]
    assert [Ending(code, asked=True).noted for code in (0, 1, -9, -11)] == [0, 1, 75, -11]


@pytest.mark.parametrize(
    ("note", "report", "cause"),
    [
        ({}, "", None),
        ({"code": 1}, "", None),
        ({"code": 75}, "", "stopped"),
        ({"code": 75, "signals": ["SIGUSR1"]}, "FAILED 75:0", "stopped"),
        ({"code": 75, "signals": ["SIGTERM", "SIGUSR1"]}, "FAILED 75:0", "cancelled"),
        ({"code": 75, "signals": ["SIGINT"]}, "", "cancelled"),
        ({"code": None, "signals": ["SIGTERM"]}, "", "cancelled"),  # killed while it saved
        ({"code": -10}, "", "stopped"),  # as it was noted once
        ({}, "CANCELLED", "cancelled"),
        ({"code": 75, "signals": ["SIGTERM"]}, "PREEMPTED", "preempted"),
        ({}, "TIMEOUT", "reached its time limit"),
        ({}, "DEADLINE", "reached its time limit"),
        ({}, "FAILED 0:15", "cancelled"),  # the shell of its script
        ({}, "FAILED 0:2", "cancelled"),
        ({}, "FAILED 0:10", "stopped"),
        ({}, "FAILED 0:9", None),
        ({}, "FAILED 127:0", None),
        ({}, "OUT_OF_MEMORY 0:125", None),
        ({"code": 1, "signals": ["SIGTERM"]}, "FAILED 1:0", None),
    ],
)
def test_what_asked_a_task_to_stop(note: dict[str, Any], report: str, cause: str | None):
    assert ending.cause(note, report) == cause
