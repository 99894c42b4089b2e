"""Every way in which a job is asked to stop: it has not failed, and it ends with the same bits.

Of each kind several jobs are stopped at a time, at different steps; `STOPS=20` makes it so many.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import user as users
from support.cluster import Cluster
from support.user import RECIPE, STEPS, Essence, User

JOBS = int(os.environ.get("STOPS", "2"))
SEEDS = ", ".join(map(str, range(JOBS)))
STUDY = f"[{{split: random, seed: [{SEEDS}], transfer.variant: [base], transfer.target: [B]}}]"
pytestmark = pytest.mark.timeout(400 + 60 * JOBS)


@pytest.fixture(scope="module")
def never_stopped(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, cache: Path
) -> Essence:
    """The results of the jobs, trained here and not stopped, by the ids of the runs."""
    user = arrive(tmp_path_factory.mktemp("here") / "user", cluster, cache)
    user.ordered("sweep", "+study=stops.yaml", *RECIPE, "launcher.jobs=2")
    return essence(user)


def arrive(place: Path, cluster: Cluster, cache: Path) -> User:
    user = users.arrive(place, cluster, cache)
    (place / "stops.yaml").write_text(STUDY)
    return user


def essence(user: User) -> Essence:
    records = user.records()
    return users.essence({record["id"]: record for record in records})


def train(user: User) -> list[str]:
    """Submit the jobs and wait until all are training; their ids."""
    user.slow_down(0.3)
    user.sweep("stops")
    (job,) = user.jobs()
    user.wait_until(
        lambda: len(user.reads_by_process()) == JOBS and min(user.reads_by_process()) >= 3,
        "all jobs are training",
        90 + 15 * JOBS,
    )
    user.slow_down(1)
    return [f"{job['id']}_{task}" for task in range(JOBS)]


def finish(user: User, expected: Essence) -> None:
    user.wait_until(lambda: len(user.records()) == JOBS, "all are done", 90 + 30 * JOBS)
    user.wait_until(lambda: not user.queue(), "the jobs have left the queue", 60)
    assert essence(user) == expected
    failures = [path.read_text() for path in user.store.glob("*/failure.json")]
    assert failures == []


def scancel(*words: str) -> Callable[[User, list[str]], object]:
    return lambda user, jobs: user.cluster.run("scancel", *words, *jobs)


CANCELLING: dict[str, Callable[[User, list[str]], object]] = {
    "cancel": lambda user, jobs: user.ordered("cancel"),
    "scancel": scancel(),
    "TERM": scancel("--full", "--signal=TERM"),
    "INT": scancel("--full", "--signal=INT"),
    "HUP": scancel("--full", "--signal=HUP"),
}


@pytest.mark.parametrize("kind", CANCELLING)
def test_a_job_that_is_cancelled_saves_and_retry_ends_with_the_same_bits(
    tmp_path: Path, patient_cluster: Cluster, cache: Path, never_stopped: Essence, kind: str
):
    user = arrive(tmp_path / "user", patient_cluster, cache)
    CANCELLING[kind](user, train(user))
    user.wait_until(lambda: not user.queue(), "the jobs have left the queue")
    runs = user.runs()
    assert [(run["state"], run["words"]) for run in runs] == [
        ("interrupted", "cancelled, saved")
    ] * JOBS, user.logs()
    assert not user.records()
    user.hurry()
    user.ordered("retry")
    finish(user, never_stopped)


def requeue(user: User, jobs: list[str]) -> None:
    for job in jobs:
        user.cluster.run("scontrol", "requeue", job)


def preempt(user: User, jobs: list[str]) -> None:
    for node in {user.cluster.job(job)["NodeList"] for job in jobs}:
        words = ("--partition=urgent", "--exclusive", f"--nodelist={node}", "--output=/dev/null")
        user.cluster.submit(*words, "--wrap=true")


def warn(user: User, jobs: list[str]) -> None:
    for job in jobs:
        user.cluster.run("scancel", "--batch", "--signal=USR1", job)


RESTARTING: dict[str, Callable[[User, list[str]], object]] = {
    "time limit": warn,  # as SLURM ahead of it
    "requeue": requeue,
    "preemption": preempt,
}


@pytest.mark.parametrize("kind", RESTARTING)
def test_a_job_that_starts_again_resumes_and_ends_with_the_same_bits(
    tmp_path: Path, cluster: Cluster, cache: Path, never_stopped: Essence, kind: str
):
    user = arrive(tmp_path / "user", cluster, cache)
    jobs = train(user)
    RESTARTING[kind](user, jobs)
    user.wait_until(
        lambda: all(user.cluster.job(job)["Restarts"] == "1" for job in jobs),
        "all are requeued",
        60,
    )
    assert {run["state"] for run in user.runs()} <= {"queued", "running", "interrupted"}
    user.hurry()
    finish(user, never_stopped)
    assert max(user.reads_by_process()[:JOBS]) < STEPS
