"""The commands `status`, `retry` and `cancel`, on stores made by hand and a cluster in memory."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.commandline import call, refused
from support.fake_cluster import FakeCluster
from support.studies import by_label, finish, make_local, make_runs, start

from transferlab import store
from transferlab.cli import cancel, retry, status
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment import plan
from transferlab.experiment.run import Run
from transferlab.launch import dispatch, slurm
from transferlab.launch.dispatch import Order
from transferlab.runtime import files, logs
from transferlab.store import survey, sweeps
from transferlab.store.sweeps import Sweep

Shell = Callable[..., list[str]]


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    """The store."""
    return tmp_path / "store"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Replaces SLURM in the commands."""
    fake = FakeCluster()
    for module in (status, cancel, dispatch):
        monkeypatch.setattr(module, "SlurmCluster", lambda: fake)
    return fake


@pytest.fixture
def shown(store_folder: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """What `status` prints on stdout, its lines."""

    def show(*arguments: str) -> list[str]:
        capsys.readouterr()
        assert status.run(["--store", str(store_folder), *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    return show


def story(store_folder: Path, cluster: FakeCluster) -> tuple[Sweep, dict[str, Run]]:
    """baseA done, A1B and A2B wait; baseB failed, and B1B is blocked."""
    sweep = start(make_runs(store_folder))
    runs = by_label(sweep.runs())
    slurm.submit(sweep, sweep.runs(), cluster)
    finish(runs["baseA"])
    cluster.set("100_0", "COMPLETED")
    fail(sweep, runs["baseB"], "baseB: the loss is nan")
    cluster.set("100_1", "FAILED", "1:0")
    return sweep, runs


def fail(sweep: Sweep, run: Run, error: str) -> None:
    """As a task of its job does that failed of that."""
    store.note_failure(run, error)
    for job in sweeps.jobs(sweep):
        for task, pack in enumerate(job.packs):
            if run.id in pack:
                sweeps.note(job, task, started="now", ended="now", code=1)


def log_of(sweep: Sweep, role: str, task: int) -> Path:
    (job,) = [job for job in sweeps.jobs(sweep) if job.role == role]
    return job.log(task)


# --- status -------------------------------------------------------------------------------------


def test_counts_come_first_and_then_a_line_for_every_run_that_is_not_done(
    store_folder: Path, cluster: FakeCluster, shown: Shell
):
    sweep, _ = story(store_folder, cluster)

    assert shown() == [
        "1 done, 2 queued, 1 failed, 1 blocked",
        "failed   baseB random0  100_1  baseB: the loss is nan, exit status 1; see "
        f"{log_of(sweep, 'base', 1)}",
        "queued   A1B random0    101_0  Resources",
        "queued   A2B random0    101_1  Resources",
        "blocked  B1B random0           baseB failed: baseB: the loss is nan, exit status 1",
    ]


def test_progress_has_the_steps_and_the_time_left(
    store_folder: Path, shown: Shell, monkeypatch: pytest.MonkeyPatch
):
    runs = by_label(make_runs(store_folder, ["A1B", "baseB"]))
    start(tuple(runs.values()), make_local())
    owner = {"host": "n1", "pid": 7, "heartbeat": files.now()}
    progress = {"step": 120, "total_steps": 660, "left_s": 3675.2}
    for label, more in (("baseA", progress), ("baseB", {})):
        run = runs[label]
        run.folder.mkdir(parents=True)
        files.write_json(run.owner_file, {**owner, **more})
    monkeypatch.setattr(store, "is_owned", lambda run: True)

    assert shown() == [
        "2 running, 1 missing",
        "running  baseA random0  120/660 1:01:15 left  process 7 on n1",
        "running  baseB random0                        process 7 on n1",
        "missing  A1B random0",
    ]


def test_runs_that_need_attention_come_before_those_that_wait(store_folder: Path, shown: Shell):
    sweep = start(make_runs(store_folder, ["A1B", "R1B"]), make_local())
    store.note_failure(by_label(sweep.runs())["R1B"], "the loss is nan")

    assert [line.split()[:2] for line in shown()[1:]] == [
        ["failed", "R1B"],
        ["missing", "baseA"],
        ["missing", "A1B"],
    ]


def test_runs_of_one_name_are_distinguished_by_their_ids(store_folder: Path, shown: Shell):
    first, second = (make_runs(store_folder, ["baseA"], train__lr=lr) for lr in (0.1, 0.2))
    other = make_runs(store_folder, ["baseB"])
    start((*first, *second, *other), make_local())

    assert shown() == [
        "3 missing",
        f"missing  baseA random0  {first[0].id}",
        f"missing  baseA random0  {second[0].id}",
        "missing  baseB random0",
    ]


def test_one_study_can_be_selected(store_folder: Path, shown: Shell):
    start(make_runs(store_folder, ["A1B"]), make_local(), study="one")
    start(make_runs(store_folder, ["baseB"]), make_local(), study="two")

    assert shown("--study", "one") == [
        "2 missing",
        "missing  baseA random0",
        "missing  A1B random0",
    ]
    with pytest.raises(UserError, match=r"^study=three was never started .* one, two$"):
        shown("--study=three")


def test_an_empty_store_has_no_runs_and_a_finished_one_only_a_count(
    store_folder: Path, shown: Shell
):
    store_folder.mkdir()
    assert shown() == ["no runs"]
    runs = make_runs(store_folder)
    start(runs, make_local())
    finish(*runs)
    assert shown() == ["5 done"]


def test_json_has_the_counts_and_all_runs(store_folder: Path, cluster: FakeCluster, shown: Shell):
    sweep, runs = story(store_folder, cluster)
    told = json.loads("\n".join(shown("--json")))

    assert told["counts"] == {
        "done": 1, "running": 0, "queued": 2, "failed": 1, "stale": 0, "interrupted": 0,
        "blocked": 1, "missing": 0, "damaged": 0, "unreadable": 0,
    }  # fmt: skip
    assert [run["label"] for run in told["runs"]] == ["baseA", "baseB", "A1B", "A2B", "B1B"]
    assert told["runs"][1] == {
        "id": runs["baseB"].id,
        "label": "baseB",
        "split": "random0",
        "state": "failed",
        "words": "baseB: the loss is nan, exit status 1",
        "job": "100_1",
        "log": str(log_of(sweep, "base", 1)),
        "code": 1,
        "folder": str(runs["baseB"].folder),
        "step": None,
        "total_steps": None,
        "left_s": None,
        "edited": None,
    }


def test_without_an_answer_from_the_queue_the_store_is_shown(
    store_folder: Path, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    story(store_folder, cluster)
    cluster.down = True
    capsys.readouterr()

    assert status.run(["--store", str(store_folder)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "1 done, 1 failed, 1 blocked, 2 missing"
    assert err.splitlines() == [
        "cannot query the queue, showing what the store records: squeue: Unable to contact "
        "slurm controller (connect failure)",
        f"to retry: python -m transferlab retry --store {store_folder}",
    ]


def test_without_slurm_jobs_no_queue_is_queried(
    store_folder: Path, cluster: FakeCluster, shown: Shell
):
    start(make_runs(store_folder), make_local())
    cluster.down = True
    shown()

    assert cluster.asked == []


def test_watching_ends_when_nothing_runs_or_waits(
    store_folder: Path, cluster: FakeCluster, shown: Shell, monkeypatch: pytest.MonkeyPatch
):
    sweep = start(make_runs(store_folder, ["baseA"]))
    slurm.submit(sweep, sweep.runs(), cluster)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            cluster.set("100", "RUNNING")
        else:
            finish(*sweep.runs())
            cluster.set("100", "COMPLETED")

    monkeypatch.setattr(status.time, "sleep", sleep)

    assert shown("--watch") == [
        "1 queued",
        "queued  baseA random0  100_0  Resources",
        "1 running",
        "running  baseA random0  100_0  starting",
        "1 done",
    ]
    assert pauses == [status.EVERY_WITH_SLURM_S] * 2


def test_watching_ends_well_on_ctrl_c_whenever_it_comes(
    store_folder: Path, shown: Shell, monkeypatch: pytest.MonkeyPatch
):
    start(make_runs(store_folder, ["baseA"]), make_local())

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "look", interrupted)
    assert shown("--watch") == []


def test_on_a_terminal_watching_shows_what_fits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: (20, 5))
    lines = ["9 missing", *(f"missing  A{n}B random0 with more" for n in range(9))]

    assert status._screen(lines) == [
        "9 missing",
        "missing  A0B rand...",
        "missing  A1B rand...",
        "and 7 more",
    ]
    assert status._screen(lines[:4])[-1] == "missing  A2B rand..."


# --- retry --------------------------------------------------------------------------------------


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """The orders that are to be trained here: the study, and the labels."""
    orders: list[tuple[str, list[str]]] = []

    def train(order: Order) -> None:
        orders.append((order.study, [run.label for run in order.todo]))

    monkeypatch.setattr(dispatch, "train", train)
    return orders


def again(store_folder: Path, *arguments: str) -> int:
    return retry.run(["--store", str(store_folder), *arguments])


@pytest.mark.parametrize(("pack", "looked"), [(1, 0), (None, 1)])
def test_retried_packs_are_cut_to_memory(
    store_folder: Path, trained: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch,
    pack: int | None, looked: int,
):  # fmt: skip
    calls: list[Order] = []
    monkeypatch.setattr(dispatch, "look", lambda order: calls.append(order) or order)
    sweep = start(make_runs(store_folder, ["baseA"]), make_local(), pack=pack)
    fail(sweep, sweep.runs()[0], "the loss is nan")

    again(store_folder)

    assert len(calls) == looked
    assert trained == [("quick", ["baseA"])]


def local_story(store_folder: Path, study: str = "quick", **changes: Any) -> dict[str, Run]:
    """baseA failed; baseB is stale; A1B, A2B and B1B are blocked, R1B is missing, R2B failed."""
    sweep = start(
        make_runs(store_folder, ["A1B", "A2B", "B1B", "R1B", "R2B"], **changes),
        make_local(),
        study=study,
    )
    sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), sweeps.LOCAL))
    runs = by_label(sweep.runs())
    fail(sweep, runs["baseA"], "the loss is nan")
    fail(sweep, runs["R2B"], "the loss is nan")
    run = runs["baseB"]
    run.folder.mkdir(parents=True)
    files.write_json(run.owner_file, {"host": "n1", "pid": 5, "heartbeat": files.now()})
    return runs


@pytest.mark.parametrize(
    ("flags", "labels"),
    [
        ([], ["baseA", "baseB", "A1B", "A2B", "B1B", "R2B"]),
        (["--failed", "--stale"], ["baseA", "baseB", "A1B", "A2B", "B1B", "R2B"]),
        (["--failed"], ["baseA", "A1B", "A2B", "R2B"]),
        (["--stale"], ["baseB", "B1B"]),
    ],
)
def test_failed_and_stale_runs_are_retried_with_the_runs_they_block(
    store_folder: Path,
    trained: list[tuple[str, list[str]]],
    flags: Sequence[str],
    labels: list[str],
):
    local_story(store_folder)

    assert again(store_folder, *flags) == 0
    ((study, found),) = trained
    assert (study, sorted(found)) == ("quick", sorted(labels))


def test_an_interrupted_base_is_retried_with_the_runs_that_wait_for_it(
    store_folder: Path, trained: list[tuple[str, list[str]]]
):
    sweep = start(make_runs(store_folder, ["A1B", "R1B"]), make_local())
    job = sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), sweeps.LOCAL))
    sweeps.note(job, 0, started="now", ended="now", code=75, signals=["SIGTERM"])

    assert again(store_folder) == 0
    assert trained == [("quick", ["baseA", "A1B"])]


def test_it_is_launched_as_its_sweep_was(
    store_folder: Path, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    sweep, runs = story(store_folder, cluster)
    capsys.readouterr()

    assert again(store_folder) == 0

    jobs = [(job.id, job.need, len(job.tasks)) for job in cluster.jobs.values()]
    assert jobs[3:] == [("103", None, 1), ("104", "103_0", 1)]
    assert [found.folder for found in survey.require(store_folder).sweeps] == [sweep.folder]
    assert capsys.readouterr().err.splitlines()[0] == "study quick: retrying 2 runs: baseB B1B"
    assert again(store_folder) == 0  # they wait by now
    assert len(cluster.jobs) == 5
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"no run in {store_folder} is failed or stale or interrupted"
    )


def test_one_study_can_be_retried(store_folder: Path, trained: list[tuple[str, list[str]]]):
    local_story(store_folder, "one")
    local_story(store_folder, "two", seed=1)
    again(store_folder, "--study", "two", "--stale")

    assert trained == [("two", ["baseB", "B1B"])]


def test_a_study_that_fails_again_does_not_stop_the_others(
    store_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    local_story(store_folder, "one")
    local_story(store_folder, "two", seed=1)
    tried: list[str] = []

    def train(order: Order) -> None:
        tried.append(order.study)
        raise RunFailed(f"{order.study}: 3 of 7 runs are not done")

    monkeypatch.setattr(dispatch, "train", train)
    with pytest.raises(RunFailed) as error:
        again(store_folder)
    assert tried == ["one", "two"]
    assert str(error.value) == "one: 3 of 7 runs are not done; two: 3 of 7 runs are not done"


def test_ctrl_c_ends_it(store_folder: Path, monkeypatch: pytest.MonkeyPatch):
    local_story(store_folder, "one")
    local_story(store_folder, "two", seed=1)

    def train(order: Order) -> None:
        raise Interrupted("stopped")

    monkeypatch.setattr(dispatch, "train", train)
    with pytest.raises(Interrupted):
        again(store_folder)


def test_a_run_without_a_sweep_is_for_its_own_command(
    store_folder: Path, trained: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
):
    (run,) = make_runs(store_folder, ["baseA"])
    run.folder.mkdir(parents=True)
    store.create(run)
    store.note_failure(run, "the loss is nan")
    capsys.readouterr()

    assert again(store_folder) == 0
    assert trained == []
    err = capsys.readouterr().err
    assert err.startswith(
        f"{run.folder} was started on its own: to resume it, run python -m transferlab "
        "+split=random "
    )
    assert f" runtime.store={store_folder} " in err and " transfer.target=A" in err


# --- cancel -------------------------------------------------------------------------------------


def test_cancel_names_the_jobs_that_it_cancels(
    store_folder: Path, cluster: FakeCluster, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    other = start(make_runs(tmp_path / "other", ["baseA"]))
    slurm.submit(other, other.runs(), cluster)
    sweep = start(make_runs(store_folder, ["A1B"]))
    slurm.submit(sweep, sweep.runs(), cluster)
    base, transfer = (job.name for job in sweeps.jobs(sweep))
    cluster.set("101", "RUNNING")
    capsys.readouterr()

    assert cancel.run(["--store", str(store_folder)]) == 0
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["101_0", base, "was", "running"],
        ["102_0", transfer, "was", "pending"],
    ]
    assert err == f"cancelled 2 tasks of {store_folder}\n"
    assert [job.tasks[0] for job in cluster.jobs.values()] == ["PENDING", "CANCELLED", "CANCELLED"]


def test_cancel_names_the_jobs_of_others(
    store_folder: Path, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
):
    sweep = start(make_runs(store_folder, ["baseA"]))
    slurm.submit(sweep, sweep.runs(), cluster)
    (job,) = sweeps.jobs(sweep)
    cluster.owners["100"] = 4321
    capsys.readouterr()

    assert cancel.run(["--store", str(store_folder)]) == 1
    assert capsys.readouterr().err == (
        f"cancelled 0 tasks of {store_folder}\n"
        f"job 100  {job.name} belongs to user4321, who alone can cancel it\n"
    )


def test_a_folder_that_is_no_store_is_left_as_it_is(store_folder: Path, cluster: FakeCluster):
    for command in (cancel, retry, status):
        with pytest.raises(UserError, match="is not a store: name one with --store DIR"):
            command.run(["--store", str(store_folder)])
    assert not store_folder.exists()


# --- from the command line ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "--stor=x"], "unrecognized arguments: --stor=x; usage: python -m transferlab "
         "status [-h] [--store DIR] [--study NAME] [--watch] [--json]"),
        (["status", "--study"], "argument --study: expected one argument; usage: "),
        (["retry", "--all"], "unrecognized arguments: --all; usage: python -m transferlab retry "),
        (["cancel", "quick"], "unrecognized arguments: quick; usage: python -m transferlab cancel"),
        (["status", "--store", "/nowhere"], "/nowhere is not a store: name one with --store DIR, "
         "or fill it with python -m transferlab sweep +study=quick runtime.store=/nowhere"),
        (["retry", "--store", "/nowhere"], "/nowhere is not a store"),
        (["cancel", "--store", "/nowhere"], "/nowhere is not a store"),
    ],
)  # fmt: skip
def test_wrong_use_is_refused_in_one_line(tmp_path: Path, arguments: list[str], message: str):
    (tmp_path / "here").mkdir()

    assert refused(tmp_path / "here", *arguments).startswith(message)


def test_status_and_help_take_no_torch_and_no_second(tmp_path: Path, store_folder: Path):
    (tmp_path / "here").mkdir()
    start(make_runs(store_folder), make_local())

    code, out, err = call(tmp_path / "here", "status")
    assert (code, out.splitlines()[0], err) == (0, "5 missing", "")
    code, out, _ = call(tmp_path / "here", "status", "--help")
    assert code == 0 and "--watch" in out and "TRANSFERLAB_STORE" in out


def test_a_missing_folder_of_a_job_is_refused(tmp_path: Path):
    (tmp_path / "here").mkdir()

    assert "/nowhere/job.json is damaged" in refused(tmp_path / "here", "work", "/nowhere")


def test_messages_go_to_whatever_is_stderr_at_the_moment(capsys: pytest.CaptureFixture[str]):
    logs.to_stderr()
    status.log.warning("now")

    assert capsys.readouterr().err == "now\n"
