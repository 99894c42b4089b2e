"""Plans as jobs of SLURM, on a cluster in memory: what is submitted, and never twice."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.fake_cluster import FakeCluster, Submitted
from support.records import made
from support.studies import by_label, finish, make_local, make_runs, make_slurm, on_devices, start

from transferlab.errors import UserError
from transferlab.experiment import plan
from transferlab.experiment.build import vary_config
from transferlab.experiment.run import Run, make_run
from transferlab.launch import job as jobs
from transferlab.launch import queue, slurm
from transferlab.launch.job import SlurmTask
from transferlab.launch.queue import Cancelled
from transferlab.launch.slurm import Submission
from transferlab.runtime import provenance
from transferlab.store import sweeps
from transferlab.store.sweeps import Sweep

TEMPLATE = Path(__file__).parents[2] / "slurm" / "job.sbatch"


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def shown(sweep: Sweep, cluster: FakeCluster) -> list[tuple[str, list[str], str | None]]:
    """Of each job its id, the labels of its tasks, and the task it waits for."""
    label = {run.id: run.label for run in sweep.runs()}
    jobs = {job.id: job for job in sweeps.jobs(sweep)}
    return [
        (
            job.id,
            [" ".join(label[run] for run in pack) for pack in jobs[job.id].packs],
            job.need,
        )
        for job in cluster.jobs.values()
    ]


def again(sweep: Sweep, cluster: FakeCluster) -> Submission:
    """The same command again: finished runs are omitted."""
    todo = [run for run in sweep.runs() if not run.result_file.exists()]
    return slurm.submit(sweep, todo, cluster)


# --- bases first --------------------------------------------------------------------------------


def test_bases_are_submitted_first_and_dependents_wait_for_just_their_base(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder, ["A1B", "B1B", "A2B", "B2B", "R1B"]))

    submission = slurm.submit(sweep, sweep.runs(), cluster)

    assert shown(sweep, cluster) == [
        ("100", ["baseA", "baseB"], None),
        ("101", ["R1B"], None),
        ("102", ["A1B", "A2B"], "100_0"),
        ("103", ["B1B", "B2B"], "100_1"),
    ]
    assert [job.id for job in submission.jobs] == ["100", "101", "102", "103"]
    assert submission.active == frozenset()


def test_packs_are_tasks_of_their_own(store_folder: Path, cluster: FakeCluster):
    sweep = start(make_runs(store_folder, ["A1B", "A2B", "A3B", "A1B+"]), pack=None)
    slurm.submit(sweep, sweep.runs(), cluster)

    assert shown(sweep, cluster) == [
        ("100", ["baseA"], None),
        ("101", ["A1B A2B A3B"], "100_0"),
        ("102", ["A1B+"], "100_0"),
    ]
    assert [job.name.split("-")[1] for job in cluster.jobs.values()] == ["base", "pack", "transfer"]


def test_nothing_waits_for_a_base_that_is_finished(store_folder: Path, cluster: FakeCluster):
    sweep = start(make_runs(store_folder))
    finish(by_label(sweep.runs())["baseA"])

    again(sweep, cluster)

    assert shown(sweep, cluster) == [
        ("100", ["baseB"], None),
        ("101", ["A1B", "A2B"], None),
        ("102", ["B1B"], "100_0"),
    ]


def test_a_dependency_may_have_been_queued_by_an_earlier_call(
    store_folder: Path, cluster: FakeCluster
):
    first = start(make_runs(store_folder, ["A1B"]))
    slurm.submit(first, first.runs(), cluster)
    second = start(make_runs(store_folder, ["A2B", "B1B"]), study="other")

    submission = slurm.submit(second, second.runs(), cluster)

    names = {run.id: run.label for run in second.runs()}
    assert {names[run] for run in submission.active} == {"baseA"}
    assert [(job.id, job.need) for job in cluster.jobs.values()] == [
        ("100", None),  # baseA
        ("101", "100_0"),  # A1B
        ("102", None),  # baseB
        ("103", "100_0"),  # A2B
        ("104", "102_0"),  # B1B
    ]


# --- never twice --------------------------------------------------------------------------------


def test_the_same_command_again_submits_nothing(store_folder: Path, cluster: FakeCluster):
    sweep = start(make_runs(store_folder))
    slurm.submit(sweep, sweep.runs(), cluster)
    before = list(cluster.jobs)
    cluster.set("100", "RUNNING")

    submission = again(sweep, cluster)

    assert list(cluster.jobs) == before
    assert submission.jobs == () and len(submission.active) == 5


def test_runs_finished_meanwhile_are_not_submitted(store_folder: Path, cluster: FakeCluster):
    sweep = start(make_runs(store_folder))
    finish(*sweep.runs())

    assert slurm.submit(sweep, sweep.runs(), cluster) == Submission((), frozenset())
    assert cluster.jobs == {} and cluster.asked == []


def test_a_base_that_fails_is_submitted_again_with_its_dependents(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder))
    runs = by_label(sweep.runs())
    slurm.submit(sweep, sweep.runs(), cluster)
    cluster.set("100_0", "FAILED", "1:0")
    assert cluster.jobs["101"].tasks == {0: "CANCELLED", 1: "CANCELLED"}
    cluster.set("100_1", "COMPLETED")
    finish(runs["baseB"])
    cluster.set("102", "RUNNING")

    again(sweep, cluster)

    assert shown(sweep, cluster)[3:] == [
        ("103", ["baseA"], None),
        ("104", ["A1B", "A2B"], "103_0"),
    ]
    assert [path.name for path in store_folder.glob(".sweeps/*/jobs/*/job.json")] == [
        "job.json"
    ] * 5


def test_pending_dependents_of_a_lost_base_are_submitted_with_it(
    store_folder: Path, cluster: FakeCluster
):
    """SLURM takes some seconds to cancel what waits for a failed job."""
    sweep = start(make_runs(store_folder, ["A1B"]))
    slurm.submit(sweep, sweep.runs(), cluster)
    cluster.jobs["100"].tasks[0] = "FAILED"

    again(sweep, cluster)

    assert shown(sweep, cluster)[2:] == [("102", ["baseA"], None), ("103", ["A1B"], "102_0")]


def test_a_running_run_is_left_alone_whatever_the_state_of_its_base(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder, ["A1B"]))
    slurm.submit(sweep, sweep.runs(), cluster)
    cluster.forget("100")
    cluster.set("101", "RUNNING")

    again(sweep, cluster)

    assert shown(sweep, cluster) == [("101", ["A1B"], "100_0"), ("102", ["baseA"], None)]


def test_a_failed_task_that_is_completing_does_not_count(store_folder: Path, cluster: FakeCluster):
    sweep = start(make_runs(store_folder, ["baseA"]))
    (job,) = slurm.submit(sweep, sweep.runs(), cluster).jobs
    cluster.set("100", "COMPLETING")
    assert again(sweep, cluster).jobs == ()  # of one that saved and is to be requeued, say
    sweeps.note(job, 0, code=75)
    assert again(sweep, cluster).jobs == ()
    sweeps.note(job, 0, code=1)
    assert [job.id for job in again(sweep, cluster).jobs] == ["101"]


def test_a_job_accepted_when_its_sweep_died_is_adopted_by_its_name(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder))
    cluster.trouble = ["", "crash"]
    with pytest.raises(KeyboardInterrupt):
        slurm.submit(sweep, sweep.runs(), cluster)
    assert [job.id for job in sweeps.jobs(sweep)] == ["100", None]

    again(sweep, cluster)

    assert shown(sweep, cluster) == [
        ("100", ["baseA", "baseB"], None),
        ("101", ["A1B", "A2B"], "100_0"),
        ("102", ["B1B"], "100_1"),
    ]


def test_a_job_that_never_reached_slurm_is_submitted_by_the_next_call(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder, ["A1B"]))
    cluster.trouble = ["", "never"]
    with pytest.raises(UserError) as error:
        slurm.submit(sweep, sweep.runs(), cluster)
    name = sweeps.jobs(sweep)[1].name
    assert str(error.value) == (
        f"sbatch did not report whether it accepted the job, and SLURM does not know job {name} "
        "after 0.05 s: run the command again, which looks for it once more before it submits its "
        "runs again; should SLURM accept it later, it will exit without training"
    )

    again(sweep, cluster)

    assert [(job.id, job.need) for job in cluster.jobs.values()] == [
        ("100", None),
        ("101", "100_0"),
    ]


def test_a_job_that_slurm_accepts_late_is_found_before_its_runs_are_submitted_again(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder, ["A1B"]))
    cluster.trouble = ["", "late"]
    with pytest.raises(UserError, match="SLURM does not know job"):
        slurm.submit(sweep, sweep.runs(), cluster)
    cluster.accept_late()

    assert again(sweep, cluster).jobs == ()
    assert [job.id for job in sweeps.jobs(sweep)] == ["100", "101"]
    assert [(job.id, job.need) for job in cluster.jobs.values()] == [
        ("100", None),
        ("101", "100_0"),
    ]


def test_a_job_that_slurm_accepts_after_its_runs_were_submitted_again_exits_without_training(
    store_folder: Path, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
):
    sweep = start(make_runs(store_folder, ["A1B"]))
    cluster.trouble = ["late"]
    with pytest.raises(UserError, match="SLURM does not know job"):
        slurm.submit(sweep, sweep.runs(), cluster)
    (first,) = sweeps.jobs(sweep)

    again(sweep, cluster)
    assert shown(sweep, cluster) == [("100", ["baseA"], None), ("101", ["A1B"], "100_0")]
    late = cluster.accept_late()

    assert (
        f"job {first.name}: sbatch did not report whether SLURM accepted it, and SLURM does not "
        "know it: its runs are submitted again. It cannot be excluded that SLURM accepts it later; "
        "it will then exit without training"
    ) in caplog.messages
    names = {run.id: run.label for run in sweep.runs()}
    active = queue.queued_runs(store_folder, cluster)
    assert {names[run]: entry.id for run, entry in active.items()} == {
        "baseA": "100_0", "A1B": "101_0",
    }  # fmt: skip
    assert jobs.work(first.folder, SlurmTask(late.id, 0, 0), cluster) == 0
    assert not first.log(0).exists() and not first.task(0).exists()
    assert again(sweep, cluster).jobs == ()  # and it is not asked about any more
    assert {entry.id for entry in queue.cancel(store_folder, cluster).tasks} == {
        "100_0", "101_0", f"{late.id}_0",
    }  # fmt: skip


def test_a_job_that_ended_before_it_was_found_is_known_by_its_name(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder, ["baseA"]))
    cluster.trouble = ["late"]
    with pytest.raises(UserError):
        slurm.submit(sweep, sweep.runs(), cluster)
    cluster.accept_late()
    cluster.set("100", "FAILED", "1:0")

    again(sweep, cluster)

    assert [(job.id, job.superseded) for job in sweeps.jobs(sweep)] == [
        ("100", False),
        ("101", False),
    ]


def test_a_run_that_finishes_while_slurm_is_asked_is_not_submitted_again(
    store_folder: Path, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
):
    """Looking for a job that sbatch did not report takes a minute."""
    sweep = start(make_runs(store_folder, ["baseA", "A1B"]))
    cluster.trouble = ["", "never"]
    with pytest.raises(UserError):
        slurm.submit(sweep, sweep.runs(), cluster)
    base = by_label(sweep.runs())["baseA"]

    def sleep(_: float) -> None:
        if not base.result_file.exists():
            finish(base)
            cluster.set("100", "COMPLETED", "0:0")

    monkeypatch.setattr(queue.time, "sleep", sleep)
    monkeypatch.setattr(queue, "ASK_S", 0.05)

    assert [job.packs for job in slurm.submit(sweep, sweep.runs(), cluster).jobs] == [
        ((by_label(sweep.runs())["A1B"].id,),)
    ]


def test_while_slurm_does_not_answer_an_open_question_stays_open(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder, ["baseA"]))
    cluster.trouble = ["late"]
    with pytest.raises(UserError):
        slurm.submit(sweep, sweep.runs(), cluster)
    cluster.down = True

    with pytest.raises(UserError, match="Unable to contact"):
        again(sweep, cluster)
    assert [job.superseded for job in sweeps.jobs(sweep)] == [False]
    assert cluster.jobs == {}


def test_a_job_whose_acceptance_was_lost_is_found_in_the_queue(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder))
    cluster.trouble = ["lose"]
    slurm.submit(sweep, sweep.runs(), cluster)

    assert [(job.id, job.need) for job in cluster.jobs.values()] == [
        ("100", None),
        ("101", "100_0"),
        ("102", "100_1"),
    ]
    assert [job.id for job in sweeps.jobs(sweep)] == ["100", "101", "102"]


def test_a_refusal_is_shown_and_leaves_no_record_and_accepted_jobs_stay(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder))
    cluster.trouble = ["", "refuse"]

    with pytest.raises(UserError, match="^sbatch refused .*: invalid partition specified: gpv$"):
        slurm.submit(sweep, sweep.runs(), cluster)
    assert [job.id for job in sweeps.jobs(sweep)] == ["100"]
    assert len(list((sweep.folder / "jobs").iterdir())) == 1

    again(sweep, cluster)
    assert [job.need for job in cluster.jobs.values()] == [None, "100_0", "100_1"]


def test_without_an_answer_from_the_queue_nothing_is_submitted(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder))
    slurm.submit(sweep, sweep.runs(), cluster)
    cluster.down = True

    with pytest.raises(UserError, match="Unable to contact"):
        again(sweep, cluster)
    assert len(cluster.jobs) == 3


# --- size ---------------------------------------------------------------------------------------


def many(store_folder: Path, seeds: int) -> tuple[Run, ...]:
    """30 runs a seed: two bases, and n = 1..7 of the four variants that start from them."""
    first = made({"runtime.store": str(store_folder)}, variant="AnB", n=1, target=None)
    return plan.order(
        make_run(vary_config(first, {"seed": seed, "transfer.variant": variant, "transfer.n": n}))
        for seed in range(seeds)
        for variant in ("AnB", "BnB", "AnB+", "BnB+")
        for n in range(1, 8)
    )


def tasks_by_run(sweep: Sweep) -> Counter[str]:
    return Counter(run for job in sweeps.jobs(sweep) for pack in job.packs for run in pack)


@pytest.mark.timeout(120)
def test_thousands_of_runs_in_arrays_within_the_limit_each_run_once(
    store_folder: Path, cluster: FakeCluster
):
    runs = many(store_folder, 84)
    assert len(runs) == 2_520
    sweep = start(runs)
    started = time.process_time()

    slurm.submit(sweep, runs, cluster)

    assert time.process_time() - started < 8
    bases, transfers = by_role(cluster, "base"), by_role(cluster, "transfer")
    assert [len(job.tasks) for job in bases] == [168]
    assert [len(job.tasks) for job in transfers] == [14] * 168
    assert tasks_by_run(sweep) == Counter(run.id for run in runs)
    record = {job.id: job for job in sweeps.jobs(sweep)}
    base_of = {run.id: run.base_id for run in runs}
    for job in transfers:
        identity, _, task = str(job.need).partition("_")
        (base,) = record[identity].packs[int(task)]
        assert {base_of[run] for (run,) in record[job.id].packs} == {base}

    assert slurm.submit(sweep, runs, cluster).jobs == ()


@pytest.mark.timeout(120)
def test_arrays_are_cut_at_the_limit_of_the_site(store_folder: Path, cluster: FakeCluster):
    """Nothing has to wait here: all bases are finished."""
    runs = many(store_folder, 84)
    todo = [run for run in runs if run.base is not None]
    sweep = start(runs)

    slurm.submit(sweep, todo, cluster)

    assert [len(job.tasks) for job in cluster.jobs.values()] == [1001] * 2 + [350]
    assert {job.option("array") for job in cluster.jobs.values()} == {"0-1000", "0-349"}
    assert {job.need for job in cluster.jobs.values()} == {None}
    assert tasks_by_run(sweep) == Counter(run.id for run in todo)


def by_role(cluster: FakeCluster, role: str) -> list[Submitted]:
    return [job for job in cluster.jobs.values() if f"-{role}-" in job.name]


# --- what a job asks for ------------------------------------------------------------------------


def options_of(
    store_folder: Path, labels: Sequence[str], *, devices: int = 1, **settings: object
) -> dict[str, Submitted]:
    """The jobs of a sweep by role."""
    cluster = FakeCluster()
    sweep = start(
        on_devices(make_runs(store_folder, labels), devices), make_slurm(**settings), pack=None
    )
    slurm.submit(sweep, sweep.runs(), cluster)
    return {job.name.split("-")[1]: job for job in cluster.jobs.values()}


def test_the_options_of_a_job_are_these(
    store_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    keys = iter(["a0", "b1"])
    monkeypatch.setattr(sweeps, "secrets", SimpleNamespace(token_hex=lambda length: next(keys)))
    monkeypatch.chdir(tmp_path)
    launcher = make_slurm(
        partition="gpu", account="lab", qos="long", time="12:00:00", gres="gpu:1", cpus=8,
        memory="32G", constraint="a100", throttle=5, extra=["--mail-type=FAIL", "--nice"],
    )  # fmt: skip
    cluster = FakeCluster()
    sweep = start(make_runs(store_folder, ["A1B"]), launcher)
    slurm.submit(sweep, sweep.runs(), cluster)
    job, folder = cluster.jobs["101"], sweep.folder / "jobs" / "quick-transfer-b1"

    assert job.options == (
        "--requeue",
        "--job-name=quick-transfer-b1",
        "--array=0-0%5",
        f"--output={folder}/%a.log",
        "--open-mode=append",
        f"--chdir={tmp_path}",
        "--signal=B:USR1@120",
        "--dependency=afterok:100_0",
        "--kill-on-invalid-dep=yes",
        "--partition=gpu",
        "--account=lab",
        "--qos=long",
        "--time=12:00:00",
        "--gres=gpu:1",
        "--cpus-per-task=8",
        "--mem=32G",
        "--constraint=a100",
        "--mail-type=FAIL",
        "--nice",
    )
    assert job.script == str(folder / "job.sbatch")
    assert job.command == (
        *slurm.HOLD_BACK,
        *(sys.executable, "-m", "transferlab", "work", str(folder)),
    )
    assert Path(job.script).read_bytes() == TEMPLATE.read_bytes()
    record = json.loads((folder / "job.json").read_text())
    assert record.pop("submitted").startswith("20")
    assert record == {
        "format": 1,
        "packs": [[sweep.runs()[1].id]],
        "role": "transfer",
        "options": list(job.options),
        "id": "101",
        "superseded": False,
        "code": provenance.code(),
    }


RAISES = """
    import os, signal, sys
    os.kill(os.getpid(), signal.{name})
    print(sorted(number.name for number in signal.sigpending()), sys.argv[1:])
    """


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_to_a_job_that_is_starting_waits_for_its_handlers(name: str):
    program = textwrap.dedent(RAISES.format(name=name))
    command = (*slurm.HOLD_BACK, sys.executable, "-c", program, "a b", "$c")
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, f"['{name}'] ['a b', '$c']\n")


def test_where_env_cannot_hold_signals_back_a_job_starts_all_the_same(tmp_path: Path):
    old = tmp_path / "env"
    old.write_text("#!/bin/sh\necho 'env: unrecognized option' >&2\nexit 125\n")
    old.chmod(0o755)
    command = (*slurm.HOLD_BACK, sys.executable, "-c", "print(7)")
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(tmp_path)})

    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


def test_a_job_that_may_not_be_requeued_says_so_to_slurm(store_folder: Path):
    job = options_of(store_folder, ["baseA"], requeues=0)["base"]

    assert job.options[0] == "--no-requeue" and "--requeue" not in job.options


@pytest.mark.parametrize("gres", ["gpu:1", "gpu", "gpu:a100:1", "shard:2,gpu:a100:1"])
def test_more_devices_than_the_job_requests_are_refused(
    store_folder: Path, cluster: FakeCluster, gres: str
):
    sweep = start(on_devices(make_runs(store_folder, ["baseA"]), 2), make_slurm(gres=gres))

    with pytest.raises(UserError, match=f"^launcher.gres={gres} has fewer GPUs than runtime.dev"):
        slurm.submit(sweep, sweep.runs(), cluster)
    assert cluster.asked == []


def test_null_is_no_option(store_folder: Path):
    job = options_of(store_folder, ["baseA"], time=None)["base"]

    assert [word.partition("=")[0] for word in job.options] == [
        "--requeue", "--job-name", "--array", "--output", "--open-mode", "--chdir", "--signal",
        "--kill-on-invalid-dep",
    ]  # fmt: skip


def test_resources_of_a_role_override_those_of_all_jobs(store_folder: Path):
    jobs = options_of(
        store_folder,
        ["A1B", "A2B", "B1B"],
        partition="gpu",
        cpus=4,
        base={"time": "48:00:00", "throttle": 3},
        transfer={"partition": "short", "extra": ["--nice"]},
        pack={"cpus": 16, "memory": 64000},
    )

    names = ("partition", "time", "cpus-per-task", "mem")
    assert {role: [job.option(name) for name in names] for role, job in jobs.items()} == {
        "base": ["gpu", "48:00:00", "4", None],
        "transfer": ["short", "1:00:00", "4", None],
        "pack": ["gpu", "1:00:00", "16", "64000"],
    }
    assert [jobs[role].option("array") for role in ("base", "pack")] == ["0-1%3", "0-0"]
    assert ["--nice" in job.options for job in jobs.values()] == [False, False, True]


def test_a_run_on_several_devices_has_a_process_for_each_on_one_node(store_folder: Path):
    job = options_of(store_folder, ["baseA"], devices=4)["base"]

    assert (job.option("nodes"), job.option("ntasks-per-node")) == ("1", "4")
    assert options_of(store_folder, ["baseB"])["base"].option("ntasks-per-node") is None


def test_a_percent_sign_in_the_path_of_the_store_is_escaped(tmp_path: Path):
    job = options_of(tmp_path / "100%j", ["baseA"])["base"]

    assert str(job.option("output")).startswith(f"{tmp_path}/100%%j/.sweeps/")


def test_another_template_is_copied_when_a_job_is_submitted(
    store_folder: Path, cluster: FakeCluster, tmp_path: Path
):
    mine = tmp_path / "mine.sbatch"
    mine.write_text('#!/bin/sh\nexec "$@"\n')
    sweep = start(make_runs(store_folder, ["baseA"]), make_slurm(template=str(mine)))
    slurm.submit(sweep, sweep.runs(), cluster)
    mine.write_text("#!/bin/sh\nexit 1\n")

    assert Path(cluster.jobs["100"].script).read_text() == '#!/bin/sh\nexec "$@"\n'


def test_a_missing_template_is_an_error_before_anything_is_submitted(
    store_folder: Path, cluster: FakeCluster, tmp_path: Path
):
    sweep = start(make_runs(store_folder), make_slurm(template=f"{tmp_path}/nowhere"))

    with pytest.raises(
        UserError, match=f"^launcher.template={tmp_path}/nowhere is not a file: name "
    ):
        slurm.submit(sweep, sweep.runs(), cluster)
    assert cluster.asked == []


# --- the queue and cancelling -------------------------------------------------------------------


def test_runs_in_the_queue_are_found_by_the_names_of_their_jobs(
    store_folder: Path, cluster: FakeCluster
):
    sweep = start(make_runs(store_folder))
    slurm.submit(sweep, sweep.runs(), cluster)
    cluster.set("100_0", "RUNNING")
    names = {run.id: run.label for run in sweep.runs()}

    found = queue.queued_runs(store_folder, cluster)

    assert {names[run]: (entry.id, entry.state) for run, entry in found.items()} == {
        "baseA": ("100_0", "RUNNING"),
        "baseB": ("100_1", "PENDING"),
        "A1B": ("101_0", "PENDING"),
        "A2B": ("101_1", "PENDING"),
        "B1B": ("102_0", "PENDING"),
    }


def test_reading_the_queue_writes_nothing(store_folder: Path, cluster: FakeCluster):
    sweep = start(make_runs(store_folder, ["baseA"]))
    cluster.trouble = ["crash"]
    with pytest.raises(KeyboardInterrupt):
        slurm.submit(sweep, sweep.runs(), cluster)
    before = {path: path.stat().st_mtime_ns for path in store_folder.rglob("*")}

    assert len(queue.queued_runs(store_folder, cluster)) == 1
    assert {path: path.stat().st_mtime_ns for path in store_folder.rglob("*")} == before


def test_a_store_without_slurm_jobs_does_not_query_the_queue(
    store_folder: Path, cluster: FakeCluster
):
    assert queue.queued_runs(store_folder, cluster) == {}
    sweep = start(make_runs(store_folder), make_local())
    sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), sweeps.LOCAL))

    assert queue.queued_runs(store_folder, cluster) == {}
    assert queue.cancel(store_folder, cluster) == Cancelled((), ())
    assert cluster.asked == [] and not (store_folder / ".sweeps" / "lock").exists()


def test_cancel_takes_this_stores_jobs_and_no_others(
    store_folder: Path, cluster: FakeCluster, tmp_path: Path
):
    other = start(make_runs(tmp_path / "other", ["A1B"]))
    slurm.submit(other, other.runs(), cluster)
    for study in ("one", "two"):
        sweep = start(make_runs(store_folder, ["A1B"], seed=len(study + study[0])), study=study)
        slurm.submit(sweep, sweep.runs(), cluster)
    second = start(make_runs(store_folder, ["B1B"], seed=9), study="two")
    slurm.submit(second, second.runs(), cluster)
    cluster.set("102", "COMPLETED")
    cluster.set("103", "RUNNING")

    cancelled = queue.cancel(store_folder, cluster).tasks

    assert [(entry.id, entry.state) for entry in cancelled] == [
        ("103_0", "RUNNING"),
        ("104_0", "PENDING"),
        ("105_0", "PENDING"),
    ]
    assert {identity: job.tasks[0] for identity, job in cluster.jobs.items()} == {
        "100": "PENDING",
        "101": "PENDING",
        "102": "COMPLETED",
        "103": "CANCELLED",
        "104": "CANCELLED",
        "105": "CANCELLED",
    }
    assert queue.cancel(store_folder, cluster) == Cancelled((), ())


def test_jobs_of_other_users_are_queued_and_not_cancelled(store_folder: Path, cluster: FakeCluster):
    sweep = start(make_runs(store_folder, ["A1B"]))
    slurm.submit(sweep, sweep.runs(), cluster)
    cluster.owners["100"] = 4321

    assert again(sweep, cluster).jobs == ()
    cancelled = queue.cancel(store_folder, cluster)

    assert [entry.id for entry in cancelled.tasks] == ["101_0"]
    assert [(entry.id, entry.user) for entry in cancelled.others] == [("100_0", "user4321")]
    assert [job.tasks[0] for job in cluster.jobs.values()] == ["PENDING", "CANCELLED"]


def test_another_job_that_has_the_id_of_a_former_one_is_left_alone(
    store_folder: Path, cluster: FakeCluster
):
    """SLURM counts ids anew after the largest."""
    sweep = start(make_runs(store_folder, ["baseA"]))
    slurm.submit(sweep, sweep.runs(), cluster)
    former = cluster.jobs["100"]
    cluster.jobs["100"] = replace(former, options=("--array=0-0", "--job-name=another"))

    assert queue.queued_runs(store_folder, cluster) == {}
    assert queue.cancel(store_folder, cluster) == Cancelled((), ())


def test_the_working_directory_is_that_of_the_command(store_folder: Path):
    assert options_of(store_folder, ["baseA"])["base"].option("chdir") == os.getcwd()
