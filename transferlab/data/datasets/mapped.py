"""A memory-mapped file, parts of which can be fetched from the disk ahead of their use.

A page of the map that is not in memory is read when it is touched, with its neighbours as far as
the system reads ahead, and waited for: in an image of 256 pixels two or three times, each time for
a whole round trip on a network. So a batch is announced first, unless it is in memory: all its
images are then requested together, and nothing beside them (see `transferlab/bench/README.md`).
"""

import mmap
import os
import weakref
from pathlib import Path

import numpy as np

LOOK_BYTES = 1_000_000  # of a batch for each look into memory: 1 us, of 200 that their copy takes
# The system cuts an announcement to the readahead of the file's disk, if that is longer than its
# largest request. Source: Linux, force_page_cache_ra; VM_READAHEAD_PAGES is the usual value
PIECE_BYTES = 131_072


class Mapped:
    """The bytes of a file, read-only. Raises: OSError; ValueError if the file is empty.

    The file is opened twice, since the system notes for each opening what was read last: FUSE
    neglects announcements after misses in a map of the same opening.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb", buffering=0) as file:
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.file = path.open("rb", buffering=0)
        weakref.finalize(self, self.file.close)

    def __reduce__(self) -> tuple[type["Mapped"], tuple[Path]]:
        """A process of another device maps the file itself."""
        return Mapped, (self.path,)

    def fetch(self, starts: np.ndarray, sizes: np.ndarray) -> None:
        """Have the disk read these parts of the file, unless they seem to be in memory.

        Returns without waiting for the disk. Does nothing on macOS, which takes no announcements.
        """
        step = LOOK_BYTES * len(starts) // max(1, int(sizes.sum()))
        looks = starts[:: max(1, step)]
        if not hasattr(os, "posix_fadvise") or all(map(self.is_cached, looks.tolist())):
            return
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
            for begin in range(start, start + size, PIECE_BYTES):
                length = min(PIECE_BYTES, start + size - begin)
                os.posix_fadvise(self.file.fileno(), begin, length, os.POSIX_FADV_WILLNEED)

    def is_cached(self, start: int) -> bool:
        """Whether a byte is in memory; False if the system does not report it."""
        try:
            return os.preadv(self.file.fileno(), [bytearray(1)], start, os.RWF_NOWAIT) == 1
        except OSError:
            return False
