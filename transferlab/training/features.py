"""Features of frozen stages, kept for every view of every image instead of computed every epoch.

Without random crops an image has one view in training, or two with mirroring; in validation it has
one. Features are kept as they come out of the batches of the training, in the order of its first
epochs; nothing is computed ahead.

The bits are those of a training that keeps nothing. A feature is kept from a batch in which its
image had other neighbours and another place, and a kernel may add up in another order for another
place, or for a batch of another size. So before anything is kept, the first batch is computed once
more in reverse order, and in parts of a few sizes. What does not give the same bits is not used: of
the sizes only the equal ones, and if the place matters, nothing is kept. Batches of a validation
recur as they are.

Shapes: B batch, k values of an image's features.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

log = logging.getLogger(__name__)
PARTS = 4  # a part of a batch is one, two or three quarters of it
By = dict[int, Tensor]  # features by the number of stages
Compute = Callable[[Tensor, Iterable[int]], By]


class Limit:
    """The memory that features of a pack may take, in bytes: `left` of it, but no more than `room`
    has when they take it. Other processes may have taken theirs since the pack was begun."""

    def __init__(self, size: int, room: Callable[[], int] | None = None) -> None:
        self.left, self.room = size, room

    def take(self, size: int) -> bool:
        """Take so much of it, if there is room."""
        if size > self.left or (self.room is not None and size > self.room()):
            return False
        self.left -= size
        return True


class Features:
    """The features of one subset: of `rows` views of its images, within a limit.

    `recurring`: every batch is one of a fixed sequence.
    """

    def __init__(self, rows: int, limit: Limit, *, recurring: bool) -> None:
        self.rows, self.limit, self.recurring = rows, limit, recurring
        self.trunks: dict[str, _Trunk] = {}

    def take(
        self, trunk: str, cuts: Iterable[int], x: Tensor, rows: np.ndarray, compute: Compute
    ) -> By:
        """The features of a batch x (B, ...) after each of these numbers of stages.

        `rows` (B,) are the views of the images, in 0..rows-1, and `compute` passes x through the
        stages of the trunk. The cuts of a trunk are those of the first call, or some of them.
        """
        if trunk not in self.trunks:
            features = compute(x, cuts)
            self.trunks[trunk] = self._begin(trunk, x, features, compute)
            self.trunks[trunk].keep(rows, features)
            return features
        return self.trunks[trunk].take(cuts, x, rows, compute)

    def _begin(self, trunk: str, x: Tensor, features: By, compute: Compute) -> "_Trunk":
        """What is kept of a trunk: its deepest cuts, which save most, as many as there is room for,
        if the bits allow."""
        sizes = [] if self.recurring else exact_sizes(x, features, compute)
        buffers: dict[int, _Buffer] = {}
        if (self.recurring or sizes) and is_dense(x):
            for cut in sorted(features, reverse=True):
                size = self.rows * _bytes(features[cut][:1])
                if not is_dense(features[cut]) or not self.limit.take(size):
                    break
                buffers[cut] = _Buffer.like(features[cut], self.rows)
        kept = " ".join(map(str, sorted(buffers))) or "none"
        log.info("features of %s kept after stages: %s (%d views)", trunk, kept, self.rows)
        return _Trunk(buffers, np.zeros(self.rows, dtype=bool), sizes)


@dataclass
class _Buffer:
    """Features of one cut: (rows, k) as they lie in memory, and the shape and strides of those of
    one image."""

    values: Tensor
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def like(cls, features: Tensor, rows: int) -> "_Buffer":
        values = torch.empty((rows, features.stride(0)), dtype=features.dtype,
                             device=features.device)  # fmt: skip
        values.zero_()  # takes the memory now, so that other processes see that it is taken
        return cls(values, tuple(features.shape[1:]), features.stride()[1:])

    def keep(self, rows: Tensor, features: Tensor) -> None:
        self.values[rows] = flat(features)

    def of(self, rows: Tensor) -> Tensor:
        """The features (B, ...) of these rows, which lie in memory as they did."""
        values = self.values[rows]
        return values.as_strided((len(rows), *self.shape), (values.shape[1], *self.strides))


@dataclass
class _Trunk:
    """The kept cuts of a trunk, the rows that are `known`, and the sizes of parts of a batch that
    give the same bits, in ascending order; the last is that of the batch."""

    buffers: dict[int, _Buffer]
    known: np.ndarray
    sizes: list[int]

    def take(self, cuts: Iterable[int], x: Tensor, rows: np.ndarray, compute: Compute) -> By:
        cuts = set(cuts)
        kept = cuts & self.buffers.keys()
        missing = np.flatnonzero(~self.known[rows])
        size = next((each for each in self.sizes if each >= len(missing)), len(rows))
        if not kept or (len(missing) and size >= len(rows)):
            features = compute(x, cuts)
            self.keep(rows, features)
            return features
        if len(missing):  # with others, up to a size that gives the same bits
            order = np.argsort(self.known[rows], kind="stable")[:size]
            part = torch.from_numpy(order).to(x.device)
            self.keep(rows[order], compute(taken(x, part), kept))
        features = compute(x, cuts - kept) if cuts - kept else {}
        index = torch.from_numpy(rows).to(x.device)
        return features | {cut: self.buffers[cut].of(index) for cut in kept}

    def keep(self, rows: np.ndarray, features: By) -> None:
        """Keep what is kept of the features (B, ...) of these rows."""
        index: Tensor | None = None
        for cut, buffer in self.buffers.items():
            if cut in features:
                if index is None:
                    index = torch.from_numpy(rows).to(buffer.values.device)
                buffer.keep(index, features[cut])
        self.known[rows] = bool(self.buffers)


# --- the bits -----------------------------------------------------------------------------------


def exact_sizes(x: Tensor, features: By, compute: Compute) -> list[int]:
    """The sizes of parts of a batch, itself included, that give the bits of the whole, ascending;
    none if these depend on the place in the batch."""
    if not is_dense(x):
        return []
    count = len(x)
    reverse = torch.arange(count - 1, -1, -1, device=x.device)
    turned = {cut: whole[reverse] for cut, whole in features.items()}
    if not _same(compute(taken(x, reverse), features), turned):
        return []
    sizes = sorted({-(-count * part // PARTS) for part in range(1, PARTS)} - {count})
    first = {size: torch.arange(size, device=x.device) for size in sizes}
    return [
        *(
            size
            for size in sizes
            if _same(
                compute(taken(x, first[size]), features),
                {cut: whole[:size] for cut, whole in features.items()},
            )
        ),
        count,
    ]


def _same(some: Mapping[int, Tensor], others: Mapping[int, Tensor]) -> bool:
    return all(torch.equal(some[cut], others[cut]) for cut in some)


# --- memory -------------------------------------------------------------------------------------


def is_dense(x: Tensor) -> bool:
    """Whether the values of one image lie together, one image after the other."""
    inner = sorted(zip(x.stride()[1:], x.shape[1:], strict=True))
    expected = 1
    for stride, size in inner:
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return x.stride(0) == expected


def flat(x: Tensor) -> Tensor:
    """The values of a dense batch as (B, k), in the order in which they lie."""
    return x.as_strided((len(x), x.stride(0)), (x.stride(0), 1))


def taken(x: Tensor, index: Tensor) -> Tensor:
    """Those images of a dense batch, with its strides, which decide how a kernel computes."""
    return flat(x)[index].as_strided((len(index), *x.shape[1:]), x.stride())


def _bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()
