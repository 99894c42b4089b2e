"""Whether prepared data are unchanged: every byte is read and compared by its digest.

A failing disk or an interrupted copy can leave files of the right length with wrong bytes, which a
training would read.
"""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.datasets import prepared
from transferlab.data.datasets.prepared import JpegSubset, RawSubset
from transferlab.data.datasets.prepared_record import (
    RECORD,
    PreparedRecord,
    StoredSubset,
    read_record,
)
from transferlab.data.prepare import chunks
from transferlab.data.prepare.chunks import Content
from transferlab.runtime.progress import Bar, Display, Rate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verification:
    """The record, and a message for each damaged part."""

    record: PreparedRecord
    damage: tuple[str, ...]


def verify(root: Path) -> Verification:
    """Read all images and compare them.

    Raises: UserError if these are no prepared data, or their files do not fit together.
    """
    record = read_record(root)
    damage: list[str] = []
    contents: list[Content] = []
    total, done, rate = sum(stored.slots for stored in record.subsets.values()), 0, Rate()

    def bars() -> list[Bar]:
        return [Bar("verifying", done, total, "images", left_s=rate.left_s(total - done))]

    with Display(log) as display:
        for name, stored in record.subsets.items():
            subset = prepared.open_subset(root / name, record, stored, size=record.pixels.size)
            slots = prepared.slots(root / name, stored)
            content = Content(slots, subset.labels, _digests(root / name, stored))
            contents.append(content)
            firsts = range(0, stored.slots, chunks.CHUNK)
            for first, expected in zip(firsts, content.chunks_sha256, strict=True):
                count = min(chunks.CHUNK, stored.slots - first)
                if _sha256(subset, slots, first, count) != expected.tobytes().hex():
                    damage.append(f"{name}: {_images(subset, slots, first)}")
                done += count
                rate.update(done)
                display.show(bars)
    if (
        not damage
        and chunks.digest_of_all(record.pixels, record.classes, contents) != record.digest
    ):
        damage.append(f"{RECORD} or the labels do not belong to the images")
    return Verification(record, tuple(damage))


def _digests(folder: Path, stored: StoredSubset) -> np.ndarray:
    """The digests of the chunks when they were made, (K, 32)."""
    count = -(-stored.slots // chunks.CHUNK)
    return prepared.array(
        folder / "digests.npy", lambda a: a.dtype == np.uint8, (count, chunks.SHA256_BYTES)
    )


def _sha256(subset: RawSubset | JpegSubset, slots: np.ndarray, first: int, count: int) -> str:
    """The digest that a chunk has now, or why it cannot be read.

    Reads the file, not its map, where a bad sector would kill the process; and an image at a time,
    since the system reads no more than 2 GiB at once.
    """
    file = subset.mapped.file.fileno()
    try:
        if isinstance(subset, RawSubset):
            image_bytes, digest = subset.size**2 * 3, hashlib.sha256()
            for number in range(first, first + count):
                digest.update(os.pread(file, image_bytes, number * image_bytes))
            return digest.hexdigest()
        readable = _readable(slots, first)
        spans = subset.spans[readable]
        sizes = np.zeros(count, np.int64)
        sizes[slots[readable] - first] = spans[:, 1]
        parts = [os.pread(file, size, start) for start, size in spans.tolist()]
        return chunks.jpegs_sha256(sizes.tolist(), b"".join(parts))
    except OSError as error:
        return str(error)


def _readable(slots: np.ndarray, first: int) -> slice:
    """The positions of a chunk's readable images among those of the subset."""
    return slice(*np.searchsorted(slots, (first, first + chunks.CHUNK)).tolist())


def _images(subset: RawSubset | JpegSubset, slots: np.ndarray, first: int) -> str:
    """Names the images of a chunk."""
    positions = range(len(slots))[_readable(slots, first)]
    if not positions:
        return "the space of images that could not be read"
    return f"{len(positions)} images, {subset.name(positions[0])} to {subset.name(positions[-1])}"
