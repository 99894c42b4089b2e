"""Batches that one background thread reads into a few reused buffers, ahead of who wants them.

A fresh buffer for every batch costs a factor of four: its pages have to be found and cleared. So a
batch is only good until the next but one is asked for. On CUDA the buffers are pinned, and each
batch goes to the device on a stream of its own while the one before is computed on.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

Batch = dict[str, Any]
Request = TypeVar("Request")
LIVE = 2  # batches that the reader may still use: Lightning asks for the next one ahead of a step
AHEAD = 2  # filled meanwhile
END = None


@dataclass
class _Slot:
    """A buffer, grown to the largest batch so far, and when the device has taken what it held."""

    buffer: Tensor | None = None
    taken: torch.cuda.Event | None = None


class Ring(Generic[Request]):
    """The batches that `fill` makes of the requests, in their order.

    `fill` reads a request's images into the array (B, P, P, 3) that it is given and returns the
    batch, `pixels` being in that array; `count` says how many images a request has. What `fill`
    raises is raised where the batches are read.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        *,
        fill: Callable[[Request, np.ndarray], Batch],
        count: Callable[[Request], int],
        crop: int,
        device: torch.device,
    ) -> None:
        self.requests, self.fill, self.count = requests, fill, count
        self.crop, self.device = crop, device
        self.uploads = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __iter__(self) -> Iterator[Batch]:
        free: SimpleQueue[_Slot] = SimpleQueue()
        full: SimpleQueue[tuple[_Slot, Batch] | Exception | None] = SimpleQueue()
        for _ in range(LIVE + AHEAD):
            free.put(_Slot())
        left = threading.Event()
        thread = threading.Thread(target=self._work, args=(free, full, left), daemon=True)
        thread.start()
        live: deque[_Slot] = deque()
        try:
            while (filled := full.get()) is not END:
                if isinstance(filled, Exception):
                    raise filled
                slot, batch = filled
                live.append(slot)
                if len(live) > LIVE:
                    free.put(live.popleft())
                yield batch if self.uploads is None else self._upload(slot, batch, self.uploads)
        finally:
            left.set()
            free.put(_Slot())  # for a thread that waits for one
            thread.join()

    def _work(
        self,
        free: SimpleQueue[_Slot],
        full: SimpleQueue[tuple[_Slot, Batch] | Exception | None],
        left: threading.Event,
    ) -> None:
        """Fill slots as they become free, until no more are asked for or the reader has left."""
        try:
            for request in self.requests:
                slot = free.get()
                if left.is_set():
                    return
                batch = self.fill(request, self._buffer(slot, self.count(request)))
                full.put((slot, batch if self.uploads is None else _pinned(batch)))
        except Exception as error:
            full.put(error)
        else:
            full.put(END)

    def _buffer(self, slot: _Slot, count: int) -> np.ndarray:
        if slot.taken is not None:
            slot.taken.synchronize()  # in this thread, which has nothing better to do
        if slot.buffer is None or len(slot.buffer) < count:
            slot.buffer = torch.empty(
                (count, self.crop, self.crop, 3),
                dtype=torch.uint8,
                pin_memory=self.uploads is not None,
            )
        return slot.buffer[:count].numpy()

    def _upload(self, slot: _Slot, batch: Batch, uploads: torch.cuda.Stream) -> Batch:
        """The batch on the device, where the current stream waits for it and the host does not."""
        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(uploads):
            moved = {
                key: value.to(self.device, non_blocking=True) if torch.is_tensor(value) else value
                for key, value in batch.items()
            }
            # blocking: the thread that waits for it sleeps, where it would spin otherwise
            slot.taken = uploads.record_event(torch.cuda.Event(blocking=True))
        current.wait_event(slot.taken)
        for value in moved.values():
            if torch.is_tensor(value):
                value.record_stream(current)
        return moved


def _pinned(batch: Batch) -> Batch:
    """The batch in pinned memory, all of it: a copy from elsewhere has the host wait."""
    return {
        k: value.pin_memory() if torch.is_tensor(value) else value for k, value in batch.items()
    }
