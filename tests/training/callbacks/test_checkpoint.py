"""When the runs of a pack are saved, and that a checkpoint holds everything."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from transferlab.data.workers import WorkerLost
from transferlab.errors import Interrupted, UserError
from transferlab.experiment.run import Run
from transferlab.launch import progress
from transferlab.models.transfer import same_bits
from transferlab.training import checkpoints
from transferlab.training.callbacks.checkpoint import RunCheckpoint
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.nan import Diverged, NanGuard
from transferlab.training.callbacks.skipped import SkippedFiles
from transferlab.training.callbacks.stop import Stopped
from transferlab.training.callbacks.timing import Timing
from transferlab.training.checkpoints import TrainingState
from transferlab.training.pack_module import PackModule


@pytest.fixture
def checkpoint(
    pack: PackModule, runs: list[Run], states: list[TrainingState], trainer: Any, clock: Any
) -> RunCheckpoint:
    """Every 300 s, or 10 s at the end of an epoch of 4 steps; set up just now."""
    timing = Timing([state.time_s for state in states], batch_size=8)
    callback = RunCheckpoint(
        runs,
        states,
        Curve(runs, [state.curve for state in states], timing, steps_per_epoch=4),
        timing,
        SkippedFiles([{"old.png": "aa"}, {"new.png": "bb"}]),
        NanGuard(runs, lr=0.1),
        steps_per_epoch=4,
        every_s=300,
        least_s=10,
    )
    timing.setup(trainer, pack, "fit")
    callback.setup(trainer, pack, "fit")
    return callback


def saved(runs: Sequence[Run]) -> list[int | None]:
    """The step of each run's checkpoint."""
    states = [checkpoints.load(run) for run in runs]
    return [None if state is None else state.step for state in states]


def end_step(checkpoint: RunCheckpoint, trainer: Any, pack: PackModule, step: int) -> None:
    checkpoint.on_train_batch_start(trainer, pack, {}, 0)
    pack.step = step
    checkpoint.on_train_batch_end(trainer, pack, None, {}, 0)


def test_a_checkpoint_holds_all_of_a_run(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any, clock: Any
):
    ([optimizer], _) = pack.configure_optimizers()
    trainer.optimizers = [optimizer]
    network = pack.networks[1]
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    pack.train_sums[:, 1] = torch.tensor([3.0, 2.0, 8.0])
    clock.now += 5

    checkpoint.on_validation_end(trainer, pack)

    state = checkpoints.load(runs[1])
    assert state is not None
    assert same_bits(state.weights, network.state_dict())
    assert same_bits(state.velocity, {n: p.grad for n, p in network.named_parameters()})
    assert (state.step, state.sums, state.time_s) == (6, (3.0, 2.0, 8.0), 205.0)
    assert state.curve == ({"step": 4, "val/accuracy": 0.5},)
    assert state.skipped == {"old.png": "aa", "new.png": "bb"}


@pytest.mark.parametrize("step", [0, 6, 255, 256, 65_536, 450_000, 2**31 + 5])
def test_the_step_of_a_checkpoint_is_read_without_loading_it(
    runs: list[Run], states: list[TrainingState], step: int
):
    checkpoints.save(runs[0], replace(states[0], step=step, skipped={"step": "aa"}))

    assert progress.checkpoint_step(runs[0].checkpoint_file) == step


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 100])
def test_a_damaged_checkpoint_has_no_step(tmp_path: Path, content: bytes):
    (tmp_path / "last.ckpt").write_bytes(content)
    os.mkfifo(tmp_path / "fifo")

    names = ("last.ckpt", "fifo", "missing")
    assert [progress.checkpoint_step(tmp_path / name) for name in names] == [0, 0, 0]


def test_a_session_that_only_validates_keeps_the_velocity(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any
):
    checkpoint.on_validation_end(trainer, pack)
    state = checkpoints.load(runs[0])
    assert state is not None and state.velocity["b.fc.bias"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("age_s", "step", "expected"),
    [(9, 8, None), (10, 7, None), (10, 8, 8), (10, 9, None), (299, 7, None), (300, 7, 7)],
)
def test_it_is_saved_by_age_and_sooner_at_the_end_of_an_epoch(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any, clock: Any,
    age_s: int, step: int, expected: int | None,
):  # fmt: skip
    clock.now += age_s
    end_step(checkpoint, trainer, pack, step)
    assert saved(runs) == [expected, expected]


def test_the_age_is_that_of_the_last_one(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any, clock: Any
):
    clock.now += 299
    checkpoint.on_validation_end(trainer, pack)
    clock.now += 299
    end_step(checkpoint, trainer, pack, 7)
    assert saved(runs) == [6, 6]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(UserError("a.png"), 7), (WorkerLost("a worker died"), 7), (MemoryError(), 7),
     (Stopped(), None), (Diverged("nan"), None), (Interrupted("again"), None)],
)  # fmt: skip
def test_an_error_between_two_steps_loses_no_step(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any,
    error: BaseException, expected: int | None,
):  # fmt: skip
    checkpoint.on_train_start(trainer, pack)
    end_step(checkpoint, trainer, pack, 7)
    checkpoint.on_exception(trainer, pack, error)
    assert saved(runs) == [expected, expected]


@pytest.mark.parametrize("started", [True, False])
def test_an_error_within_a_step_or_before_the_first_saves_nothing(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any, started: bool
):
    if started:
        checkpoint.on_train_start(trainer, pack)
        checkpoint.on_train_batch_start(trainer, pack, {}, 0)
    checkpoint.on_exception(trainer, pack, UserError("a.png"))
    assert saved(runs) == [None, None]


def test_an_error_while_the_first_batch_is_awaited_saves_too(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any
):
    checkpoint.on_train_start(trainer, pack)
    checkpoint.on_exception(trainer, pack, UserError("a.png"))
    assert saved(runs) == [6, 6]


def test_a_member_that_has_diverged_is_not_saved(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any
):
    pack.first_bad[1] = 6
    checkpoint.on_validation_end(trainer, pack)
    assert saved(runs) == [6, None] and runs[1].failure_file.exists()


def test_only_the_first_process_writes(
    checkpoint: RunCheckpoint, pack: PackModule, runs: list[Run], trainer: Any
):
    trainer.is_global_zero = False
    checkpoint.on_validation_end(trainer, pack)
    assert saved(runs) == [None, None]
