"""A memory-mapped file, parts of which can be fetched from the disk ahead of their use.

A file that is not cached is read page by page, and each page is waited for. If a batch is announced
first, the disk reads it in one go: 86 us instead of 210 for an image of 256 pixels, on the machine
where this was measured. For cached images this costs 2 us of 25, so a few images of every batch are
checked first.
"""

import mmap
import os
import weakref
from pathlib import Path

import numpy as np

LOOKS = 16  # images of a batch that are checked, 1 us each


class Mapped:
    """The bytes of a file, read-only. Raises: OSError; ValueError if the file is empty."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, path.open("rb", buffering=0)
        weakref.finalize(self, self.file.close)
        self.map = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        self.bytes = np.frombuffer(self.map, np.uint8)

    def __reduce__(self) -> tuple[type["Mapped"], tuple[Path]]:
        """A process of another device maps the file itself."""
        return Mapped, (self.path,)

    def fetch(self, starts: np.ndarray, sizes: np.ndarray) -> None:
        """Have the disk read these parts of the file, unless they seem to be in memory."""
        if all(map(self._is_cached, starts[:: max(1, len(starts) // LOOKS)].tolist())):
            return
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
            page = start - start % mmap.PAGESIZE
            self.map.madvise(mmap.MADV_WILLNEED, page, start + size - page)

    def _is_cached(self, start: int) -> bool:
        """Whether a byte is in memory; False if the system does not report it."""
        if not hasattr(os, "RWF_NOWAIT"):
            return False
        try:
            return os.preadv(self.file.fileno(), [bytearray(1)], start, os.RWF_NOWAIT) == 1
        except OSError:
            return False
