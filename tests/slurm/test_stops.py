"""Every way in which a job is asked to stop: it has not failed, and it ends with the same bits.

One job of each kind at a time; `STOPS=20` repeats that 20 times.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import user as users
from support.cluster import Cluster
from support.user import RECIPE, STEPS, Essence, User

ATTEMPTS = int(os.environ.get("STOPS", "1"))
pytestmark = pytest.mark.timeout(900)


def scancel(*words: str) -> Callable[[User, str], object]:
    return lambda user, job: user.cluster.run("scancel", *words, job)


def preempt(user: User, job: str) -> None:
    node = user.cluster.job(job)["NodeList"]
    words = ("--partition=urgent", "--exclusive", f"--nodelist={node}", "--output=/dev/null")
    user.cluster.submit(*words, "--wrap=true")


CANCELLING = {
    "scancel": scancel(),
    "TERM": scancel("--full", "--signal=TERM"),
    "INT": scancel("--full", "--signal=INT"),
    "HUP": scancel("--full", "--signal=HUP"),
    "cancel": lambda user, job: user.ordered("cancel"),  # what is left
}
RESTARTING = {
    "time limit": scancel("--batch", "--signal=USR1"),  # as SLURM ahead of it
    "requeue": lambda user, job: user.cluster.run("scontrol", "requeue", job),
    "preemption": preempt,  # and whatever runs on that node
}


@pytest.fixture(scope="module")
def never_stopped(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, cache: Path
) -> Essence:
    """The results of all jobs, trained here and not stopped, by the ids of the runs."""
    user = arrive(tmp_path_factory.mktemp("here") / "user", cluster, cache, len(CANCELLING))
    user.ordered("sweep", "+study=stops.yaml", *RECIPE, "launcher.jobs=2")
    return essence(user)


def arrive(place: Path, cluster: Cluster, cache: Path, jobs: int) -> User:
    """A user with a study of so many jobs."""
    user = users.arrive(place, cluster, cache)
    seeds = list(range(jobs))
    study = f"[{{split: random, seed: {seeds}, transfer.variant: [base], transfer.target: [B]}}]"
    (place / "stops.yaml").write_text(study)
    return user


def essence(user: User) -> Essence:
    return users.essence({record["id"]: record for record in user.records()})


def train(user: User, jobs: int) -> list[str]:
    """Submit the jobs and wait until all are training; their ids."""
    user.slow_down(0.3)
    user.sweep("stops")
    (job,) = user.jobs()
    user.wait_until(
        lambda: len(user.reads_by_process()) == jobs and min(user.reads_by_process()) >= 3,
        "all jobs are training",
        200,
    )
    user.slow_down(1)
    return [f"{job['id']}_{task}" for task in range(jobs)]


def finish(user: User, expected: Essence, jobs: int) -> None:
    user.wait_until(lambda: len(user.records()) == jobs, "all are done", 300)
    user.wait_until(lambda: not user.queue(), "the jobs have left the queue", 60)
    found = essence(user)
    assert found == {identity: expected[identity] for identity in found}
    assert list(user.store.glob("*/failure.json")) == []


@pytest.mark.parametrize("attempt", range(ATTEMPTS))
def test_a_job_that_is_cancelled_saves_and_retry_ends_with_the_same_bits(
    tmp_path: Path, patient_cluster: Cluster, cache: Path, never_stopped: Essence, attempt: int
):
    user = arrive(tmp_path / "user", patient_cluster, cache, len(CANCELLING))
    for job, stop in zip(train(user, len(CANCELLING)), CANCELLING.values(), strict=True):
        stop(user, job)
    user.wait_until(lambda: not user.queue(), "the jobs have left the queue")
    ended = [(run["state"], run["words"]) for run in user.runs()]
    assert dict(zip(CANCELLING, ended, strict=True)) == dict.fromkeys(
        CANCELLING, ("interrupted", "cancelled, saved")
    ), user.logs()
    assert not user.records()
    user.hurry()
    user.ordered("retry")
    finish(user, never_stopped, len(CANCELLING))


@pytest.mark.parametrize("attempt", range(ATTEMPTS))
def test_a_job_that_starts_again_resumes_and_ends_with_the_same_bits(
    tmp_path: Path, cluster: Cluster, cache: Path, never_stopped: Essence, attempt: int
):
    user = arrive(tmp_path / "user", cluster, cache, len(RESTARTING))
    jobs = train(user, len(RESTARTING))
    for job, stop in zip(jobs, RESTARTING.values(), strict=True):
        stop(user, job)
        user.wait_until(lambda job=job: user.cluster.job(job)["Restarts"] == "1", "it is requeued")
    assert {run["state"] for run in user.runs()} <= {"queued", "running"}
    user.hurry()
    finish(user, never_stopped, len(RESTARTING))
    assert max(user.reads_by_process()[: len(jobs)]) < STEPS
