"""The order of a pack's callbacks, which is that of saving, reporting and leaving."""

import pickle

from transferlab.experiment.run import Run
from transferlab.runtime.signals import StopRequest
from transferlab.training.callbacks.checkpoint import RunCheckpoint
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.heartbeat import Heartbeat
from transferlab.training.callbacks.mirror import Mirrors
from transferlab.training.callbacks.nan import NanGuard
from transferlab.training.callbacks.pack import pack_callbacks
from transferlab.training.callbacks.process import ChildProcess
from transferlab.training.callbacks.skipped import SkippedFiles
from transferlab.training.callbacks.stop import Stop
from transferlab.training.callbacks.timing import Timing
from transferlab.training.checkpoints import TrainingState


def test_what_is_reported_was_saved_and_what_is_saved_was_looked_through(
    runs: list[Run], states: list[TrainingState]
):
    callbacks = pack_callbacks(
        runs, states, StopRequest(), skipped={}, steps_per_epoch=4, val_batches=3
    )
    positions = {type(callback): number for number, callback in enumerate(callbacks.ordered)}

    for earlier, later in (
        (NanGuard, Curve),  # a diverged run gets no row
        (SkippedFiles, RunCheckpoint),  # names of this batch are saved with it
        (RunCheckpoint, Curve),  # a line in the log is of what was saved
        (RunCheckpoint, Heartbeat),
        (RunCheckpoint, Mirrors),  # at an error too: saved, then closed
        (RunCheckpoint, Stop),
        (RunCheckpoint, Timing),  # saving is no training time
        (Mirrors, ChildProcess),  # logs are closed last
    ):
        assert positions[earlier] < positions[later], (earlier, later)
    assert callbacks.ordered[positions[NanGuard]] is callbacks.nan


def test_the_callbacks_can_be_sent_to_the_process_of_another_device(
    runs: list[Run], states: list[TrainingState]
):
    callbacks = pack_callbacks(
        runs, states, StopRequest(), skipped={}, steps_per_epoch=4, val_batches=3
    )

    again = pickle.loads(pickle.dumps(callbacks.ordered))

    assert [type(callback) for callback in again] == [type(each) for each in callbacks.ordered]
