"""Mirrors get the rows of their own run, and end as the run ends."""

from typing import Any

import pytest

from transferlab.experiment.run import Run
from transferlab.store import mirrors
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.mirror import Mirrors
from transferlab.training.callbacks.nan import NanGuard
from transferlab.training.callbacks.stop import Stopped
from transferlab.training.callbacks.timing import Timing
from transferlab.training.pack_module import PackModule

Logged = dict[str, list[object]]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    """The rows and the exit status that each run's mirror received."""
    logged: Logged = {}

    class Fake:
        def __init__(self, entries: list[object]) -> None:
            self.entries = entries

        def log(self, row: mirrors.Row) -> None:
            self.entries.append(row["step"])

        def close(self, exit_code: int) -> None:
            self.entries.append(f"exit {exit_code}")

    monkeypatch.setattr(mirrors, "mirror", lambda run: Fake(logged.setdefault(run.label, [])))
    return logged


@pytest.fixture
def callback(runs: list[Run]) -> Mirrors:
    curve = Curve(runs, [[{"step": 4}], [{"step": 4}]], Timing([0, 0], batch_size=8),
                  steps_per_epoch=4)  # fmt: skip
    return Mirrors(runs, curve, NanGuard(runs, lr=0.1))


def test_each_run_has_a_mirror_of_its_own_which_gets_the_last_row(
    callback: Mirrors, logged: Logged, pack: PackModule, trainer: Any
):
    callback.setup(trainer, pack, "fit")
    callback.on_validation_end(trainer, pack)
    callback.curve.rows[0].append({"step": 8})
    pack.active.remove(1)
    callback.on_validation_end(trainer, pack)
    callback.teardown(trainer, pack, "fit")
    assert logged == {"A1B": [4, 8, "exit 0"], "B1B": [4, "exit 0"]}


@pytest.mark.parametrize(("error", "code"), [(Stopped(), 75), (RuntimeError("any"), 1)])
def test_an_ending_is_known_by_its_exit_status(
    callback: Mirrors, logged: Logged, pack: PackModule, trainer: Any, error: Exception, code: int
):
    callback.setup(trainer, pack, "fit")
    callback.nan.failed["B1B"] = "nan"
    callback.on_exception(trainer, pack, error)
    callback.teardown(trainer, pack, "fit")  # closed once
    assert logged == {"A1B": [f"exit {code}"], "B1B": ["exit 1"]}


@pytest.mark.parametrize(("first", "stage"), [(False, "fit"), (True, "validate")])
def test_other_processes_and_sessions_that_only_validate_have_none(
    callback: Mirrors, logged: Logged, pack: PackModule, trainer: Any, first: bool, stage: str
):
    trainer.is_global_zero = first
    callback.setup(trainer, pack, stage)
    callback.on_validation_end(trainer, pack)
    callback.teardown(trainer, pack, stage)
    assert logged == {}
