"""Training time over all sessions, and images per second since the last validation."""

from typing import Any

from transferlab.training.callbacks.timing import Timing
from transferlab.training.pack_module import PackModule


def test_time_adds_up_over_sessions(pack: PackModule, trainer: Any, clock: Any):
    timing = Timing([100.0, 200.0], batch_size=8)
    timing.setup(trainer, pack, "fit")
    clock.now += 7
    assert [timing.time_s(member) for member in (0, 1)] == [107.0, 207.0]


def test_the_rate_is_that_of_the_steps_between_two_validations(
    pack: PackModule, trainer: Any, clock: Any
):
    timing = Timing([100.0, 200.0], batch_size=8)
    timing.setup(trainer, pack, "fit")
    clock.now += 50  # of setting up
    timing.on_train_start(trainer, pack)
    rates = []
    for seconds in (2, 4):
        pack.step += 1
        clock.now += seconds
        timing.on_validation_start(trainer, pack)
        clock.now += 30  # of validating and saving
        rates.append(timing.images_per_s(pack, 0))
        timing.on_validation_end(trainer, pack)
    assert rates == [8 / 2, 8 / 4]


def test_a_session_that_only_validates_gives_the_rate_of_the_whole_training(
    pack: PackModule, trainer: Any, clock: Any
):
    timing = Timing([100.0, 200.0], batch_size=8)
    timing.setup(trainer, pack, "validate")
    timing.on_validation_start(trainer, pack)
    assert timing.images_per_s(pack, 1) == 6 * 8 / 200
