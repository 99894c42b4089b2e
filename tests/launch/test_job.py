"""A task of a job of SLURM: what it trains, when it is requeued, and its exit status."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from launch.test_supervisor import failure, note, wait_until
from support.fake_cluster import FakeCluster
from support.studies import by_label, finish, make_runs, make_slurm, on_devices, start

from transferlab import store
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import plan
from transferlab.launch import job as jobs
from transferlab.launch import progress
from transferlab.launch.ending import Ending
from transferlab.launch.job import SlurmTask
from transferlab.runtime import signals
from transferlab.store import sweeps
from transferlab.store.sweeps import Job

Deeds = Callable[..., None]
pytestmark = pytest.mark.usefixtures("own_signals")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Tasks: baseA, baseB, A1B, A2B, B1B; at most two requeues."""
    sweep = start(make_runs(tmp_path / "store"), make_slurm(requeues=2, threads=3))
    return sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), "base"))


def work(job: Job, task: int = 0, starts: int = 0, cluster: FakeCluster | None = None) -> int:
    return jobs.work(job.folder, SlurmTask(f"7_{task}", task, starts), cluster or FakeCluster())


def signalled(*numbers: int, after: Path) -> threading.Thread:
    """Sends this process the signals, one by one, when the worker is at it."""

    def send() -> None:
        wait_until(after)
        for number in numbers:
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("deed", "status"), [("done", 0), ("fail", 1), ("defect", 1), ("die", 1), ("leave", 1)]
)
def test_the_exit_status_says_how_the_run_ended(job: Job, workers: Deeds, deed: str, status: int):
    workers(baseA=deed)

    assert work(job) == status
    noted = note(job, 0)
    assert (noted["queued_as"], noted["starts"]) == ("7_0", 0)
    assert noted["code"] == {"die": -9}.get(deed, status)


def test_the_worker_has_as_many_threads_as_the_launcher_says(job: Job, workers: Deeds):
    work(job, 1)

    assert '"OMP_NUM_THREADS": "3"' in (job.folder / "1.environment").read_text()


# --- bases --------------------------------------------------------------------------------------


def test_a_run_whose_base_is_not_finished_fails_immediately(job: Job, workers: Deeds):
    runs = by_label(sweeps.sweep_of(job).runs())
    store.note_failure(runs["baseA"], "the loss is nan")
    words = "A1B cannot start: baseA is not finished: the loss is nan"

    with pytest.raises(RunFailed, match=f"^{words}$"):
        work(job, 2)

    assert not job.log(2).exists()
    assert note(job, 2)["code"] == 1 and failure(runs["A1B"]) == words
    finish(runs["baseA"])
    assert work(job, 2) == 0


def test_that_takes_no_torch(job: Job):
    program = (
        "import sys; from transferlab.__main__ import main; code = main(sys.argv[1:]); "
        "print({'torch', 'pytorch_lightning', 'hydra'} & set(sys.modules), code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "work", str(job.folder), "--task", "2"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "set() 1\n"
    assert done.stderr == "error: A1B cannot start: baseA is not finished\n"


def test_a_base_with_a_damaged_record_is_the_recorded_reason(job: Job, workers: Deeds):
    runs = by_label(sweeps.sweep_of(job).runs())
    finish(runs["baseA"])
    runs["baseA"].result_file.write_text("{")

    with pytest.raises(UserError, match="result.json is damaged"):
        work(job, 2)
    assert note(job, 2)["code"] == 2
    assert "result.json is damaged" in str(failure(runs["A1B"]))


def test_a_missing_job_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="job.json is damaged"):
        jobs.work(tmp_path, SlurmTask("7_0", 0, 0), FakeCluster())


# --- signals and requeues -----------------------------------------------------------------------


def test_ahead_of_the_time_limit_the_run_saves_and_is_requeued(job: Job, workers: Deeds):
    workers(baseA="work")
    cluster = FakeCluster()
    thread = signalled(signal.SIGUSR1, after=job.folder / "0.working")

    assert work(job, starts=1, cluster=cluster) == 75
    thread.join()
    assert cluster.requeued == ["7_0"]
    assert (job.folder / "0.saved").exists()
    assert note(job, 0)["code"] == 75 and failure(sweeps.runs_of(job, 0)[0]) is None


@pytest.mark.parametrize(
    "numbers",
    [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGUSR1), (signal.SIGINT,)],
    ids=["SIGTERM", "SIGTERM and SIGUSR1", "SIGINT"],
)
def test_a_preempted_or_cancelled_job_saves_and_leaves_the_rest_to_slurm(
    job: Job, workers: Deeds, numbers: tuple[int, ...]
):
    workers(baseA="work")
    cluster = FakeCluster()
    thread = signalled(*numbers, after=job.folder / "0.working")

    assert work(job, cluster=cluster) == 75
    thread.join()
    assert cluster.requeued == [] and (job.folder / "0.saved").exists()
    assert note(job, 0)["code"] == 75
    assert note(job, 0)["signals"] == sorted(signal.Signals(number).name for number in numbers)


def test_signals_are_noted_while_the_run_is_saving(job: Job, workers: Deeds):
    """SLURM may kill the job before that has ended."""
    workers(baseA="stubborn")
    thread = signalled(signal.SIGTERM, after=job.folder / "0.stubborn")
    seen = []

    def kill() -> None:
        while note(job, 0).get("signals") != ["SIGTERM"]:
            time.sleep(0.01)
        seen.append(note(job, 0)["code"])
        os.kill(int((job.folder / "0.stubborn").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()

    assert work(job) == 75
    thread.join()
    killer.join()
    assert seen == [None]
    assert (note(job, 0)["code"], failure(sweeps.runs_of(job, 0)[0])) == (75, None)


def test_a_signal_that_arrives_while_the_job_starts_stops_it_before_a_worker_is_started(
    job: Job, workers: Deeds
):
    with signals.held_back():  # in this thread: another would take a signal to the process
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        cluster = FakeCluster()

        assert work(job, cluster=cluster) == 75
    assert cluster.requeued == ["7_0"] and "started" not in note(job, 0)
    assert (note(job, 0)["code"], note(job, 0)["signals"]) == (75, ["SIGUSR1"])


def test_a_run_that_is_done_when_the_signal_arrives_is_not_requeued(job: Job, workers: Deeds):
    workers(baseA="late")
    cluster = FakeCluster()
    thread = signalled(signal.SIGUSR1, after=job.folder / "0.deaf")

    assert work(job, cluster=cluster) == 0
    thread.join()
    assert cluster.requeued == []
    assert (note(job, 0)["code"], failure(sweeps.runs_of(job, 0)[0])) == (0, None)


def test_requeues_are_bounded(job: Job, workers: Deeds):
    workers(baseA="work")
    cluster = FakeCluster()
    thread = signalled(signal.SIGUSR1, after=job.folder / "0.working")

    with pytest.raises(RunFailed) as error:
        work(job, starts=2, cluster=cluster)
    thread.join()
    assert str(error.value) == (
        "job 7_0 reached its time limit after 2 requeues; launcher.requeues=2 is the maximum: "
        "increase launcher.time"
    )
    assert cluster.requeued == [] and (job.folder / "0.saved").exists()
    assert note(job, 0)["code"] == 1
    assert failure(sweeps.runs_of(job, 0)[0]) == str(error.value)


def test_requeues_by_slurm_count_too(job: Job, workers: Deeds):
    with pytest.raises(RunFailed, match="^job 7_0 was requeued 3 times; launcher.requeues=2 "):
        work(job, starts=3)

    assert not (job.folder / "0.started").exists()
    assert note(job, 0)["code"] == 1


def test_a_job_that_is_requeued_twice_without_a_step_of_progress_stops_and_says_so(
    tmp_path: Path, workers: Deeds
):
    sweep = start(make_runs(tmp_path / "store", ["baseA"]), make_slurm(requeues=20))
    job = sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), "base"))
    workers(baseA="work")
    for starts in (0, 1):
        (job.folder / "0.working").unlink(missing_ok=True)
        cluster = FakeCluster()
        thread = signalled(signal.SIGUSR1, after=job.folder / "0.working")
        assert work(job, starts=starts, cluster=cluster) == 75
        thread.join()
        assert cluster.requeued == ["7_0"]
    (job.folder / "0.started").unlink()

    with pytest.raises(RunFailed) as error:
        work(job, starts=2)
    assert str(error.value) == (
        "job 7_0 was requeued twice without a step of progress, at step 0: increase launcher.time, "
        "or decrease launcher.signal_s; if it was preempted, submit it again with "
        f"python -m transferlab retry --store {sweep.store}"
    )
    assert not (job.folder / "0.started").exists()
    assert (note(job, 0)["code"], failure(sweep.runs()[0])) == (1, str(error.value))


def test_a_step_of_progress_between_requeues_counts_anew(
    job: Job, workers: Deeds, monkeypatch: pytest.MonkeyPatch
):
    steps = iter([0, 0, 1, 1])
    monkeypatch.setattr(progress, "checkpoint_step", lambda path: next(steps))
    monkeypatch.setattr(jobs, "_worker_ending", lambda *arguments: Ending(75))
    sweep = start(make_runs(job.folder / "store", ["baseA"]), make_slurm(requeues=20))
    job = sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), "base"))

    assert [work(job, starts=starts) for starts in range(4)] == [75] * 4
    assert note(job, 0)["idle"] == 1


def test_outside_of_slurm_there_is_nothing_to_requeue(job: Job, workers: Deeds):
    workers(baseA="work")
    cluster = FakeCluster()
    thread = signalled(signal.SIGUSR1, after=job.folder / "0.working")

    assert jobs.work(job.folder, SlurmTask("", 0, 0), cluster) == 75
    thread.join()
    assert cluster.requeued == []


def test_a_requeue_that_slurm_refuses_fails_the_job(
    job: Job, workers: Deeds, monkeypatch: pytest.MonkeyPatch
):
    workers(baseA="work")
    cluster = FakeCluster()

    def refuse(identity: str) -> None:
        raise UserError("scontrol: Requested operation is presently disabled")

    monkeypatch.setattr(cluster, "requeue", refuse)
    thread = signalled(signal.SIGUSR1, after=job.folder / "0.working")

    with pytest.raises(UserError, match="presently disabled"):
        work(job, cluster=cluster)
    thread.join()
    assert note(job, 0)["code"] == 2
    assert "presently disabled" in str(failure(sweeps.runs_of(job, 0)[0]))


# --- where it is --------------------------------------------------------------------------------


def test_a_task_knows_itself_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID",
                 "SLURM_RESTART_COUNT"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    assert jobs.current() == SlurmTask("", 0, 0)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert jobs.current() == SlurmTask("12", 0, 0)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "5")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert jobs.current() == SlurmTask("7_5", 5, 2)


@pytest.fixture
def srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `srun` that starts one process in its own place, and where it notes its options."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "srun"
    script.write_text(
        "#!/bin/bash\n"
        f'while [[ $1 == --* ]]; do echo "$1" >> "{tmp_path}/options"; shift; done\n'
        'exec "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path / "options"


def test_a_run_on_several_devices_is_started_by_srun(
    tmp_path: Path, workers: Deeds, srun: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    sweep = start(on_devices(make_runs(tmp_path / "store", ["baseA"]), 4))
    job = sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), "base"))

    assert work(job) == 0
    assert srun.read_text().split() == [
        "--ntasks=4",
        "--nodes=1",
        "--kill-on-bad-exit=1",
        "--wait=600",
        "--cpus-per-task=6",
    ]


def test_without_srun_the_message_names_it(
    tmp_path: Path, workers: Deeds, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep = start(on_devices(make_runs(tmp_path / "store", ["baseA"]), 4))
    job = sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), "base"))

    with pytest.raises(UserError, match="^srun is not on the PATH"):
        work(job)
    assert note(job, 0)["code"] == 2
