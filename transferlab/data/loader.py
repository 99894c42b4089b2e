"""Batches of a half for training and validation, as torch tensors of bytes.

A batch is a function of the step (see `sampling`), so a stream can start at any step with the
batches of an uninterrupted one. Mirror, mean and cast are left to the device: see `transforms`.
"""

import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from transferlab.data import sampling
from transferlab.data.half import View
from transferlab.data.ring import Batch, Ring
from transferlab.errors import UserError


@dataclass(frozen=True)
class Request:
    """What to put into a batch: indices (B,) in a view and, for training, each image's crop.

    `corners` (B, 2) and `flips` (B,) are those of `sampling.crops`; a validation batch has none.
    """

    indices: np.ndarray
    corners: np.ndarray | None = None
    flips: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.indices)


def answer(view: View, request: Request, out: np.ndarray) -> Batch:
    """The requested batch: its images are read into `out` (B, P, P, 3) uint8.

    Crops are made while reading; which images to mirror is only passed on.
    Raises: UserError as `View.read` does.
    """
    training = request.corners is not None
    images = view.read(request.indices, out, corners=request.corners, replace=training)
    batch: Batch = {
        "pixels": torch.from_numpy(images.pixels),
        "labels": torch.from_numpy(images.labels),  # (B,)
        "skipped": images.skipped,
    }
    if request.corners is not None and request.flips is not None:
        batch["corners"] = torch.from_numpy(request.corners)
        batch["flips"] = torch.from_numpy(request.flips)
    return batch


@dataclass(frozen=True)
class Stream:
    """The requests for training batches, of steps start_step..total_steps-1.

    `batch_size` is the global one, of which every rank reads its share. `slack` is the number of
    pixels by which an image is larger than its crop.
    """

    count: int
    seed: int
    start_step: int
    total_steps: int
    batch_size: int
    reshuffle: bool
    slack: int
    mirror: bool
    rank: int
    world_size: int

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
            corners, flips = sampling.crops(
                self.seed, epochs, indices, slack=self.slack, mirror=self.mirror
            )
            yield Request(indices, corners, flips)


@dataclass(frozen=True)
class Sequence:
    """The requests for every image once, in order; of these, this rank's share."""

    count: int
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __iter__(self) -> Iterator[Request]:
        indices = np.arange(self.rank, self.count, self.world_size)
        for start in range(0, len(indices), self.batch_size):
            yield Request(indices[start : start + self.batch_size])


class Batches:
    """Answers requests in order.

    Raises while iterated: UserError that names a file which cannot be read.
    """

    def __init__(self, source: Iterable[Batch]) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.source:
            if "error" in batch:
                raise UserError(batch["error"])
            yield batch


def loader(
    view: View, requests: Iterable[Request], *, crop: int, workers: int, device: torch.device
) -> Batches:
    """The batches of the requests, of images of `crop` pixels a side, for a device.

    Without worker processes one thread reads ahead, and a batch is valid until the second next
    is requested: see `ring`.
    """
    if not workers:
        fill = partial(answer, view)
        return Batches(Ring(requests, fill=fill, count=len, crop=crop, device=device))
    batches: DataLoader[Batch] = DataLoader(
        _Requests(view, crop),
        batch_sampler=requests,  # type: ignore[arg-type]
        collate_fn=_as_is,  # type: ignore[arg-type]
        num_workers=workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=_leave_signals_to_parent,
    )
    return Batches(batches)


def end_workers() -> None:
    """End the worker processes that an exception has left behind.

    They ignore the SIGTERM that Python sends at exit, so that it would wait forever.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # signals cannot be set from here, and the main thread is not about to exit
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's raises for a killed worker
    try:
        for child in multiprocessing.active_children():
            if child.daemon:  # a loader's workers are; processes of other devices are not
                child.kill()
                child.join()
    finally:
        signal.signal(signal.SIGCHLD, handler)


def auto_workers(view: View, cores: int) -> int:
    """A sensible number of worker processes: none for images in memory, else by the cores."""
    return 0 if view.subset.in_memory else max(0, min(cores - 1, 16))


class _Requests(Dataset[Batch]):
    """A view as a worker process reads it, a batch at a time."""

    def __init__(self, view: View, crop: int) -> None:
        self.view, self.crop = view, crop

    def __getitems__(self, request: Request) -> Batch:
        out = torch.empty((len(request), self.crop, self.crop, 3), dtype=torch.uint8)
        try:
            return answer(self.view, request, out.numpy())
        except UserError as error:  # a worker would send its trace along with the message
            return {"error": str(error)}


def _as_is(batch: Batch) -> Batch:
    return batch


def _leave_signals_to_parent(worker: int) -> None:
    # Workers inherit the parent's handlers, and a signal to the job reaches them too: they must
    # survive it, or their death interrupts the parent in the middle of a step
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
