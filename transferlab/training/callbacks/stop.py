"""Leaving a training that was asked to stop: after a step, with everything saved, on all ranks."""

import multiprocessing
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.runtime.signals import StopRequest
from transferlab.training.pack_module import PackModule, as_pack


class Stopped(RuntimeError):
    """Training was left after saving, because a stop was requested. Not a KeyboardInterrupt:
    Lightning would end the process on that."""


class Stop(Callback):
    """Heeds a stop request after a step or a validation batch: saves and raises `Stopped`.

    `val_batches` is the number of validation batches that every process has; some have one more.
    Replaces Lightning's signal handlers, which end a training with exit status 0 on a single
    SIGTERM.
    """

    def __init__(
        self,
        request: StopRequest,
        *,
        save: Callable[[Trainer, PackModule], None],
        val_batches: int,
    ) -> None:
        self.request, self.save, self.val_batches = request, save, val_batches
        self.hosts: Any = None  # the processes, by way of their hosts; None for one alone

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if multiprocessing.parent_process() is not None:  # started for another device
            self.request = StopRequest(only_note=True)
        if trainer.world_size > 1:
            self.hosts = torch.distributed.new_group(backend="gloo")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.request.install()  # after Lightning has installed its own

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.request.install()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.request.install()

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.is_requested(trainer):
            self._save_and_leave(trainer, pl_module)

    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if batch_idx < self.val_batches and self.is_requested(trainer):
            self._save_and_leave(trainer, pl_module)  # resumes with this validation

    def is_requested(self, trainer: Trainer) -> bool:
        """Whether any rank was asked to stop: all of them must leave at the same step."""
        requested = self.request.number is not None
        if trainer.world_size > 1:
            votes = torch.tensor(int(requested))  # on the host: reading a device would wait for it
            torch.distributed.all_reduce(votes, group=self.hosts)
            return votes.item() > 0
        return requested

    def _save_and_leave(self, trainer: Trainer, pl_module: LightningModule) -> NoReturn:
        self.save(trainer, as_pack(pl_module))
        trainer.strategy.barrier()  # the first process to leave ends the others
        raise Stopped
