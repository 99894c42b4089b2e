"""Batches of a half for training and validation, as torch tensors of bytes.

What a batch holds is a function of the step (see `order`), so a stream can start at any step and
goes on exactly. Crop, mirror, mean and cast are left to the device: see `views`.
"""

import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from transferlab.data import order
from transferlab.data.half import View
from transferlab.errors import UserError

Batch = dict[str, Any]
Request = tuple[np.ndarray, ...]


class _Requests(Dataset[Batch]):
    """A view that is asked for whole batches: a request is a tuple of arrays."""

    def __init__(self, view: View) -> None:
        self.view = view

    def __getitems__(self, request: Request) -> Batch:
        places, *crops = request
        try:
            images = self.view.read(places, replace=bool(crops))
        except UserError as error:  # a worker would send its trace along with the message
            return {"error": str(error)}
        batch: Batch = {
            "pixels": torch.from_numpy(images.pixels),  # (B, S, S, 3) uint8
            "labels": torch.from_numpy(images.labels),  # (B,)
            "skipped": images.skipped,
        }
        if crops:
            batch["corners"], batch["flips"] = map(torch.from_numpy, crops)  # (B, 2), (B,)
        return batch


@dataclass(frozen=True)
class Stream:
    """Where training batches come from: the requests of steps start_step..total_steps-1.

    `batch_size` is the global one, of which every rank reads its share. `slack` is by how many
    pixels an image is larger than its crop.
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
            epochs, places = order.batch(
                step,
                seed=self.seed,
                count=self.count,
                batch_size=self.batch_size,
                reshuffle=self.reshuffle,
            )
            epochs, places = (
                epochs[self.rank :: self.world_size],
                places[self.rank :: self.world_size],
            )
            corners, flips = order.crops(
                self.seed, epochs, places, slack=self.slack, mirror=self.mirror
            )
            yield places, corners, flips


@dataclass(frozen=True)
class Sequence:
    """The requests for every image once, in order; of them, this rank's share."""

    count: int
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __iter__(self) -> Iterator[Request]:
        places = np.arange(self.rank, self.count, self.world_size)
        for start in range(0, len(places), self.batch_size):
            yield (places[start : start + self.batch_size],)


class Batches:
    """Answers requests in order, with `workers` processes or in this one.

    Raises while iterated: UserError that names a file which cannot be read.
    """

    def __init__(self, loader: DataLoader[Batch]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            if "error" in batch:
                raise UserError(batch["error"])
            yield batch


def loader(view: View, requests: Iterable[Request], *, workers: int, pin_memory: bool) -> Batches:
    """The batches of the requests."""
    loader: DataLoader[Batch] = DataLoader(
        _Requests(view),
        batch_sampler=requests,  # type: ignore[arg-type]
        collate_fn=_as_is,  # type: ignore[arg-type]
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_leave_signals_to_parent,
    )
    return Batches(loader)


def end_workers() -> None:
    """End the worker processes that an exception has left behind.

    They ignore SIGTERM, which Python's exit would send them and then wait for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # signals cannot be set from here, and the main thread's exit is not near
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's raises at a killed worker
    try:
        for child in multiprocessing.active_children():
            if child.daemon:  # loaders' workers are; the processes of several devices are not
                child.kill()
                child.join()
    finally:
        signal.signal(signal.SIGCHLD, handler)


def auto_workers(view: View, cores: int) -> int:
    """How many worker processes help: none for images in memory, else what the cores allow."""
    return 0 if view.subset.in_memory else max(0, min(cores - 1, 16))


def _as_is(batch: Batch) -> Batch:
    return batch


def _leave_signals_to_parent(worker: int) -> None:
    # Workers inherit the parent's handlers, and a signal to the whole job reaches them too: they
    # must outlive it, or their death interrupts the parent in the middle of a step
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
