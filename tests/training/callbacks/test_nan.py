"""Diverged members leave the pack, their runs fail, the others continue."""

import logging
from typing import Any

import pytest

from transferlab import store
from transferlab.errors import RunFailed
from transferlab.experiment.run import Run
from transferlab.store import schemas
from transferlab.training.callbacks.nan import NanGuard
from transferlab.training.pack_module import READ_EVERY, PackModule


def test_a_diverged_member_leaves_and_its_run_fails_with_step_and_advice(
    pack: PackModule, runs: list[Run], trainer: Any, caplog: pytest.LogCaptureFixture
):
    pack.first_bad[1] = 5
    guard = NanGuard(runs, lr=0.1)

    guard.on_validation_epoch_end(trainer, pack)

    message = (
        "B1B: the loss is nan or infinite at step 5; the run has failed. Lower train.lr=0.1 or "
        f"lengthen train.warmup: {runs[1].folder}"
    )
    assert guard.failed == {"B1B": message} and pack.active == [0]
    assert (
        store.peek(runs[1].failure_file, schemas.FAILURE)["error"] == message
        and not runs[0].failure_file.exists()
    )
    assert [(r.levelno, r.message) for r in caplog.records] == [(logging.ERROR, message)]


def test_when_none_is_left_all_reasons_are_raised(pack: PackModule, runs: list[Run], trainer: Any):
    pack.first_bad[:] = 5
    with pytest.raises(RunFailed, match="A1B: .* step 5; .*; B1B: .* step 5; "):
        NanGuard(runs, lr=0.1).check(trainer, pack)


def test_only_the_first_process_writes(pack: PackModule, runs: list[Run], trainer: Any):
    pack.first_bad[1] = 5
    trainer.is_global_zero = False
    NanGuard(runs, lr=0.1).check(trainer, pack)
    assert pack.active == [0] and not runs[1].failure_file.exists()


@pytest.mark.parametrize(("step", "active"), [(READ_EVERY - 1, [0, 1]), (READ_EVERY, [0])])
def test_the_device_is_read_after_every_50th_step(
    pack: PackModule, runs: list[Run], trainer: Any, step: int, active: list[int]
):
    pack.first_bad[1], pack.step = 5, step
    NanGuard(runs, lr=0.1).on_train_batch_end(trainer, pack, None, {}, 0)
    assert pack.active == active
