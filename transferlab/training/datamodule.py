"""The LightningDataModule of a pack: one stream of training batches, cut at the validations.

To Lightning an epoch is the time from one validation to the next, so that validations fall on
fixed steps wherever a run was interrupted.
"""

from collections.abc import Iterator

import pytorch_lightning as lightning

from transferlab.data.half import Half, View
from transferlab.data.loader import Batch, Batches, Sequence, Stream, loader


class PackData(lightning.LightningDataModule):
    """Training batches of steps start_step..total_steps-1 and the whole validation subset."""

    def __init__(
        self,
        half: Half,
        *,
        seed: int,
        start_step: int,
        total_steps: int,
        val_every: int,
        batch_size: int,
        val_batch_size: int,
        reshuffle: bool,
        crop: int,
        mirror: bool,
        workers: int,
    ) -> None:
        super().__init__()
        self.half = half
        self.stream = dict(
            count=len(half.train),
            seed=seed,
            start_step=start_step,
            total_steps=total_steps,
            batch_size=batch_size,
            reshuffle=reshuffle,
            slack=half.train.subset.size - crop,
            mirror=mirror,
        )
        self.val_every, self.val_batch_size = val_every, val_batch_size
        self.crop, self.workers = crop, workers

    def train_dataloader(self) -> "Intervals":
        stream = Stream(**self.stream, **self._share())  # type: ignore[arg-type]
        batches = iter(self._loader(self.half.train, stream))
        return Intervals(batches, stream.start_step, stream.total_steps, self.val_every)

    def val_dataloader(self) -> Batches:
        return self._loader(
            self.half.val, Sequence(len(self.half.val), self.val_batch_size, **self._share())
        )

    def _loader(self, view: View, requests: Stream | Sequence) -> Batches:
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        return loader(view, requests, crop=self.crop, workers=self.workers, device=device)

    def _share(self) -> dict[str, int]:
        assert self.trainer is not None
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}


class Intervals:
    """Each iteration goes on with the stream up to the next step that has a validation."""

    def __init__(
        self, batches: Iterator[Batch], start_step: int, total_steps: int, val_every: int
    ) -> None:
        self.batches = batches
        self.step, self.total_steps, self.val_every = start_step, total_steps, val_every

    def __iter__(self) -> Iterator[Batch]:
        stop = (self.step // self.val_every + 1) * self.val_every
        while self.step < min(stop, self.total_steps):
            self.step += 1
            yield next(self.batches)
