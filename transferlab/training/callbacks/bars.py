"""One progress bar per run on a terminal: loss, accuracy, images/s and time left.

Elsewhere there is a line per validation, from `Curve`, and no bar. Lightning's own bar is one for
the whole pack, from one validation to the next.
"""

import logging
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.runtime.progress import Bar, Display, Rate
from transferlab.training.callbacks.curve import Curve, shown
from transferlab.training.pack_module import READ_EVERY, PackModule, as_pack, means

log = logging.getLogger(__name__)


class Bars(Callback):
    """Draws the bars while training, in the first process."""

    def __init__(self, curve: Curve) -> None:
        self.curve, self.batch_size = curve, curve.timing.batch_size
        self.losses: list[float] | None = None
        self.steps = Rate()
        self.display: Display | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.display = Display(log, log_bars=False, keep=True).__enter__()
            self.steps.update(as_pack(pl_module).step)

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.display is None or not self.display.on_terminal:
            return
        module = as_pack(pl_module)
        if module.step % READ_EVERY == 0 or trainer.strategy.root_device.type == "cpu":
            self.losses = means(module.train_sums)[0]
        self.steps.update(module.step)
        self.display.show(lambda: self.bars(module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def bars(self, module: PackModule) -> list[Bar]:
        """One for each run, whether or not it has diverged."""
        step, total = module.step, module.total_steps
        left_s = self.steps.left_s(total - step)
        rate = "-" if self.steps.per_s is None else f"{self.steps.per_s * self.batch_size:.0f}"
        bars = []
        for member, run in enumerate(self.curve.runs):
            loss = "-" if self.losses is None else f"{self.losses[member]:.3f}"
            rows = self.curve.rows[member]
            reached = shown(rows[-1]) if rows else "not yet validated"
            notes = f"loss {loss}  {reached}  {rate} images/s"
            bars.append(Bar(run.label, step, total, "steps", notes, left_s))
        return bars

    def _close(self) -> None:
        if self.display is not None:
            self.display.__exit__()
            self.display = None
