"""Calls of SLURM's commands and the parsing of their output; small scripts stand in for them."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from transferlab.errors import UserError
from transferlab.launch import cluster
from transferlab.launch.cluster import Queued, Refused, SlurmCluster


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only one on the PATH, so that no real SLURM is called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cat", "env", "readlink", "sed", "sleep", "wc"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(cluster, "RETRY_S", (0.01, 0.01))
    return folder


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[IO[bytes]]:
    with (tmp_path / "hold").open("wb") as file:
        yield file


def script(folder: Path, name: str, body: str) -> None:
    """A command that appends its arguments to NAME.calls, a JSON list a line, and does `body`."""
    file = folder / name
    file.write_text(
        "#!/bin/bash\n"
        'line=$(printf \'"%s", \' "$@")\n'
        f'echo "[${{line%, }}]" >> "{folder}/{name}.calls"\n'
        f"{body}\n"
    )
    file.chmod(0o755)


def calls(folder: Path, name: str) -> list[list[str]]:
    file = folder / f"{name}.calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# --- sbatch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["123", "123;lab", "Welcome to the lab!\\n123;lab"])
def test_the_id_of_a_job_is_the_one_that_sbatch_prints(path: Path, hold: IO[bytes], answer: str):
    script(path, "sbatch", f"printf '{answer}\\n'")

    identity = SlurmCluster().submit(
        ["--array=0-1", "--comment=a b"], "job.sbatch", ["x", "y"], hold=hold
    )

    assert identity == "123"
    assert calls(path, "sbatch") == [
        ["--parsable", "--array=0-1", "--comment=a b", "job.sbatch", "x", "y"]
    ]


def test_the_message_of_sbatch_is_shown(path: Path, hold: IO[bytes]):
    script(
        path,
        "sbatch",
        "echo 'sbatch: error: invalid partition specified: gpv' >&2\n"
        "echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2\n"
        "exit 1",
    )

    with pytest.raises(Refused) as error:
        SlurmCluster().submit([], "job.sbatch", [], hold=hold)
    assert str(error.value) == (
        "sbatch refused the job: sbatch: error: invalid partition specified: gpv; "
        "sbatch: error: Batch job submission failed: Invalid partition name specified"
    )


@pytest.mark.parametrize(
    "body",
    [
        "echo 'Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1",
        "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1",
        "echo 'no number'",
        "exec sleep 30",
    ],
)
def test_an_sbatch_that_reports_nothing_is_not_taken_for_a_refusal(
    path: Path, hold: IO[bytes], body: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster, "TIMEOUT_S", 0.3)
    script(path, "sbatch", body)

    with pytest.raises(UserError, match=r"did not report whether it accepted the job \(") as e:
        SlurmCluster().submit([], "job.sbatch", [], hold=hold)
    assert not isinstance(e.value, Refused)
    assert len(calls(path, "sbatch")) == 1  # never again by itself


def test_sbatch_has_the_lock_open(path: Path, hold: IO[bytes], tmp_path: Path):
    script(path, "sbatch", f"readlink /proc/$$/fd/{hold.fileno()} > {tmp_path}/open; echo 1")
    SlurmCluster().submit([], "job.sbatch", [], hold=hold)

    assert (tmp_path / "open").read_text() == f"{tmp_path}/hold\n"


def test_a_missing_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: IO[bytes]
):
    monkeypatch.setenv("PATH", str(tmp_path))

    for name, ask in (
        ("sbatch", lambda: SlurmCluster().submit([], "job.sbatch", [], hold=hold)),
        ("squeue", lambda: SlurmCluster().queue(["7"], [])),
        ("scontrol", lambda: SlurmCluster().max_array()),
        ("scancel", lambda: SlurmCluster().cancel(["1"])),
    ):
        with pytest.raises(UserError) as error:
            ask()
        assert str(error.value) == (
            f"{name} is not on the PATH: launcher=slurm needs a machine that can submit jobs; "
            "launcher=local runs on this one"
        )
    assert SlurmCluster().endings(["1"]) == {}


def test_the_environment_has_no_variables_of_a_job_and_none_that_filter_the_queue(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SLURM_CLUSTERS": "lab", "SBATCH_ACCOUNT": "mine"}
    dropped = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SQUEUE_STATES": "R", "SACCT_FORMAT": "x",
               "SCANCEL_STATE": "PENDING"}  # fmt: skip
    for name, value in (kept | dropped).items():
        monkeypatch.setenv(name, value)
    script(path, "squeue", f"env > {tmp_path}/env")
    SlurmCluster().queue(["7"], [])
    names = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_")
    lines = (tmp_path / "env").read_text().splitlines()

    found = dict(line.split("=", 1) for line in lines if line.startswith(names))
    assert found == kept
    assert os.environ["SLURM_JOB_ID"] == "7"


# --- squeue and scontrol ------------------------------------------------------------------------


def test_the_queue_is_read_line_by_line(path: Path):
    script(
        path,
        "squeue",
        r"""printf '7_0|RUNNING|0|root|quick-base-1|None\n'
printf '7_12|PENDING|5|me|quick-base-1|Dependency\n'
printf '   9|PENDING|5|me|my job|Resources\n10|RUNNING|5|\377|a|None\n\nrubbish\n'""",
    )

    found = SlurmCluster().queue(["7"], [])

    assert found[:2] == (
        Queued("7_0", "RUNNING", 0, "root", "quick-base-1", "None"),
        Queued("7_12", "PENDING", 5, "me", "quick-base-1", "Dependency"),
    )
    assert [(entry.job, entry.task, entry.pending) for entry in found] == [
        ("7", 0, False),
        ("7", 12, True),
        ("9", 0, True),
        ("10", 0, False),
    ]
    assert calls(path, "squeue") == [
        ["--jobs=7", "--noheader", "--array", "--format=%i|%T|%U|%u|%j|%r"]
    ]


def test_jobs_are_asked_for_by_id_and_by_name_in_batches(path: Path):
    script(path, "squeue", "echo '7_0|RUNNING|0|root|a|None'")
    ids = [str(number) for number in range(1500)]

    assert len(SlurmCluster().queue(ids, ["a", "b"])) == 1
    assert [call[0] for call in calls(path, "squeue")] == [
        f"--jobs={','.join(ids[:1000])}",
        f"--jobs={','.join(ids[1000:])}",
        "--name=a,b",
    ]
    assert SlurmCluster().queue([], []) == ()
    assert len(calls(path, "squeue")) == 3


def test_a_single_job_that_has_left_the_queue_is_no_error(path: Path):
    script(path, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")

    assert SlurmCluster().queue(["7"], []) == ()
    assert len(calls(path, "squeue")) == 1


def test_a_job_is_found_by_its_name_in_the_queue_or_among_those_that_ended(path: Path):
    script(path, "squeue", "echo '7_0|RUNNING|0|root|a|None'")
    script(path, "sacct", "printf '5_[0-3]|b\n6|b\n'")

    assert SlurmCluster().identities(["a", "b", "c"]) == {"a": "7", "b": "6"}
    assert calls(path, "sacct") == [
        ["-X", "-n", "-P", "-o", "JobID,JobName", "-S", "now-30days", "--name=b,c"]
    ]
    (path / "sacct").unlink()
    assert SlurmCluster().identities(["a", "b"]) == {"a": "7"}


def test_a_controller_that_restarts_is_queried_again(path: Path):
    script(
        path,
        "squeue",
        f'[ $(wc -l < "{path}/squeue.calls") -ge 3 ] && '
        "echo '7_0|RUNNING|0|root|a|None' && exit 0\n"
        "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1",
    )

    assert [entry.id for entry in SlurmCluster().queue(["7"], [])] == ["7_0"]
    assert len(calls(path, "squeue")) == 3


def test_a_controller_that_stays_down_is_an_error(path: Path):
    words = "Unable to contact slurm controller (connect failure)"
    script(path, "squeue", f"echo '{words}' >&2; exit 1")

    with pytest.raises(UserError, match="^squeue: Unable to contact slurm controller"):
        SlurmCluster().queue(["7"], [])
    assert len(calls(path, "squeue")) == 3


def test_other_errors_are_not_retried(path: Path):
    script(path, "squeue", "echo 'squeue: fatal: no configuration' >&2; exit 1")

    with pytest.raises(UserError, match="^squeue: squeue: fatal: no configuration$"):
        SlurmCluster().queue(["7"], [])
    assert len(calls(path, "squeue")) == 1


def test_a_command_that_hangs_is_not_retried(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "TIMEOUT_S", 0.3)
    script(path, "squeue", "exec sleep 30")

    with pytest.raises(UserError, match=r"^squeue: no answer in 0\.3 s$"):
        SlurmCluster().queue(["7"], [])
    assert len(calls(path, "squeue")) == 1


def test_the_limit_of_arrays_is_the_sites_or_slurms_default(path: Path):
    script(path, "scontrol", "printf 'MaxArraySize            = 2001\\nMaxDBDMsgs = 20000\\n'")
    assert SlurmCluster().max_array() == 2001
    script(path, "scontrol", "echo 'MaxDBDMsgs = 20000'")
    assert SlurmCluster().max_array() == 1001


def test_jobs_are_cancelled_and_requeued_by_their_ids(path: Path):
    script(path, "scancel", "")
    script(path, "scontrol", "")
    SlurmCluster().cancel([str(number) for number in range(250)])
    SlurmCluster().requeue("7_1")

    assert [len(call) for call in calls(path, "scancel")] == [201, 51]
    assert calls(path, "scancel")[0][:3] == ["--quiet", "0", "1"]
    assert calls(path, "scontrol") == [["requeue", "7_1"]]


def test_a_refused_requeue_is_an_error(path: Path):
    script(path, "scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")

    with pytest.raises(UserError, match="^scontrol: Requested operation is presently disabled$"):
        SlurmCluster().requeue("7_1")


# --- how jobs ended -----------------------------------------------------------------------------

# As a real sacct and scontrol (22.05) wrote it; the second array was cancelled while it waited
SACCT = """\
7_0|COMPLETED|0:0
7_1|FAILED|1:0
7_2|FAILED|0:9
7_3|TIMEOUT|0:0
7_4|OUT_OF_MEMORY|0:125
7_5|RUNNING|0:0
8_[0-1,3-9:3%2]|CANCELLED by 0|0:0
"""
ENDINGS = {
    "7_0": "COMPLETED",
    "7_1": "FAILED 1:0",
    "7_2": "FAILED 0:9",
    "7_3": "TIMEOUT",
    "7_4": "OUT_OF_MEMORY 0:125",
    "7_5": "RUNNING",
    "8_0": "CANCELLED",
    "8_1": "CANCELLED",
    "8_3": "CANCELLED",
    "8_6": "CANCELLED",
    "8_9": "CANCELLED",
}


def test_endings_are_those_that_sacct_reports(path: Path):
    script(path, "sacct", f"cat <<'END'\n{SACCT}END")

    assert SlurmCluster().endings(["7", "8"]) == ENDINGS
    assert calls(path, "sacct") == [
        ["-X", "-n", "-P", "-o", "JobID,State,ExitCode", "-j", "7,8"],
    ]


@pytest.mark.parametrize(
    "sacct",
    [None, "echo 'Slurm accounting storage is disabled' >&2; exit 1", "exit 0"],
    ids=["not there", "disabled", "empty"],
)
def test_without_sacct_the_controller_reports_recent_endings(path: Path, sacct: str | None):
    if sacct is not None:
        script(path, "sacct", sacct)
    script(
        path,
        "scontrol",
        "[ $4 = 9 ] && echo 'slurm_load_jobs error: Invalid job id specified' >&2 && exit 1\n"
        "echo 'JobId=12 ArrayJobId=7 ArrayTaskId=2 JobName=a|b JobState=FAILED Reason=None "
        "Requeue=1 ExitCode=0:9 RunTime=00:00:00 '\n"
        "echo 'JobId=7 ArrayJobId=7 ArrayTaskId=3-4%2 ArrayTaskThrottle=2 JobName=a JobState="
        "CANCELLED Reason=DependencyNeverSatisfied Dependency=afterok:1_1(failed) ExitCode=0:0 '",
    )

    assert SlurmCluster().endings(["7", "9"]) == {
        "7_2": "FAILED 0:9",
        "7_3": "CANCELLED",
        "7_4": "CANCELLED",
    }
    assert [call[-1] for call in calls(path, "scontrol")] == ["7", "9"]


def test_a_query_about_many_jobs_is_split(path: Path):
    script(path, "sacct", "echo \"${@: -1}\" | sed 's/.*,//; s/$/_0|TIMEOUT|0:0/'")

    found = SlurmCluster().endings([str(number) for number in range(450)])

    assert found == {"199_0": "TIMEOUT", "399_0": "TIMEOUT", "449_0": "TIMEOUT"}
    assert SlurmCluster().endings([]) == {}
