"""`slurm/local-cluster/up` and `down`: what they start is a SLURM, and they stop only that."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from support import cluster as local_cluster
from support.cluster import Cluster

HOLD = "{ trap '' TERM; while true; do sleep 0.2; done; }"  # SIGTERM does not end it
HOLD_ONCE = f'[ -n "$SLURM_RESTART_COUNT" ] || {HOLD}'


def pids(cluster: Cluster) -> dict[str, str]:
    return {path.stem: path.read_text() for path in cluster.state.glob("*.pid")}


def ended(cluster: Cluster, job: str) -> bool:
    return not [line for line in cluster.squeue().splitlines() if line.startswith(job)]


# --- it is a SLURM ------------------------------------------------------------------------------


def test_it_has_the_nodes_with_their_cpus_and_gpus(cluster: Cluster):
    nodes = cluster.run("sinfo", "-N", "-h", "--partition=gpu", "-O", "nodelist,cpus,gres")
    assert [line.split() for line in nodes.splitlines()] == [
        ["n1", "16", "gpu:2"],
        ["n2", "16", "gpu:2"],
    ]
    partitions = cluster.run("sinfo", "-h", "-o", "%P").split()
    assert sorted(partitions) == ["gpu*", "urgent"]


def test_its_configuration_is_what_users_look_up(cluster: Cluster):
    lines = cluster.run("scontrol", "show", "config").splitlines()
    config = dict(map(str.strip, line.split("=", 1)) for line in lines if "=" in line)
    assert config["MaxArraySize"] == "1001"
    assert config["MinJobAge"] == "300 sec"
    assert config["KillWait"] == "2 sec"
    assert config["SlurmdTimeout"] == "30 sec"
    assert config["JobRequeue"] == "1"


def test_a_job_gets_the_gpus_it_asks_for(cluster: Cluster):
    shown = ("srun", "--quiet", "printenv", "CUDA_VISIBLE_DEVICES")
    assert cluster.run(*shown[:1], "--gres=gpu:2", *shown[1:]).strip() == "0,1"
    assert cluster.run(*shown[:1], "--gres=gpu:1", *shown[1:]).strip() in ("0", "1")
    refused = local_cluster.call("srun", "--gres=gpu:3", "true", environment=cluster.environment)
    assert refused.returncode != 0


def test_only_as_many_jobs_run_as_there_are_gpus(cluster: Cluster):
    job = cluster.submit("--array=0-5", "--gres=gpu:1", "--output=/dev/null", "--wrap=sleep 60")
    cluster.wait_for(lambda: cluster.squeue().count("RUNNING") == 4, 30, "four GPUs at work")
    states = [line.split()[:2] for line in cluster.squeue().splitlines()]
    waiting = [[f"{job}_4", "PENDING"], [f"{job}_5", "PENDING"]]
    assert sorted(state for state in states if state[1] != "RUNNING") == waiting


def test_an_array_runs_every_task_and_its_dependent_after_it(cluster: Cluster, tmp_path: Path):
    note = f"--wrap=sleep 0.5; echo task $SLURM_ARRAY_TASK_ID >> {tmp_path}/out"
    array = cluster.submit("--array=0-3%2", "--output=/dev/null", note)
    after = cluster.submit(
        f"--dependency=afterok:{array}", "--output=/dev/null", f"--wrap=echo end >> {tmp_path}/out"
    )
    cluster.wait_for_state(after, "COMPLETED")
    lines = (tmp_path / "out").read_text().splitlines()
    assert (sorted(lines[:4]), lines[4:]) == ([f"task {i}" for i in range(4)], ["end"])


def test_an_urgent_job_sends_another_back_to_the_queue(cluster: Cluster, tmp_path: Path):
    begun = f"--wrap=echo begun >> {tmp_path}/out; {HOLD_ONCE}"
    low = cluster.submit("--gres=gpu:2", "--nodelist=n1", "--output=/dev/null", begun)
    cluster.wait_for((tmp_path / "out").exists, 30, "the first start")
    high = cluster.submit(
        "--partition=urgent", "--gres=gpu:2", "--nodelist=n1", "--output=/dev/null", "--wrap=true"
    )
    cluster.wait_for_state(high, "COMPLETED")
    cluster.wait_for_state(low, "COMPLETED", 60)
    assert cluster.job(low)["Restarts"] == "1"
    assert (tmp_path / "out").read_text() == "begun\nbegun\n"


def test_accounting_knows_a_job(cluster: Cluster):
    job = cluster.submit("--output=/dev/null", "--wrap=exit 3")
    query = ("sacct", "-X", "--noheader", "--parsable2", "--format=State,ExitCode", "-j", job)
    cluster.wait_for(lambda: cluster.run(*query).strip() == "FAILED|3:0", 30, "sacct: FAILED")


# --- it can be broken, and mends ----------------------------------------------------------------


def test_a_job_whose_processes_are_killed_fails(cluster: Cluster):
    job = cluster.submit("--array=1-2", "--output=/dev/null", f"--wrap={HOLD}")
    cluster.wait_for(lambda: cluster.squeue().count("RUNNING") == 2, 30, "both run")
    cluster.wait_for(lambda: cluster.kill_job_processes(f"{job}_2"), 10, "there are processes")
    cluster.wait_for(lambda: f"{job}_2" not in cluster.squeue(), 30, "the end of one")
    assert f"{job}_1 RUNNING" in cluster.squeue()


def test_jobs_of_a_node_that_goes_down_run_again(cluster: Cluster, tmp_path: Path):
    begun = f"--wrap=echo begun >> {tmp_path}/out; {HOLD_ONCE}"
    job = cluster.submit("--nodelist=n2", "--output=/dev/null", begun)
    cluster.wait_for((tmp_path / "out").exists, 30, "the first start")
    cluster.set_down("n2")
    cluster.wait_for_state(job, "COMPLETED", 60)
    assert cluster.job(job)["Restarts"] == "1"


def test_a_job_outlives_the_end_of_its_slurmd_and_of_the_controller(cluster: Cluster):
    job = cluster.submit("--nodelist=n1", "--output=/dev/null", "--wrap=sleep 4")
    cluster.wait_for_state(job, "RUNNING")
    cluster.kill_slurmd("n1")
    cluster.start_slurmd("n1")
    cluster.restart_slurmctld()
    cluster.restart_slurmctld(signal.SIGKILL)
    cluster.wait_for_state(job, "COMPLETED", 60)
    assert cluster.job(job)["Restarts"] == "0"


def test_a_second_up_changes_nothing_and_brings_back_what_has_died(cluster: Cluster):
    before = pids(cluster)
    again = local_cluster.script("up", str(cluster.state), nodes=7, port=1)
    assert (again.returncode, again.stdout) == (
        0,
        f"export SLURM_CONF={cluster.state}/slurm.conf\n",
    )
    assert pids(cluster) == before
    cluster.kill_slurmd("n2")
    assert len(cluster.daemons()) == 5
    local_cluster.up(cluster.state)
    assert cluster.daemons() == [
        "mariadbd", "munged", "slurmctld", "slurmd", "slurmd", "slurmdbd",
    ]  # fmt: skip
    after = pids(cluster)
    assert {name for name in before if before[name] != after[name]} == {"slurmd-n2"}


# --- it stops what it started -------------------------------------------------------------------


def test_a_second_cluster_without_accounting_comes_and_goes_beside_the_first(cluster: Cluster):
    before = pids(cluster)
    start = time.monotonic()
    with local_cluster.started(accounting=0, nodes=1, gpus=1, max_array=5) as second:
        assert time.monotonic() - start < 60
        assert second.daemons() == ["munged", "slurmctld", "slurmd"]
        nodes = second.run("sinfo", "-N", "-h", "-p", "gpu", "-O", "nodelist,cpus,gres")
        assert nodes.split() == ["n1", "16", "gpu:1"]
        sacct = local_cluster.call("sacct", environment=second.environment)
        assert (sacct.returncode, sacct.stderr) == (1, "Slurm accounting storage is disabled\n")
        second.submit("--array=0-4", "--output=/dev/null", "--wrap=true")
        refused = local_cluster.call(
            "sbatch", "--array=0-5", "--wrap=true", environment=second.environment
        )
        assert "Invalid job array specification" in refused.stderr
        held = second.submit("--output=/dev/null", f"--wrap={HOLD}")
        second.wait_for_state(held, "RUNNING")
        second.kill_slurmd("n1")
        here = cluster.submit("--output=/dev/null", "--wrap=sleep 60")
        cluster.wait_for_state(here, "RUNNING")
        local_cluster.down(second.state)
        assert second.daemons() == []
        assert second.kill_job_processes(held) == 0
        local_cluster.down(second.state)
    assert pids(cluster) == before
    assert f"{here} RUNNING" in cluster.squeue()
    assert not second.state.exists()


def test_down_without_a_cluster_does_nothing(tmp_path: Path):
    done = local_cluster.script("down", str(tmp_path / "none"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "none").exists()


# --- usage errors -------------------------------------------------------------------------------


def refused(name: str, *arguments: str, **knobs: int) -> str:
    """The one-line error message."""
    done = local_cluster.script(name, *arguments, **knobs)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line.removeprefix("local-cluster: error: ")


@pytest.mark.parametrize("name", ["up", "down"])
def test_a_state_folder_that_cannot_be_is_refused(name: str):
    assert refused(name, f"/tmp/{'x' * 66}").endswith("choose one of at most 70")
    assert refused(name, "/tmp/a b").startswith("state folder '/tmp/a b': slurm.conf ")


def test_a_port_that_is_in_use_is_refused(cluster: Cluster, tmp_path: Path):
    port = int(cluster.run("scontrol", "show", "config").split("SlurmctldPort")[1].split()[1])
    folder = Path("/tmp") / f"tl-{os.getpid()}"
    message = refused("up", str(folder), port=port)
    assert message == f"port {port} is in use: choose another CLUSTER_PORT than {port}"
    assert [path.name for path in folder.glob("*.*")] == []
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["up", "down"])
def test_help_is_the_head_of_the_script(name: str):
    done = local_cluster.script(name, "--help")
    assert done.returncode == 0
    assert f"slurm/local-cluster/{name}" in done.stdout
    assert done.stdout.splitlines()[-1].strip()
    assert local_cluster.script(name, "one", "two").returncode == 2
    assert local_cluster.script(name, "--wrong").returncode == 2
