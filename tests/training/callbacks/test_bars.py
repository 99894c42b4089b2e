"""Bars are drawn on a terminal by the first process, and nowhere else."""

from typing import Any

import pytest
import torch

from transferlab.runtime import logs
from transferlab.store import Run
from transferlab.training.callbacks.bars import Bars
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.timing import Timing
from transferlab.training.pack_module import PackModule


@pytest.fixture
def bars(runs: list[Run]) -> Bars:
    timing = Timing([0.0, 0.0], batch_size=8)
    rows = [[{"step": 4, "val/accuracy": 0.5}], [{"step": 4, "val/accuracy": 0.25}]]
    return Bars(Curve(runs, rows, timing, steps_per_epoch=4))


@pytest.mark.parametrize(("terminal", "first"), [(False, True), (True, False)])
def test_nothing_is_drawn_elsewhere(
    bars: Bars, pack: PackModule, trainer: Any, monkeypatch: pytest.MonkeyPatch,
    terminal: bool, first: bool,
):  # fmt: skip
    monkeypatch.setattr(logs, "on_terminal", lambda: terminal)
    trainer.is_global_zero = first
    bars.on_train_start(trainer, pack)
    assert bars.progress is None
    bars.on_train_batch_end(trainer, pack, None, {}, 0)
    bars.on_validation_end(trainer, pack)
    bars.on_train_end(trainer, pack)


@pytest.mark.parametrize("ending", ["on_train_end", "on_exception"])
def test_every_run_has_a_bar_with_loss_accuracy_and_rate(
    bars: Bars, pack: PackModule, trainer: Any, clock: Any, monkeypatch: pytest.MonkeyPatch,
    ending: str,
):  # fmt: skip
    monkeypatch.setattr(logs, "on_terminal", lambda: True)
    bars.on_train_start(trainer, pack)
    assert bars.progress is not None
    tasks = bars.progress.tasks
    pack.step, clock.now = 8, clock.now + 4
    pack.train_sums.copy_(torch.tensor([[24.0, 16.0], [8.0, 4.0], [16.0, 16.0]]))
    bars.on_train_batch_end(trainer, pack, None, {}, 0)
    bars.on_validation_end(trainer, pack)
    getattr(bars, ending)(*(trainer, pack, RuntimeError())[: 2 + (ending == "on_exception")])

    assert [(t.description, t.completed, t.total) for t in tasks] == [
        ("A1B", 8, 10), ("B1B", 8, 10),
    ]  # fmt: skip
    assert [(t.fields["loss"], t.fields["accuracy"], t.fields["rate"]) for t in tasks] == [
        ("1.500", "0.5000", "4"), ("1.000", "0.2500", "4"),
    ]  # fmt: skip
    assert bars.progress is None
