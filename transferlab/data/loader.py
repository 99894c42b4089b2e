"""Batches of a half for training and validation, as torch tensors of bytes.

A batch is a function of the step (see `sampling`), so a stream can start at any step with the
batches of an uninterrupted one. Mirror, mean and cast are left to the device: see `transforms`.
"""

import math
import mmap
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from transferlab.data import sampling
from transferlab.data.half import View
from transferlab.data.ring import Batch, Ring
from transferlab.data.sampling import Augmentation, Variation
from transferlab.data.workers import AHEAD, WorkerLost, Workers
from transferlab.runtime import commands


@dataclass(frozen=True)
class Request:
    """What to put into a batch: indices (B,) in a view and, for training, how each image varies."""

    indices: np.ndarray
    variation: Variation | None = None

    def __len__(self) -> int:
        return len(self.indices)


def answer(view: View, request: Request, out: np.ndarray) -> Batch:
    """The requested batch: its images are read into `out` (B, P, P, 3) uint8.

    Crops are made while reading; the rest is only passed on: `flips` (B,), which images to mirror,
    `alphas` (B, 3), and of images of one size the `corners` (B, 2) of their crops.
    Raises: UserError as `View.read` does.
    """
    variation = request.variation
    crops = None if variation is None else variation.crops
    images = view.read(request.indices, out, crops=crops, replace=variation is not None)
    batch: Batch = {
        "pixels": torch.from_numpy(images.pixels),
        "labels": torch.from_numpy(images.labels),  # (B,) or (B, K)
        "indices": torch.from_numpy(images.indices),  # (B,), in the view
        "rows": images.indices.copy(),  # on the host: which view of which image each is
        "skipped": images.skipped,
    }
    if variation is not None:
        batch["flips"] = torch.from_numpy(variation.flips)
        batch["rows"] += len(view) * variation.flips
        if variation.alphas is not None:
            batch["alphas"] = torch.from_numpy(variation.alphas)
        if variation.crops.one_size:
            size = view.subset.size
            batch["corners"] = torch.from_numpy(variation.crops.corners(size, out.shape[1]))
    return batch


@dataclass(frozen=True)
class Stream:
    """The requests for training batches, of steps start_step..total_steps-1.

    `batch_size` is the global one, of which every rank reads its share.
    """

    count: int
    seed: int
    start_step: int
    total_steps: int
    batch_size: int
    reshuffle: bool
    augmentation: Augmentation
    rank: int
    world_size: int

    @property
    def largest(self) -> int:
        """The images of the largest batch."""
        return math.ceil(self.batch_size / self.world_size)

    def __iter__(self) -> Iterator[Request]:
        for step in range(self.start_step, self.total_steps):
            epochs, indices = sampling.batch(
                step,
                seed=self.seed,
                count=self.count,
                batch_size=self.batch_size,
                reshuffle=self.reshuffle,
            )
            epochs, indices = (
                epochs[self.rank :: self.world_size],
                indices[self.rank :: self.world_size],
            )
            variation = sampling.draw(self.augmentation, self.seed, epochs, indices)
            yield Request(indices, variation)


@dataclass(frozen=True)
class Sequence:
    """The requests for every image once, in order; of these, this rank's share."""

    count: int
    batch_size: int
    rank: int = 0
    world_size: int = 1

    @property
    def largest(self) -> int:
        """The images of the largest batch."""
        return min(self.batch_size, self.count)

    def __iter__(self) -> Iterator[Request]:
        indices = np.arange(self.rank, self.count, self.world_size)
        for start in range(0, len(indices), self.batch_size):
            yield Request(indices[start : start + self.batch_size])


class Batches(AbstractContextManager["Batches"]):
    """Answers requests in order, each time that it is iterated.

    Raises while iterated: UserError that names a file which cannot be read; RunFailed if a worker
    process dies, or if no batch comes for `waiting.LIMIT_S`.
    """

    def __init__(self, read: Callable[[], Generator[Batch, None, None]]) -> None:
        self.read = read
        self.begun: list[Generator[Batch, None, None]] = []

    def __iter__(self) -> Iterator[Batch]:
        self.begun.append(self.read())
        return self.begun[-1]

    def __exit__(self, *_: object) -> None:
        """End the thread and the processes of iterations that were left early, by an exception
        for instance."""
        for iteration in self.begun:
            iteration.close()
        self.begun = []


def loader(
    view: View,
    requests: Stream | Sequence,
    *,
    crop: int,
    workers: int,
    device: torch.device,
    check: Callable[[float], object] = lambda waited: None,
) -> Batches:
    """The batches of the requests, of images of `crop` pixels a side, for a device.

    One thread reads ahead, with `workers` processes or by itself, and a batch is valid until the
    second next is requested: see `ring`. While a batch is awaited, `check` is called: see
    `waiting.slices`.
    """

    def read() -> Generator[Batch, None, None]:
        ring = partial(Ring, crop=crop, device=device, check=check)
        if not workers:
            yield from ring(announced(view, requests), fill=partial(answer, view), count=len)
            return
        shared = _Shared(view, workers, largest=requests.largest, crop=crop)
        with Workers(workers, shared.read, advice=_advice(workers)) as pool:
            yield from ring(
                pool.each(shared.tasks(announced(view, requests))),
                fill=shared.copy,
                count=lambda answered: len(answered[0][1]),
                on_leave=pool.kill,
            )

    return Batches(read)


def announced(view: View, requests: Iterable[Request]) -> Iterator[Request]:
    """The requests, each after the images of the next were announced: the disk reads them while
    those of this one are copied."""
    last: Request | None = None
    for request in requests:
        view.announce(request.indices)
        if last is not None:
            yield last
        last = request
    if last is not None:
        yield last


def auto_workers(view: View, cores: int, *, resized: bool) -> int:
    """A sensible number of worker processes: none for images in memory that are not `resized`
    whenever they are read, else by the cores."""
    return 0 if view.subset.in_memory and not resized else max(0, min(cores - 1, 16))


class _Shared:
    """Buffers in memory that this process shares with its workers, which fill them with pixels.

    Not in /dev/shm, of which containers have little: the memory has no name.
    """

    def __init__(self, view: View, count: int, *, largest: int, crop: int) -> None:
        self.view, self.count = view, AHEAD * count
        shape = (self.count, largest, crop, crop, 3)
        try:
            memory = mmap.mmap(-1, math.prod(shape))
        except (OSError, OverflowError) as error:
            raise WorkerLost(
                f"the batches of {count} worker processes need {math.prod(shape) / 1e9:.3g} GB of "
                f"memory, which the system refuses: {_advice(count)}"
            ) from error
        self.buffers = np.frombuffer(memory, dtype=np.uint8).reshape(shape)

    def tasks(self, requests: Iterable[Request]) -> Iterator[tuple[int, Request]]:
        """Each request with the number of a buffer, whose last batch has been copied by then."""
        return ((number % self.count, request) for number, request in enumerate(requests))

    def read(self, task: tuple[int, Request]) -> Batch:
        """In a worker: answer the request, but for its pixels, of which only the number is sent."""
        number, request = task
        buffer = self.buffers[number, : len(request)]
        batch = answer(self.view, request, buffer)
        pixels = batch.pop("pixels").numpy()
        if len(pixels) < len(request):  # unreadable images are left out
            buffer[: len(pixels)] = pixels
        return batch | {"count": len(pixels)}

    def copy(self, answered: tuple[tuple[int, Request], Batch], out: np.ndarray) -> Batch:
        """The batch, with its pixels in `out` (B, P, P, 3)."""
        (number, _), batch = answered
        count = batch.pop("count")
        out[:count] = self.buffers[number, :count]
        return {"pixels": torch.from_numpy(out[:count]), **batch}


def _advice(count: int) -> str:
    """What to do if one of so many worker processes dies."""
    choices = dict.fromkeys((0, count // 2))
    settings = " or ".join(commands.setting("runtime.workers", choice) for choice in choices)
    return f"set {settings}, and run the command again"
