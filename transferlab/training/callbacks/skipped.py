"""Which image files could not be read: for the log, the checkpoint and the record."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)


class SkippedFiles(Callback):
    """Collects unreadable files, name in the data set -> sha256, in the order of reading.

    `files` begins with those that are known, as from before an interruption.
    """

    def __init__(self, known: Iterable[Mapping[str, str]]) -> None:
        self.files: dict[str, str] = {}
        for files in known:
            self.files |= files

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
    ) -> None:
        self.add(batch["skipped"])

    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.add(batch["skipped"])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:  # every rank reads other files
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, self.files)
            self.files = {name: sha256 for part in parts for name, sha256 in part.items()}

    def add(self, files: Mapping[str, str]) -> None:
        """Log those that are new."""
        for name, sha256 in files.items():
            if name not in self.files:
                self.files[name] = sha256
                log.warning("%s cannot be read and is skipped", name)
