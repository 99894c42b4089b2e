"""What every data set looks like to the rest: classes, a digest, and two subsets of uint8 images.

Shapes: B images of a batch, N of a subset, S pixels a side of a stored image, P of a crop; images
are (S, S, 3) uint8, RGB.
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
    def size(self) -> int:
        """S, pixels a side."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether read() is a mere copy, which worker processes would not speed up."""
        ...

    def read(
        self, positions: np.ndarray, out: np.ndarray, corners: np.ndarray | None
    ) -> dict[int, str]:
        """Fill `out` (B, P, P, 3) uint8 with crops of the images at `positions` (B,), in place.

        They begin at `corners` (B, 2), row and column; without, they are the images' centres.
        Returns, for images that cannot be read, place in the batch -> reason.
        """
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

    @property
    def size(self) -> int:
        return self.pixels.shape[1]

    def read(
        self, positions: np.ndarray, out: np.ndarray, corners: np.ndarray | None
    ) -> dict[int, str]:
        copy_crops(self.pixels, positions, out, corners)
        return {}

    def name(self, position: int) -> str:
        return f"{self.source}[{position}]"


def copy_crops(
    pixels: np.ndarray, positions: np.ndarray, out: np.ndarray, corners: np.ndarray | None
) -> None:
    """Fill `out` (B, P, P, 3) with crops of pixels (N, S, S, 3), in place, as `Subset.read` says.

    Goes through the images as they lie, and copies each row of a crop straight to its place: the
    whole is as fast as memory.
    """
    size, crop = pixels.shape[1], out.shape[1]
    corners = centre_corners(len(positions), size, crop) if corners is None else corners
    places, starts = positions.tolist(), corners.tolist()
    for place in np.argsort(positions, kind="stable").tolist():
        row, column = starts[place]
        out[place] = pixels[places[place], row : row + crop, column : column + crop]


def centre_corners(count: int, size: int, crop: int) -> np.ndarray:
    """The corners (count, 2) of the middle `crop` pixels of images with `size` a side."""
    return np.full((count, 2), (size - crop) // 2, dtype=np.int64)


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
