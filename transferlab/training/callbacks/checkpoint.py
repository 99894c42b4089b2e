"""What happens around the steps of a pack: checkpoints, the curve, failures, and stopping.

The networks' arithmetic is in `module`; here is when to save it, and what a person is told.
"""

import logging
import math
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NoReturn

import pytorch_lightning as lightning
import torch
from pytorch_lightning import Trainer

from transferlab import store
from transferlab.errors import Interrupted, RunFailed
from transferlab.experiment.config import RunConfig
from transferlab.runtime import logs
from transferlab.runtime.signals import StopRequest
from transferlab.store import Run, mirrors
from transferlab.training import checkpoints, optimiser
from transferlab.training.callbacks.curve import write_curve
from transferlab.training.callbacks.stop import Stopped
from transferlab.training.checkpoints import State
from transferlab.training.pack_module import PackModule, as_pack

log = logging.getLogger(__name__)
HEARTBEAT_S = 20
READ_EVERY = 50  # steps between two looks at what is on the device: each one waits for it


@dataclass(frozen=True)
class Task:
    """The numbers of a training that its callbacks need.

    `val_batches` are the batches of a validation that every process has; one may have one more.
    """

    total_steps: int
    steps_per_epoch: float
    batch_size: int
    val_batches: int
    checkpoint_every_s: float
    checkpoint_least_s: float


class Keeper(lightning.Callback):
    """Keeps everything that must survive: states, curves, failures. Only rank 0 writes."""

    def __init__(
        self,
        configs: Sequence[RunConfig],
        runs: Sequence[Run],
        states: Sequence[State],
        task: Task,
        stop: StopRequest,
    ) -> None:
        self.configs, self.runs, self.task, self.stop = configs, runs, task, stop
        self.curves = [list(state.curve) for state in states]
        self.skipped = {name: None for state in states for name in state.skipped}  # ordered
        self.time_before_s = [state.time_s for state in states]
        self.velocities = [state.velocity for state in states]
        self.mirrors: list[mirrors.Mirror | None] = []
        self.start_step = states[0].step
        self.failed: dict[str, str] = {}  # label -> why
        self.between_steps = False
        self.reported = -math.inf
        self.interval_step: int | None = None  # where timing began; None until a step is made
        self.resources = ExitStack()  # `setup` is not called in a parent of several processes
        self.hosts: Any = None  # the processes, by way of their hosts; None for one alone

    # --- the life of a training -----------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if multiprocessing.parent_process() is not None:  # a process of a run on several devices
            self.stop = StopRequest(only_note=True)
            logs.to_stderr()
            if (threads := self.configs[0].runtime.threads) is not None:
                torch.set_num_threads(threads)
            if trainer.is_global_zero:
                for run in self.runs:
                    self.resources.enter_context(logs.to_file(run.log))
        if trainer.world_size > 1:
            self.hosts = torch.distributed.new_group(backend="gloo")
        self.started = self.saved = self.interval_start = time.monotonic()
        if trainer.is_global_zero and stage == "fit":
            self.mirrors = [
                mirrors.mirror(config, run.folder)
                for config, run in zip(self.configs, self.runs, strict=True)
            ]

    def on_fit_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        self.stop.install()  # after Lightning's own

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        self.stop.install()
        self.interval_start = time.monotonic()
        self.interval_step = as_pack(pl_module).step
        self.between_steps = True
        self._report(trainer, as_pack(pl_module))

    def on_exception(
        self, trainer: Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        # Whatever went wrong between two steps, an image that cannot be read or a loader that
        # died: the state is whole, and nothing is lost. Not for nan, nor for a second Ctrl-C.
        if self.between_steps and not isinstance(
            exception, Stopped | RunFailed | KeyboardInterrupt
        ):
            self._save(trainer, as_pack(pl_module))
        # Lightning calls no teardown then
        self._close(exit_code=Interrupted.exit_code if isinstance(exception, Stopped) else 1)

    def teardown(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self._close(exit_code=0)

    # --- steps and validations ------------------------------------------------------------------

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.between_steps = False

    def on_train_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
    ) -> None:
        module = as_pack(pl_module)
        self.between_steps = True
        self._note_skipped(batch)
        if module.step % READ_EVERY == 0:
            self._drop_failed(trainer, module)
            self._report(trainer, module)
        if self._stop_requested(trainer):
            self._save_and_leave(trainer, module)
        age_s = time.monotonic() - self.saved
        if age_s >= self.task.checkpoint_every_s or (
            age_s >= self.task.checkpoint_least_s and self._ends_epoch(module.step)
        ):
            self._save(trainer, module)

    def on_validation_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._note_skipped(batch)
        if batch_idx < self.task.val_batches and self._stop_requested(trainer):
            self._save_and_leave(trainer, as_pack(pl_module))  # resumes with this validation

    def on_validation_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        self.stop.install()
        self.interval_end = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        module = as_pack(pl_module)
        self._drop_failed(trainer, module)
        self._gather_skipped(trainer)
        (train_loss, train_accuracy), (val_loss, val_accuracy) = module.end_interval()
        for member in module.active:
            row = {
                "step": module.step,
                "epoch": round(module.step / self.task.steps_per_epoch, 4),
                "lr": module.schedule(module.step),
                "train/loss": train_loss[member],
                "train/accuracy": train_accuracy[member],
                "val/loss": val_loss[member],
                "val/accuracy": val_accuracy[member],
                "time_s": round(self._time_s(member), 3),
                "images_per_s": round(self._images_per_s(module, member), 1),
            }
            self.curves[member].append(row)
        self._save(trainer, module)
        self._report(trainer, module)
        if trainer.is_global_zero:
            for member in module.active:
                self._tell(member, self.curves[member][-1])
        self.interval_start, self.interval_step = time.monotonic(), module.step

    def _close(self, *, exit_code: int) -> None:
        for run, mirror in zip(self.runs, self.mirrors, strict=False):
            if mirror is not None:
                mirror.close(1 if run.label in self.failed else exit_code)
        self.mirrors = []
        self.resources.close()

    # --- helpers --------------------------------------------------------------------------------

    def _tell(self, member: int, row: Mapping[str, Any]) -> None:
        left = (self.task.total_steps - row["step"]) * self.task.batch_size
        log.info(
            "%s  step %d/%d  epoch %.1f  train/loss %.4f  val/accuracy %.4f  %.0f images/s  "
            "%s left",
            self.runs[member].label,
            row["step"],
            self.task.total_steps,
            row["epoch"],
            row["train/loss"],
            row["val/accuracy"],
            row["images_per_s"],
            logs.duration(left / max(row["images_per_s"], 1e-9)),
            extra=logs.FOR_FILES,
        )
        if self.mirrors and (mirror := self.mirrors[member]) is not None:
            mirror.log(dict(row))

    def _drop_failed(self, trainer: Trainer, module: PackModule) -> None:
        """Let members whose loss is not finite leave, and say so; raise when none is left."""
        for name, step in module.drop_failed().items():
            run = next(run for run in self.runs if run.label == name)
            message = (
                f"{name}: the loss is nan or infinite at step {step}; the run has failed. Lower "
                f"train.lr={self.configs[0].train.lr} or lengthen train.warmup: {run.folder}"
            )
            self.failed[name] = message
            log.error("%s", message, extra=logs.FOR_FILES)
            if trainer.is_global_zero:
                store.note_failure(run, message)
        if not module.active:
            raise RunFailed("; ".join(self.failed.values()))

    def _save(self, trainer: Trainer, module: PackModule) -> None:
        self._drop_failed(trainer, module)  # a checkpoint with nan in it would be of no use
        self.saved = time.monotonic()
        if trainer.is_global_zero:
            for member in module.active:
                checkpoints.save(self.runs[member], self._state(module, member))
                write_curve(self.runs[member], self.curves[member])

    def _save_and_leave(self, trainer: Trainer, module: PackModule) -> NoReturn:
        self._save(trainer, module)
        trainer.strategy.barrier()  # the first process to leave has the others ended
        raise Stopped

    def _state(self, module: PackModule, member: int) -> State:
        network = module.networks[member]
        optimizers = module.trainer.optimizers
        moving = (
            optimiser.velocity(optimizers[0], network) if optimizers else self.velocities[member]
        )
        losses, hits, images = module.train_sums[:, member].tolist()
        return State(
            step=module.step,
            weights={k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()},
            velocity={k: v.detach().cpu().contiguous() for k, v in moving.items()},
            sums=(losses, hits, images),
            curve=tuple(self.curves[member]),
            skipped=tuple(self.skipped),
            time_s=self._time_s(member),
        )

    def _stop_requested(self, trainer: Trainer) -> bool:
        stop = self.stop.number is not None
        if trainer.world_size > 1:  # all ranks must leave at the same step
            votes = torch.tensor(int(stop))  # on the host: asking the devices would wait for them
            torch.distributed.all_reduce(votes, group=self.hosts)
            return votes.item() > 0
        return stop

    def _note_skipped(self, batch: Mapping[str, Any]) -> None:
        for name in batch["skipped"]:
            if name not in self.skipped:
                self.skipped[name] = None
                log.warning("%s cannot be read and is left out", name)

    def _gather_skipped(self, trainer: Trainer) -> None:
        """Every rank sees other files."""
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, list(self.skipped))
            self.skipped = {name: None for part in parts for name in part}

    def _ends_epoch(self, step: int) -> bool:
        per_epoch = self.task.steps_per_epoch
        return int(step / per_epoch) > int((step - 1) / per_epoch)

    def _images_per_s(self, module: PackModule, member: int) -> float:
        """Since the last validation; over the whole training where only a validation is made."""
        if self.interval_step is None:
            steps, elapsed_s = module.step, self._time_s(member)
        else:
            steps = module.step - self.interval_step
            elapsed_s = self.interval_end - self.interval_start
        return steps * self.task.batch_size / max(elapsed_s, 1e-9)

    def _time_s(self, member: int) -> float:
        return self.time_before_s[member] + time.monotonic() - self.started

    def _report(self, trainer: Trainer, module: PackModule) -> None:
        # Sooner at first, so that who watches sees it move
        pause_s = min(HEARTBEAT_S, 2 + self.reported - self.started)
        due = time.monotonic() - self.reported >= pause_s
        if trainer.is_global_zero and due:
            self.reported = time.monotonic()
            total, steps = self.task.total_steps, module.step - self.start_step
            elapsed_s = self.reported - self.started
            left_s = round(elapsed_s / steps * (total - module.step), 1) if steps else None
            for run in self.runs:
                store.report_progress(run, step=module.step, total_steps=total, left_s=left_s)
