"""Processes of benchmarks: their results, and their end when a benchmark is interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from transferlab.bench import processes
from transferlab.bench.processes import Processes, python
from transferlab.errors import Interrupted, RunFailed

# Interrupts its parent when it is ready, and says with a file that it was asked to stop
PATIENT = """
import os, pathlib, signal, sys, time
def stop(*_):
    pathlib.Path("stopped").touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
os.kill(os.getppid(), signal.SIGUSR2)
time.sleep(600)
"""
STUBBORN = PATIENT.replace("SIGTERM, stop", "SIGTERM, signal.SIG_IGN")


@pytest.fixture(autouse=True)
def interrupted() -> Iterator[None]:
    """SIGUSR2 interrupts this process, as a signal interrupts a benchmark."""

    def stop(*_: object) -> None:
        raise Interrupted("stopped by SIGUSR2")

    before = signal.signal(signal.SIGUSR2, stop)
    yield
    signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are started."""
    each: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def note(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        each.append(start(*arguments, **settings))
        return each[-1]

    monkeypatch.setattr(subprocess, "Popen", note)
    return each


def endings(processes: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """How they have ended, as far as they were waited for."""
    return [process.returncode for process in processes]


def test_a_process_has_store_and_cache_in_the_folder_and_one_thread(tmp_path: Path):
    names = ("TRANSFERLAB_STORE", "TRANSFERLAB_CACHE", "OMP_NUM_THREADS")
    code = f"import os, sys; print(*map(os.environ.get, {names}), os.getcwd(), file=sys.stderr)"
    status, err = python(tmp_path, "-c", code)
    assert (status, err) == (0, f"{tmp_path}/runs {tmp_path}/cache 1 {tmp_path}\n")


def test_a_process_that_fails_is_named_with_its_last_line(tmp_path: Path):
    with pytest.raises(RunFailed) as failed:
        python(tmp_path, "-c", "raise SystemExit('first\\nlast')")
    assert str(failed.value).endswith("failed: last")
    assert python(tmp_path, "-c", "raise SystemExit(3)", also=(3,)) == (3, "")


def test_an_interrupted_process_is_asked_to_stop_and_waited_for(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
):
    with pytest.raises(Interrupted):
        python(tmp_path, "-c", PATIENT)
    assert endings(started) == [75]
    assert [path.name for path in tmp_path.iterdir()] == ["stopped"]


def test_one_that_does_not_stop_is_killed(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "END_S", 0.05)
    with pytest.raises(Interrupted):
        python(tmp_path, "-c", STUBBORN)
    assert endings(started) == [-signal.SIGKILL]


def test_processes_that_other_threads_wait_for_end_too(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
):
    waiting = "import pathlib, time; pathlib.Path('runs').touch(); time.sleep(600)"
    after = f"import os\nwhile not os.path.exists('runs'): pass\n{PATIENT}"
    with (
        pytest.raises(Interrupted),
        ThreadPoolExecutor(2) as pool,
        Processes(tmp_path) as both,
    ):
        list(pool.map(lambda code: both.python("-c", code), [waiting, after]))
    assert {*endings(started)} == {-signal.SIGTERM, 75}
    with pytest.raises(RunFailed, match="benchmark has ended"):
        both.python("-c", "")


def test_a_benchmark_that_is_terminated_leaves_nothing(tmp_path: Path):
    """No files beside its own temporary ones, which are gone, and no processes."""
    temporary, here = tmp_path / "temporary", tmp_path / "here"
    temporary.mkdir()
    here.mkdir()
    kept = {"TRANSFERLAB_STORE": f"{here}/runs", "TRANSFERLAB_CACHE": f"{here}/cache"}
    benchmark = subprocess.Popen(
        [sys.executable, "-m", "transferlab", "bench", "startup"],
        cwd=here, env=os.environ | kept | {"TMPDIR": str(temporary)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    while not list(temporary.glob("*/runs")):
        assert benchmark.poll() is None
        time.sleep(0.01)
    benchmark.terminate()
    out, err = benchmark.communicate()
    assert (benchmark.returncode, out) == (75, "")
    assert err == "stopped by SIGTERM: bench startup has no result, and keeps nothing to resume\n"
    assert [*temporary.glob("*/*"), *here.iterdir()] == []
    with pytest.raises(ProcessLookupError):
        os.killpg(benchmark.pid, 0)
