"""The finished chunks: a line of JSON for each, added once its images are on the disk.

The last line does not count if a kill has cut it off. A chunk that was made again has a second
line, which replaces the first.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

from transferlab.data.prepare import OUT
from transferlab.data.prepare.chunks import ChunkEntry
from transferlab.runtime.files import explained, open_update

Key = tuple[str, int]  # subset, first image


class Journal:
    """The entries of the file, by their keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries, end = _read(path)
        with explained(path, OUT):
            self.file = open_update(path)
            self.file.truncate(end)
            self.file.seek(end)

    def add(self, key: Key, entry: ChunkEntry) -> None:
        """Record a finished chunk durably. Raises: UserError if it cannot be written."""
        line = {"subset": key[0], "first": key[1], **asdict(entry)}
        with explained(self.path, OUT):
            self.file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        self.entries[key] = entry

    def known(self, key: Key) -> str | None:
        """The state of the image files with which a chunk need not be made again."""
        entry = self.entries.get(key)
        return None if entry is None or entry.unreadable else entry.sources

    def end(self, subset: str) -> int:
        """How many bytes of a subset's JPEGs are finished."""
        entries = (entry for key, entry in self.entries.items() if key[0] == subset)
        return max((entry.start + sum(entry.sizes) for entry in entries), default=0)

    def close(self) -> None:
        self.file.close()


def _read(path: Path) -> tuple[dict[Key, ChunkEntry], int]:
    """The entries, and where the last complete line ends."""
    entries: dict[Key, ChunkEntry] = {}
    end = 0
    if not path.exists():
        return entries, end
    with path.open("rb") as file:
        for line in file:
            try:
                raw = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            key = raw.pop("subset"), raw.pop("first")
            raw["unreadable"] = {int(n): reason for n, reason in raw["unreadable"].items()}
            raw["sizes"] = tuple(raw["sizes"])
            entries[key] = ChunkEntry(**raw)
            end += len(line)
    return entries, end
