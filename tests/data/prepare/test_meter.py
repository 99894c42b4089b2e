"""What is said while images are prepared."""

import logging
import sys

import pytest

from transferlab.data.prepare import meter
from transferlab.data.prepare.meter import Meter


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(meter.time, "monotonic", lambda: now[0])
    return now


def test_elsewhere_than_on_a_terminal_there_is_a_line_every_ten_seconds(
    clock: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    caplog.set_level(logging.INFO, "transferlab")
    with Meter(1000) as shown:
        shown.count(400, kept=True)
        clock[0] += 30  # in which the workers start
        shown.count(100, kept=False)
        for _ in range(4):
            clock[0] += 4
            shown.count(100, kept=False)
    assert [record.message for record in caplog.records] == [
        "500 of 1000 images",
        "800 of 1000 images  25 images/s  0:08 left",
    ]


def test_what_is_kept_and_the_start_do_not_count_as_speed(clock: list[float]):
    shown = Meter(1000)
    shown.count(500, kept=True)
    clock[0] += 60
    shown.count(10, kept=False)
    assert (shown.done, shown.rate) == (510, None)
    clock[0] += 2
    shown.count(10, kept=False)
    assert (shown.made, shown.rate) == (20, 5.0)
