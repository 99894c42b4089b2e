"""Bars are drawn on a terminal by the first process, and nowhere else."""

from typing import Any

import pytest
import torch

from transferlab.experiment.run import Run
from transferlab.runtime import logs
from transferlab.runtime.progress import Bar
from transferlab.training.callbacks.bars import Bars
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.timing import Timing
from transferlab.training.pack_module import READ_EVERY, PackModule


@pytest.fixture
def bars(runs: list[Run]) -> Bars:
    timing = Timing([0.0, 0.0], batch_size=8)
    rows = [[{"step": 4, "val/accuracy": 0.5}], []]
    return Bars(Curve(runs, rows, timing, steps_per_epoch=4))


@pytest.mark.parametrize(("terminal", "first"), [(False, True), (True, False)])
def test_nothing_is_drawn_elsewhere(
    bars: Bars, pack: PackModule, trainer: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], terminal: bool, first: bool,
):  # fmt: skip
    monkeypatch.setattr(logs, "on_terminal", lambda: terminal)
    trainer.is_global_zero = first
    bars.on_train_start(trainer, pack)
    bars.on_train_batch_end(trainer, pack, None, {}, 0)
    bars.on_train_end(trainer, pack)
    assert capsys.readouterr() == ("", "") and bars.losses is None


@pytest.mark.parametrize("ending", ["on_train_end", "on_exception"])
def test_every_run_has_a_bar_with_loss_accuracy_and_rate(
    bars: Bars, pack: PackModule, trainer: Any, clock: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], ending: str,
):  # fmt: skip
    monkeypatch.setattr(logs, "on_terminal", lambda: True)
    bars.on_train_start(trainer, pack)
    assert [bar.notes for bar in bars.bars(pack)] == [
        "loss -  val/accuracy 0.5000  - images/s", "loss -  not yet validated  - images/s",
    ]  # fmt: skip
    pack.step, clock.now = 8, clock.now + 4
    pack.train_sums.copy_(torch.tensor([[24.0, 16.0], [8.0, 4.0], [16.0, 16.0]]))
    bars.on_train_batch_end(trainer, pack, None, {}, 0)
    assert bars.bars(pack) == [
        Bar("A1B", 8, 10, "steps", "loss 1.500  val/accuracy 0.5000  4 images/s", 4.0),
        Bar("B1B", 8, 10, "steps", "loss 1.000  not yet validated  4 images/s", 4.0),
    ]
    getattr(bars, ending)(*(trainer, pack, RuntimeError())[: 2 + (ending == "on_exception")])
    assert bars.display is None and "loss 1.500" in capsys.readouterr().err


@pytest.mark.parametrize(("step", "read"), [(READ_EVERY - 1, False), (READ_EVERY, True)])
def test_on_a_gpu_the_loss_is_read_every_50th_step(
    bars: Bars, pack: PackModule, trainer: Any, monkeypatch: pytest.MonkeyPatch,
    step: int, read: bool,
):  # fmt: skip
    monkeypatch.setattr(logs, "on_terminal", lambda: True)
    bars.on_train_start(trainer, pack)
    pack.step, trainer.strategy.root_device = step, torch.device("cuda")
    bars.on_train_batch_end(trainer, pack, None, {}, 0)
    bars.on_train_end(trainer, pack)
    assert (bars.losses is not None) == read
