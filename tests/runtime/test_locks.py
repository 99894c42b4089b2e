"""One holder at a time, perhaps another process, and none once it has died."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from transferlab.errors import UserError
from transferlab.runtime import locks
from transferlab.runtime.files import Advice
from transferlab.runtime.locks import Kind

BOTH = pytest.mark.parametrize("kind", list(Kind))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WAIT_S", 0.01)


def holder(path: Path, kind: Kind, body: str = "") -> subprocess.Popen[str]:
    """Another process, which holds the lock until it reads a line or is killed."""
    code = """\
        import os, subprocess, sys, time
        from pathlib import Path
        from transferlab.runtime import locks
        with locks.held(Path(sys.argv[1]), sys.exit, kind=locks.Kind[sys.argv[2]]) as file:
        """
    body = textwrap.dedent(body) + 'print("holds", flush=True)\nsys.stdin.readline()\n'
    process = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            textwrap.dedent(code) + textwrap.indent(body, "    "),
            *(str(path), kind.name),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@BOTH
def test_the_second_waits_for_the_first_and_says_so_once(tmp_path: Path, kind: Kind):
    first, waits = holder(tmp_path / "lock", kind), []
    assert line(first) == "holds"

    def on_wait() -> None:
        waits.append(first.poll())
        threading.Timer(0.1, first.communicate, ("\n",)).start()

    with locks.held(tmp_path / "lock", on_wait, kind=kind):
        assert first.wait() == 0

    assert waits == [None]


@BOTH
def test_an_on_wait_that_raises_refuses(tmp_path: Path, kind: Kind):
    def refuse() -> None:
        raise UserError("taken")

    first = holder(tmp_path / "lock", kind)
    assert line(first) == "holds"
    with pytest.raises(UserError, match="taken"), locks.held(tmp_path / "lock", refuse, kind=kind):
        pass
    first.communicate("\n")
    with locks.held(tmp_path / "lock", refuse, kind=kind):
        pass


@BOTH
def test_a_lock_is_held_until_its_holder_is_killed(tmp_path: Path, kind: Kind):
    first = holder(tmp_path / "lock", kind)
    assert line(first) == "holds"
    assert locks.is_held(tmp_path / "lock", kind=kind)

    first.kill()
    first.communicate()
    assert not locks.is_held(tmp_path / "lock", kind=kind)


FORKS = """
    child = os.fork()
    if child == 0:
        time.sleep(300)
        os._exit(0)
    print(child, flush=True)
    """


@BOTH
def test_a_forked_child_outlives_a_killed_holder(tmp_path: Path, kind: Kind):
    with holder(tmp_path / "lock", kind, FORKS) as first:
        child = int(line(first))
        first.kill()
    try:
        assert locks.is_held(tmp_path / "lock", kind=kind) == (kind is Kind.OPEN_FILE)
    finally:
        os.kill(child, signal.SIGKILL)


def test_threads_exclude_each_other(tmp_path: Path):
    got = threading.Event()

    def second() -> None:
        with locks.held(tmp_path / "lock", lambda: None):
            got.set()

    with locks.held(tmp_path / "lock", pytest.fail):
        thread = threading.Thread(target=second)
        thread.start()
        assert not got.wait(0.1)
        assert locks.is_held(tmp_path / "lock")
    assert got.wait(300)
    thread.join()


@BOTH
def test_a_lock_is_released_when_its_holder_fails(tmp_path: Path, kind: Kind):
    with (
        pytest.raises(ZeroDivisionError),
        locks.held(tmp_path / "lock", pytest.fail, kind=kind),
    ):
        raise ZeroDivisionError

    with locks.held(tmp_path / "lock", pytest.fail, kind=kind):
        pass


def test_folder_is_made_by_the_holder_and_not_by_who_only_asks(tmp_path: Path):
    path = tmp_path / "a" / "b" / "lock"

    assert not locks.is_held(path)
    assert not path.parent.parent.exists()
    with locks.held(path, pytest.fail):
        assert path.exists()


def test_a_file_that_cannot_be_opened_is_an_error_with_the_callers_advice(tmp_path: Path):
    (tmp_path / "file").touch()
    advice = Advice(full="", refused="choose another with --out DIR")

    with (
        pytest.raises(UserError) as error,
        locks.held(tmp_path / "file" / "lock", pytest.fail, advice=advice),
    ):
        pass

    assert str(error.value) == (
        f"{tmp_path}/file cannot be written: Not a directory; choose another with --out DIR"
    )
