"""A run on two devices: two processes that `srun` starts, of which one writes."""

import json
import os
import signal
from pathlib import Path

from support.user import RECIPE, STEPS, User, arrive, essence

TWO = "runtime.devices=2"


def test_two_processes_train_what_two_of_lightning_do_and_interruptions_change_nothing(
    user: User, tmp_path: Path
):
    user.slow_down(0.3)
    user.sweep("base", TWO)
    user.wait_until_trained(16)
    job = f"{user.jobs()[0]['id']}_0"
    assert user.cluster.job(job)["NumTasks"] == "2"
    assert len(user.reads_by_process()) == 2
    user.cluster.run("scancel", "--signal=USR1", "--batch", job)  # as ahead of the time limit
    user.wait_until(lambda: user.cluster.job(job)["Restarts"] == "1", "it is requeued by itself")
    trained = len(user.reads())
    assert trained < 2 * STEPS
    user.wait_until_trained(trained + 10)
    user.cluster.run("scontrol", "requeue", job)
    user.wait_until(lambda: user.cluster.job(job)["Restarts"] == "2", "it is requeued")
    user.hurry()
    here = arrive(tmp_path / "here", user.cluster, user.cache)
    here.ordered("sweep", "+study=base.yaml", *RECIPE, TWO)
    user.wait_until_done(1)
    assert essence(user.results()) == essence(here.results())
    assert len(user.reads_by_process()) == 6
    assert 2 * STEPS <= len(user.reads()) <= 2 * STEPS + 2 * 3 * 2
    assert user.logs().count("baseB  done") == 1
    assert (user.folder("baseB") / "log.txt").read_text().count("baseB  done") == 1


def test_when_one_process_dies_the_other_ends_too_and_the_run_has_failed(user: User):
    user.slow_down(0.2)
    user.sweep("base", TWO)
    user.wait_until_trained(10)
    owner = json.loads((user.folder("baseB") / "owner.json").read_text())["pid"]
    (helper,) = set(user.reads()) - {owner}
    os.kill(helper, signal.SIGKILL)
    user.wait_until(lambda: not user.queue(), "the job is over")
    state = user.states()["baseB"]
    assert (state["state"], state["code"]) == ("failed", 1)
    assert state["words"].startswith("another process of this run died")
    assert "srun: error: n1: task 1: Killed" in user.logs()
