"""How a plan that is being carried out is shown: lines in a log, a live table on a terminal."""

import contextlib
import os
import pty
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.studies import by_label, finish, make_runs

from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.launch import board
from transferlab.launch.board import Board, bars, count, names
from transferlab.launch.local import Progress
from transferlab.runtime import files
from transferlab.runtime.progress import Bar

LABELS = ("A1B", "A2B", "A3B", "B1B+")


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Run]:
    return by_label(make_runs(tmp_path / "store", LABELS))


def at_work(*packs: Sequence[Run]) -> dict[int, Any]:
    return {task: SimpleNamespace(runs=tuple(pack)) for task, pack in enumerate(packs)}


def owned(run: Run, **progress: object) -> None:
    """As if a process trained the run."""
    run.folder.mkdir(parents=True)
    files.write_json(run.owner_file, {"host": "n1", "pid": 7, "heartbeat": files.now(), **progress})


def test_runs_have_their_labels_and_a_pack_its_first_and_last(runs: dict[str, Run]):
    assert names([runs["A1B"]]) == "A1B random0"
    assert names([runs["A1B"], runs["A2B"], runs["A3B"]]) == "A1B .. A3B random0 (3 runs)"


def test_the_count_omits_what_is_zero(runs: dict[str, Run]):
    assert count(Progress(total=6)) == "0 of 6 done"
    progress = Progress(
        total=30,
        running=at_work([runs["A1B"], runs["A2B"]], [runs["B1B+"]]),
        done={"a", "b"},
        failed={"c": "why"},
        blocked={"d": "why", "e": "why"},
    )
    assert count(progress) == "2 of 30 done, 3 running, 1 failed, 2 blocked"


def test_each_running_pack_has_a_bar_as_its_owner_reports_it(runs: dict[str, Run]):
    owned(runs["A1B"], step=120, total_steps=660, left_s=75.2)
    owned(runs["B1B+"])
    progress = Progress(
        total=6,
        running=at_work([runs["A1B"], runs["A2B"], runs["A3B"]], [runs["B1B+"]]),
    )

    assert list(bars(progress)) == [
        Bar("A1B .. A3B random0 (3 runs)", 120, 660, left_s=75.2),
        Bar("B1B+ random0", None, 0),
    ]


def test_without_a_terminal_there_is_a_line_for_every_event(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
):
    lines: list[str] = []
    monkeypatch.setattr(board.log, "info", lambda form, *values: lines.append(form % values))
    base, run, other = runs["baseA"], runs["A1B"], runs["B1B+"]
    finish(base)
    progress = Progress(total=6)

    with Board() as shown:
        shown.started(Pack((run, runs["A2B"])), progress)
        progress.done.add(base.id)
        shown.ended(Pack((base,)), progress)
        progress.failed[run.id] = "the loss is nan; see 0.log"
        shown.ended(Pack((run,)), progress)
        progress.blocked[other.id] = "its base failed"
        shown.blocked(Pack((other,)), "its base failed", progress)
        shown.ended(Pack((runs["A3B"],)), progress)
        shown.refresh(progress)

    assert lines == [
        "A1B .. A2B random0 (2 runs)  started",
        "baseA  done  top-1 0.5000  1 of 6 done",
        "A1B  FAILED: the loss is nan; see 0.log",
        "B1B+ random0  blocked: its base failed",
        "A3B  interrupted",
    ]


LIVE = """\
    import logging, sys, time
    from pathlib import Path
    from types import SimpleNamespace
    from support.studies import by_label, finish, make_runs
    from transferlab.runtime import logs
    from transferlab.launch.board import Board
    from transferlab.launch.local import Progress
    from transferlab.experiment.plan import Pack
    logs.to_stderr()
    runs = by_label(make_runs(Path(sys.argv[1]), ["A1B"]))
    base, run = runs["baseA"], runs["A1B"]
    progress = Progress(total=2, running={0: SimpleNamespace(runs=(base,))})
    with Board() as board:
        board.started(Pack((base,)), progress)
        board.refresh(progress)
        time.sleep(0.3)
        logging.getLogger("transferlab.other").warning("a line of a log")
        time.sleep(0.3)
        progress.failed[base.id] = "x" * 100 + "; see /a/long/path/of/a/log"
        board.ended(Pack((base,)), progress)
        time.sleep(0.3)
    logging.getLogger("transferlab.other").warning("the end")
    """


def test_on_a_terminal_lines_go_above_the_table_and_do_not_tear_it(tmp_path: Path):
    screen = on_terminal([sys.executable, "-c", textwrap.dedent(LIVE), str(tmp_path)], columns=80)

    assert screen == [
        "a line of a log",
        "baseA  FAILED: " + "x" * 65,
        "x" * 35 + "; see /a/long/path/of/a/log",
        "the end",
    ]


def on_terminal(command: list[str], columns: int) -> list[str]:
    """What is left on a terminal when a command has ended: the lines that are not empty."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "24", "TERM": "xterm",
                   "PYTHONPATH": str(Path(__file__).parents[1])}  # fmt: skip
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    text = b""
    with contextlib.suppress(OSError):  # when the other end is closed
        while True:
            text += os.read(leader, 4096)
    os.close(leader)
    assert process.wait() == 0, text.decode()
    return played(text.decode(), columns)


def played(text: str, columns: int) -> list[str]:
    """The screen after a terminal has shown the text: knows what rich uses, and no more."""
    rows: list[list[str]] = [[]]
    row = column = position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\x1b":
            stop = position + 1
            while not text[stop].isalpha():
                stop += 1
            number, what = text[position + 1 : stop], text[stop]
            if what == "A":
                row -= int(number or 1)
            elif what == "K":
                rows[row] = [] if number == "2" else rows[row][:column]
            position = stop + 1
        elif character == "\r":
            column = 0
        elif character == "\n":
            row += 1
        else:
            if column == columns:
                row, column = row + 1, 0
            while len(rows) <= row:
                rows.append([])
            rows[row] += [" "] * (column + 1 - len(rows[row]))
            rows[row][column] = character
            column += 1
        while len(rows) <= row:
            rows.append([])
    return [line for line in ("".join(cells).rstrip() for cells in rows) if line]
