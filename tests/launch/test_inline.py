"""A plan carried out in this process, with a fake training: what it trains, and when."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.records import made
from support.stores import record

from transferlab import store
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run, make_run
from transferlab.launch import inline


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """An A3B, which needs baseA."""
    return make_run(made({"runtime.store": f"{tmp_path}/runs"}))


@pytest.fixture
def base(run: Run) -> Run:
    assert run.base is not None
    return run.base


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the runs as they are trained, each by an owner."""
    labels: list[str] = []

    def train(runs: Sequence[Run], stop: object) -> None:
        for run in runs:
            assert {path.name for path in run.folder.iterdir()} == {
                "lock",
                "lock.holder",
                "owner.json",
            }
            store.create(run)
            store.finish(run, record(run.config, 0.5))
            labels.append(run.label)

    fake_run(monkeypatch, train)
    return labels


def fake_run(
    monkeypatch: pytest.MonkeyPatch,
    train: Callable[[Sequence[Run], object], None],
    check: Callable[[Sequence[Run]], object] = len,
) -> None:
    """Replace `transferlab.training.run`, which takes seconds to import."""
    module = SimpleNamespace(check=check, train_pack=train)
    monkeypatch.setitem(sys.modules, "transferlab.training.run", module)  # type: ignore[arg-type]


def never(runs: Sequence[Run], stop: object) -> None:
    pytest.fail("nothing is to be trained")


def test_base_is_trained_first_and_each_run_by_its_owner(run: Run, trained: list[str]):
    finished = inline.carry_out([run])

    assert trained == ["baseA", "A3B"]
    assert [(each.run.label, each.reused) for each in finished] == [
        ("baseA", False),
        ("A3B", False),
    ]
    assert finished[1].run == run
    assert finished[1].result == store.read_result(run)


def test_finished_runs_are_not_trained_again(
    run: Run, trained: list[str], monkeypatch: pytest.MonkeyPatch
):
    inline.carry_out([run])
    fake_run(monkeypatch, never)

    assert [each.reused for each in inline.carry_out([run])] == [True, True]
    assert len(trained) == 2


def test_a_run_that_is_waited_for_is_left_alone_and_not_trained_once_it_is_finished(
    run: Run, trained: list[str], monkeypatch: pytest.MonkeyPatch
):
    """The other process is just making the folder: whatever is written there is its own."""
    owned = store.owned

    @contextlib.contextmanager
    def owned_by_another_first(
        wanted: Run, on_wait: Callable[[str], None], **more: Any
    ) -> Iterator[None]:
        if wanted == run:
            assert not run.folder.exists()
            on_wait("process 7 on elsewhere")
            store.create(run)
            store.finish(run, record(run.config, 0.5))
        with owned(wanted, on_wait, **more):
            yield

    monkeypatch.setattr(store, "owned", owned_by_another_first)

    finished = inline.carry_out([run])

    assert trained == ["baseA"]
    assert [each.run.label for each in finished] == ["baseA", "A3B"]
    assert finished[1].result["id"] == run.id


@pytest.mark.parametrize("kind", [UserError, RunFailed])
def test_a_failure_is_recorded_in_the_folder_and_raised(
    run: Run, base: Run, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
):
    def fail(runs: Sequence[Run], stop: object) -> None:
        raise kind("the loss is nan")

    fake_run(monkeypatch, fail)
    with pytest.raises(kind, match="the loss is nan"):
        inline.carry_out([run])

    assert json.loads(base.failure_file.read_text())["error"] == "the loss is nan"
    assert {path.name for path in base.folder.iterdir()} == {"failure.json", "lock"}
    assert not run.folder.exists()


def test_a_defect_is_recorded_with_its_type(run: Run, base: Run, monkeypatch: pytest.MonkeyPatch):
    def fail(runs: Sequence[Run], stop: object) -> None:
        raise ZeroDivisionError("division by zero")

    fake_run(monkeypatch, fail)
    with pytest.raises(ZeroDivisionError):
        inline.carry_out([run])

    error = json.loads(base.failure_file.read_text())["error"]
    assert error == "ZeroDivisionError: division by zero"


def test_a_pack_that_fails_leaves_its_finished_members_alone(
    run: Run, base: Run, monkeypatch: pytest.MonkeyPatch
):
    def finish_one_and_fail(runs: Sequence[Run], stop: object) -> None:
        store.finish(runs[0], record(runs[0].config, 0.5))
        raise RunFailed("A3B: the loss is nan")

    fake_run(monkeypatch, finish_one_and_fail)
    monkeypatch.setattr(inline.plan, "packs", lambda runs: (Pack(tuple(runs)),))
    with pytest.raises(RunFailed):
        inline.carry_out([run])

    assert not base.failure_file.exists()
    assert run.failure_file.exists()


def test_a_signal_between_two_runs_stops_the_plan(run: Run, monkeypatch: pytest.MonkeyPatch):
    done: list[str] = []

    def train(runs: Sequence[Run], stop: Any) -> None:
        store.finish(runs[0], record(runs[0].config, 0.5))
        done.append(runs[0].label)
        stop.number = 15

    fake_run(monkeypatch, train)

    with pytest.raises(Interrupted):
        inline.carry_out([run])
    assert done == ["baseA"]
    assert not run.folder.exists()


def test_all_runs_are_checked_before_the_first_is_trained_or_has_a_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    checked: list[str] = []

    def check(runs: Sequence[Run]) -> None:
        checked.extend(run.label for run in runs)
        raise UserError("transfer.n=9 is not a cut point")

    fake_run(monkeypatch, never, check)

    with pytest.raises(UserError, match="is not a cut point"):
        inline.carry_out([run])
    assert checked == ["baseA", "A3B"]
    assert not run.folder.parent.exists()
