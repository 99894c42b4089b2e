"""Which image files could not be read: for the log, the checkpoint and the record."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class SkippedFiles(Callback):
    """Collects the names of unreadable files in the order of reading.

    `names` begins with those found before an interruption.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)  # a set that keeps the order

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._names)

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
    ) -> None:
        self._add(batch)

    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._add(batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:  # every rank reads other files
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, list(self._names))
            self._names = dict.fromkeys(name for part in parts for name in part)

    def _add(self, batch: Mapping[str, Any]) -> None:
        for name in batch["skipped"]:
            if name not in self._names:
                self._names[name] = None
                log.warning("%s cannot be read and is skipped", name)
