"""A Lightning callback that takes the time of some steps of a training, on any device."""

import time
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning import Trainer


class Stopwatch(lightning.Callback):
    """`elapsed_s` is the time of `steps` steps after the first `skipped`, set at their end.

    The device is waited for at both ends, and nowhere between.
    """

    def __init__(self, *, skipped: int, steps: int) -> None:
        self.skipped, self.steps = skipped, steps
        self.started = 0.0
        self.elapsed_s: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        self.started = self._now(trainer)

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        done = batch_idx + 1
        if done == self.skipped:
            self.started = self._now(trainer)
        elif done == self.skipped + self.steps:
            self.elapsed_s = self._now(trainer) - self.started

    def _now(self, trainer: Trainer) -> float:
        wait_for(trainer.strategy.root_device)
        return time.perf_counter()


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
