"""Hydra multiruns: by Hydra's own launcher as ever, by ours planned and carried out together."""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from support import stores
from support.commandline import TINY, start
from support.records import made_run
from support.studies import finish, make_local

from transferlab import store
from transferlab.cli import multirun, run
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import compose
from transferlab.experiment.cost import networks
from transferlab.experiment.cost.estimate import Estimate
from transferlab.experiment.cost.memory import Room
from transferlab.experiment.launcher import SlurmSettings
from transferlab.experiment.run import Run
from transferlab.launch import dispatch, inline
from transferlab.launch.dispatch import Order
from transferlab.launch.inline import FinishedRun
from transferlab.models.facts import Footprint, StageFacts
from transferlab.store import survey

FAKESLURM = Path(__file__).parents[1] / "support" / "fakeslurm"
TOP1 = {"baseA": 0.9, "baseB": 0.8, "A1B": 0.7, "A2B": 0.6}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store; networks are not measured, and nothing is logged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFERLAB_STORE", str(tmp_path / "runs"))
    monkeypatch.setattr(run.logs, "to_stderr", lambda: None)
    monkeypatch.setattr(dispatch, "look", lambda order: replace(order, room=Room({}, None)))
    monkeypatch.setattr(dispatch, "cost", lambda _: Estimate(1, 1, 1, "a probe"))
    return tmp_path / "runs"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """The orders to train; their runs finish immediately, with the accuracies of TOP1."""
    orders: list[Order] = []

    def train(wanted: Order) -> None:
        orders.append(wanted)
        for each in wanted.todo:
            record(each)

    monkeypatch.setattr(dispatch, "train", train)
    return orders


def record(wanted: Run) -> None:
    store.create(wanted)
    store.finish(wanted, stores.record(wanted.config, TOP1[wanted.label]))


def answers(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The return values of the jobs, as a sweeper sees them."""
    from hydra_plugins.transferlab_launchers import launchers

    values: list[float | None] = []
    original = launchers._Planned.launch

    def launch(self: Any, job_overrides: Any, initial_job_idx: int) -> Any:
        returned = original(self, job_overrides, initial_job_idx)
        values.extend(job.return_value for job in returned)
        return returned

    monkeypatch.setattr(launchers._Planned, "launch", launch)
    return values


BYTES = Footprint(kept=3000, output=1000, widest=2000)


def know_the_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill the cache with the facts of a probe, which would take seconds."""
    stages = [asdict(StageFacts(name, 1000, 1000, BYTES, BYTES)) for name in "12345678"]
    answer = {"stages": stages, "device_bytes": None, "s_per_mac": 1e-9, "device": "cpu"}
    monkeypatch.setattr(networks, "_probe", lambda *_, **__: [answer])
    tiny = made_run({"data.size": 16, "data.crop": 16})
    networks.facts([tiny], timed=True, threads=1, cache=cache)


def labels(runs: Iterable[Any]) -> str:
    return " ".join(run.label for run in runs)


@functools.cache
def launcher(*words: str) -> dict[str, Any]:
    """The settings of a launcher as Hydra makes them."""
    settings: dict[str, Any] = compose.compose("sweep", words)["launcher"]
    return settings


@pytest.fixture
def launched(config: Any) -> Callable[..., list[float | None]]:
    """What our launchers do with the jobs of a multirun, without Hydra, which composes each three
    times: in 0.3 s."""

    def launch(variants: str, *words: str, of: Sequence[str] = (), pack: object = "auto") -> Any:
        jobs = [config("+split=random", f"transfer.variant={name}", *of)
                for name in variants.split()]  # fmt: skip
        return multirun.launch(jobs, launcher(*words), pack)

    return launch


# --- Hydra's own launcher -----------------------------------------------------------------------


def test_hydras_own_launcher_carries_out_one_job_after_the_other(
    runs: Path, trained: list[Order], monkeypatch: pytest.MonkeyPatch
):
    jobs: list[str] = []

    def carry_out(runs: Sequence[Run]) -> tuple[FinishedRun, ...]:
        (wanted,) = runs
        jobs.append(wanted.label)
        record(wanted)
        return (inline.finished(wanted, reused=False),)

    monkeypatch.setattr(inline, "carry_out", carry_out)

    assert run.run(["-m", "+split=random", "transfer.variant=A1B,A1B"]) == 0

    assert jobs == ["A1B", "A1B"]
    assert trained == []


def test_what_hydra_makes_in_a_groups_store_is_the_groups(
    runs: Path, monkeypatch: pytest.MonkeyPatch
):
    def carry_out(runs: Sequence[Run]) -> tuple[FinishedRun, ...]:
        raise UserError("enough")

    monkeypatch.setattr(inline, "carry_out", carry_out)
    runs.mkdir()
    runs.chmod(0o2775)
    earlier = os.umask(0o022)
    try:
        with pytest.raises(UserError, match="of the runs failed"):
            run.run(["-m", "+split=random", "transfer.variant=baseB"])
    finally:
        os.umask(earlier)

    made = {path.name: path.stat().st_mode & 0o2060 for path in runs.rglob("*")}
    assert {".multirun", "multirun.yaml"} < {*made}
    assert made.pop("multirun.yaml") == 0o060
    assert {*made.values()} == {0o2060}


# --- hydra/launcher=local -----------------------------------------------------------------------


def test_a_multirun_is_one_plan_in_which_every_run_comes_once(
    runs: Path,
    trained: list[Order],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """The sweeper gets the accuracy of each of its jobs, in their order."""
    values = answers(monkeypatch)
    words = ["-m", "split=random", "transfer.variant=A1B,baseB,A2B,A1B"]

    assert run.run([*words, "hydra/launcher=local", "hydra.launcher.jobs=2"]) == 0

    (order,) = trained
    assert values == [0.7, 0.8, 0.6, 0.7]
    assert labels(order.runs) == "baseA baseB A1B A2B"
    assert order.launcher == make_local(jobs=2)
    assert [pack.labels for pack in order.packs] == ["baseA", "baseB", "A1B A2B"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        f"study multirun: 4 runs (base 2, AnB 2)  in {runs}",
        "data: digits, 10 classes, 1,438 training images",
        "0 done, 4 to train",
        "wave 1: 2 runs in 2 jobs",
        "wave 2: 2 runs in 1 jobs",
    ]
    assert [line.split()[:2] for line in lines[-4:]] == [
        ["baseA", "0.9000"], ["baseB", "0.8000"], ["A1B", "0.7000"], ["A2B", "0.6000"],
    ]  # fmt: skip


def test_finished_runs_are_answered_from_the_store(
    runs: Path, trained: list[Order], launched: Callable[..., Any]
):
    launched("A1B baseA")

    assert launched("A1B baseA") == [0.7, 0.9]
    assert len(trained) == 1


def test_packs_are_as_large_as_requested(
    runs: Path, trained: list[Order], launched: Callable[..., Any]
):
    launched("A1B A2B", pack=1)

    assert [pack.labels for pack in trained[0].packs] == ["baseA", "A1B", "A2B"]


def test_a_relative_store_is_below_the_working_directory(
    runs: Path, trained: list[Order], launched: Callable[..., Any]
):
    """A worker may start elsewhere."""
    launched("baseA", of=["runtime.store=mine"])

    assert trained[0].store == runs.parent / "mine"
    assert trained[0].store.is_absolute()


def test_runs_that_are_not_done_fail_the_command(
    runs: Path, monkeypatch: pytest.MonkeyPatch, launched: Callable[..., Any]
):
    def fail(wanted: Order) -> None:
        record(wanted.todo[0])
        raise RunFailed("1 of 2 runs are not done")

    monkeypatch.setattr(dispatch, "train", fail)

    with pytest.raises(RunFailed, match="1 of 2 runs are not done"):
        launched("baseA baseB")


def test_a_wrong_value_of_a_launcher_is_refused(
    runs: Path, trained: list[Order], launched: Callable[..., Any]
):
    with pytest.raises(UserError, match=r"^launcher\.jobs=0 "):
        launched("baseA", "launcher.jobs=0")
    assert trained == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["transfer.n=x"], "transfer.n=x "),
        (["transfer.n=1", "+hydra.launcher.job=2"], "launcher.job "),
        (["transfer.n=1", "hydra.launcher.pack_size=none"], "sweep.pack=none "),
        (["transfer.n=1", "runtime.store=a,b"], "runtime.store "),
    ],
)
def test_a_wrong_value_of_one_job_is_refused_before_any_is_started(
    runs: Path, trained: list[Order], words: list[str], message: str
):
    with pytest.raises(UserError) as error:
        run.run(["-m", "+split=random", "hydra/launcher=local", *words])

    assert message.strip() in str(error.value)
    assert trained == []


# --- hydra/launcher=slurm -----------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The calls of the fake SLURM commands, a line a job."""
    monkeypatch.setenv("PATH", f"{FAKESLURM}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKESLURM", str(tmp_path))
    return tmp_path / "asked"


SUBMITTED = ["-m", "+split=random", "transfer.variant=AnB,BnB", "transfer.n=1,2",
             "hydra/launcher=slurm", "hydra.launcher.partition=gpu",
             "hydra.launcher.base.time=48:00:00"]  # fmt: skip


def options(line: str) -> dict[str, str]:
    words = (word.partition("=") for word in line.split() if word.startswith("--"))
    return {name.removeprefix("--"): value for name, _, value in words}


def test_a_multirun_is_submitted_bases_first_and_returns(
    runs: Path, asked: Path, trained: list[Order], monkeypatch: pytest.MonkeyPatch
):
    values = answers(monkeypatch)

    assert run.run(SUBMITTED) == 0

    bases, from_a, from_b = (options(line) for line in asked.read_text().splitlines())
    assert (bases["array"], bases["time"], bases["partition"]) == ("0-1", "48:00:00", "gpu")
    assert "dependency" not in bases
    assert (from_a["array"], from_a["time"]) == ("0-0", "24:00:00")
    assert (from_a["dependency"], from_b["dependency"]) == ("afterok:1_0", "afterok:1_1")
    assert trained == []
    assert values == [None] * 4
    (sweep,) = survey.require(runs).sweeps
    assert isinstance(sweep.launcher, SlurmSettings)
    assert labels(sweep.runs()) == "baseA baseB A1B A2B B1B B2B"


def test_the_same_multirun_again_submits_nothing_that_is_queued(
    runs: Path, asked: Path, launched: Callable[..., Any]
):
    for _ in range(2):
        launched("A1B A2B B1B B2B", "launcher=slurm")

    assert len(asked.read_text().splitlines()) == 3


def test_bases_that_are_finished_are_not_waited_for(
    runs: Path, asked: Path, launched: Callable[..., Any]
):
    launched("A1B A2B B1B B2B", "launcher=slurm")
    (sweep,) = survey.require(runs).sweeps
    asked.unlink()
    (runs.parent / "queue").unlink()
    finish(*(run for run in sweep.runs() if run.label.startswith("base")))

    launched("A1B A2B B1B B2B", "launcher=slurm")

    jobs = [options(line) for line in asked.read_text().splitlines()]
    assert [job["array"] for job in jobs] == ["0-1"]
    assert "dependency" not in jobs[0]


# --- as processes -------------------------------------------------------------------------------


def test_two_multiruns_that_start_together_train_each_run_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
):
    """In one store, with a base that both want; each shows its own table."""
    know_the_network(place.parent / "cache", monkeypatch)
    words = ["-m", *TINY, "hydra/launcher=local"]
    wanted = ("transfer.variant=A1B", "transfer.variant=baseA,A1B")

    processes = [start(place, *words, variants) for variants in wanted]
    ended = [process.communicate(timeout=300) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], ended
    assert len(list((place.parent / "cache" / "networks").iterdir())) == 3  # nobody had to look
    for out, _ in ended:
        assert [line.split()[0] for line in out.splitlines()[-2:]] == ["baseA", "A1B"]
    folder = place.parent / "store"
    logs = {path.parent.name.split("-")[0]: path.read_text() for path in folder.glob("*/log.txt")}
    assert {label: text.count("  step 20/20") for label, text in logs.items()} == {
        "baseA": 1, "A1B": 1,
    }  # fmt: skip
    assert len(list((folder / ".multirun").iterdir())) == 2
    assert list(place.iterdir()) == []  # nothing appears where the user stands
