"""Consecutive images of one subset, and what a worker process makes of them.

A worker decodes each image and resizes it; raw pixels it writes to their place in the subset's
file, JPEGs it hands over. It holds one image at a time or, as JPEGs, the chunk's.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from transferlab.data.datasets.decode import UNREADABLE, read_rgb
from transferlab.data.datasets.folder import Index
from transferlab.data.datasets.prepared import Pixels
from transferlab.data.prepare import OUT
from transferlab.runtime.files import explained

CHUNK = 128  # images; at most two chunks for each worker are lost in a kill. Part of the digest
# 4:2:0. On 256-pixel ImageNet at quality 95 it is decoded in 0.34 ms and has 31 KB, with colour in
# full 0.45 ms and 40 KB, for 39.0 and 41.7 dB; at equal dB it is quicker by a tenth all the same
SUBSAMPLING = 2


@dataclass(frozen=True)
class Chunk:
    """Images first..first+K-1 of a subset: K files `names` (bytes) below `folder`."""

    subset: str
    first: int
    folder: str
    names: tuple[bytes, ...]

    @property
    def key(self) -> tuple[str, int]:
        return self.subset, self.first

    def path(self, place: int) -> str:
        return os.path.join(self.folder, os.fsdecode(self.names[place]))


@dataclass(frozen=True)
class Task:
    """A chunk to be made: raw into `target`. `known` is the state of its files when it was made
    before, or None."""

    chunk: Chunk
    pixels: Pixels
    target: str
    known: str | None


@dataclass(frozen=True)
class Made:
    """What became of a chunk.

    sources: the state of its files, sha256: of its pixels or JPEGs, unreadable: place in the
    chunk -> reason. Of JPEGs also the bytes of each, 0 for an unreadable one, and all of them.
    """

    sources: str
    sha256: str
    unreadable: dict[int, str]
    sizes: tuple[int, ...] = ()
    content: bytes = b""


def chunks(index: Index) -> Iterator[Chunk]:
    """All images, in order."""
    for subset, files in (("train", index.train), ("val", index.val)):
        for first in range(0, len(files.labels), CHUNK):
            names = tuple(files.paths[first : first + CHUNK].tolist())
            yield Chunk(subset, first, str(files.folder), names)


def make(task: Task) -> Made | None:
    """Decode, resize and write the chunk; None if its files are in the state that is known.

    Raises: UserError if the target cannot be written.
    """
    sources = state(task.chunk)  # before they are read: a change meanwhile is found the next time
    if sources == task.known:
        return None
    return _raw(task, sources) if task.pixels.codec == "raw" else _jpegs(task, sources)


def state(chunk: Chunk) -> str:
    """A digest that changes with the name, size or time of a file of the chunk."""
    digest = hashlib.sha256()
    for place, name in enumerate(chunk.names):
        try:
            found = os.stat(chunk.path(place))
        except OSError:
            digest.update(b"%s missing\n" % name)
        else:
            digest.update(b"%s %d %d\n" % (name, found.st_size, found.st_mtime_ns))
    return digest.hexdigest()


def encode(pixels: np.ndarray, quality: int) -> bytes:
    """(S, S, 3) uint8 as a JPEG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality, subsampling=SUBSAMPLING)
    return content.getvalue()


def jpegs_sha256(sizes: Sequence[int], content: bytes) -> str:
    """The digest of a chunk's JPEGs: the bytes of each, 0 for an unreadable one, and all of them.
    Of raw images it is that of their pixels."""
    return hashlib.sha256(np.array(sizes, "<i8").tobytes() + content).hexdigest()


def read(chunk: Chunk, place: int, pixels: Pixels) -> np.ndarray | str:
    """An image of the chunk, (S, S, 3) uint8, or why it cannot be read."""
    try:
        found = read_rgb(chunk.path(place), size=pixels.size, resize=pixels.resize)
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        return str(error).partition("<_io")[0].strip() or type(error).__name__
    return np.ascontiguousarray(found)


def _raw(task: Task, sources: str) -> Made:
    """An unreadable image is black in the file."""
    chunk, side = task.chunk, task.pixels.size
    digest, unreadable = hashlib.sha256(), {}
    with explained(Path(task.target), OUT), open(task.target, "r+b") as file:
        file.seek(chunk.first * side * side * 3)
        for place in range(len(chunk.names)):
            found = read(chunk, place, task.pixels)
            if isinstance(found, str):
                unreadable[place] = found
                found = np.zeros((side, side, 3), np.uint8)
            digest.update(found.data)
            file.write(found.data)
        file.flush()
        os.fsync(file.fileno())
    return Made(sources, digest.hexdigest(), unreadable)


def _jpegs(task: Task, sources: str) -> Made:
    assert task.pixels.quality is not None
    parts, unreadable = [], {}
    for place in range(len(task.chunk.names)):
        found = read(task.chunk, place, task.pixels)
        if isinstance(found, str):
            unreadable[place] = found
        parts.append(b"" if isinstance(found, str) else encode(found, task.pixels.quality))
    sizes, content = tuple(map(len, parts)), b"".join(parts)
    return Made(sources, jpegs_sha256(sizes, content), unreadable, sizes, content)
