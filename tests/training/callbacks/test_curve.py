"""A row per validation: in metrics.csv, for the checkpoint, and as a line in the log."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from transferlab.experiment.run import Run
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.timing import Timing
from transferlab.training.pack_module import PackModule


@pytest.fixture
def curve(pack: PackModule, runs: list[Run], trainer: Any, clock: Any) -> Curve:
    """After two steps in 4 s: 16 images, of which A1B hits 8, and 4 in validation."""
    timing = Timing([100.0, 200.0], batch_size=8)
    timing.setup(trainer, pack, "fit")
    pack.step = 4
    timing.on_train_start(trainer, pack)
    pack.step = 6
    clock.now += 4
    timing.on_validation_start(trainer, pack)
    pack.train_sums.copy_(torch.tensor([[24.0, 16.0], [8.0, 4.0], [16.0, 16.0]]))
    pack.val_sums.copy_(torch.tensor([[2.0, 8.0], [3.0, 1.0], [4.0, 4.0]]))
    return Curve(runs, [(), ()], timing, steps_per_epoch=4)


def validate(curve: Curve, trainer: Any, pack: PackModule) -> None:
    curve.on_validation_epoch_end(trainer, pack)
    curve.on_validation_end(trainer, pack)


def test_a_row_holds_the_means_since_the_last_validation(
    curve: Curve, pack: PackModule, trainer: Any
):
    validate(curve, trainer, pack)
    rate = pack.schedule(6)
    assert curve.rows == [
        [{"step": 6, "epoch": 1.5, "lr": rate, "train/loss": 1.5, "train/accuracy": 0.5,
          "val/loss": 0.5, "val/accuracy": 0.75, "time_s": 104.0, "images_per_s": 4.0}],
        [{"step": 6, "epoch": 1.5, "lr": rate, "train/loss": 1.0, "train/accuracy": 0.25,
          "val/loss": 2.0, "val/accuracy": 0.25, "time_s": 204.0, "images_per_s": 4.0}],
    ]  # fmt: skip
    assert not pack.train_sums.any() and not pack.val_sums.any()


def test_the_file_has_the_rows_from_before_an_interruption_too(
    curve: Curve, pack: PackModule, runs: Sequence[Run], trainer: Any
):
    validate(curve, trainer, pack)
    resumed = Curve(runs, curve.rows, curve.timing, steps_per_epoch=4)
    pack.step = 8
    validate(resumed, trainer, pack)
    lines = runs[0].metrics_file.read_text().splitlines()
    assert lines[0] == (
        "step,epoch,lr,train/loss,train/accuracy,val/loss,val/accuracy,time_s,images_per_s"
    )
    assert [line.split(",")[:2] for line in lines[1:]] == [["6", "1.5"], ["8", "2.0"]]


def test_a_line_in_the_log_says_how_far_it_is_and_how_long_it_takes(
    curve: Curve, pack: PackModule, trainer: Any, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level("INFO"):
        validate(curve, trainer, pack)
    assert caplog.messages[0] == (
        "A1B  step 6/10  epoch 1.5  train/loss 1.5000  val/accuracy 0.7500  4 images/s  0:08 left"
    )


def test_a_member_that_has_left_gets_no_row(
    curve: Curve, pack: PackModule, runs: Sequence[Run], trainer: Any
):
    pack.active.remove(1)
    validate(curve, trainer, pack)
    assert [len(rows) for rows in curve.rows] == [1, 0] and not runs[1].metrics_file.exists()


def test_only_the_first_process_writes_and_logs(
    curve: Curve,
    pack: PackModule,
    runs: Sequence[Run],
    trainer: Any,
    caplog: pytest.LogCaptureFixture,
):
    trainer.is_global_zero = False
    with caplog.at_level("INFO"):
        validate(curve, trainer, pack)
    assert [len(rows) for rows in curve.rows] == [1, 1]
    assert not runs[0].metrics_file.exists() and caplog.messages == []
