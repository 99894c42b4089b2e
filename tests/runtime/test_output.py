"""Streams that fail: nothing is stopped, nothing prints a trace, and what is lost is known."""

import ast
import errno
import io
import logging
import math
import os
import pty
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

import transferlab
from transferlab.__main__ import main
from transferlab.cli import help as help_command
from transferlab.errors import RunFailed
from transferlab.runtime import logs, output
from transferlab.runtime.output import OutputLost
from transferlab.runtime.progress import Bar, Display

PACKAGE = Path(transferlab.__file__).parent
FULL = "stdout cannot be written: No space left on device"


def pipe_without_reader() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def dead_terminal() -> int:
    controlling, terminal = pty.openpty()
    os.close(controlling)
    return terminal


OPENERS = {
    errno.ENOSPC: lambda: os.open("/dev/full", os.O_WRONLY),
    errno.EPIPE: pipe_without_reader,
    errno.EIO: dead_terminal,
}


@pytest.fixture(params=OPENERS, ids=errno.errorcode.get)
def broken(request: pytest.FixtureRequest) -> Iterator[TextIO]:
    """A stream that cannot be written. Closing it fails unless what it holds has been dropped."""
    with os.fdopen(OPENERS[request.param](), "w") as stream:
        yield stream


def test_what_was_asked_for_and_cannot_be_printed_fails(
    broken: TextIO, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdout", broken)
    with pytest.raises(OutputLost):
        output.show("a table")


def test_a_report_that_cannot_be_printed_fails_nothing(
    broken: TextIO, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdout", broken)
    with output.guarded() as stdout:
        output.report("trained")
        output.check(stdout)

        assert stdout.error is not None
        with pytest.raises(OutputLost):  # the stream is not written any more
            output.show("a table")


def test_a_log_and_a_note_that_cannot_be_printed_fail_nothing(
    broken: TextIO, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stderr", broken)
    with output.guarded() as stdout:
        logs.to_stderr()
        logging.getLogger("transferlab.test").info("step 1")
        output.note("next")

        assert stdout.error is None


def test_a_log_continues_when_the_disk_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stream = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", stream)
    with stream, output.guarded():
        output.note("lost")
        os.dup2(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT), stream.fileno())
        output.note("kept")

        assert (tmp_path / "log").read_text().endswith("kept\n")


def test_bars_on_a_terminal_that_dies_stop_nothing(monkeypatch: pytest.MonkeyPatch):
    controlling, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with output.guarded(), Display(logging.getLogger("transferlab.test")) as display:
            assert display.on_terminal
            display.print("a line above the bars")
            os.close(controlling)
            display.print("another one")
            display.shown = -math.inf
            display.show(lambda: [Bar("A3B", 1, 2)])


def test_a_stream_that_was_closed_is_lost_output(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputLost, match="Bad file descriptor"):
        output.show("a table")


def test_the_streams_are_the_old_ones_afterwards():
    before = sys.stdout, sys.stderr
    with output.guarded():
        assert (sys.stdout, sys.stderr) != before

    assert (sys.stdout, sys.stderr) == before


# --- the exit status of a command ---------------------------------------------------------------


def fake(monkeypatch: pytest.MonkeyPatch, command: object) -> None:
    monkeypatch.setattr(help_command, "run", command)


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, f"error: {FULL}\n"), (errno.EPIPE, "")]
)
def test_a_command_whose_output_is_lost_fails_and_a_reader_that_left_is_no_news(
    number: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with os.fdopen(OPENERS[number](), "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        status = main(["help"])

    assert (status, capsys.readouterr().err) == (1, message)


def test_what_a_library_prints_is_also_what_was_asked_for(monkeypatch: pytest.MonkeyPatch):
    fake(monkeypatch, lambda arguments: print("a config") or 0)
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)

        assert main(["help"]) == 1


def test_a_command_that_is_done_says_so_when_its_report_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    fake(monkeypatch, lambda arguments: output.report("trained") or 0)
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)

        assert main(["help"]) == 0
    assert capsys.readouterr().err == f"{FULL}; the command is done, only its output is lost\n"


def test_a_command_that_failed_is_not_said_to_be_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def command(arguments: list[str]) -> int:
        output.report("started")
        raise RunFailed("diverged")

    fake(monkeypatch, command)
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)

        assert main(["help"]) == 1
    assert capsys.readouterr().err == "error: diverged\n"


@pytest.mark.parametrize(
    ("streams", "function", "status"),
    [
        (">/dev/full", "report", 0),
        (">/dev/full", "show", 1),
        (">&-", "report", 0),
        (">&-", "show", 1),
        (">/dev/full 2>&1", "report", 0),
        (">&- 2>&-", "report", 0),
        ("2>/dev/full", "show", 0),
        ("2>&-", "show", 0),
        ("| true", "report", 0),
        ("| true", "show", 1),
    ],
)
def test_the_exit_of_the_interpreter_changes_nothing(streams: str, function: str, status: int):
    code = f"""\
        import sys, time, warnings
        from transferlab.runtime import output
        if sys.stdout is not None and "{streams}" == "| true":
            time.sleep(0.1)
        with output.guarded() as stdout:
            try:
                warnings.warn("a warning")
                output.{function}("text")
            except output.OutputLost as error:
                sys.exit(1)
        """
    line = f'set -o pipefail; "$0" -c "$1" {streams}'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable, textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == status
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


# --- any text -----------------------------------------------------------------------------------

HOSTILE = "a\x1b[31m\n\u202eb"
SHOWN = r"a\x1b[31m\n\u202eb"


def test_each_line_is_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]):
    output.show("first", HOSTILE)
    output.report(HOSTILE)
    output.note(HOSTILE)
    output.note()

    assert capsys.readouterr() == (f"first\n{SHOWN}\n{SHOWN}\n", f"{SHOWN}\n")


def test_a_screen_is_erased_by_us_alone(capsys: pytest.CaptureFixture[str]):
    output.redraw("1 running", HOSTILE)

    assert capsys.readouterr().out == f"\x1b[2J\x1b[H1 running\n{SHOWN}\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_on_streams_of_few_characters_a_command_ends_as_elsewhere(
    monkeypatch: pytest.MonkeyPatch, encoding: str
):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    assert main(["status", "--store", "/日本"]) == 2
    assert main(["--cfg", "job", "+split=random", 'data.root="/日"']) == 0  # Hydra prints itself

    assert err.buffer.getvalue().startswith(b"error: /\\u65e5\\u672c is not a store: ")
    assert b"root: /\\u65e5\n" in out.buffer.getvalue()


def test_no_other_module_prints():
    printing = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
    }
    assert printing == {"runtime/output.py"}
