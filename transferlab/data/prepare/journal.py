"""What is done: a line of JSON for each finished chunk, added once its images are on the disk.

A line that a kill has cut off, the last, does not count. A chunk that was made again has a later
line, which holds.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.prepare import OUT
from transferlab.data.prepare.chunks import Made
from transferlab.runtime.files import explained

Key = tuple[str, int]  # subset, first image


@dataclass(frozen=True)
class Entry:
    """A finished chunk: see `Made`. `start`, `sizes`: where its JPEGs lie, in bytes."""

    sources: str
    sha256: str
    unreadable: dict[int, str]
    start: int
    sizes: np.ndarray

    @property
    def end(self) -> int:
        return self.start + int(self.sizes.sum())


class Journal:
    """The finished chunks, in the file and by their keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[Key, Entry] = {}
        whole = 0
        if path.exists():
            for key, entry, end in _lines(path):
                self.entries[key], whole = entry, end
        with explained(path, OUT):
            self.file = path.open("r+b" if path.exists() else "w+b")
            self.file.truncate(whole)
            self.file.seek(whole)

    def add(self, key: Key, made: Made, start: int) -> None:
        """Note a chunk, for good. Raises: UserError if it cannot be written."""
        line = {
            "subset": key[0],
            "first": key[1],
            "sources": made.sources,
            "sha256": made.sha256,
            "unreadable": made.unreadable,
            "start": start,
            "sizes": made.sizes,
        }
        with explained(self.path, OUT):
            self.file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        self.entries[key] = _entry(made.sources, made.sha256, made.unreadable, start, made.sizes)

    def known(self, key: Key) -> str | None:
        """The state of the files of a chunk that need not be made again if it is the same."""
        entry = self.entries.get(key)
        return None if entry is None or entry.unreadable else entry.sources

    def end(self, subset: str) -> int:
        """How many bytes of a subset's JPEGs are finished."""
        ends = (entry.end for key, entry in self.entries.items() if key[0] == subset)
        return max(ends, default=0)

    def close(self) -> None:
        self.file.close()


def _lines(path: Path) -> Iterator[tuple[Key, Entry, int]]:
    """Key, entry and where the line ends, up to the first that is not whole."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            try:
                raw = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n"):
                return
            unreadable = {int(place): reason for place, reason in raw["unreadable"].items()}
            entry = _entry(raw["sources"], raw["sha256"], unreadable, raw["start"], raw["sizes"])
            yield (raw["subset"], raw["first"]), entry, end


def _entry(
    sources: str, sha256: str, unreadable: dict[int, str], start: int, sizes: object
) -> Entry:
    return Entry(sources, sha256, unreadable, start, np.array(sizes, np.int64))
