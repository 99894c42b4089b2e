"""The status of every run, from stores made by hand and a cluster in memory."""

import contextlib
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.fake_cluster import FakeCluster
from support.studies import by_label, finish, make_local, make_runs, make_slurm, start

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment import plan
from transferlab.experiment.build import config_dict, vary_config
from transferlab.experiment.run import Run, make_run
from transferlab.launch import queue, slurm, status
from transferlab.launch.status import RunStatus
from transferlab.runtime import files
from transferlab.store import inventory, schemas, sweeps
from transferlab.store.sweeps import Job, Sweep

HOST = socket.gethostname()
NO_SUCH_PROCESS = 2**22 + 1  # above the greatest that Linux gives out


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def look(
    store_folder: Path, cluster: FakeCluster | None = None, study: str | None = None
) -> list[RunStatus]:
    return list(status.statuses(inventory.known_runs(store_folder, study), cluster))


def shown(store_folder: Path, cluster: FakeCluster | None = None) -> dict[str, tuple[str, str]]:
    """Label -> state and why."""
    return {state.label: (state.state, state.words) for state in look(store_folder, cluster)}


def of(store_folder: Path, label: str, cluster: FakeCluster | None = None) -> RunStatus:
    (found,) = [state for state in look(store_folder, cluster) if state.label == label]
    return found


def submitted(
    store_folder: Path, cluster: FakeCluster, *labels: str
) -> tuple[Sweep, dict[str, Run]]:
    sweep = start(make_runs(store_folder, labels or ("A1B", "B1B")))
    slurm.submit(sweep, sweep.runs(), cluster)
    return sweep, by_label(sweep.runs())


def local_job(store_folder: Path, *labels: str, pack: int | None = 1) -> tuple[Job, dict[str, Run]]:
    sweep = start(make_runs(store_folder, labels or ("A1B", "B1B")), make_local(), pack=pack)
    packs = plan.packs(sweep.runs(), pack)
    return sweeps.record(sweeps.prepare(sweep, packs, sweeps.LOCAL)), by_label(sweep.runs())


def task_of(job: Job, run: Run) -> int:
    return next(task for task, pack in enumerate(job.packs) if run.id in pack)


def left_owner(run: Run, **owner: Any) -> None:
    """As after a process that had no time to clear up."""
    run.folder.mkdir(parents=True, exist_ok=True)
    raw = {"host": HOST, "pid": NO_SUCH_PROCESS, "heartbeat": files.now()}
    files.write_json(run.owner_file, {**raw, **owner})


def fail(run: Run, error: str) -> None:
    store.note_failure(run, error)


OWNS = """
import pickle, sys
from contextlib import ExitStack
from transferlab import store
with ExitStack() as stack:
    for run in pickle.loads(bytes.fromhex(sys.argv[1])):
        stack.enter_context(store.owned(run, print))
        store.report_progress(run, step=120, total_steps=660, left_s=75.0)
    print("owns", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def trained(*runs: Run, **owner: Any) -> Iterator[int]:
    """Meanwhile another process trains the runs; it says of itself what `owner` says."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNS, pickle.dumps(runs).hex()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "owns\n"
    for run in runs if owner else ():
        files.write_json(run.owner_file, {**store.peek(run.owner_file, schemas.OWNER), **owner})
    try:
        yield process.pid
    finally:
        process.communicate("\n")


# --- without a cluster --------------------------------------------------------------------------


def test_a_sweep_that_was_never_started_is_missing(store_folder: Path):
    start(make_runs(store_folder, ["A1B"]))

    assert shown(store_folder) == {"baseA": ("missing", ""), "A1B": ("missing", "")}
    state = of(store_folder, "A1B")
    (run,) = (entry.run for entry in inventory.known_runs(store_folder).runs if entry.run.base)
    assert (state.folder, state.log) == (str(run.folder), None)
    run.folder.mkdir(parents=True)
    assert of(store_folder, "A1B").log == str(run.folder / "log.txt")


def test_a_run_with_a_record_is_done(store_folder: Path):
    job, runs = local_job(store_folder, "A1B")
    finish(*runs.values())

    assert shown(store_folder) == {"baseA": ("done", ""), "A1B": ("done", "")}


def test_a_running_run_has_its_process_progress_and_time_left(store_folder: Path):
    job, runs = local_job(store_folder, "A1B")
    with trained(runs["baseA"]) as process:
        state = of(store_folder, "baseA")

    run = runs["baseA"]
    assert state == RunStatus(
        id=runs["baseA"].id,
        label="baseA",
        split="random0",
        state="running",
        words=f"process {process} on {HOST}",
        log=str(job.log(0)),
        folder=str(run.folder),
        step=120,
        total_steps=660,
        left_s=75.0,
    )


def test_a_run_whose_owner_has_no_record_yet_is_running(store_folder: Path):
    _, runs = local_job(store_folder, "baseA")
    with trained(runs["baseA"]):
        runs["baseA"].owner_file.write_text("{")

        assert shown(store_folder) == {"baseA": ("running", "a process")}


def test_runs_of_a_local_launcher_at_work_wait_start_or_have_failed(store_folder: Path):
    job, runs = local_job(store_folder, "A1B", "B1B", "R1B")
    finish(runs["baseA"])
    sweeps.note(job, task_of(job, runs["baseB"]), started="now", ended="now", code=1)
    fail(runs["baseB"], "baseB: the loss is nan")
    sweeps.note(job, task_of(job, runs["A1B"]), started="now", ended=None, code=None)
    with sweeps.carrying_out(job):
        found = shown(store_folder)

    assert found == {
        "baseA": ("done", ""),
        "baseB": ("failed", "baseB: the loss is nan, exit status 1"),
        "A1B": ("running", "starting"),
        "B1B": ("blocked", "baseB failed: baseB: the loss is nan, exit status 1"),
        "R1B": ("queued", "waiting for a worker process"),
    }
    assert shown(store_folder)["R1B"] == ("missing", "")  # as soon as the launcher has ended


def test_only_the_first_line_of_an_error_is_shown_with_its_log(store_folder: Path):
    job, runs = local_job(store_folder, "baseA")
    fail(runs["baseA"], "KeyError: 'x'\nand more")
    sweeps.note(job, 0, started="now", ended="now", code=1)

    state = of(store_folder, "baseA")
    assert (state.state, state.words, state.code) == ("failed", "KeyError: 'x', exit status 1", 1)
    assert state.log == f"{job.folder}/0.log"


def test_a_killed_worker_has_failed_although_its_owners_record_remains(store_folder: Path):
    job, runs = local_job(store_folder, "baseA")
    left_owner(runs["baseA"], step=7, total_steps=10)
    fail(runs["baseA"], "killed by SIGKILL, perhaps out of memory")
    sweeps.note(job, 0, started="now", ended="now", code=-9)

    assert shown(store_folder) == {"baseA": ("failed", "killed by SIGKILL, perhaps out of memory")}


def test_a_failure_on_a_full_disk_is_known_by_its_exit_status(store_folder: Path):
    job, runs = local_job(store_folder, "baseA")
    sweeps.note(job, 0, started="now", ended="now", code=2)

    assert shown(store_folder) == {"baseA": ("failed", "exit status 2")}


def test_a_saved_run_is_interrupted_and_its_dependents_wait_for_it(store_folder: Path):
    job, runs = local_job(store_folder, "A1B", "B1B")
    run = runs["baseA"]
    run.folder.mkdir(parents=True)
    run.checkpoint_file.write_text("")
    for task in (0, 1):
        sweeps.note(job, task, started="now", ended="now", code=75)

    assert shown(store_folder) == {
        "baseA": ("interrupted", "resumes from its checkpoint"),
        "baseB": ("interrupted", "stopped before its first checkpoint"),
        "A1B": ("missing", "waits for baseA, which is interrupted"),
        "B1B": ("missing", "waits for baseB, which is interrupted"),
    }


def test_a_process_that_dies_without_a_report_leaves_a_stale_run(store_folder: Path):
    job, runs = local_job(store_folder, "A1B", "baseB")
    left_owner(runs["baseA"], step=120, total_steps=660)
    sweeps.note(job, 1, started="now", ended=None, code=None)

    state = of(store_folder, "baseA")
    assert (state.state, state.step, state.total_steps, state.left_s) == ("stale", 120, 660, None)
    assert state.words == f"process {NO_SUCH_PROCESS} on {HOST} died without reporting a result"
    assert of(store_folder, "baseB").words == "its process died without reporting a result"
    assert of(store_folder, "A1B").words == "baseA is stale"


def test_an_old_heartbeat_makes_a_run_stale_unless_its_process_is_alive(store_folder: Path):
    old = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(time.time() - 3600))
    _, runs = local_job(store_folder, "baseA")
    with trained(runs["baseA"], host="elsewhere", pid=5, heartbeat=old):
        assert shown(store_folder) == {
            "baseA": ("stale", f"no heartbeat from process 5 on elsewhere since {old}")
        }
    with trained(runs["baseA"], heartbeat=old):
        assert of(store_folder, "baseA").state == "running"
    with trained(runs["baseA"], pid=1, heartbeat=old):  # not ours, but it lives
        assert of(store_folder, "baseA").state == "running"
    with trained(runs["baseA"], heartbeat="rubbish"):
        assert of(store_folder, "baseA").state == "running"


def test_a_run_without_a_sweep_is_known_by_its_folder(store_folder: Path):
    runs = by_label(make_runs(store_folder, ["A1B", "B1B"]))
    for label in ("baseA", "A1B", "B1B", "baseB"):
        run = runs[label]
        run.folder.mkdir(parents=True)
        store.create(run)
    finish(runs["baseA"])
    runs["A1B"].checkpoint_file.write_text("")
    fail(runs["baseB"], "the loss is nan")

    found = {state.label: state for state in look(store_folder)}
    assert {label: (state.state, state.words) for label, state in found.items()} == {
        "baseA": ("done", ""),
        "baseB": ("failed", "the loss is nan"),
        "A1B": ("interrupted", "resumes from its checkpoint"),
        "B1B": ("blocked", "baseB failed: the loss is nan"),
    }
    assert found["baseB"].log == str(runs["baseB"].log_file)


def test_folders_of_a_store_that_are_no_runs_are_ignored(store_folder: Path):
    (store_folder / "notes").mkdir(parents=True)
    (store_folder / "A1B-random0-alexnet_small-0123456789ab").mkdir()
    (store_folder / "README-0123456789ab").write_text("")
    folder = store_folder / "A1B-random0-alexnet_small-ba9876543210"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"config": config_dict(make_runs(store_folder, ["A1B"])[1].config)})
    )

    assert look(store_folder) == []


# --- with SLURM ---------------------------------------------------------------------------------


def test_a_queued_run_has_its_reason_and_its_id(store_folder: Path, cluster: FakeCluster):
    submitted(store_folder, cluster)
    found = {
        state.label: (state.state, state.words, state.job) for state in look(store_folder, cluster)
    }

    assert found == {
        "baseA": ("queued", "Resources", "100_0"),
        "baseB": ("queued", "Resources", "100_1"),
        "A1B": ("queued", "Dependency", "101_0"),
        "B1B": ("queued", "Dependency", "102_0"),
    }


def test_a_job_without_a_reason_yet_waits_for_its_base_at_most(
    store_folder: Path, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
):
    submitted(store_folder, cluster, "A1B")
    queued = tuple(replace(entry, reason="None") for entry in cluster.queue(["100", "101"], []))
    monkeypatch.setattr(cluster, "queue", lambda *selected: queued)

    assert shown(store_folder, cluster) == {
        "baseA": ("queued", ""),
        "A1B": ("queued", "Dependency"),
    }


def test_a_task_that_has_just_started_is_running(store_folder: Path, cluster: FakeCluster):
    _, runs = submitted(store_folder, cluster)
    cluster.set("100_0", "RUNNING")
    assert shown(store_folder, cluster)["baseA"] == ("running", "starting")

    with trained(runs["baseA"], host="n1", pid=5):
        state = of(store_folder, "baseA", cluster)
    assert (state.words, state.job, state.step) == ("process 5 on n1", "100_0", 120)


def test_an_old_heartbeat_means_nothing_while_the_queue_knows_the_job(
    store_folder: Path, cluster: FakeCluster
):
    _, runs = submitted(store_folder, cluster)
    cluster.set("100_0", "RUNNING")
    old = "2020-01-01T00:00:00+0000"
    with trained(runs["baseA"], host="n1", pid=5, heartbeat=old):
        assert of(store_folder, "baseA", cluster).state == "running"
        cluster.forget("100")
        assert of(store_folder, "baseA", cluster).state == "stale"


def test_a_requeued_run_is_queued(store_folder: Path, cluster: FakeCluster):
    sweep, runs = submitted(store_folder, cluster, "baseA")
    (job,) = sweeps.jobs(sweep)
    sweeps.note(job, 0, queued_as="100_0", started="now", ended="now", code=75)

    assert shown(store_folder, cluster) == {"baseA": ("queued", "Resources")}


def test_a_failed_base_blocks_dependents_that_are_still_queued(
    store_folder: Path, cluster: FakeCluster
):
    sweep, runs = submitted(store_folder, cluster)
    job = sweeps.jobs(sweep)[0]
    cluster.jobs["100"].tasks[0] = "FAILED"
    fail(runs["baseA"], "baseA: the loss is nan")
    sweeps.note(job, 0, queued_as="100_0", started="now", ended="now", code=1)

    found = shown(store_folder, cluster)
    assert found["A1B"] == ("blocked", "baseA failed: baseA: the loss is nan, exit status 1")
    assert found["B1B"] == ("queued", "Dependency")
    cluster.set("100_0", "FAILED", "1:0")
    assert cluster.jobs["101"].tasks == {0: "CANCELLED"}
    assert shown(store_folder, cluster) == found
    state = of(store_folder, "baseA", cluster)
    assert (state.job, state.code, state.log) == ("100_0", 1, f"{job.folder}/0.log")


@pytest.mark.parametrize(
    ("ending", "note", "words"),
    [
        (("OUT_OF_MEMORY", "0:125"), {}, "SLURM reports OUT_OF_MEMORY 0:125"),
        (("OUT_OF_MEMORY", "0:125"), {"code": -9},
         "SLURM reports OUT_OF_MEMORY 0:125, killed by SIGKILL, perhaps out of memory"),
        (("TIMEOUT", ""), {"code": 75}, "SLURM reports TIMEOUT"),
        (("NODE_FAIL", ""), {"code": None}, "SLURM reports NODE_FAIL"),
        (("FAILED", "0:9"), {"code": None}, "SLURM reports FAILED 0:9"),
        (("FAILED", "2:0"), {"code": 2}, "exit status 2"),
        (("FAILED", "127:0"), {}, "SLURM reports FAILED 127:0"),  # the template's own mistake
    ],
)  # fmt: skip
def test_endings_that_a_job_cannot_record_are_reported_by_slurm(
    store_folder: Path,
    cluster: FakeCluster,
    ending: tuple[str, str],
    note: dict[str, Any],
    words: str,
):
    sweep, _ = submitted(store_folder, cluster, "baseA")
    cluster.set("100_0", *ending)
    if note:
        (job,) = sweeps.jobs(sweep)
        sweeps.note(job, 0, queued_as="100_0", started="now", **note)

    state = of(store_folder, "baseA", cluster)
    assert (state.state, state.words, state.job) == ("failed", words, "100_0")


def test_slurms_report_is_omitted_for_a_run_that_recorded_its_failure(
    store_folder: Path, cluster: FakeCluster
):
    _, runs = submitted(store_folder, cluster, "baseA")
    cluster.set("100_0", "FAILED", "1:0")
    fail(runs["baseA"], "the loss is nan")

    assert shown(store_folder, cluster) == {"baseA": ("failed", "the loss is nan")}


def test_a_cancelled_run_is_missing_or_interrupted(store_folder: Path, cluster: FakeCluster):
    sweep, runs = submitted(store_folder, cluster)
    run = runs["baseB"]
    run.folder.mkdir(parents=True)
    run.checkpoint_file.write_text("")
    sweeps.note(sweeps.jobs(sweep)[0], 1, queued_as="100_1", started="now", ended="now", code=75)
    queue.cancel(store_folder, cluster)

    assert shown(store_folder, cluster) == {
        "baseA": ("missing", "cancelled"),
        "baseB": ("interrupted", "cancelled, saved"),
        "A1B": ("missing", "cancelled"),
        "B1B": ("missing", "cancelled, waits for baseB, which is interrupted"),
    }


@pytest.mark.parametrize(
    ("ending", "note", "saved", "state", "words"),
    [
        (("CANCELLED", ""), {"code": None}, True, "interrupted",
         "cancelled, resumes from its checkpoint"),  # SIGKILL came while it saved
        (("CANCELLED", ""), {"code": None, "asked": 0.0}, True, "interrupted",
         "cancelled, saved"),  # and before its process exited
        (("CANCELLED", ""), {"code": None, "asked": 4e9}, True, "interrupted",
         "cancelled, resumes from its checkpoint"),
        (("CANCELLED", ""), {"code": None}, False, "interrupted",
         "cancelled before its first checkpoint"),
        (("FAILED", "75:0"), {"code": 75, "signals": ["SIGTERM"]}, True, "interrupted",
         "cancelled, saved"),  # scancel --full --signal=TERM
        (("FAILED", "75:0"), {"code": 75, "signals": ["SIGINT"]}, True, "interrupted",
         "cancelled, saved"),
        (("FAILED", "0:15"), {"code": 75}, True, "interrupted", "cancelled, saved"),
        (("FAILED", "0:10"), {"code": None}, True, "interrupted", "resumes from its checkpoint"),
        (("PREEMPTED", ""), {"code": 75, "signals": ["SIGTERM"]}, True, "interrupted",
         "preempted, saved"),
        (("TIMEOUT", ""), {"code": 75, "signals": ["SIGTERM", "SIGUSR1"]}, True, "interrupted",
         "reached its time limit, saved"),
        (("TIMEOUT", ""), {"code": None}, False, "failed", "SLURM reports TIMEOUT"),
        (("CANCELLED", ""), {"code": 1}, True, "failed", "exit status 1"),
    ],
)  # fmt: skip
def test_a_job_that_was_asked_to_stop_has_not_failed(
    store_folder: Path,
    cluster: FakeCluster,
    ending: tuple[str, str],
    note: dict[str, Any],
    saved: bool,
    state: str,
    words: str,
):
    sweep, runs = submitted(store_folder, cluster, "A1B")
    cluster.set("100_0", *ending)
    sweeps.note(sweeps.jobs(sweep)[0], 0, queued_as="100_0", started="now", **note)
    left_owner(runs["baseA"], step=12, total_steps=40)
    if saved:
        runs["baseA"].checkpoint_file.write_text("")

    assert shown(store_folder, cluster)["baseA"] == (state, words)
    assert shown(store_folder, cluster)["A1B"] == (
        ("blocked", f"baseA failed: {words}")
        if state == "failed"
        else ("missing", "cancelled, waits for baseA, which is interrupted")
    )


def test_a_forgotten_job_without_a_report_is_stale(store_folder: Path, cluster: FakeCluster):
    sweep, _ = submitted(store_folder, cluster, "A1B")
    sweeps.note(sweeps.jobs(sweep)[0], 0, queued_as="100_0", started="now", code=None)
    cluster.forget("100")
    cluster.forget("101")

    assert shown(store_folder, cluster) == {
        "baseA": ("stale", "its process died without reporting a result"),
        "A1B": ("blocked", "baseA is stale"),
    }


def test_a_run_that_is_submitted_again_has_the_latest_job(store_folder: Path, cluster: FakeCluster):
    sweep, runs = submitted(store_folder, cluster, "baseA")
    fail(runs["baseA"], "the loss is nan")
    cluster.set("100_0", "FAILED", "1:0")
    slurm.submit(sweep, sweep.runs(), cluster)

    assert of(store_folder, "baseA", cluster).job == "101_0"
    assert of(store_folder, "baseA", cluster).state == "queued"
    first, second = sweeps.jobs(sweep)
    assert of(store_folder, "baseA").log == str(second.log(0))


def test_a_run_whose_earlier_job_is_still_queued_is_queued(
    store_folder: Path, cluster: FakeCluster
):
    sweep, _ = submitted(store_folder, cluster, "baseA")
    job = sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs(), 1), sweeps.LOCAL))
    assert of(store_folder, "baseA").log == str(job.log(0))

    found = of(store_folder, "baseA", cluster)
    assert (found.state, found.job) == ("queued", "100_0")


def test_only_jobs_with_unfinished_runs_are_queried(store_folder: Path, cluster: FakeCluster):
    _, runs = submitted(store_folder, cluster, "A1B")
    finish(*runs.values())
    cluster.asked.clear()
    look(store_folder, cluster)

    assert cluster.asked == ["queue"]


def test_a_store_without_submissions_queries_no_cluster(store_folder: Path, cluster: FakeCluster):
    local_job(store_folder)
    look(store_folder, cluster)

    assert cluster.asked == []


# --- all of them --------------------------------------------------------------------------------


def test_runs_of_several_studies_are_listed_once(store_folder: Path):
    start(make_runs(store_folder, ["A1B"]), study="one")
    start(make_runs(store_folder, ["A1B", "B1B"]), study="two")

    assert [state.label for state in look(store_folder)] == ["baseA", "baseB", "A1B", "B1B"]
    assert [state.label for state in look(store_folder, study="one")] == ["baseA", "A1B"]


def test_the_count_has_all_states(store_folder: Path, cluster: FakeCluster):
    submitted(store_folder, cluster)

    assert status.count(look(store_folder, cluster)) == {
        "done": 0,
        "running": 0,
        "queued": 4,
        "failed": 0,
        "stale": 0,
        "interrupted": 0,
        "blocked": 0,
        "damaged": 0,
        "unreadable": 0,
        "missing": 0,
    }


def test_a_folder_that_is_no_store_and_an_unknown_study_are_errors(store_folder: Path):
    with pytest.raises(UserError) as error:
        look(store_folder)
    assert str(error.value) == (
        f"{store_folder} is not a store: name one with --store DIR, or fill it with "
        f"python -m transferlab sweep +study=quick runtime.store={store_folder}"
    )
    store_folder.mkdir()
    assert look(store_folder) == []
    with pytest.raises(UserError, match="study=figure2 was never started"):
        look(store_folder, study="figure2")


def test_a_damaged_sweep_is_named_and_hides_no_other(store_folder: Path):
    sweep = start(make_runs(store_folder), study="one")
    start(make_runs(store_folder, ["B5B"]), study="two")
    (sweep.folder / "runs.json").write_text("{")

    known = inventory.known_runs(store_folder)
    assert [entry.run.label for entry in known.runs] == ["baseB", "B5B"]
    assert [str(fault).partition(" ")[0] for fault in known.faults] == [
        str(sweep.folder / "runs.json")
    ]


def test_a_damaged_note_of_a_job_or_a_run_is_named(store_folder: Path):
    job, runs = local_job(store_folder, "baseA")
    run = runs["baseA"]
    run.folder.mkdir(parents=True)
    run.failure_file.write_text("[]")
    reason = f"{run.failure_file} is damaged (not a JSON object): delete it"
    assert shown(store_folder) == {"baseA": ("damaged", reason)}

    run.failure_file.unlink()
    job.task(0).write_text("3")
    reason = f"{job.task(0)} is damaged (not a JSON object): delete it"
    assert shown(store_folder) == {"baseA": ("damaged", reason)}


def test_thousands_of_runs_take_seconds(store_folder: Path, cluster: FakeCluster):
    first = make_runs(store_folder, ["A1B"])[1].config
    runs = plan.order(
        make_run(vary_config(first, {"seed": seed, "transfer.variant": variant, "transfer.n": n}))
        for seed in range(84)
        for variant in ("AnB", "BnB", "AnB+", "BnB+")
        for n in range(1, 8)
    )
    sweep = start(runs, make_slurm(), pack=None)
    slurm.submit(sweep, runs, cluster)
    for job in cluster.jobs.values():
        cluster.set(job.id, "FAILED" if job.need is None else "CANCELLED", "1:0")
    for run in runs[:75]:
        fail(run, "the loss is nan")
    started = time.process_time()  # whatever else the machine does

    counted = status.count(look(store_folder, cluster))

    assert time.process_time() - started < 5  # 0.5 s on most machines
    assert counted["failed"] == 168 and counted["blocked"] == 2352


def test_a_state_as_a_record_has_these_fields(store_folder: Path):
    local_job(store_folder, "baseA")
    (state,) = look(store_folder)

    assert status.as_record(state) == {
        "id": "7b42244434f7",
        "label": "baseA",
        "split": "random0",
        "state": "missing",
        "words": "",
        "job": None,
        "log": state.log,
        "code": None,
        "folder": f"{store_folder}/baseA-random0-alexnet_small-7b42244434f7",
        "step": None,
        "total_steps": None,
        "left_s": None,
        "edited": None,
    }
    assert os.path.dirname(str(state.log)).startswith(f"{store_folder}/.sweeps/quick-")
