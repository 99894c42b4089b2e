"""Whether prepared data are still what they were made: every byte is read and its digest compared.

A disk that decays, or a copy that went wrong, leaves files of the right length, and a training
reads whatever is in them.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.datasets import prepared
from transferlab.data.datasets.prepared import JpegSubset, RawSubset, Record, Stored
from transferlab.data.prepare import chunks, digests
from transferlab.data.prepare.digests import Content
from transferlab.data.prepare.meter import Meter


@dataclass(frozen=True)
class Checked:
    """What was found: all is as it was made if `damage`, in words, is empty."""

    record: Record
    damage: tuple[str, ...]


def verify(place: Path) -> Checked:
    """Read all images and compare them.

    Raises: UserError if this is no prepared data, or its files do not even fit together.
    """
    record = prepared.read_record(place)
    damage: list[str] = []
    contents: list[Content] = []
    with Meter(sum(stored.slots for stored in record.subsets.values()), "verifying") as meter:
        for name, stored in record.subsets.items():
            subset = prepared.open_subset(place / name, record, stored)
            content = Content(
                prepared.slots(place / name, stored), subset.labels, _digests(place / name, stored)
            )
            contents.append(content)
            for first, wanted in zip(
                range(0, stored.slots, chunks.CHUNK), content.chunks_sha256, strict=True
            ):
                count = min(chunks.CHUNK, stored.slots - first)
                if _sha256(subset, content.slots, first, count) != wanted.tobytes().hex():
                    damage.append(f"{name}: {_words(subset, content.slots, first)}")
                meter.count(count, kept=False)
    if not damage and digests.of_all(record.pixels, record.classes, contents) != record.digest:
        damage.append(f"{prepared.RECORD}, or the labels: they are not those of the images")
    return Checked(record, tuple(damage))


def _digests(folder: Path, stored: Stored) -> np.ndarray:
    """Those of the chunks as they were made, (K, 32)."""
    count = -(-stored.slots // chunks.CHUNK)
    return prepared.array(
        folder / "digests.npy", lambda a: a.dtype == np.uint8, (count, digests.SHA256_BYTES)
    )


def _sha256(subset: RawSubset | JpegSubset, slots: np.ndarray, first: int, count: int) -> str:
    """The digest that a chunk has now, or why it cannot be read.

    Reads the file, not its map: there a sector that is not to be had would kill the process. An
    image at a time: the system reads no more than 2 GiB at once.
    """
    file = subset.mapped.file.fileno()
    try:
        if isinstance(subset, RawSubset):
            image_bytes, digest = subset.size**2 * 3, hashlib.sha256()
            for number in range(first, first + count):
                digest.update(os.pread(file, image_bytes, number * image_bytes))
            return digest.hexdigest()
        spans = subset.spans[_here(slots, first)]
        sizes = np.zeros(count, np.int64)
        sizes[slots[_here(slots, first)] - first] = spans[:, 1]
        parts = [os.pread(file, size, start) for start, size in spans.tolist()]
        return chunks.jpegs_sha256(sizes.tolist(), b"".join(parts))
    except OSError as error:
        return str(error)


def _here(slots: np.ndarray, first: int) -> slice:
    """The places of a chunk's readable images among all of these."""
    return slice(*np.searchsorted(slots, (first, first + chunks.CHUNK)).tolist())


def _words(subset: RawSubset | JpegSubset, slots: np.ndarray, first: int) -> str:
    """Which images a chunk has."""
    here = range(len(slots))[_here(slots, first)]
    if not here:
        return "the room of images that could not be read"
    return f"{len(here)} images, {subset.name(here[0])} to {subset.name(here[-1])}"
