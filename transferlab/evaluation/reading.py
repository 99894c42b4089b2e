"""The images of an evaluation in batches, read ahead by threads: decoding leaves Python's lock.

An image is read once for all runs that see it alike, and decoded once for all test scales, or with
`data.decode=scaled` for each. Shapes:
N images of a subset, B of a batch, S pixels a side as a run stores them, H, W of a rectangle.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from transferlab.data.datasets import decode
from transferlab.data.half import View
from transferlab.data.loader import auto_workers
from transferlab.runtime import machine

AHEAD = 2  # batches that are read while one is used


class Sight(NamedTuple):
    """How an image is seen: as it is stored for `view`, one of the views of a reading (S, S); or,
    with a test scale, as the rectangle (H, W) whose shorter side has `scale` pixels."""

    view: int
    scale: int | None


@dataclass(frozen=True)
class Seen:
    """A batch: labels (B,), for each look the images, each (H, W, 3) uint8, and the files that
    could not be read, as name in the data set -> sha256."""

    labels: np.ndarray
    images: Mapping[Sight, list[np.ndarray]]
    skipped: Mapping[str, str]


def batches(
    views: Sequence[View], looks: Sequence[Sight], *, batch_size: int, workers: int | None
) -> Iterator[Seen]:
    """Every image of the views, which have the same images, once and in order.

    Raises: UserError that names an unreadable file, unless the views leave such out.
    """
    first = views[0]
    if workers is None:
        resized = any(look.scale is not None for look in looks)
        workers = auto_workers(first, machine.cores(), resized=resized)
    threads = max(1, workers)
    waiting: deque[list[Future[Seen]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for start in range(0, len(first), batch_size):
                indices = np.arange(start, min(start + batch_size, len(first)))
                parts = np.array_split(indices, min(threads, len(indices)))
                waiting.append([pool.submit(_read, views, looks, part) for part in parts])
                if len(waiting) > AHEAD:
                    yield _together([part.result() for part in waiting.popleft()])
            while waiting:
                yield _together([part.result() for part in waiting.popleft()])
        finally:
            pool.shutdown(cancel_futures=True)


def _read(views: Sequence[View], looks: Sequence[Sight], indices: np.ndarray) -> Seen:
    """The images `indices` (B,) of the views, by every look."""
    images: dict[Sight, list[np.ndarray]] = {}
    labels, skipped = np.empty(0), dict[str, str]()
    for number in {look.view for look in looks}:
        views[number].announce(indices)
    for number in sorted({look.view for look in looks}):
        view = views[number]
        scales = [look.scale for look in looks if look.view == number]
        if None in scales:
            size = view.subset.size
            out = np.empty((len(indices), size, size, 3), dtype=np.uint8)
            read = view.read(indices, out, replace=False)
            labels, skipped = read.labels, read.skipped
            images[Sight(number, None)] = list(read.pixels)
        pictures = None
        for scale in filter(None, scales):
            if pictures is None or view.subset.scaled:
                pictures = view.pictures(indices, scale)
            labels, skipped = pictures.labels, pictures.skipped
            fitted = [decode.fit(p, size=scale, resize="side") for p in pictures.pictures]
            # As a run reads its images: grey after they were resized
            images[Sight(number, scale)] = [
                decode.to_grey(pixels.copy()) if view.grey else pixels for pixels in fitted
            ]
    return Seen(labels, images, skipped)


def _together(parts: Sequence[Seen]) -> Seen:
    """The parts of a batch as one, in their order."""
    return Seen(
        np.concatenate([part.labels for part in parts]),
        {look: [i for part in parts for i in part.images[look]] for look in parts[0].images},
        {name: sha for part in parts for name, sha in part.skipped.items()},
    )
