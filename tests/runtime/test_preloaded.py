"""Processes that a server forks: as new ones, but for what they need not import."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transferlab.launch import local
from transferlab.runtime import preloaded, signals
from transferlab.runtime.preloaded import Process, Server

pytestmark = pytest.mark.skipif(not preloaded.available(), reason="cannot fork here")
CHILD = "import sys\nexec(sys.argv[1])\n"  # a module that runs the code it is given
LIMIT_S = 300  # of what takes a moment: a busy machine is no failure
Start = Callable[..., Process]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "child.py").write_text(CHILD)
    (folder / "ready.py").write_text("import os\nPROCESS = os.getpid()\n")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with Server(("ready", "missing"), {"PYTHONPATH": str(folder)}) as server:
        yield server


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def start(server: Server, log: Path) -> Start:
    """Start a process with this code; its input is at its end unless it is given."""

    def begin(code: str, *more: str, stdin: int | None = None, **environment: str) -> Process:
        with log.open("ab") as output, open(os.devnull, "rb") as null:
            return server.start(
                "child",
                (code, *more),
                stdin=null.fileno() if stdin is None else stdin,
                log=output.fileno(),
                environment=environment,
            )

    return begin


def wait_for(log: Path) -> int:
    """The number that a process writes."""
    end = time.monotonic() + LIMIT_S
    while not log.exists() or not log.read_text().endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.01)
    return int(log.read_text())


@pytest.mark.parametrize(
    ("code", "status", "last"),
    [
        ("print('done')", 0, "done"),
        ("sys.exit(75)", 75, ""),
        ("sys.exit('a message')", 1, "a message"),
        ("raise KeyError('a defect')", 1, "KeyError: 'a defect'"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt"),
        ("import atexit; atexit.register(print, 'at exit'); print('before')", 0, "at exit"),
        ("import missing", 1, "ModuleNotFoundError: No module named 'missing'"),
    ],
)
def test_it_ends_as_an_interpreter_does(start: Start, log: Path, code: str, status: int, last: str):
    process = start(code)

    assert process.wait(LIMIT_S) == status
    assert process.poll() == status
    assert (log.read_text().splitlines() or [""])[-1] == last


FACTS = """
import json, os, signal
print(json.dumps({
    "argv": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ),
    "group": os.getpgrp() == os.getpid(), "input": sys.stdin.read(),
    "files": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "held back": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "name": __name__, "imported": "ready" in sys.modules and sys.modules["ready"].PROCESS,
}))
print("to stderr", file=sys.stderr)
"""


def test_it_has_what_it_is_given_and_nothing_of_the_launchers(
    start: Start, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OF_THE_LAUNCHER", "1")
    read, write = os.pipe()
    with os.fdopen(read, "rb"), os.fdopen(write, "wb") as pipe, (tmp_path / "held").open("w"):
        process = start(FACTS, "one", "two", stdin=read, GIVEN="2")
        pipe.write(b"some input")
        pipe.close()
        assert process.wait(LIMIT_S) == 0

    first, second = log.read_text().splitlines()
    facts = json.loads(second if first == "to stderr" else first)
    assert "to stderr" in (first, second)
    imported = facts.pop("imported")
    assert imported not in (False, process.pid, os.getpid())
    assert facts == {
        "argv": ["one", "two"], "folder": str(tmp_path), "environment": {"GIVEN": "2"},
        "group": True, "input": "some input", "files": [0, 1, 2],
        "held back": sorted(signals.WATCHED), "name": "__main__",
    }  # fmt: skip


def test_it_receives_signals_once_it_handles_them(start: Start, log: Path):
    code = """
import os, signal
print(os.getpid(), flush=True)
sys.stdin.read()
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
"""
    read, write = os.pipe()
    with os.fdopen(read, "rb"):
        process = start(code, stdin=read)
    assert process.pid == wait_for(log)
    process.send_signal(signal.SIGUSR1)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    assert process.poll() is None
    os.close(write)

    assert process.wait(LIMIT_S) == 75
    process.send_signal(signal.SIGUSR1)  # of an ended process is no error


def test_a_process_whose_end_nobody_can_report_counts_as_killed(start: Start, log: Path):
    read, write = os.pipe()
    with os.fdopen(read, "rb"), os.fdopen(write, "wb"):
        process = start("import os; print(os.getppid(), flush=True); sys.stdin.read()", stdin=read)
        os.kill(wait_for(log), signal.SIGKILL)

        assert process.wait(LIMIT_S) == -9


def test_a_server_that_was_killed_is_started_again(start: Start, server: Server):
    assert start("").wait(LIMIT_S) == 0
    killed = server.server
    assert killed is not None
    killed.kill()
    killed.wait()

    assert start("sys.exit(3)").wait(LIMIT_S) == 3
    assert server.server is not None and server.server.pid != killed.pid


def test_a_server_ends_with_its_launcher_and_its_processes_live_on(folder: Path, log: Path):
    server = Server((), {"PYTHONPATH": str(folder)})
    read, write = os.pipe()
    with log.open("ab") as output, os.fdopen(read, "rb"):
        code = "sys.stdin.read(); print(1)"
        environment = {"PYTHONPATH": str(folder)}
        process = server.start(
            "child", (code,), stdin=read, log=output.fileno(), environment=environment
        )
    assert server.socket is not None and server.server is not None
    server.socket.close()  # as the kernel does when a launcher is killed

    assert server.server.wait(LIMIT_S) == 0
    os.close(write)
    assert (process.wait(LIMIT_S), log.read_text()) == (0, "1\n")


def test_a_process_that_cannot_be_forked_has_failed_and_its_log_says_why(
    log: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    ours, theirs = preloaded.socket.socketpair()
    process = Process(ours)
    with log.open("ab") as output, theirs, monkeypatch.context() as patch:
        patch.setattr(os, "fork", refuse)
        assert preloaded._fork(sys.exit, [theirs.fileno(), 0, output.fileno()]) == 0

        assert (process.pid, process.poll()) == (0, 1)
    last = "error: a process cannot be started: Resource temporarily unavailable\n"
    assert log.read_text() == last


WORKER = """
import json, os, torch
import transferlab.training.run
parent = open(f"/proc/{os.getppid()}/status").read()
server = parent.split("PPid:")[1].split()[0]
print(json.dumps([len(os.listdir(f"/proc/{server}/task")), torch.cuda.is_initialized(),
                  len(os.listdir("/proc/self/task"))]))
"""


def test_the_server_of_workers_runs_one_thread_and_has_not_touched_a_gpu(
    folder: Path, log: Path, forked_trainings: None
):
    environment = {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    with (
        Server(local.PRELOADED, environment) as server,
        log.open("ab") as output,
        open(os.devnull, "rb") as null,
    ):
        process = server.start(
            "child",
            (WORKER,),
            stdin=null.fileno(),
            log=output.fileno(),
            environment={**os.environ, **environment},
        )
        assert process.wait(LIMIT_S) == 0, log.read_text()

    assert json.loads(log.read_text()) == [1, False, 1]
