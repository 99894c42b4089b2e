"""Every way in which a job is asked to stop: it has not failed, and it ends with the same bits.

`STOPS=20` makes so many tries of each kind, with as many jobs at a time as the cluster has nodes.
"""

import os
from pathlib import Path

import pytest
from support import user as users
from support.cluster import Cluster
from support.user import Essence, User

TRIES = int(os.environ.get("STOPS", "2"))
SAVED = "cancelled, saved"


def stop(user: User, kind: str, job: str) -> None:
    """Stop the job of the base, as somebody or SLURM would."""
    run = user.cluster.run
    if kind == "cancel":
        user.ordered("cancel")
    elif kind == "scancel":
        run("scancel", job)
    elif kind in ("TERM", "INT", "HUP"):
        run("scancel", "--full", f"--signal={kind}", job)
    elif kind == "USR1":  # as ahead of the time limit
        run("scancel", "--batch", "--signal=USR1", job)
    elif kind == "requeue":
        run("scontrol", "requeue", job)
    else:
        assert kind == "preemption"
        node = user.cluster.job(job)["NodeList"]
        words = ("--partition=urgent", "--exclusive", f"--nodelist={node}", "--output=/dev/null")
        urgent = user.cluster.submit(*words, "--wrap=true")
        user.cluster.wait_for_state(urgent, "COMPLETED")


@pytest.fixture
def patient(tmp_path: Path, patient_cluster: Cluster, cache: Path) -> User:
    return users.arrive(tmp_path / "patient", patient_cluster, cache)


@pytest.mark.parametrize("attempt", range(TRIES))
@pytest.mark.parametrize("kind", ["cancel", "scancel", "TERM", "INT", "HUP"])
def test_a_job_that_is_cancelled_saves_and_the_same_sweep_ends_with_the_same_bits(
    patient: User, undisturbed: Essence, kind: str, attempt: int
):
    user = patient
    user.slow_down(0.2)
    user.sweep("pair")
    user.wait_until_trained(4 + attempt % 8)
    stop(user, kind, f"{user.jobs()[0]['id']}_0")
    user.wait_until(lambda: not user.queue(), "both jobs have left the queue")
    states = user.states()
    found = {label: (state["state"], state["words"]) for label, state in states.items()}
    assert found["baseB"] == ("interrupted", SAVED), user.logs()
    assert found["B2B+"][0] == "missing"
    assert found["B2B+"][1].endswith("waits for baseB, which is interrupted")
    user.hurry()
    assert "retrying 2 runs: baseB B2B+" in user.ordered("retry").err
    user.wait_until_done(2)
    assert users.essence(user.results()) == {
        label: undisturbed[label] for label in ("baseB", "B2B+")
    }


@pytest.mark.parametrize("attempt", range(TRIES))
@pytest.mark.parametrize("kind", ["USR1", "requeue", "preemption"])
def test_a_job_that_is_to_start_again_saves_and_ends_with_the_same_bits(
    user: User, undisturbed: Essence, kind: str, attempt: int
):
    user.slow_down(0.2)
    user.sweep("pair")
    user.wait_until_trained(4 + attempt % 8)
    base = f"{user.jobs()[0]['id']}_0"
    stop(user, kind, base)
    user.wait_until(lambda: user.cluster.job(base)["Restarts"] == "1", "it starts again")
    user.hurry()
    user.wait_until_done(2)
    assert users.essence(user.results()) == {
        label: undisturbed[label] for label in ("baseB", "B2B+")
    }
    assert user.reads_by_process()[0] < users.STEPS
