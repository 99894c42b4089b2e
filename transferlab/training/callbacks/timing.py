"""Training time and speed of the runs of a pack."""

import time
from collections.abc import Sequence

from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.training.pack_module import PackModule, as_pack


class Timing(Callback):
    """The clock of a session. `before_s` is each member's training time before it, in s.

    Called last, so that an interval begins after the validation before it has been saved.
    """

    def __init__(self, before_s: Sequence[float], *, batch_size: int) -> None:
        self.before_s, self.batch_size = tuple(before_s), batch_size
        self.started = self.interval_start = self.interval_end = 0.0
        self.interval_step: int | None = None  # where timing began; None until training starts

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.started = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(as_pack(pl_module))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interval_end = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(as_pack(pl_module))

    def time_s(self, member: int) -> float:
        """A member's training time over all sessions, in s."""
        return self.before_s[member] + time.monotonic() - self.started

    def images_per_s(self, module: PackModule, member: int) -> float:
        """Since the last validation; over the whole training if this session only validates."""
        if self.interval_step is None:
            steps, elapsed_s = module.step, self.time_s(member)
        else:
            steps = module.step - self.interval_step
            elapsed_s = self.interval_end - self.interval_start
        return steps * self.batch_size / max(elapsed_s, 1e-9)

    def _begin(self, module: PackModule) -> None:
        self.interval_start, self.interval_step = time.monotonic(), module.step
