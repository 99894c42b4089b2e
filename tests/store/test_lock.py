"""One process at a time owns a run; the others wait, and learn for which process."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.records import made

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.run import Run, make_run
from transferlab.runtime import locks


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with an empty folder."""
    run = make_run(made({"runtime.store": str(tmp_path)}))
    run.folder.mkdir()
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs `code`; `run` is the run in the store of the first argument."""
    head = """\
        import os, signal, sys
        from pathlib import Path
        from support.records import made
        from transferlab import store
        from transferlab.experiment.run import make_run
        run = make_run(made({"runtime.store": sys.argv[1]}))
        """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


OWNS = """
    def tell(owner):
        print("waits for", owner, flush=True)
    with store.owned(run, tell):
        store.report_progress(run, step=3, total_steps=10, left_s=None)
        print("owns", Path(sys.argv[2]).exists(), flush=True)
        sys.stdin.readline()
    """


def test_a_second_process_waits_for_the_first_and_learns_which(run: Run, tmp_path: Path):
    released = tmp_path / "released"
    with store.owned(run, pytest.fail):
        second = python(OWNS, tmp_path, released)
        assert second.stdout is not None
        told = second.stdout.readline()
        released.touch()

    assert told == f"waits for process {os.getpid()} on {socket.gethostname()}\n"
    assert second.stdout.readline() == "owns True\n"
    owner = json.loads(run.owner_file.read_text())
    assert (owner["pid"], owner["step"], owner["total_steps"]) == (second.pid, 3, 10)
    rest, _ = second.communicate("\n")
    assert (rest, second.returncode) == ("", 0)
    assert not run.owner_file.exists()


def test_a_killed_owner_is_noticed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "WAIT_S", 0.01)
    first = python(OWNS, tmp_path, tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "owns True\n"
    told: list[str] = []

    def kill(owner: str) -> None:
        told.append(owner)
        first.kill()
        first.communicate()

    with store.owned(run, kill):
        assert told == [f"process {first.pid} on {socket.gethostname()}"]
        assert first.returncode == -signal.SIGKILL
        assert json.loads(run.owner_file.read_text())["pid"] == os.getpid()
    assert not run.owner_file.exists()


def test_an_owner_that_has_not_said_who_it_is_is_another_process(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locks, "WAIT_S", 0.01)
    first = python(OWNS, tmp_path, tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "owns True\n"
    run.owner_file.write_text('{"pid": ')
    told: list[str] = []

    with store.owned(run, lambda owner: (told.append(owner), first.communicate("\n"))):  # type: ignore[arg-type,func-returns-value]
        pass

    assert told == ["another process"]


def test_a_run_is_given_up_when_its_owner_fails(run: Run):
    with pytest.raises(ZeroDivisionError), store.owned(run, pytest.fail):
        store.report_progress(run, step=1, total_steps=10, left_s=None)
        raise ZeroDivisionError

    assert not run.owner_file.exists()
    with store.owned(run, pytest.fail):
        pass


def test_a_run_is_owned_before_anything_else_is_in_its_folder(tmp_path: Path):
    run = make_run(made({"runtime.store": f"{tmp_path}/runs"}))

    with store.owned(run, pytest.fail):
        assert names(run.folder) == {"lock", "lock.holder", "owner.json"}
        owner = json.loads(run.owner_file.read_text())

    assert (owner["host"], owner["pid"]) == (socket.gethostname(), os.getpid())
    assert names(run.folder) == {"lock"}


def test_a_run_in_a_store_below_a_file_cannot_be_owned(tmp_path: Path):
    (tmp_path / "file").write_text("")
    run = make_run(made({"runtime.store": f"{tmp_path}/file"}))

    with pytest.raises(UserError) as error, store.owned(run, pytest.fail):
        pass

    assert str(error.value) == (
        f"{run.folder} cannot be written: Not a directory; choose a store that can be written, "
        "with runtime.store=DIR"
    )


def test_a_lock_that_cannot_be_opened_is_named(run: Run):
    run.lock_file.mkdir()

    with (
        pytest.raises(UserError, match="cannot be written: Is a directory; choose a store"),
        store.owned(run, pytest.fail),
    ):
        pass
