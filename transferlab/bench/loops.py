"""Training steps on any device, timed: through Lightning's Trainer, and in a bare loop."""

import time
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule, Trainer

from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import View
from transferlab.data.loader import Batch, Stream, loader
from transferlab.data.transforms import InputTransform
from transferlab.experiment.run import Run
from transferlab.training import build, inputs, optimiser


class Stopwatch(lightning.Callback):
    """`elapsed_s` is the time of `steps` steps after the first `skipped`, set at their end.

    The device is waited for at both ends, and nowhere between.
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


def bare(
    run: Run,
    images: ImageSet,
    batches: Iterable[Batch],
    *,
    skipped: int,
    steps: int,
    device: torch.device,
) -> float:
    """The seconds of `steps` steps after the first `skipped` in a plain loop.

    In float32, nothing compiled: loss, gradient and update of a run on half A, and nothing else.
    """
    config = run.config
    module = build.module(build.subject(run)).to(device)
    network = module.network
    optimizer, scheduler = optimiser.build([network], module.recipe, total_steps=skipped + steps)
    mean = inputs.mean_image(run, images, "A", workers=0)
    views = InputTransform({"A": mean}, scale=config.data.scale, mirror=config.train.mirror,
                  channels_last=False).to(device)  # fmt: skip
    started = _now(device)
    with torch.compiler.set_stance("force_eager"):
        for step, batch in enumerate(batches, start=1):
            network.set_step(step - 1)
            loss = F.cross_entropy(network(views(batch)["A"]), batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if step == skipped:
                started = _now(device)
    return _now(device) - started


def batches(
    run: Run, images: ImageSet, *, steps: int, workers: int, device: torch.device
) -> Iterable[Batch]:
    """The training batches of a run on half A, read as in every training."""
    train = inputs.half(run, images, "A").train
    crop, recipe = run.config.data.crop, run.config.train
    requests = stream(train, batch_size=recipe.batch_size, steps=steps, crop=crop,
                      reshuffle=recipe.reshuffle, mirror=recipe.mirror)  # fmt: skip
    return loader(train, requests, crop=crop, workers=workers, device=device)


def stream(
    view: View, *, batch_size: int, steps: int, crop: int, reshuffle: bool, mirror: bool
) -> Stream:
    """The requests of a training from its first step on, in one process."""
    return Stream(
        count=len(view),
        seed=0,
        start_step=0,
        total_steps=steps,
        batch_size=batch_size,
        reshuffle=reshuffle,
        slack=view.subset.size - crop,
        mirror=mirror,
        rank=0,
        world_size=1,
    )


def _now(device: torch.device) -> float:
    """The time when the device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()
