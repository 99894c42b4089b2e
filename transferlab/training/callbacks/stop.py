"""Leaving a training that was asked to stop: after a step, with everything saved, on all ranks."""

import multiprocessing
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.runtime.signals import StopRequest
from transferlab.training.pack_module import PackModule, as_pack

AGREE_S = 10.0  # for a batch to come, after which several processes leave together


class Stopped(RuntimeError):
    """Training was left after saving, because a stop was requested. Not a KeyboardInterrupt:
    Lightning would end the process on that."""


class Stop(Callback):
    """Heeds a stop request after a step or a validation batch, and while a batch is awaited: saves
    and raises `Stopped`.

    `val_batches` is the number of validation batches that every process has; some have one more.
    """

    def __init__(
        self,
        request: StopRequest,
        *,
        save: Callable[[Trainer, PackModule], None],
        between_steps: Callable[[], bool],
        val_batches: int,
    ) -> None:
        self.request, self.val_batches = request, val_batches
        self.save, self.between_steps = save, between_steps
        self.hosts: Any = None  # the processes, by way of their hosts; None for one alone
        self.trainer: Trainer | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.trainer = trainer
        if multiprocessing.parent_process() is not None:  # started for another device
            self.request = StopRequest(only_note=True)
            self.request.install()
        if trainer.world_size > 1:
            self.hosts = torch.distributed.new_group(backend="gloo")

    def while_waiting(self, waited: float) -> None:
        """Called while a batch is awaited, for `waited` seconds so far.

        Raises: Stopped if a stop was requested. The state is saved, except with several processes,
        which may be within a step: these resume from the last checkpoint, unless the batch comes
        in time for them to leave together.
        """
        if self.request.number is None:
            return
        assert self.trainer is not None, "batches are read after the set-up"
        if self.trainer.world_size > 1:
            if waited >= AGREE_S:
                raise Stopped
        elif self.between_steps():
            self._save_and_leave(self.trainer, self.trainer.lightning_module)
        else:  # before the first step: there is nothing new
            raise Stopped

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
