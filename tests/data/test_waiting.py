"""A wait in slices: who waits is asked, reads of it in the log, and gives up in the end."""

import logging

import pytest

from transferlab.data import waiting
from transferlab.errors import RunFailed


class Clock:
    """A clock that each slice moves on by 25 s."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 25
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "time", Clock())


def test_after_each_slice_who_waits_is_asked_with_the_time_so_far():
    waited: list[float] = []
    slices = waiting.slices(waited.append)

    assert [next(slices) for _ in range(4)] == 4 * [0.2]
    assert waited == [25.0, 50.0, 75.0]


def test_a_wait_is_reported_every_minute_and_ends_after_half_an_hour(
    caplog: pytest.LogCaptureFixture,
):
    with caplog.at_level(logging.WARNING), pytest.raises(RunFailed) as failed:
        for _ in waiting.slices(lambda waited: None):
            pass

    assert caplog.messages[:2] == [
        "no image was read for 1:15: is the disk of the images slow? Waiting for at most 30:00",
        "no image was read for 2:30: is the disk of the images slow? Waiting for at most 30:00",
    ]
    assert len(caplog.messages) == 23
    assert str(failed.value) == (
        "no image was read for 30:00: the disk of the images does not answer; what is finished is "
        "saved: run the command again once it does"
    )
