"""Which pixels of its image a crop takes: of a training image they are drawn, else the centre.

What is drawn are bits, so that the corner can be computed where the size of the image is known: one
with its shorter side as S has a longer side of its own. Shapes: B images of a batch, H and W their
height and width, P pixels a side of a crop.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Crops:
    """Where the crops of B training images begin.

    bits: (B, 2) uint64, 32 random bits for each row and column.
    sides: (B,) int64, the sides to which the images are resized first; None: all to their own.
    pad: the pixels of zeros that surround each image.
    one_size: all images are squares of one size. Without padding the last offset in these is never
        drawn. Source: Caffe's data layer at the time draws modulo (256 - 227), so offset 29 never
        occurs; Krizhevsky et al. 2012, Sec. 4.1, count 32 * 32 crops of 224 pixels in 256.
    """

    bits: np.ndarray
    sides: np.ndarray | None
    pad: int
    one_size: bool

    def __getitem__(self, slots: slice) -> Self:
        """Those of some of the images."""
        sides = None if self.sides is None else self.sides[slots]
        return type(self)(self.bits[slots], sides, self.pad, self.one_size)

    def corner(self, slot: int, shape: tuple[int, ...], crop: int) -> tuple[int, int]:
        """Row and column in image `slot`, of the shape (H, W, ...), negative in the padding."""
        row, column = self.bits[slot].tolist()
        return (
            (row * self._room(shape[0], crop) >> 32) - self.pad,
            (column * self._room(shape[1], crop) >> 32) - self.pad,
        )

    def corners(self, size: int, crop: int) -> np.ndarray:
        """Those (B, 2) int64 in images of `size` pixels a side."""
        room = np.uint64(self._room(size, crop))
        return (self.bits * room >> np.uint64(32)).astype(np.int64) - self.pad

    def _room(self, side: int, crop: int) -> int:
        """The number of offsets along a side."""
        every = self.pad > 0 or not self.one_size
        return max(side + 2 * self.pad - crop + every, 1)


def centre(shape: tuple[int, ...], crop: int) -> tuple[int, int]:
    """Row and column at which the middle `crop` pixels of an image (H, W, ...) begin."""
    return (shape[0] - crop) // 2, (shape[1] - crop) // 2


def copy_crop(pixels: np.ndarray, out: np.ndarray, row: int, column: int) -> None:
    """Fill `out` (P, P, 3) with pixels (H, W, 3) from a corner on, in place; zeros outside."""
    crop, (height, width) = len(out), pixels.shape[:2]
    top, left = max(row, 0), max(column, 0)
    inside = pixels[top : min(row + crop, height), left : min(column + crop, width)]
    if inside.shape != out.shape:
        out[:] = 0
    top, left = top - row, left - column
    out[top : top + inside.shape[0], left : left + inside.shape[1]] = inside


def copy_crops(
    pixels: np.ndarray, positions: np.ndarray, out: np.ndarray, crops: Crops | None
) -> None:
    """Fill `out` (B, P, P, 3) with crops of pixels (N, S, S, 3) at `positions` (B,), in place.

    Visits the images in memory order, and copies each row of a crop once: as fast as memory allows.
    """
    size, crop = pixels.shape[1], out.shape[1]
    if crops is None:
        corners = [centre((size, size), crop)] * len(positions)
    else:
        corners = crops.corners(size, crop).tolist()
    sources, padded = positions.tolist(), crops is not None and crops.pad > 0
    for slot in np.argsort(positions, kind="stable").tolist():
        row, column = corners[slot]
        if padded:
            copy_crop(pixels[sources[slot]], out[slot], row, column)
        else:
            out[slot] = pixels[sources[slot], row : row + crop, column : column + crop]
