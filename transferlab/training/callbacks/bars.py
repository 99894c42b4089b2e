"""One progress bar per run on a terminal: loss, accuracy, images/s and time left.

Elsewhere there is a line per validation, from `Curve`, and no bar. Not Lightning's own, which has
one bar for the whole pack, from one validation to the next.
"""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning import Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from transferlab.runtime import logs
from transferlab.training.callbacks.curve import Curve
from transferlab.training.pack_module import READ_EVERY, as_pack, means


class Bars(lightning.Callback):
    """Draws the bars while training; does nothing where stderr is no terminal."""

    def __init__(self, curve: Curve) -> None:
        self.curve, self.batch_size = curve, curve.timing.batch_size
        self.progress: Progress | None = None
        self.tasks: list[TaskID] = []

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        if not (trainer.is_global_zero and logs.on_terminal()):
            return
        self.progress = Progress(
            TextColumn("{task.description:10}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("loss {task.fields[loss]}  val/accuracy {task.fields[accuracy]}"),
            TextColumn("{task.fields[rate]} images/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        module = as_pack(pl_module)
        step = module.step
        self.start, self.start_step = time.monotonic(), step
        self.tasks = [
            self.progress.add_task(
                run.label,
                total=module.total_steps,
                completed=step,
                loss="-",
                accuracy="-",
                rate="-",
            )
            for run in self.curve.runs
        ]
        self.progress.start()

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
    ) -> None:
        if self.progress is None:
            return
        module = as_pack(pl_module)
        rate = (module.step - self.start_step) * self.batch_size / (time.monotonic() - self.start)
        look = module.step % READ_EVERY == 0 or trainer.strategy.root_device.type == "cpu"
        losses = means(module.train_sums)[0] if look else None
        for member, task in enumerate(self.tasks):
            fields = {"rate": f"{rate:.0f}"}
            if losses is not None:
                fields["loss"] = f"{losses[member]:.3f}"
            self.progress.update(task, completed=module.step, **fields)  # type: ignore[arg-type]

    def on_validation_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        if self.progress is not None:
            for task, rows in zip(self.tasks, self.curve.rows, strict=True):
                if rows:
                    self.progress.update(task, accuracy=f"{rows[-1]['val/accuracy']:.4f}")

    def on_train_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
