"""Training steps on any device, timed: through Lightning's Trainer, and in a bare loop."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule, Trainer

from transferlab.data.loader import Batch, auto_workers
from transferlab.experiment.run import Run
from transferlab.runtime.signals import StopRequest
from transferlab.training import build, inputs, optimiser
from transferlab.training.checkpoints import TrainingState
from transferlab.training.datamodule import PackData
from transferlab.training.trainer import build_trainer, interruptible


class Stopwatch(lightning.Callback):
    """`elapsed_s` is the time of `steps` steps after the first `skipped`, set at their end.

    Waits for the device at both ends, and nowhere in between.
    """

    def __init__(self, *, skipped: int, steps: int) -> None:
        self.skipped, self.steps = skipped, steps
        self.started = 0.0
        self.elapsed_s: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = _now(trainer.strategy.root_device)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = batch_idx + 1
        if done == self.skipped:
            self.started = _now(trainer.strategy.root_device)
        elif done == self.skipped + self.steps:
            self.elapsed_s = _now(trainer.strategy.root_device) - self.started


def load(run: Run, *, steps: int, workers: int = 0) -> PackData:
    """The batches of the first steps of a base network on half A.

    `workers` processes read images that are not in memory.
    """
    images = inputs.load_images(run.config)
    half = inputs.half(run, images, "A")
    readers = workers and auto_workers(half.train, workers + 1, resized=False)
    subjects = [build.subject(run)]
    means = build.means(subjects, images, workers=readers)
    return build.pack_data(subjects, half, means, start_step=0, total_steps=steps,
                           val_every=steps, workers=readers, check=lambda waited: None)  # fmt: skip


def read(data: PackData, trainer: Trainer | None = None) -> Iterator[Batch]:
    """The training batches, for the device of a Trainer or the processor."""
    return iter(data.reader.training(trainer, start_step=0, total_steps=data.total_steps))


def fit(
    run: Run, data: PackData, batches: Iterable[Batch] | None, stop: StopRequest, *, skipped: int
) -> float:
    """The seconds of our steps after the first `skipped`, through the Trainer.

    `batches` stand in for those of `data`. Raises: UserError without the run's device.
    """
    subject, steps = build.subject(run), data.total_steps
    fresh = TrainingState(0, build.fresh(subject).state_dict(), {}, (0.0, 0.0, 0.0), (), {}, 0.0)
    module = build.pack_module([subject], [fresh], total_steps=steps)
    watch = Stopwatch(skipped=skipped, steps=steps - skipped)
    fitting = build_trainer(run.config, [watch], intervals=1)
    with interruptible(stop):
        fitting.fit(module, datamodule=_OnlyTraining(data, batches))
    assert watch.elapsed_s is not None
    return watch.elapsed_s


def bare(
    run: Run, data: PackData, batches: Iterable[Batch], device: torch.device, *, skipped: int
) -> float:
    """The seconds of the steps after the first `skipped`, in a plain loop.

    In float32, nothing compiled: loss, gradient and update of a base network, and nothing else.
    """
    module = build.module(build.subject(run)).to(device)
    network, transform = module.network, data.views.to(device)
    optimizer, scheduler = optimiser.build([network], module.recipe, total_steps=data.total_steps)
    started = _now(device)
    with torch.compiler.set_stance("force_eager"):
        for step, batch in enumerate(batches, start=1):
            network.set_step(step - 1)
            loss = F.cross_entropy(network(transform(batch)["A"]), batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if step == skipped:
                started = _now(device)
    return _now(device) - started


class _OnlyTraining(lightning.LightningDataModule):
    """The training batches of a pack, or others in their place, without a validation."""

    def __init__(self, data: PackData, batches: Iterable[Batch] | None) -> None:
        super().__init__()
        self.data, self.batches = data, batches

    def train_dataloader(self) -> Iterable[Batch]:
        assert self.trainer is not None
        self.data.views.to(self.trainer.strategy.root_device)
        return read(self.data, self.trainer) if self.batches is None else self.batches

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> dict[str, Any]:
        return self.data.on_after_batch_transfer(batch, dataloader_idx)


def _now(device: torch.device) -> float:
    """The time, once the device has finished its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()
