"""Log messages are lines of text, whatever names are in them."""

import logging
from pathlib import Path

import pytest

from transferlab.runtime import logs

HOSTILE = "a\x1b[31m\n\u202eb"
SHOWN = r"a\x1b[31m\n\u202eb"


def test_log_messages_and_tracebacks_are_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    log = logging.getLogger(f"{logs.ROOT}.test")
    with logs.to_file(tmp_path / "log.txt"):
        logging.getLogger(logs.ROOT).setLevel(logging.INFO)
        log.info("begin %s", HOSTILE)
        try:
            raise ValueError("\x1b[2J\udce9")
        except ValueError:
            log.exception("failed")
    first, second, *traceback = (tmp_path / "log.txt").read_text("utf-8").splitlines()
    assert first.endswith(f"INFO begin {SHOWN}") and second.endswith("ERROR failed")
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == r"ValueError: \x1b[2J\xe9"
