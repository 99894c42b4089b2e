"""Supervised workers: what is recorded of their end, whatever its cause."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.studies import by_label, finish, make_runs, start

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment import plan
from transferlab.experiment.run import Run
from transferlab.launch import supervisor
from transferlab.launch.ending import Ending
from transferlab.launch.supervisor import Supervised
from transferlab.store import schemas, sweeps
from transferlab.store.sweeps import Job

Deeds = Callable[..., None]

LIMIT_S = 300  # of what takes a moment: a busy machine is no failure


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def job(store_folder: Path) -> Job:
    """Tasks: baseA, baseB; A1B and A2B; B1B."""
    sweep = start(make_runs(store_folder), pack=None)
    return sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs(), None), "pack"))


def supervise(job: Job, task: int) -> tuple[Supervised, Ending]:
    worker = Supervised(job, task, sweeps.runs_of(job, task), environment={})
    return worker, wait_for_end(worker)


def wait_for_end(worker: Supervised) -> Ending:
    end = time.monotonic() + LIMIT_S
    while (ending := worker.poll()) is None:
        assert time.monotonic() < end, "the worker does not end"
        time.sleep(0.01)
    return ending


def wait_until(path: Path) -> int:
    """The number in a file that is about to be written: a process says its id there."""
    end = time.monotonic() + LIMIT_S
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, f"no {path.name}"
        time.sleep(0.01)
    return int(path.read_text())


def failure(run: Run) -> str | None:
    error = store.peek(run.failure_file, schemas.FAILURE).get("error")
    return None if error is None else str(error)


def note(job: Job, task: int) -> dict[str, object]:
    return dict(store.peek(job.task(task), schemas.NOTE))


@pytest.mark.parametrize(
    ("deed", "code", "error"),
    [
        ("done", 0, None),
        ("fail", 1, "baseA: the loss is nan"),
        ("defect", 1, "KeyError: 'a defect'"),
        ("silent", 1, "exit status 1"),
        ("die", -9, "killed by SIGKILL, perhaps out of memory"),
        ("leave", 1, "the worker exited before the run was finished"),
    ],
)
def test_the_ending_of_a_worker_and_the_failure_of_its_run_are_recorded(
    job: Job, workers: Deeds, deed: str, code: int, error: str | None
):
    workers(baseA=deed)

    _, ending = supervise(job, 0)

    assert (ending.code, ending.good, ending.interrupted) == (code, code == 0, False)
    assert failure(sweeps.runs_of(job, 0)[0]) == error
    noted = note(job, 0)
    assert (noted["code"], noted["host"]) == (code, os.uname().nodename)
    assert noted["started"] <= noted["ended"]  # type: ignore[operator]


def test_a_task_that_has_started_and_not_ended_is_recorded_so(job: Job, workers: Deeds):
    workers(baseA="work")
    sweeps.note(job, 0, queued_as="7_0", code=75, ended="before")
    worker = Supervised(job, 0, sweeps.runs_of(job, 0), environment={})
    wait_until(job.folder / "0.working")

    assert worker.poll() is None
    noted = note(job, 0)
    assert (noted["queued_as"], noted["ended"], noted["code"]) == ("7_0", None, None)
    worker.stop()
    assert wait_for_end(worker).code == 75


def test_in_a_pack_finished_runs_have_not_failed(job: Job, workers: Deeds):
    workers(A1B="half")
    supervise(job, 2)

    assert [failure(run) for run in sweeps.runs_of(job, 2)] == [None, "A2B: the loss is nan"]


def test_a_worker_that_is_stopped_saves_and_nothing_has_failed(job: Job, workers: Deeds):
    workers(baseA="work")
    worker = Supervised(job, 0, sweeps.runs_of(job, 0), environment={})
    wait_until(job.folder / "0.working")

    worker.stop()
    ending = wait_for_end(worker)

    assert (ending.code, ending.interrupted, ending.status) == (75, True, 75)
    assert failure(sweeps.runs_of(job, 0)[0]) is None
    assert (job.folder / "0.saved").exists()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_a_worker_that_is_just_starting_is_no_failure(
    job: Job, workers: Deeds, number: int
):
    workers(baseA="deaf")
    worker = Supervised(job, 0, sweeps.runs_of(job, 0), environment={})
    os.kill(wait_until(job.folder / "0.deaf"), number)
    ending = wait_for_end(worker)

    assert (ending.code, ending.interrupted, ending.status) == (-number, True, 75)
    assert note(job, 0)["code"] == 75
    assert failure(sweeps.runs_of(job, 0)[0]) is None


def test_a_worker_that_is_killed_after_it_was_asked_to_stop_has_not_failed(
    job: Job, workers: Deeds
):
    """SLURM kills with SIGKILL what has not ended in time."""
    workers(baseA="stubborn")
    worker = Supervised(job, 0, sweeps.runs_of(job, 0), environment={})
    process = wait_until(job.folder / "0.stubborn")
    worker.stop()
    os.kill(process, signal.SIGKILL)
    ending = wait_for_end(worker)

    assert (ending.code, ending.interrupted, ending.status) == (-9, True, 75)
    assert (note(job, 0)["code"], failure(sweeps.runs_of(job, 0)[0])) == (75, None)


def test_the_reason_of_an_earlier_failure_is_deleted_when_the_next_attempt_begins(
    job: Job, workers: Deeds
):
    (run,) = sweeps.runs_of(job, 0)
    store.note_failure(run, "a full disk")
    workers(baseA="die")
    supervise(job, 0)

    assert failure(run) == "killed by SIGKILL, perhaps out of memory"


def test_the_log_is_appended_to_and_the_reason_is_that_of_this_attempt(job: Job, workers: Deeds):
    workers(baseA="defect")
    supervise(job, 0)
    workers(baseA="silent")
    supervise(job, 0)
    lines = job.log(0).read_text().splitlines()

    assert (lines[0], lines[-1]) == ("before", "KeyError: 'a defect'")
    assert failure(sweeps.runs_of(job, 0)[0]) == "exit status 1"
    workers(baseA="fail")
    supervise(job, 0)
    assert job.log(0).read_text().splitlines()[-1] == "error: the loss is nan"


def test_a_worker_has_the_environment_it_is_given(job: Job, workers: Deeds):
    given = {"OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": "1"}
    worker = Supervised(job, 0, sweeps.runs_of(job, 0), environment=given)
    wait_for_end(worker)

    seen = json.loads((job.folder / "0.environment").read_text())
    assert seen.items() >= {**given, "TRANSFERLAB_CORES": None}.items()


def test_outside_the_foreground_the_terminals_signals_reach_only_the_launcher(
    job: Job, workers: Deeds
):
    workers(baseA="work", baseB="work")
    both = [
        Supervised(job, task, sweeps.runs_of(job, task), environment={}, foreground=foreground)
        for task, foreground in ((0, True), (1, False))
    ]
    groups = [os.getpgid(wait_until(job.folder / f"{task}.working")) for task in (0, 1)]
    for worker in both:
        worker.stop()
        wait_for_end(worker)

    assert groups[0] == os.getpgrp() and groups[1] == both[1].process.pid


def test_a_log_that_cannot_be_written_is_an_error(job: Job, workers: Deeds):
    job.log(0).mkdir()

    with pytest.raises(UserError, match=r"0\.log cannot be written: Is a directory"):
        supervise(job, 0)


# --- bases --------------------------------------------------------------------------------------


def test_a_run_waits_for_a_base_that_is_not_finished(store_folder: Path):
    runs = by_label(make_runs(store_folder))

    assert supervisor.unmet([runs["baseA"]]) is None
    assert supervisor.unmet([runs["A1B"]]) == "baseA is not finished"
    store.note_failure(runs["baseA"], "the loss is nan")
    assert supervisor.unmet([runs["A1B"]]) == "baseA is not finished: the loss is nan"
    finish(runs["baseA"])
    assert supervisor.unmet([runs["A1B"], runs["A2B"]]) is None
    assert supervisor.unmet([runs["A1B"], runs["B1B"]]) == "baseB is not finished"


# --- the leash ----------------------------------------------------------------------------------

LAUNCHER = """\
    import sys, time
    from pathlib import Path
    from transferlab.launch import supervisor
    from transferlab.runtime.preloaded import Server
    from transferlab.store import sweeps
    supervisor.MODULE = "support.fake_worker"
    job = sweeps.read_job(Path(sys.argv[1]))
    runs = sweeps.runs_of(job, 0)
    server = Server((), {}) if sys.argv[2] == "forked" else None
    worker = supervisor.Supervised(job, 0, runs, environment={}, server=server, foreground=False)
    time.sleep(300)
    """


@pytest.mark.parametrize("kind", ["new", "forked"])
def test_a_worker_whose_launcher_is_killed_saves_and_exits(job: Job, workers: Deeds, kind: str):
    workers(baseA="work")
    launcher = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LAUNCHER), str(job.folder), kind],
        stdout=subprocess.DEVNULL,
    )
    worker = wait_until(job.folder / "0.working")
    launcher.kill()
    launcher.wait()

    assert wait_until(job.folder / "0.saved") == worker
    wait_until_gone(worker)


def wait_until_gone(process: int) -> None:
    """Or until nobody has asked yet how it ended."""
    end = time.monotonic() + LIMIT_S
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{process}/cmdline").read_bytes():
            assert time.monotonic() < end, f"{process} stays"
            time.sleep(0.02)
