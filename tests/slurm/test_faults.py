"""What sites and people do to jobs: late answers, other users, edited code, no time to train."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import user as users
from support.cluster import Cluster
from support.user import Essence, User

from transferlab.__main__ import main
from transferlab.launch import queue

LATE = """#!/bin/bash
# Reports nothing, and hands the first job over when there is a file GO
calls=$(( $(cat {folder}/calls 2>/dev/null || echo 0) + 1 ))
echo $calls >{folder}/calls
[ $calls = 1 ] || exec {sbatch} "$@"
for file in /proc/$$/fd/*; do
    [ "${{file##*/}}" -le 2 ] || [ "${{file##*/}}" = 255 ] || eval "exec ${{file##*/}}>&-"
done
exec 0</dev/null
(until [ -e {folder}/go ]; do sleep 0.2; done; {sbatch} "$@" >{folder}/late) >/dev/null 2>&1 &
echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
exit 1
"""


@pytest.fixture
def command(user: User, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command of the user in this process, which looks for a job for seconds only."""
    for name, value in user._environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(user.place)
    monkeypatch.syspath_prepend(user.place)
    monkeypatch.setattr(queue, "ASK_S", 3)
    return lambda *words: main(list(words))


@pytest.fixture
def late(user: User, tmp_path: Path, command: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a file `go` lets SLURM take the first job."""
    folder = tmp_path / "bin"
    folder.mkdir()
    real = shutil.which("sbatch", path=user.cluster.environment["PATH"])
    (folder / "sbatch").write_text(LATE.format(folder=folder, sbatch=real))
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{user.cluster.environment['PATH']}")
    return folder


def only(essence: Essence, *labels: str) -> Essence:
    return {label: essence[label] for label in labels}


# --- sbatch that is answered late ----------------------------------------------------------------


def test_a_job_that_is_taken_after_sbatch_gave_up_is_found_and_not_submitted_again(
    user: User, late: Path, command: Callable[..., int], undisturbed: Essence
):
    assert command(*user.line("base")) == 2
    (late / "go").touch()
    user.wait_until(lambda: (late / "late").exists() and (late / "late").read_text(), "it is taken")
    assert command(*user.line("base")) == 0
    (job,) = user.jobs()
    assert job["id"] == (late / "late").read_text().strip() and not job["superseded"]
    user.wait_until_done(1)
    assert users.essence(user.results()) == only(undisturbed, "baseB")


def test_a_job_that_is_taken_after_its_runs_were_submitted_again_exits_without_training(
    user: User, late: Path, command: Callable[..., int], undisturbed: Essence
):
    user.slow_down(0.2)
    assert command(*user.line("pair")) == 2
    assert command(*user.line("pair")) == 0
    assert [(job["id"] is None, job["superseded"]) for job in user.jobs()] == [
        (True, True), (False, False), (False, False),
    ]  # fmt: skip
    user.wait_until_trained(2)
    (late / "go").touch()
    user.wait_until(lambda: (late / "late").exists() and (late / "late").read_text(), "it is taken")
    first = (late / "late").read_text().strip()
    user.cluster.wait_for_state(f"{first}_0", "COMPLETED", 60)
    assert "another job trains its runs" in user.logs()
    user.hurry()
    user.wait_until_done(2)
    assert users.essence(user.results()) == only(undisturbed, "baseB", "B2B+")
    assert len(user.reads_by_process()) == 2


# --- other users ---------------------------------------------------------------------------------


def test_jobs_of_another_user_are_seen_and_left_alone(user: User):
    user.sweep("pair", 'launcher.extra=["--hold","--uid=daemon"]')
    queued = user.queue()
    assert user.cluster.run("squeue", "--noheader", "--format=%u").split() == ["daemon"] * 2
    assert user.summary() == {"baseB": "queued", "B2B+": "queued"}
    assert "2 runs are already queued" in user.sweep("pair").err
    answer = user.call("cancel")
    assert (answer.code, answer.out) == (1, "")
    for job in user.jobs():
        assert f"job {job['id']}  " in answer.err
    assert answer.err.count(" belongs to daemon, who alone can cancel it") == 2
    assert user.queue() == queued
    user.cluster.run("scancel", *queued)  # as root may


# --- edited code ---------------------------------------------------------------------------------


def test_code_that_is_edited_before_a_job_starts_is_named_in_its_record_and_by_status(
    cluster: Cluster, cache: Path, tmp_path: Path, undisturbed: Essence
):
    user = users.arrive_with_source(tmp_path / "tree", cluster, cache)
    user.sweep("base", 'launcher.extra=["--hold"]')
    with (user.place / "transferlab" / "errors.py").open("a") as file:
        file.write("# edited\n")
    (job,) = user.jobs()
    cluster.run("scontrol", "release", job["id"])
    user.wait_until_done(1)
    (record,) = user.records()
    assert record["submitted"] == job["code"] and record["code"] != job["code"]["digest"]
    assert "code edited before the start of 1 run (baseB): submitted with" in (
        user.ordered("status").out
    )
    assert "the code was edited since the job was submitted" in user.logs()
    assert users.essence(user.results()) == only(undisturbed, "baseB")


# --- no progress ---------------------------------------------------------------------------------


def test_a_job_that_is_requeued_twice_without_a_step_stops_and_says_so(
    user: User, undisturbed: Essence
):
    user.slow_down(100)
    user.sweep("pair")
    base = f"{user.jobs()[0]['id']}_0"
    (note,) = user.store.glob(".sweeps/*/jobs/pair-base-*")

    def starts() -> int:
        text = (note / "0.json").read_text() if (note / "0.json").exists() else "{}"
        return int(json.loads(text).get("starts", -1))

    for count in (0, 1):
        user.wait_until(lambda count=count: starts() == count, f"start {count}")
        user.cluster.run("scontrol", "requeue", base)
    user.wait_until(lambda: not user.queue(), "both jobs are over")
    state = user.states()["baseB"]
    assert state["state"] == "failed"
    assert state["words"].startswith(
        f"job {base} was requeued twice without a step of progress, at step 0: increase"
    )
    user.hurry()
    user.ordered("retry")
    user.wait_until_done(2)
    assert users.essence(user.results()) == only(undisturbed, "baseB", "B2B+")


def test_contradictory_settings_submit_nothing(user: User):
    for words in (["launcher.time=2"], ['launcher.extra=["--sig=TERM"]']):
        answer = user.call(*user.line("base", *words))
        assert (answer.code, user.jobs()) == (2, []), answer.err
        assert "launcher.signal_s" in answer.err
