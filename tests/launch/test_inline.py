"""A plan carried out in this process, with a made-up training: what it asks for, and when."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.records import made

import transferlab
from transferlab import store
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import base_of
from transferlab.experiment.plan import Pack
from transferlab.launch import inline
from transferlab.store import Run, lock

RESULT = {"weights_sha256": "0" * 64, "metrics": {}}


@pytest.fixture
def wanted(tmp_path: Path) -> RunConfig:
    """An A3B, which needs baseA."""
    return made({"runtime.store": f"{tmp_path}/runs"})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the runs as they are trained, each by an owner."""
    labels: list[str] = []

    def train(configs: Sequence[RunConfig], stop: object) -> None:
        for config in configs:
            run = store.locate(config)
            assert {path.name for path in run.folder.iterdir()} == {"lock", "owner.json"}
            store.create(run, config)
            store.finish(run, RESULT)
            labels.append(run.label)

    fake_run(monkeypatch, train)
    return labels


def fake_run(
    monkeypatch: pytest.MonkeyPatch,
    train: Callable[[Sequence[RunConfig], object], None],
    check: Callable[[Sequence[RunConfig]], None] = len,  # type: ignore[assignment]
) -> None:
    """Put something for `transferlab.run`, which takes seconds to import."""
    monkeypatch.setattr(
        transferlab, "run", SimpleNamespace(check=check, train=train), raising=False
    )


def never(configs: Sequence[RunConfig], stop: object) -> None:
    pytest.fail("nothing is to be trained")


def test_base_is_trained_first_and_each_run_by_its_owner(wanted: RunConfig, trained: list[str]):
    outcomes = inline.carry_out([wanted])

    assert trained == ["baseA", "A3B"]
    assert [(outcome.run.label, outcome.reused) for outcome in outcomes] == [
        ("baseA", False),
        ("A3B", False),
    ]
    assert outcomes[1].config == wanted
    assert outcomes[1].result == store.read_result(store.locate(wanted))


def test_what_is_finished_is_not_trained_again(
    wanted: RunConfig, trained: list[str], monkeypatch: pytest.MonkeyPatch
):
    inline.carry_out([wanted])
    fake_run(monkeypatch, never)

    assert [outcome.reused for outcome in inline.carry_out([wanted])] == [True, True]
    assert len(trained) == 2


def test_a_run_that_is_waited_for_is_left_alone_and_not_trained_once_it_is_finished(
    wanted: RunConfig, trained: list[str], monkeypatch: pytest.MonkeyPatch
):
    """The other process is just making the folder: whatever is written there is its own."""
    owned, place = store.owned, store.locate(wanted)

    @contextlib.contextmanager
    def owned_by_another_first(
        run: Run, on_wait: Callable[[str], None], **more: Any
    ) -> Iterator[None]:
        if run == place:
            assert not run.folder.exists()
            on_wait("process 7 on elsewhere")
            store.create(run, wanted)
            store.finish(run, RESULT)
        with owned(run, on_wait, **more):
            yield

    monkeypatch.setattr(lock, "owned", owned_by_another_first)

    outcomes = inline.carry_out([wanted])

    assert trained == ["baseA"]
    assert [outcome.run.label for outcome in outcomes] == ["baseA", "A3B"]
    assert outcomes[1].result["id"] == place.id


@pytest.mark.parametrize("kind", [UserError, RunFailed])
def test_a_failure_is_noted_in_the_folder_and_told(
    wanted: RunConfig, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
):
    def fail(configs: Sequence[RunConfig], stop: object) -> None:
        raise kind("the loss is nan")

    fake_run(monkeypatch, fail)
    base_config = base_of(wanted)
    assert base_config is not None
    base, run = store.locate(base_config), store.locate(wanted)

    with pytest.raises(kind, match="the loss is nan"):
        inline.carry_out([wanted])

    assert json.loads(base.failure.read_text())["error"] == "the loss is nan"
    assert {path.name for path in base.folder.iterdir()} == {"failure.json", "lock"}
    assert not run.folder.exists()


def test_a_defect_is_noted_with_its_kind(wanted: RunConfig, monkeypatch: pytest.MonkeyPatch):
    def fail(configs: Sequence[RunConfig], stop: object) -> None:
        raise ZeroDivisionError("division by zero")

    fake_run(monkeypatch, fail)
    base = base_of(wanted)
    assert base is not None

    with pytest.raises(ZeroDivisionError):
        inline.carry_out([wanted])

    error = json.loads(store.locate(base).failure.read_text())["error"]
    assert error == "ZeroDivisionError: division by zero"


def test_a_pack_that_fails_leaves_its_finished_members_alone(
    wanted: RunConfig, monkeypatch: pytest.MonkeyPatch
):
    def finish_one_and_fail(configs: Sequence[RunConfig], stop: object) -> None:
        store.finish(store.locate(configs[0]), RESULT)
        raise RunFailed("A3B: the loss is nan")

    fake_run(monkeypatch, finish_one_and_fail)
    monkeypatch.setattr(inline.plan, "packs", lambda nodes: (Pack(tuple(nodes)),))
    base_config = base_of(wanted)
    assert base_config is not None

    with pytest.raises(RunFailed):
        inline.carry_out([wanted])

    assert not store.locate(base_config).failure.exists()
    assert store.locate(wanted).failure.exists()


def test_a_signal_that_comes_between_two_runs_is_heeded(
    wanted: RunConfig, monkeypatch: pytest.MonkeyPatch
):
    done: list[str] = []

    def train(configs: Sequence[RunConfig], stop: Any) -> None:
        store.finish(store.locate(configs[0]), RESULT)
        done.append(configs[0].label)
        stop.number = 15

    fake_run(monkeypatch, train)

    with pytest.raises(Interrupted):
        inline.carry_out([wanted])
    assert done == ["baseA"]
    assert not store.locate(wanted).folder.exists()


def test_all_runs_are_checked_before_the_first_is_trained_or_has_a_folder(
    wanted: RunConfig, monkeypatch: pytest.MonkeyPatch
):
    checked: list[str] = []

    def check(configs: Sequence[RunConfig]) -> None:
        checked.extend(config.label for config in configs)
        raise UserError("transfer.n=9 is not a cut point")

    fake_run(monkeypatch, never, check)

    with pytest.raises(UserError, match="is not a cut point"):
        inline.carry_out([wanted])
    assert checked == ["baseA", "A3B"]
    assert not Path(wanted.runtime.store).exists()
