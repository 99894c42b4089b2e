"""What every data set looks like to the rest: classes, a digest, and two subsets of uint8 images.

Shapes: B images of a batch, N of a subset, S pixels a side; images are (B, S, S, 3) uint8, RGB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

HOLDOUT_SEED = 2014  # fixed, so that every run holds out the same images


class Subset(Protocol):
    """The training or the validation images, addressed by position 0..N-1."""

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64, positions in the data set's class list."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether read() is a mere copy, which worker processes would not speed up."""
        ...

    def read(self, positions: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        """Images (B, S, S, 3), and for those that cannot be read: place in the batch -> reason."""
        ...

    def name(self, position: int) -> str:
        """The image's file, or what else tells a person which it is."""
        ...


@dataclass(frozen=True)
class ImageSet:
    """A data set. `classes` in a fixed order; `digest` changes whenever the images do."""

    classes: tuple[str, ...]
    digest: str
    train: Subset
    val: Subset


@dataclass(frozen=True)
class ArraySubset:
    """Images that are held in memory: pixels (N, S, S, 3) uint8, labels (N,) int64."""

    pixels: np.ndarray
    labels: np.ndarray
    source: str
    in_memory: bool = True

    def read(self, positions: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        return self.pixels[positions], {}

    def name(self, position: int) -> str:
        return f"{self.source}[{position}]"


def hold_out(labels: np.ndarray, part: float, rank: Callable[[int], np.ndarray]) -> np.ndarray:
    """A fixed, stratified choice of `part` of every class, as a mask (N,) of the held-out images.

    Each class keeps at least one image on either side. `rank(N)` orders the images at random.
    """
    held = np.zeros(len(labels), dtype=bool)
    ranks = rank(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(part * len(members)), 1), len(members) - 1)
        held[members[np.argsort(ranks[members], kind="stable")[:count]]] = True
    return held
