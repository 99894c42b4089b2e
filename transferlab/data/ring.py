"""Batches that one background thread reads ahead, into a few reused buffers.

A new buffer for every batch is four times slower: the system has to allocate and clear its pages.
So a batch is valid until the second next is requested. On CUDA the buffers are pinned, and each
batch is copied to the device on a separate stream, while the device computes on the one before.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from transferlab.data import waiting

Batch = dict[str, Any]
Request = TypeVar("Request")
LIVE = 2  # batches still in use: Lightning fetches the next one before a step
AHEAD = 2  # batches filled meanwhile
END = None
LEAVE_S = 1.0  # for the thread to end; one that waits for a hung disk does not


@dataclass
class _Slot:
    """A buffer, as large as the largest batch so far, and the event that ends its last copy."""

    buffer: Tensor | None = None
    taken: torch.cuda.Event | None = None


Filled = tuple[_Slot, Batch] | BaseException | None


class Ring(Generic[Request]):
    """The batches that `fill` makes of the requests, in order.

    `fill` reads a request's images into an array (B, P, P, 3) and returns the batch, whose `pixels`
    are that array; `count` is the number of images of a request. An exception of `fill` is raised
    where the batches are read. While none is ready, `check` is called: see `waiting.slices`. When
    the reader leaves, `on_leave` ends what the requests wait for.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        *,
        fill: Callable[[Request, np.ndarray], Batch],
        count: Callable[[Request], int],
        crop: int,
        device: torch.device,
        check: Callable[[float], object] = lambda waited: None,
        on_leave: Callable[[], object] = lambda: None,
    ) -> None:
        self.check, self.on_leave = check, on_leave
        self.requests, self.fill, self.count = requests, fill, count
        self.crop, self.device = crop, device
        self.uploads = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __iter__(self) -> Iterator[Batch]:
        free: SimpleQueue[_Slot] = SimpleQueue()
        full: SimpleQueue[Filled] = SimpleQueue()
        for _ in range(LIVE + AHEAD):
            free.put(_Slot())
        left = threading.Event()
        thread = threading.Thread(target=self._work, args=(free, full, left), daemon=True)
        thread.start()
        live: deque[_Slot] = deque()
        try:
            while (filled := self._next(full)) is not END:
                if isinstance(filled, BaseException):
                    raise filled
                slot, batch = filled
                live.append(slot)
                if len(live) > LIVE:
                    free.put(live.popleft())
                yield batch if self.uploads is None else self._upload(slot, batch, self.uploads)
        finally:
            left.set()
            free.put(_Slot())  # wakes a thread that waits for a slot
            self.on_leave()
            thread.join(LEAVE_S)

    def _next(self, full: SimpleQueue[Filled]) -> Filled:
        """What the thread has made next. Raises: as `waiting.slices` does."""
        for timeout in waiting.slices(self.check):
            try:
                return full.get(timeout=timeout)
            except Empty:
                continue
        raise AssertionError("the slices do not end")

    def _work(
        self,
        free: SimpleQueue[_Slot],
        full: SimpleQueue[Filled],
        left: threading.Event,
    ) -> None:
        """Fill slots as they become free, until the requests end or the reader closes."""
        try:
            for request in self.requests:
                slot = free.get()
                if left.is_set():
                    return
                batch = self.fill(request, self._buffer(slot, self.count(request)))
                full.put((slot, batch if self.uploads is None else _pinned(batch)))
        except BaseException as error:  # in a thread: nobody else would hear of it
            full.put(error)
        else:
            full.put(END)

    def _buffer(self, slot: _Slot, count: int) -> np.ndarray:
        if slot.taken is not None:
            slot.taken.synchronize()  # in this thread, not the one that trains
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
            # blocking: the waiting thread sleeps instead of spinning
            slot.taken = uploads.record_event(torch.cuda.Event(blocking=True))
        current.wait_event(slot.taken)
        for value in moved.values():
            if torch.is_tensor(value):
                value.record_stream(current)
        return moved


def _pinned(batch: Batch) -> Batch:
    """The batch in pinned memory: the host would have to wait for a copy from elsewhere."""
    return {
        k: value.pin_memory() if torch.is_tensor(value) else value for k, value in batch.items()
    }
