"""Jobs that are killed, stopped and requeued: the run resumes and ends with the same bits."""

import json
import os
import signal
from pathlib import Path

from support import user as users
from support.cluster import Cluster
from support.user import STEPS, Essence, User

RIGHT_AFTER = 4  # batches more than steps, at most: read ahead, when it was stopped, into the ring


def only(essence: Essence, *labels: str) -> Essence:
    return {label: essence[label] for label in labels}


def resumed(user: User, *, lost: int = 0) -> bool:
    """Whether processes that trained one run after the other have shared its steps, but for those
    that were lost since a checkpoint."""
    return STEPS <= len(user.reads()) <= STEPS + lost + RIGHT_AFTER


def last_job(user: User) -> str:
    return str(user.jobs()[-1]["id"])


# --- SIGKILL -------------------------------------------------------------------------------------


def test_a_worker_killed_with_sigkill_fails_its_run_and_retry_resumes_from_its_checkpoint(
    user: User, undisturbed: Essence
):
    user.slow_down(0.1)
    user.sweep("pair", "runtime.checkpoint_every_s=0.5")
    user.wait_until_trained(15)
    os.kill(json.loads((user.folder("baseB") / "owner.json").read_text())["pid"], signal.SIGKILL)
    user.wait_until(lambda: not user.queue(), "both jobs are over")
    states = user.states()
    assert states["baseB"]["state"] == "failed"
    assert states["baseB"]["words"].startswith("killed by SIGKILL, perhaps out of memory")
    assert states["baseB"]["code"] == -9
    assert Path(states["baseB"]["log"]).exists()
    assert states["B2B+"]["state"] == "blocked"
    assert states["B2B+"]["words"].startswith("baseB failed: killed by SIGKILL")
    user.hurry()
    user.ordered("retry")
    user.wait_until_done(2)
    assert users.essence(user.results()) == only(undisturbed, "baseB", "B2B+")
    first, second, _ = user.reads_by_process()
    assert (15 <= first < STEPS, STEPS - first <= second < 35) == (True, True)


def test_a_job_whose_processes_are_all_killed_is_reported_and_retried(
    user: User, undisturbed: Essence
):
    user.slow_down(0.1)
    user.sweep("base", "runtime.checkpoint_every_s=0.5")
    user.wait_until_trained(15)
    assert user.cluster.kill_job_processes(f"{last_job(user)}_0") >= 2
    user.wait_until(lambda: not user.queue(), "the job is over")
    user.wait_until(
        lambda: "SLURM reports FAILED 0:9" in user.states()["baseB"]["words"],
        "SLURM reports how",
        20,
    )
    assert user.states()["baseB"]["state"] == "failed"
    user.hurry()
    assert "retrying 1 run: baseB" in user.ordered("retry", "--failed").err
    user.wait_until_done(1)
    assert users.essence(user.results()) == only(undisturbed, "baseB")
    assert resumed(user, lost=10)


# --- time limits, requeues -----------------------------------------------------------------------


def test_a_job_near_its_time_limit_saves_and_is_requeued_up_to_the_maximum(
    user: User, undisturbed: Essence, tmp_path: Path
):
    # Of a minute. SLURM looks every 30 s, and sends it up to so much early: after 10 to 40 s
    limit = ("launcher.time=1", "launcher.signal_s=20")
    bounded = users.arrive(tmp_path / "bounded", user.cluster, user.cache)
    for each in (user, bounded):
        each.slow_down(1.5)  # 60 s
    user.sweep("pair", *limit)
    bounded.sweep("pair", *limit, "launcher.requeues=0")
    base = f"{user.jobs()[0]['id']}_0"
    user.wait_until(lambda: user.cluster.job(base)["Restarts"] == "1", "it is requeued")
    user.hurry()
    assert user.states()["B2B+"]["state"] == "queued"
    bounded.wait_until(lambda: not bounded.queue(), "the bounded one is over")
    states = bounded.states()
    assert states["baseB"]["state"] == "failed"
    assert states["baseB"]["words"].startswith(
        f"job {bounded.jobs()[0]['id']}_0 reached its time limit after 0 requeues; "
        "launcher.requeues=0 "
    )
    assert states["B2B+"]["state"] == "blocked"
    # Where a process takes longer to start than those 10 s there is nothing to save
    assert (bounded.folder("baseB") / "last.ckpt").exists() == bool(bounded.reads())
    user.wait_until_done(2)
    assert users.essence(user.results()) == only(undisturbed, "baseB", "B2B+")
    *base_processes, _ = user.reads_by_process()
    assert len(base_processes) <= 2
    assert STEPS <= sum(base_processes) <= STEPS + RIGHT_AFTER
    assert user.cluster.job(base)["Restarts"] == "1"
    assert len(user.jobs()) == 2


def test_a_requeued_run_resumes_under_the_same_id_with_the_same_bits(
    user: User, undisturbed: Essence
):
    user.slow_down(0.2)
    user.sweep("base")
    user.wait_until_trained(10)
    base = f"{last_job(user)}_0"
    user.cluster.run("scontrol", "requeue", base)
    user.wait_until(lambda: user.cluster.job(base)["JobState"] == "PENDING", "it waits again")
    assert user.summary() == {"baseB": "queued"}
    user.hurry()
    user.wait_until_done(1)
    assert users.essence(user.results()) == only(undisturbed, "baseB")
    assert resumed(user) and len(user.reads_by_process()) == 2
    assert user.cluster.job(base)["Restarts"] == "1"


def test_a_preempted_job_resumes_with_the_same_bits(user: User, undisturbed: Essence):
    user.slow_down(0.2)
    user.sweep("base", "launcher.gres=gpu:2", 'launcher.extra=["--nodelist=n1"]')
    user.wait_until_trained(10)
    urgent = user.cluster.submit(
        "--partition=urgent", "--gres=gpu:2", "--nodelist=n1", "--output=/dev/null", "--wrap=true"
    )
    user.cluster.wait_for_state(urgent, "COMPLETED")
    user.hurry()
    user.wait_until_done(1)
    assert users.essence(user.results()) == only(undisturbed, "baseB")
    assert resumed(user) and len(user.reads_by_process()) == 2
    assert user.cluster.job(f"{last_job(user)}_0")["Restarts"] == "1"


# --- daemons that die ----------------------------------------------------------------------------


def test_a_stopped_or_killed_controller_disturbs_no_run(user: User, undisturbed: Essence):
    user.slow_down(0.2)
    user.sweep("pair")
    user.wait_until_trained(10)
    user.cluster.restart_slurmctld()
    assert {k: v["state"] for k, v in user.states().items()} == {
        "baseB": "running", "B2B+": "queued",
    }  # fmt: skip
    user.cluster.restart_slurmctld(signal.SIGKILL)
    assert "2 runs are already queued" in user.sweep("pair").err
    user.hurry()
    user.wait_until_done(2)
    assert users.essence(user.results()) == only(undisturbed, "baseB", "B2B+")
    assert [count <= STEPS + 1 for count in user.reads_by_process()] == [True, True]
    assert len(user.jobs()) == 2


def test_a_run_on_a_node_that_dies_and_returns_is_trained_by_one_process_at_a_time(
    bare_cluster: Cluster, tmp_path: Path, cache: Path, undisturbed: Essence
):
    user = users.arrive(tmp_path / "user", bare_cluster, cache)
    user.slow_down(1)
    user.sweep("base")
    user.wait_until_trained(3)
    user.slow_down(2)  # the job begins anew meanwhile, on the other node
    job = f"{last_job(user)}_0"
    node = bare_cluster.job(job)["NodeList"]
    bare_cluster.kill_slurmd(node)
    bare_cluster.set_down(node)  # SLURM would see that by itself, in half a minute
    # Its orphan keeps running while SLURM starts the job again on the other node
    user.wait_until(lambda: bare_cluster.job(job)["Restarts"] == "1", "the node is given up")
    other = {"n1": "n2", "n2": "n1"}[node]
    user.wait_until(lambda: bare_cluster.job(job)["NodeList"] == other, "it runs on the other node")
    user.wait_until(lambda: "waiting: process" in user.logs(), "it waits for the orphan")
    assert len(user.reads_by_process()) == 1
    bare_cluster.start_slurmd(node)
    user.hurry()
    user.wait_until_done(1)
    assert users.essence(user.results()) == only(undisturbed, "baseB")


# --- without accounting --------------------------------------------------------------------------


def test_without_accounting_status_says_what_failed_and_how(
    bare_cluster: Cluster, tmp_path: Path, cache: Path
):
    user = users.arrive(tmp_path / "user", bare_cluster, cache)
    user.slow_down(0.2)
    user.sweep("four")
    user.wait_until(
        lambda: {len(list(user.store.glob(f"base{half}-*/owner.json"))) for half in "AB"} == {1},
        "both bases are trained",
    )
    user.wait_until_trained(4)
    os.kill(json.loads((user.folder("baseA") / "owner.json").read_text())["pid"], signal.SIGKILL)
    assert bare_cluster.kill_job_processes(f"{user.jobs()[0]['id']}_1") >= 2
    user.wait_until(lambda: not user.queue(), "all is over")
    states = user.states()
    assert states["baseA"]["state"] == "failed"
    assert states["baseA"]["words"].startswith("killed by SIGKILL")
    assert (states["baseB"]["state"], states["baseB"]["words"]) == (
        "failed", "SLURM reports FAILED 0:9",
    )  # fmt: skip
    assert {states[label]["state"] for label in ("A1B", "A3B", "B1B+", "B3B+")} == {"blocked"}
