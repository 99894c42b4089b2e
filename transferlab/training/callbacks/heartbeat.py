"""The heartbeat of a training: its progress, in the `owner.json` of its runs."""

import math
import time
from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab import store
from transferlab.experiment.run import Run
from transferlab.training.pack_module import READ_EVERY, PackModule, as_pack

HEARTBEAT_S = 20


class Heartbeat(Callback):
    """Reports progress at most every `HEARTBEAT_S` seconds, more often at first; rank 0 writes."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        self.start_step = 0
        self.started, self.reported = 0.0, -math.inf

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.started, self.start_step = time.monotonic(), as_pack(pl_module).step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.report(trainer, as_pack(pl_module))

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
            self.report(trainer, module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.report(trainer, as_pack(pl_module))

    def report(self, trainer: Trainer, module: PackModule) -> None:
        """Write step and time left, unless the last report is too recent."""
        now = time.monotonic()
        # More often at first, so that someone who has just started it sees progress
        pause_s = min(HEARTBEAT_S, 2 + self.reported - self.started)
        if not trainer.is_global_zero or now - self.reported < pause_s:
            return
        self.reported = now
        total, steps = module.total_steps, module.step - self.start_step
        left_s = None
        if steps:
            left_s = round((now - self.started) / steps * (total - module.step), 1)
        for run in self.runs:
            store.report_progress(run, step=module.step, total_steps=total, left_s=left_s)
