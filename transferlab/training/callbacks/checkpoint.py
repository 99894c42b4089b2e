"""Checkpoints: one for each run of a pack, at validations, at time intervals, and after errors."""

import time
from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.experiment.run import Run
from transferlab.training import checkpoints, optimiser
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.nan import Diverged, NanGuard
from transferlab.training.callbacks.skipped import SkippedFiles
from transferlab.training.callbacks.stop import Stopped
from transferlab.training.callbacks.timing import Timing
from transferlab.training.checkpoints import TrainingState
from transferlab.training.pack_module import PackModule, as_pack


class RunCheckpoint(Callback):
    """Saves `last.ckpt` of each run; only rank 0 writes.

    After every validation; `every_s` after the last one; at the end of an epoch if the last one is
    `least_s` old. Not Lightning's ModelCheckpoint, which has one file for the whole pack: a run
    is resumed with whatever other runs are at the same step.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        states: Sequence[TrainingState],
        curve: Curve,
        timing: Timing,
        skipped: SkippedFiles,
        nan: NanGuard,
        *,
        steps_per_epoch: float,
        every_s: float,
        least_s: float,
    ) -> None:
        self.runs = runs
        self.velocities = [state.velocity for state in states]
        self.curve, self.timing, self.skipped, self.nan = curve, timing, skipped, nan
        self.steps_per_epoch, self.every_s, self.least_s = steps_per_epoch, every_s, least_s
        self.saved = 0.0
        self.between_steps = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.saved = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.between_steps = True

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.between_steps = False

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.between_steps = True
        module = as_pack(pl_module)
        age_s = time.monotonic() - self.saved
        if age_s >= self.every_s or (age_s >= self.least_s and self._ends_epoch(module.step)):
            self.save(trainer, module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer, as_pack(pl_module))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        # Between two steps the state is complete and worth saving, whether an image cannot be read
        # or a worker died; not after nan, nor after a second Ctrl-C, which does not wait
        if self.between_steps and not isinstance(exception, Stopped | Diverged | KeyboardInterrupt):
            self.save(trainer, as_pack(pl_module))

    def save(self, trainer: Trainer, module: PackModule) -> None:
        """Save all members that have not diverged: a checkpoint with nan in it is of no use."""
        self.nan.check(trainer, module)
        self.saved = time.monotonic()
        if trainer.is_global_zero:
            for member in module.active:
                checkpoints.save(self.runs[member], self._state(trainer, module, member))

    def is_between_steps(self) -> bool:
        """Whether the state is complete: not before the first step, nor within one."""
        return self.between_steps

    def _state(self, trainer: Trainer, module: PackModule, member: int) -> TrainingState:
        network = module.networks[member]
        velocity = self.velocities[member]
        if trainer.optimizers:  # not in a session that only validates
            velocity = optimiser.velocity(trainer.optimizers[0], network)
        losses, hits, images = module.train_sums[:, member].tolist()
        return TrainingState(
            step=module.step,
            weights={k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()},
            velocity={k: v.detach().cpu().contiguous() for k, v in velocity.items()},
            sums=(losses, hits, images),
            curve=tuple(self.curve.rows[member]),
            skipped=dict(self.skipped.files),
            time_s=self.timing.time_s(member),
        )

    def _ends_epoch(self, step: int) -> bool:
        return int(step / self.steps_per_epoch) > int((step - 1) / self.steps_per_epoch)
