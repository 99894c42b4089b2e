"""Chunks: consecutive images of one subset, made by a worker process, with their digests.

A worker decodes and resizes each image. It writes raw pixels to their slots in the subset's file,
and returns JPEGs. It holds one image at a time or, as JPEGs, those of the chunk.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from transferlab.data.datasets.decode import UNREADABLE, read_rgb
from transferlab.data.datasets.folder import Index
from transferlab.data.datasets.prepared_record import FORMAT, Pixels
from transferlab.data.prepare import OUT
from transferlab.runtime.files import explained, open_update

CHUNK = 128  # images; a kill loses at most two chunks for each worker. Part of the digest
# 4:2:0. On 256-pixel ImageNet at quality 95 it is decoded in 0.34 ms and has 31 KB, with colour in
# full 0.45 ms and 40 KB, for 39.0 and 41.7 dB; at equal dB it is still a tenth faster
SUBSAMPLING = 2
SHA256_BYTES = 32


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

    def path(self, position: int) -> str:
        return os.path.join(self.folder, os.fsdecode(self.names[position]))


@dataclass(frozen=True)
class ChunkTask:
    """A chunk to make, raw pixels into the file `target`. `known`: the state of its image files
    when it was made before, or None."""

    chunk: Chunk
    pixels: Pixels
    target: str
    known: str | None


@dataclass(frozen=True)
class ChunkEntry:
    """A finished chunk.

    sources: state of its image files, sha256: digest of its pixels or JPEGs, unreadable: position
    in the chunk -> reason. Of JPEGs also `start`, the first byte in the subset's file, and the size
    of each in bytes, 0 for an unreadable one.
    """

    sources: str
    sha256: str
    unreadable: dict[int, str]
    sizes: tuple[int, ...] = ()
    start: int = 0


@dataclass(frozen=True)
class Content:
    """What the digest covers of a subset: slots (N,), the positions of the readable files among
    all, labels (N,), and the digests of its chunks, chunks_sha256 (K, 32) uint8."""

    slots: np.ndarray
    labels: np.ndarray
    chunks_sha256: np.ndarray


def chunks(index: Index) -> Iterator[Chunk]:
    """All images, in order."""
    for subset, files in index.subsets.items():
        for first in range(0, len(files.labels), CHUNK):
            names = tuple(files.paths[first : first + CHUNK].tolist())
            yield Chunk(subset, first, str(files.folder), names)


def make(task: ChunkTask) -> tuple[ChunkEntry, bytes] | None:
    """Decode, resize and write a chunk: its entry, and its JPEGs; None if its files are as known.

    Raises: UserError if the target cannot be written.
    """
    sources = state(task.chunk)  # before reading, so that the next run detects a change
    if sources == task.known:
        return None
    return _raw(task, sources) if task.pixels.codec == "raw" else _jpegs(task, sources)


def state(chunk: Chunk) -> str:
    """A digest that changes with the name, size or time of a file of the chunk."""
    digest = hashlib.sha256()
    for position, name in enumerate(chunk.names):
        try:
            status = os.stat(chunk.path(position))
        except OSError:
            digest.update(b"%s missing\n" % name)
        else:
            digest.update(b"%s %d %d\n" % (name, status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def encode(image: np.ndarray, quality: int) -> bytes:
    """(S, S, 3) uint8 as a JPEG."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=quality, subsampling=SUBSAMPLING)
    return content.getvalue()


def jpegs_sha256(sizes: Sequence[int], content: bytes) -> str:
    """The digest of a chunk of JPEGs, by their sizes and bytes. Of raw pixels it is theirs."""
    return hashlib.sha256(np.array(sizes, "<i8").tobytes() + content).hexdigest()


def digest_of_all(pixels: Pixels, classes: Sequence[str], subsets: Iterable[Content]) -> str:
    """The digest of prepared data: images, labels and settings of training and validation.

    Neither their folder nor interruptions change it.
    """
    head = {"format": FORMAT, "chunk": CHUNK, "subsampling": SUBSAMPLING}
    settings = asdict(pixels)
    if pixels.decode == "exact":
        del settings["decode"]  # the digest is the one from before there was a choice
    text = json.dumps({**head, **settings, "classes": tuple(classes)}, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for content in subsets:
        digest.update(content.slots.astype("<i8").tobytes())
        digest.update(content.labels.astype("<i8").tobytes())
        digest.update(content.chunks_sha256.tobytes())
    return digest.hexdigest()


def _read(task: ChunkTask, position: int) -> np.ndarray | str:
    """An image of the chunk, (S, S, 3) uint8, or the reason why it cannot be read."""
    try:
        image = read_rgb(
            task.chunk.path(position),
            size=task.pixels.size,
            resize=task.pixels.resize,
            decode=task.pixels.decode,
        )
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        return str(error).partition("<_io")[0].strip() or type(error).__name__
    return np.ascontiguousarray(image)


def _raw(task: ChunkTask, sources: str) -> tuple[ChunkEntry, bytes]:
    """An unreadable image is black in the file."""
    chunk, side = task.chunk, task.pixels.size
    digest, unreadable = hashlib.sha256(), {}
    with explained(Path(task.target), OUT), open_update(Path(task.target)) as file:
        file.seek(chunk.first * side * side * 3)
        for position in range(len(chunk.names)):
            image = _read(task, position)
            if isinstance(image, str):
                unreadable[position] = image
                image = np.zeros((side, side, 3), np.uint8)
            digest.update(image.data)
            file.write(image.data)
        file.flush()
        os.fsync(file.fileno())
    return ChunkEntry(sources, digest.hexdigest(), unreadable), b""


def _jpegs(task: ChunkTask, sources: str) -> tuple[ChunkEntry, bytes]:
    assert task.pixels.quality is not None
    parts, unreadable = [], {}
    for position in range(len(task.chunk.names)):
        image = _read(task, position)
        if isinstance(image, str):
            unreadable[position] = image
        parts.append(b"" if isinstance(image, str) else encode(image, task.pixels.quality))
    sizes, content = tuple(map(len, parts)), b"".join(parts)
    return ChunkEntry(sources, jpegs_sha256(sizes, content), unreadable, sizes), content
