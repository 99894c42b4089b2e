"""The callbacks of a pack, in the order in which Lightning calls them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytorch_lightning import Callback

from transferlab.experiment.run import Run
from transferlab.runtime.signals import StopRequest
from transferlab.training.callbacks.bars import Bars
from transferlab.training.callbacks.checkpoint import RunCheckpoint
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.heartbeat import Heartbeat
from transferlab.training.callbacks.mirror import Mirrors
from transferlab.training.callbacks.nan import NanGuard
from transferlab.training.callbacks.process import ChildProcess
from transferlab.training.callbacks.skipped import SkippedFiles
from transferlab.training.callbacks.stop import Stop
from transferlab.training.callbacks.timing import Timing
from transferlab.training.checkpoints import TrainingState


@dataclass(frozen=True)
class PackCallbacks:
    """All callbacks of a session; among them the one that knows which runs failed, and the one that
    heeds a stop request, also while a batch is awaited."""

    ordered: list[Callback]
    nan: NanGuard
    stop: Stop


def pack_callbacks(
    runs: Sequence[Run],
    states: Sequence[TrainingState],
    stop: StopRequest,
    *,
    skipped: Mapping[str, str],
    steps_per_epoch: float,
    val_batches: int,
) -> PackCallbacks:
    """The callbacks for a training of these runs, resumed from these states, without the files
    `skipped`.

    After a validation: diverged runs are removed, the curve gets its row, and a row is reported
    only once it is saved. After a step: the state is updated, then perhaps saved, and only then may
    training stop.
    """
    config = runs[0].config
    train, runtime = config.train, config.runtime
    timing = Timing([state.time_s for state in states], batch_size=train.batch_size)
    nan = NanGuard(runs, lr=train.lr)
    files = SkippedFiles(state.skipped for state in states)
    files.add(skipped)
    curve = Curve(runs, [state.curve for state in states], timing, steps_per_epoch=steps_per_epoch)
    checkpoint = RunCheckpoint(
        runs,
        states,
        curve,
        timing,
        files,
        nan,
        steps_per_epoch=steps_per_epoch,
        every_s=runtime.checkpoint_every_s,
        least_s=runtime.checkpoint_least_s,
    )
    heed = Stop(
        stop,
        save=checkpoint.save,
        between_steps=checkpoint.is_between_steps,  # which pickles, for further devices
        val_batches=val_batches,
    )
    return PackCallbacks(
        [
            nan,
            files,
            checkpoint,
            Heartbeat(runs),
            curve,
            Mirrors(runs, curve, nan),
            heed,
            Bars(curve),
            timing,
            ChildProcess(runs, threads=runtime.threads),
        ],
        nan,
        heed,
    )
