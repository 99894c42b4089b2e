"""LightningDataModules of one half: for any Trainer, and for a pack between its validations.

A batch is a function of (seed, epoch, index), so that a training resumes exactly. Bytes
become inputs on the device: crops are made when an image is read, the mean image is subtracted
after the transfer.

Shapes: B batch, C channels, P pixels a side of a crop.
"""

import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor

from transferlab.data.half import Half, View
from transferlab.data.loader import Batch, Batches, Sequence, Stream, auto_workers, loader
from transferlab.data.sampling import Augmentation
from transferlab.data.transforms import InputTransform
from transferlab.errors import UserError
from transferlab.experiment import usage, variants, views
from transferlab.experiment.build import build_config
from transferlab.experiment.compose import as_typed, compose, settings
from transferlab.experiment.resolve import resolve
from transferlab.runtime import machine
from transferlab.training import inputs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reader:
    """The batches of one half for the process of a Trainer: its share, on its device.

    `batch_size` is that of all processes together, `seed` comes from `seeds.image_seed`. Without a
    Trainer there is one process, on the CPU. `check` is called while a batch is awaited.
    """

    half: Half
    seed: int
    batch_size: int
    val_batch_size: int
    reshuffle: bool
    crop: int
    augmentation: Augmentation
    workers: int
    check: Callable[[float], object] = lambda waited: None

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every training image is used; the last one begins the next epoch."""
        return math.ceil(len(self.half.train) / self.batch_size)

    def training(self, trainer: Trainer | None, *, start_step: int, total_steps: int) -> Batches:
        """The batches of steps start_step..total_steps-1, one epoch after the other."""
        view = self.half.train
        stream = Stream(
            count=len(view),
            seed=self.seed,
            start_step=start_step,
            total_steps=total_steps,
            batch_size=self.batch_size,
            reshuffle=self.reshuffle,
            augmentation=self.augmentation,
            **_share(trainer),
        )
        return self._loader(view, stream, trainer)

    def validation(self, trainer: Trainer | None) -> Batches:
        """Every validation image once."""
        view = self.half.val
        requests = Sequence(len(view), self.val_batch_size, **_share(trainer))
        return self._loader(view, requests, trainer)

    def _loader(self, view: View, requests: Stream | Sequence, trainer: Trainer | None) -> Batches:
        device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
        return loader(
            view,
            requests,
            crop=self.crop,
            workers=self.workers,
            device=device,
            check=self.check,
        )


class HalfDataModule(LightningDataModule):
    """One half of a data set, for any Trainer: pairs of inputs (B, C, P, P) and labels (B,), or
    (B, K) for several an image.

    Everything that is not an argument has its default in `conf/`, and is changed with `overrides`
    as on the command line: `overrides=["data.size=16", "split.seed=1"]`. An epoch has the number of
    steps that use every image.

    data: a data set of `conf/data`, `digits`, or a function `package.module:function`.
    half: `A` or `B` of the classes, as `split` divides them.
    mean: whose mean image is subtracted, `A`, `B` or `none`; by default that of the half. The
        authors took the base half's also for a transfer network.
    seed: the order of the images, crops and mirroring are functions of it, the split and the half.
    batch_size: of all processes together; by default that of `conf/train`.

    Raises: UserError for unknown or inconsistent arguments; `setup` raises it if the images cannot
    be read.
    """

    def __init__(
        self,
        data: str = "digits",
        *,
        half: str = "B",
        split: str = "random",
        mean: str | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        overrides: Iterable[str] = (),
    ) -> None:
        super().__init__()
        if mean not in (None, *variants.HALVES, inputs.NO_MEAN):
            raise UserError(f"mean={mean} is unknown: choose A, B or none")
        overrides = tuple(overrides)
        # Not for the logger, which refuses keys that the module has with another value, as `seed`
        self.save_hyperparameters(logger=False)
        composition = [
            as_typed(f"data={data}"),
            as_typed(f"split={split}"),
            f"transfer.variant=base{half}",
            f"seed={seed}",
            *([] if batch_size is None else [f"train.batch_size={batch_size}"]),
            *map(as_typed, overrides),
        ]
        config = build_config(compose("config", composition))
        usage.check(settings(overrides), [config])
        self.run = resolve(config)
        self.config = self.run.config
        if self.config.split.a is not None and mean not in (None, half, inputs.NO_MEAN):
            raise UserError(
                f"mean={mean} is that of another data set than half={half}: omit it, or set "
                "mean=none"
            )
        self.mean = inputs.mean_letter(self.config) if mean is None else mean
        self.reader: Reader | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read the data set and the mean image, or take that from the cache."""
        if self.reader is None:
            config, train = self.config, self.config.train
            seen = views.inputs(config)
            images = inputs.load_images(config)
            half = inputs.half(self.run, images, config.variant.target)
            workers = config.runtime.workers
            if workers is None:
                resized = seen.scales is not None
                workers = auto_workers(half.train, machine.cores(), resized=resized)
            self.reader = Reader(
                half,
                seed=inputs.image_seed(self.run),
                batch_size=train.batch_size,
                val_batch_size=train.val_batch_size,
                reshuffle=train.reshuffle,
                crop=seen.crop,
                augmentation=inputs.augmentation(config),
                workers=workers,
            )
            mean = inputs.mean_image(self.run, images, self.mean, workers=workers)
            components = inputs.colour_components(self.run, half, workers=workers)
            self.views = inputs.transform(config, {self.mean: mean}, components)
        if self.trainer is not None:
            self.views.to(self.trainer.strategy.root_device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return self._reader().half.classes

    @property
    def split_digest(self) -> str:
        """What the halves are called in the seeds: see `TransferModule`."""
        return inputs.split_digest(self.run)

    def train_dataloader(self) -> "Epochs":
        reader, trainer = self._reader(), self.trainer
        # A Trainer that resumes has used the batches before its checkpoint
        step = 0 if trainer is None else trainer.fit_loop.total_batch_idx + 1
        batches = reader.training(trainer, start_step=step, total_steps=sys.maxsize)
        return Epochs(iter(batches), step, sys.maxsize, reader.steps_per_epoch)

    def val_dataloader(self) -> Batches:
        return self._reader().validation(self.trainer)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """From bytes on the device to inputs and labels."""
        for name in batch["skipped"]:
            log.warning("%s cannot be read and is skipped", name)
        return self.views(batch)[self.mean], batch["labels"]

    def _reader(self) -> Reader:
        if self.reader is None:
            self.setup()
        assert self.reader is not None
        return self.reader


class PackData(LightningDataModule, AbstractContextManager["PackData"]):
    """Training batches of steps start_step..total_steps-1 and the whole validation subset.

    For Lightning an epoch is the interval between two validations, so that validations stay on
    fixed steps wherever a run was interrupted. `views` makes the inputs of the pack's networks.
    As a context it ends the reading of batches, also after an exception.
    """

    def __init__(
        self,
        reader: Reader,
        views: InputTransform,
        *,
        start_step: int,
        total_steps: int,
        val_every: int,
    ) -> None:
        super().__init__()
        self.reader, self.views = reader, views
        self.start_step, self.total_steps, self.val_every = start_step, total_steps, val_every
        self.begun = ExitStack()  # the batches that are being read

    def __exit__(self, *_: object) -> None:
        self.begun.close()

    def setup(self, stage: str | None = None) -> None:
        assert self.trainer is not None
        self.views.to(self.trainer.strategy.root_device)

    def train_dataloader(self) -> "Intervals":
        steps = {"start_step": self.start_step, "total_steps": self.total_steps}
        batches = self.begun.enter_context(self.reader.training(self.trainer, **steps))
        return Intervals(iter(batches), self.start_step, self.total_steps, self.val_every)

    def val_dataloader(self) -> Batches:
        return self.begun.enter_context(self.reader.validation(self.trainer))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> dict[str, Any]:
        """From bytes on the device to the inputs of all views."""
        return {
            "inputs": self.views(batch),
            "labels": batch["labels"],
            "indices": batch["indices"],
            "rows": batch["rows"],
            "skipped": batch["skipped"],
        }


class Intervals:
    """Each iteration goes through the stream up to the next multiple of `every` steps."""

    def __init__(
        self, batches: Iterator[Batch], start_step: int, total_steps: int, every: int
    ) -> None:
        self.batches = batches
        self.step, self.total_steps, self.every = start_step, total_steps, every

    def __iter__(self) -> Iterator[Batch]:
        stop = (self.step // self.every + 1) * self.every
        while self.step < min(stop, self.total_steps):
            self.step += 1
            yield next(self.batches)


class Epochs(Intervals):
    """Intervals of one length, which Lightning asks for: the Trainer counts on from there."""

    def __len__(self) -> int:
        return self.every


def _share(trainer: Trainer | None) -> dict[str, int]:
    if trainer is None:
        return {"rank": 0, "world_size": 1}
    return {"rank": trainer.global_rank, "world_size": trainer.world_size}
