"""The process that trains a pack: what it trains, its exit status, and what it prints."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.studies import finish, make_runs, start

from transferlab import store
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment import plan
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.launch import inline, worker
from transferlab.store import schemas, sweeps
from transferlab.store.sweeps import Job

pytestmark = pytest.mark.usefixtures("own_signals")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Tasks: baseA, baseB; A1B and A2B; B1B."""
    sweep = start(make_runs(tmp_path / "store"), pack=None)
    return sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs(), None), "pack"))


def main(job: Job, task: int) -> int:
    return worker.main([str(job.folder), str(task)])


def test_it_trains_the_runs_of_its_task_in_their_store(job: Job, monkeypatch: pytest.MonkeyPatch):
    trained: list[Run] = []

    def train(runs: Sequence[Run], stop: object) -> None:
        trained.extend(runs)

    monkeypatch.setattr(inline, "train", train)

    assert main(job, 2) == 0
    assert [run.label for run in trained] == ["A1B", "A2B"]
    assert trained == [resolve(run.config) for run in sweeps.runs_of(job, 2)]
    assert trained[0].classes == tuple("24569")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("train.lr=-1 is too small"), 2, "error: train.lr=-1 is too small"),
        (RunFailed("the loss is nan"), 1, "error: the loss is nan"),
        (Interrupted("stopped while training"), 75, "stopped while training; saved"),
        (KeyboardInterrupt(), 75, "stopped; saved"),
    ],
)
def test_its_exit_status_and_its_last_line_report_how_it_ended(
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    line: str,
):
    def train(runs: Sequence[Run], stop: object) -> None:
        raise error

    monkeypatch.setattr(inline, "train", train)

    assert main(job, 0) == status
    assert capsys.readouterr().err.splitlines() == ["baseA", line]


def test_a_defect_is_not_hidden(job: Job, monkeypatch: pytest.MonkeyPatch):
    def train(runs: Sequence[Run], stop: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(inline, "train", train)

    with pytest.raises(ZeroDivisionError):
        main(job, 0)


def test_changed_images_are_recorded_as_the_failure_of_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    runs = make_runs(tmp_path / "store", ["A1B", "A2B"], data__digest="0" * 64)
    sweep = start(runs, pack=None)
    job = sweeps.record(sweeps.prepare(sweep, plan.packs(runs, None), "pack"))
    finish(runs[1])

    assert main(job, 1) == 2
    words = "data.digest=000000000000..."
    assert capsys.readouterr().err.startswith(f"error: {words}")
    done, left = runs[1:]
    assert store.peek(left.failure_file, schemas.FAILURE)["error"].startswith(words)
    assert not done.failure_file.exists()


def test_a_missing_task_is_refused(job: Job, capsys: pytest.CaptureFixture[str]):
    assert main(job, 9) == 2
    assert capsys.readouterr().err == f"error: {job.folder} has no task 9: choose 0..3\n"


WAITS = """\
    import sys
    from transferlab.launch import inline, worker
    def train(runs, stop):
        with stop.deferred():
            print("trains", flush=True)
            while stop.number is None:
                pass
        raise KeyboardInterrupt(f"saved on signal {stop.number:d}")
    inline.train = train
    sys.exit(worker.main(sys.argv[1:]))
    """


def test_it_saves_and_exits_when_its_launcher_dies(job: Job):
    process = subprocess.Popen(
        [sys.executable, "-c", "if True:\n" + WAITS, str(job.folder), "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, worker.LEASH: "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "trains\n"

    _, err = process.communicate()  # closes its stdin, as the end of a launcher does

    assert process.returncode == 75
    assert err.splitlines() == ["baseA", "saved on signal 10; saved"]


def test_without_a_leash_the_end_of_its_input_means_nothing(job: Job):
    sleeps = WAITS.replace("while stop.number is None:", "for _ in range(10**5):")
    done = subprocess.run(
        [sys.executable, "-c", "if True:\n" + sleeps, str(job.folder), "0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1 and "unsupported format" in done.stderr
