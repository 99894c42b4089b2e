"""Crops at corners that a test names, where a run draws them."""

import numpy as np

from transferlab.data.crops import Crops


def at(corners: list[list[int]], room: int, pad: int = 0) -> Crops:
    """Crops that begin at these of `room` offsets, counted from the edge of the padding."""
    bits = [[corner * 2**32 // room + 1 for corner in pair] for pair in corners]
    return Crops(np.array(bits, dtype=np.uint64), sides=None, pad=pad, one_size=pad > 0)
