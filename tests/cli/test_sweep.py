"""The command `sweep`: the keys of sweep, study and launcher, the printed plan, and what is
started."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import stores
from support.commandline import refused
from support.studies import finish, make_local

from transferlab import store
from transferlab.cli import sweep
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import plan, study
from transferlab.experiment.conf import CONF
from transferlab.experiment.cost.estimate import Estimate
from transferlab.experiment.cost.memory import Room
from transferlab.experiment.cost.networks import network_of
from transferlab.experiment.launcher import SlurmSettings
from transferlab.experiment.resolve import resolve_all
from transferlab.launch.cluster import require
from transferlab.launch.dispatch import Order
from transferlab.models.facts import Footprint, NetworkFacts, StageFacts

NO_LIMIT = Room({}, None)
# Two bases and 28 networks, on all images of digits
THIRTY = (
    "+study=quick", "split.seed=0", "transfer.variant=AnB,BnB,AnB+,BnB+",
    "transfer.n=range(1,8)", "data.per_class=null", "data.holdout=0.2", "train.epochs=15",
    "train.val_every=null",
)  # fmt: skip
COST = Estimate(0.256, 0.1, 0.5, "from 3 finished runs in the store")
Started = list[tuple[str, Order]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Records what is examined and started; nothing really is."""
    calls: Started = []

    def note(what: str, answer: object = None) -> object:
        return lambda wanted: calls.append((what, wanted)) or answer

    monkeypatch.setattr(sweep.logs, "to_stderr", lambda: None)
    monkeypatch.setattr(sweep.dispatch, "look", lambda wanted: replace(wanted, room=NO_LIMIT))
    for what, answer in (("cost", COST), ("train", None), ("submit", None)):
        monkeypatch.setattr(sweep.dispatch, what, note(what, answer))
    monkeypatch.setattr(sweep, "_print_finished", note("print"))
    monkeypatch.setattr(sweep.cluster, "require", lambda: None)  # whether SLURM is here or not
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=12_340_000_000))
    yield calls


def names(started: Started) -> list[str]:
    return [what for what, _ in started]


def done(runs: Path, *labels: str) -> None:
    """Have these runs of THIRTY finished."""
    configs = study.expand(study.load("quick"), [*THIRTY[1:], f"runtime.store={runs}"])
    finish(*(run for run in plan.order(resolve_all(configs)) if run.label in labels))


# --- the words ----------------------------------------------------------------------------------


def test_overrides_are_of_the_study_of_the_launcher_or_of_the_runs():
    words = [
        "+study=quick", "data=digits", "launcher=slurm", "launcher.base.time=1:00", "seed=0,1",
        "+sweep.pack=2", "dry_run=true", "split=whole", "+launcher.partition=gpu",
    ]  # fmt: skip

    assert sweep._sorted(words) == (
        "quick",
        [
            "launcher=slurm", "++launcher.base.time=1:00", "sweep.pack=2", "dry_run=true",
            "++launcher.partition=gpu",
        ],
        ["data=digits", "seed=0,1", "split=whole"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], f"missing study: choose one with +study=NAME, {', '.join(CONF.choices('study'))}"),
        (["launcher.jobs=2"], "missing study"),
        (["+study=quik"], "study=quik "),
        (["+study=quick,reduced"], "+study=quick,reduced is a list: study takes one value"),
        (["+study=quick", "-x"], "unrecognized arguments: -x; --help lists"),
        (
            ["+study=quick", "--multirun"],
            "sweep has no --multirun: it takes KEY=VALUE and --config-dir DIR",
        ),
        (["+study=quick", "hydra.job.chdir=true"], "hydra.job.chdir=true has no effect in a sweep"),
        (["+study=quick", "--config-dir", "none"], "--config-dir none is not a folder"),
        (["+study=quick", "~dry_run"], "~dry_run is not an override"),
        (["+study=quick", "launcher@x=local"], "launcher@x=local is not an override"),
        (["+study=quick", "dry_run"], "dry_run: missing EQUAL at '<EOF>'"),
        (["+study=quick", "dry_run=maybe"],
         "dry_run=maybe must be true or false"),
        (["+study=quick", "dry_run=1"], "dry_run=1 "),
        (["+study=quick", "dry_run=true,false"], "dry_run=true,false is a list: "),
        (["+study=quick", "sweep.pack=0"],
         "sweep.pack=0 must be auto or an integer of at least 1"),
        (["+study=quick", "sweep.pack=two"], "sweep.pack=two "),
        (["+study=quick", "sweep.pack=1.5"], "sweep.pack=1.5 "),
        (["+study=quick", "sweep.pack=true"], "sweep.pack=True "),
        (["+study=quick", "sweep.pack=1,2"], "sweep.pack=1,2 is a list: "),
        (["+study=quick", "sweep.pak=1"], "unknown key sweep.pak: did you mean sweep.pack?"),
        (["+study=quick", "sweep.dry_run=true"],
         "unknown key sweep.dry_run: did you mean dry_run?"),
        (["+study=quick", "launcher.dry_run=true"],
         "unknown key launcher.dry_run of launcher=local: did you mean dry_run?"),
        (["+study=quick", "--dry-run"], "unrecognized arguments: --dry-run; settings are keys "
         "without dashes: dry_run=VALUE"),
        (["--study", "quick"], "unrecognized arguments: --study; settings are keys without dashes: "
         "+study=VALUE"),
        (["+study=quick", "--partition=gpu"], "unrecognized arguments: --partition=gpu; settings "
         "are keys without dashes: launcher.partition=VALUE"),
        (["+study=quick", "launcher=slrm"], "launcher=slrm "),
        (["+study=quick", "launcher=local,slurm"], "launcher=local,slurm is a list: "),
        (["+study=quick", "launcher=slurm", "launcher.partitionn=x"], "launcher.partitionn "),
        (["+study=quick", "launcher.partition=x"], "launcher.partition "),
        (["+study=quick", "launcher.jobs=0"], "launcher.jobs=0 "),
        (["+study=quick", "launcher.jobs=1,2"], "launcher.jobs=1,2 is a list: "),
        (["+study=quick", "train.lrr=1"], "train.lrr "),
        (["+study=quick", "hydra/launcher=slurm"], "hydra/launcher "),
        (["+study=quick", "data=image_folder"], "data.root "),
        (["+study=quick", "runtime.store=a,b"], "runtime.store "),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_before_anything_is_printed(
    words: list[str], message: str, started: Started, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(UserError) as error:
        sweep.run(words)

    assert message.strip() in str(error.value)
    assert started == []
    assert capsys.readouterr().out == ""


def test_wrong_use_is_one_line_and_nothing_else(place: Path):
    assert refused(place, "sweep", "+study=quick", "sweep.pack=0").startswith("sweep.pack=0 ")


# --- what is said -------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_and_starts_nothing(
    runs: Path, started: Started, capsys: pytest.CaptureFixture[str]
):
    done(runs, "baseA", "A1B")

    assert sweep.run([*THIRTY, "dry_run=true", f"runtime.store={runs}"]) == 0

    assert names(started) == ["cost"]
    assert capsys.readouterr().out == (
        f"study quick: 30 runs (base 2, AnB 7, BnB 7, AnB+ 7, BnB+ 7)  in {runs}\n"
        "data: digits, 10 classes, 1,438 training images\n"
        "2 done, 28 to train\n"
        "wave 1: 14 runs in 3 jobs\n"
        "wave 2: 14 runs in 2 jobs\n"
        "about 0.26 hours of one device, from 3 finished runs in the store\n"
        f"disk: 0.10 GB, at most 0.50 GB while training; 12.3 GB free in {runs}\n"
    )


def test_a_study_is_planned_without_creating_its_store(
    runs: Path, capsys: pytest.CaptureFixture[str]
):
    sweep.run([*THIRTY, "dry_run=true", f"runtime.store={runs}", "sweep.pack=1"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[2:5] == [
        "0 done, 30 to train",
        "wave 1: 2 runs in 2 jobs",
        "wave 2: 28 runs in 28 jobs",
    ]
    assert lines[6].endswith(f"12.3 GB free in {runs.parent}")
    assert not runs.exists()


@pytest.mark.parametrize(
    ("pack", "jobs"), [("auto", 4), ("7", 4), ("100", 4), ("3", 12), ("2", 16), ("1", 28)]
)
def test_runs_are_packed_as_requested(
    runs: Path, pack: str, jobs: int, capsys: pytest.CaptureFixture[str]
):
    sweep.run([*THIRTY, "dry_run=true", f"runtime.store={runs}", f"sweep.pack={pack}"])

    assert f"wave 2: 28 runs in {jobs} jobs\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("hours", "said"), [(0.004, "0.00"), (0.996, "1.00"), (1.04, "1.0"), (12_345.6, "12,345.6")]
)
def test_hours_are_printed_as_exactly_as_they_are_known(
    runs: Path, hours: float, said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    monkeypatch.setattr(sweep.dispatch, "cost", lambda _: Estimate(hours, 1, 1, "a probe"))

    sweep.run([*THIRTY, "dry_run=true", f"runtime.store={runs}"])

    assert f"about {said} hours of one device, a probe\n" in capsys.readouterr().out


@pytest.mark.parametrize(("peak_gb", "warned"), [(12.3, False), (12.4, True)])
def test_too_little_disk_space_is_a_warning(
    runs: Path, peak_gb: float, warned: bool, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    monkeypatch.setattr(sweep.dispatch, "cost", lambda _: Estimate(1, 1, peak_gb, "a probe"))

    sweep.run([*THIRTY, "dry_run=true", f"runtime.store={runs}"])

    last = capsys.readouterr().out.splitlines()[-1]
    expected = "warning: there is not enough disk space; runs will fail when the disk is full"
    assert (last == expected) is warned


# --- what is said of memory ---------------------------------------------------------------------

BYTES = Footprint(kept=0, output=0, widest=0)
# Of a run 120 MB: ten million weights, frozen ones too
FACTS = NetworkFacts(
    tuple(
        StageFacts(name, 5_000_000 if name in "78" else 0, 0, BYTES, BYTES) for name in "12345678"
    ),
    None,
    None,
    None,
)


def said(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: int
) -> list[str]:
    """The lines after the waves and before what it takes, of quick with so many bytes."""

    def look(wanted: Order) -> Order:
        room = Room({network_of(run): FACTS for run in wanted.todo}, limit)
        return replace(wanted, room=room)

    monkeypatch.setattr(sweep.dispatch, "look", look)
    sweep.run([*THIRTY, "dry_run=true", f"runtime.store={runs}"])
    return capsys.readouterr().out.splitlines()[3:-2]


def test_packs_cut_to_memory_are_reported_with_the_largest(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    # Beyond the gigabyte 120 MB each for weights, gradients and momentum, and 40 MB for the update
    assert said(runs, monkeypatch, capsys, 1_700_000_000) == [
        "wave 1: 2 runs in 2 jobs",
        "wave 2: 28 runs in 8 jobs",
        "packs of at most 4 runs: 1.64 GB of 1.7 GB",
    ]


def test_packs_that_fit_are_not_reported(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert said(runs, monkeypatch, capsys, 4_000_000_000) == [
        "wave 1: 2 runs in 2 jobs",
        "wave 2: 28 runs in 4 jobs",
    ]


def test_a_run_that_does_not_fit_alone_is_a_warning(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert said(runs, monkeypatch, capsys, 1_010_000_000) == [
        "wave 1: 2 runs in 2 jobs",
        "wave 2: 28 runs in 28 jobs",
        "warning: baseA may not fit, and 29 more: it needs 1.16 GB of 1.01 GB; use a device with "
        "more memory, or divide the batch with runtime.devices",
    ]


# --- what is started ----------------------------------------------------------------------------


def test_a_study_is_trained_here_and_its_table_shown(runs: Path, started: Started):
    sweep.run([*THIRTY, f"runtime.store={runs}", "launcher.jobs=2", "seed=3"])

    assert names(started) == ["cost", "train", "print"]
    order = started[1][1]
    assert order.launcher == make_local(jobs=2)
    assert (order.study, order.pack, len(order.todo)) == ("quick", None, 30)
    assert {run.config.seed for run in order.runs} == {3}


def test_a_study_is_submitted_and_not_waited_for(runs: Path, started: Started):
    sweep.run([*THIRTY, f"runtime.store={runs}", "launcher=slurm", "sweep.pack=2"])

    assert names(started) == ["cost", "submit"]
    order = started[1][1]
    assert isinstance(order.launcher, SlurmSettings)
    assert order.pack == 2


def test_without_sbatch_the_study_is_refused_before_networks_are_measured(
    runs: Path, started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(sweep.cluster, "require", require)
    monkeypatch.setenv("PATH", str(tmp_path))
    command = [*THIRTY, f"runtime.store={runs}", "launcher=slurm"]

    with pytest.raises(UserError, match="^sbatch is not on the PATH: launcher=slurm needs"):
        sweep.run(command)
    assert names(started) == []
    sweep.run([*command, "dry_run=true"])
    assert names(started) == ["cost"]


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_a_study_that_is_done_starts_nothing_and_shows_its_table(
    runs: Path, started: Started, launcher: str, capsys: pytest.CaptureFixture[str]
):
    done(runs, "baseB")
    file = runs.parent / "one.yaml"
    file.write_text("- {split: random, transfer.variant: baseB}\n")

    sweep.run([f"+study={file}", f"runtime.store={runs}", f"launcher={launcher}"])

    assert names(started) == ["print"]
    assert capsys.readouterr().out == (
        f"study one: 1 runs (base 1)  in {runs}\n"
        "data: digits, 10 classes, 1,438 training images\nall 1 are done: nothing to do\n"
    )


def test_the_table_of_finished_runs_is_shown_even_if_others_failed(
    runs: Path, started: Started, monkeypatch: pytest.MonkeyPatch
):
    def fail(wanted: Order) -> None:
        raise RunFailed("2 of 30 runs are not done")

    monkeypatch.setattr(sweep.dispatch, "train", fail)

    with pytest.raises(RunFailed):
        sweep.run([*THIRTY, f"runtime.store={runs}"])
    assert names(started) == ["cost", "print"]


def test_the_table_has_the_finished_runs_and_marks_the_reused(
    runs: Path, started: Started, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    monkeypatch.undo()
    configs = study.expand(
        study.load("quick"), [*THIRTY[1:], f"runtime.store={runs}", "transfer.n=1"]
    )
    planned = plan.order(resolve_all(configs))
    for run in planned[:3]:
        store.create(run)
        store.finish(run, stores.record(run.config, 0.75, steps=7))

    sweep._print_finished(Order("quick", planned, planned[1:], make_local(), 1))

    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        ["baseA", "0.7500", "+0.5500"], ["baseB", "0.7500", "+0.5500"],
        ["A1B", "0.7500", "+0.5500"],
    ]  # fmt: skip
    assert ["reused" in row for row in rows] == [True, False, False]
