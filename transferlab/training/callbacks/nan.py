"""Removes diverged members from a pack, and fails their runs."""

import logging
from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab import store
from transferlab.errors import RunFailed
from transferlab.experiment.run import Run
from transferlab.runtime import logs
from transferlab.training.pack_module import READ_EVERY, PackModule, as_pack

log = logging.getLogger(__name__)


class Diverged(RunFailed):
    """The losses of all networks are nan or infinite."""


class NanGuard(Callback):
    """Fails the runs whose loss is not finite; `failed` has the reasons, by label.

    Lightning's own (`EarlyStopping(check_finite=True)`) would stop all networks of the pack.
    Raises: Diverged when no member is left.
    """

    def __init__(self, runs: Sequence[Run], *, lr: float) -> None:
        self.runs = {run.label: run for run in runs}
        self.lr = lr
        self.failed: dict[str, str] = {}

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        module = as_pack(pl_module)
        if module.step % READ_EVERY == 0:
            self.check(trainer, module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check(trainer, as_pack(pl_module))

    def check(self, trainer: Trainer, module: PackModule) -> None:
        """Remove diverged members from the pack. Reads from the device."""
        for label, step in module.drop_failed().items():
            run = self.runs[label]
            message = (
                f"{label}: the loss is nan or infinite at step {step}; the run has failed. Lower "
                f"train.lr={self.lr} or lengthen train.warmup: {run.folder}"
            )
            self.failed[label] = message
            log.error("%s", message, extra=logs.FOR_FILES)
            if trainer.is_global_zero:
                store.note_failure(run, message)
        if not module.active:
            raise Diverged("; ".join(self.failed.values()))
