"""Bars and lines about long work, with a clock that the test moves."""

import io
import logging
import sys
from collections.abc import Iterable

import pytest
from rich.console import Console

from transferlab.runtime import progress
from transferlab.runtime.progress import Bar, Display, Rate

log = logging.getLogger("transferlab.work")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def terminal(monkeypatch: pytest.MonkeyPatch, yes: bool) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: yes)


def drawn(bars: Iterable[Bar], title: str = "", width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(progress.drawing(bars, title))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def test_bars_take_the_width_that_the_texts_leave():
    bars = [
        Bar("A1B .. A3B random0 (3 runs)", 120, 660, left_s=75.2),
        Bar("B1B+ random0", None, 0),
    ]

    assert drawn(bars, "1 of 6 done, 4 running") == [
        "1 of 6 done, 4 running",
        "A1B .. A3B random0 (3 runs)  ━━━━━╸                           120/660  1:15 left",
        "B1B+ random0                 starting",
    ]


def test_notes_and_names_are_shown_as_they_are():
    (line,) = drawn([Bar("mean [A]", 1, 2, notes="[b]25 images/s", left_s=3661)], width=60)

    assert line.startswith("mean [A]  ━━━")
    assert line.endswith("  1/2  [b]25 images/s  1:01:01 left")


def test_elsewhere_than_on_a_terminal_there_is_a_line_every_ten_seconds(
    clock: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    terminal(monkeypatch, False)
    caplog.set_level(logging.INFO, "transferlab")
    with Display(log) as display:
        for done in range(100, 800, 100):
            clock[0] += 4
            left_s = None if done < 400 else 8.0
            display.show(lambda d=done, s=left_s: [Bar("mean", d, 900, "images", left_s=s)])  # type: ignore[misc]
        display.print("a line")

    assert caplog.messages == [
        "mean: 300 of 900 images",
        "mean: 600 of 900 images  0:08 left",
        "a line",
    ]


def test_bars_that_are_only_for_a_terminal_are_not_even_made_elsewhere(
    clock: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    terminal(monkeypatch, False)
    caplog.set_level(logging.INFO, "transferlab")
    with Display(log, log_bars=False) as display:
        clock[0] += 60
        display.show(lambda: pytest.fail("nobody sees them"))
        display.print("a line")

    assert caplog.messages == ["a line"]


@pytest.mark.parametrize("keep", [False, True])
def test_a_terminal_shows_the_latest_bars_every_half_second_and_at_the_end_if_they_are_kept(
    keep: bool, clock: list[float], monkeypatch: pytest.MonkeyPatch
):
    terminal(monkeypatch, True)
    made: list[int] = []

    def bars(done: int) -> list[Bar]:
        made.append(done)
        return [Bar("A3B", done, 10)]

    with Display(log, keep=keep) as display:
        for done in range(8):
            display.show(lambda d=done: bars(d))  # type: ignore[misc]
            clock[0] += 0.2

    assert made == ([0, 3, 6, 7] if keep else [0, 3, 6])


def test_a_rate_counts_from_its_first_call_on(clock: list[float]):
    rate = Rate()

    assert (rate.update(500), rate.left_s(100)) == (None, None)
    clock[0] += 2
    assert (rate.update(510), rate.left_s(100)) == (5.0, 20.0)


HOSTILE = "a\x1b[31m\n\u202eb"


def test_bars_and_the_lines_above_them_are_escaped():
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    bars = [
        Bar(HOSTILE, 1, 2, notes="\x1b]0;x\x07"),
        Bar(HOSTILE, None, 2),
    ]
    console.print(progress.drawing(bars, title=HOSTILE))
    display = Display(logging.getLogger("test"))
    display.live = type("Live", (), {"console": console})
    display.print(HOSTILE)

    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert drawn.count(r"a\x1b[31m\n\u202eb") == 4 and r"\x1b]0;x\x07" in drawn
    assert not {"\x1b", "\x07", "\u202e"} & {*drawn}
