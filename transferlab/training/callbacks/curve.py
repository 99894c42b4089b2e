"""The learning curve: a row per validation in `metrics.csv`, and a line of it in the log."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.experiment import metrics
from transferlab.experiment.run import Run
from transferlab.runtime import files, logs
from transferlab.training.callbacks.timing import Timing
from transferlab.training.pack_module import as_pack

log = logging.getLogger(__name__)
Row = dict[str, Any]


class Curve(Callback):
    """Adds a row to the curve of each run after every validation; rank 0 writes it.

    `rows` has one list a member, which begins with the rows of earlier sessions. Not Lightning's
    logger: each run has its file, rewritten as a whole, so that a resumed run repeats no row.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        rows: Sequence[Sequence[Row]],
        timing: Timing,
        *,
        steps_per_epoch: float,
    ) -> None:
        self.runs, self.timing = runs, timing
        self.rows = [list(before) for before in rows]
        self.steps_per_epoch = steps_per_epoch

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = as_pack(pl_module)
        reached = module.end_interval()
        for member in module.active:
            row = {
                "step": module.step,
                "epoch": round(module.step / self.steps_per_epoch, 4),
                "lr": module.schedule(module.step),
                **reached[member],
                "time_s": round(self.timing.time_s(member), 3),
                "images_per_s": round(self.timing.images_per_s(module, member), 1),
            }
            self.rows[member].append(row)
            if trainer.is_global_zero:
                write_curve(self.runs[member], self.rows[member])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = as_pack(pl_module)
        for member in module.active if trainer.is_global_zero else ():
            row = self.rows[member][-1]
            left = (module.total_steps - row["step"]) * self.timing.batch_size
            log.info(
                "%s  step %d/%d  epoch %.1f  train/loss %.4f  %s  %.0f images/s  %s left",
                self.runs[member].label,
                row["step"],
                module.total_steps,
                row["epoch"],
                row["train/loss"],
                shown(row),
                row["images_per_s"],
                logs.duration(left / max(row["images_per_s"], 1e-9)),
                extra=logs.FOR_FILES,
            )


def shown(row: Row) -> str:
    """`val/accuracy 0.8125`, `val/map11 0.6790  val/map 0.6890`."""
    return "  ".join(f"{m.column} {row[m.column]:.4f}" for m in metrics.in_curve(row))


def write_curve(run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `metrics.csv` atomically from all rows, at least one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write(run.metrics_file, lambda file: file.write(text.getvalue().encode()))
