"""From finished chunks to data that can be read: the arrays, the digest, the record."""

import csv
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import IO

import numpy as np

from transferlab.data.datasets import prepared
from transferlab.data.datasets.folder import Files, Index
from transferlab.data.datasets.prepared import Pixels, Record, Stored
from transferlab.data.prepare import OUT, chunks, digests
from transferlab.data.prepare.digests import Content
from transferlab.data.prepare.journal import Entry, Journal
from transferlab.data.prepare.workplace import Settings
from transferlab.errors import RunFailed
from transferlab.runtime.files import explained, write, write_json

UNREADABLE = "unreadable.csv"
CLASSES = "classes.csv"  # the groups of split=manmade_natural, which lie beside the images
PACKAGES = ("torch", "torchvision", "pillow", "numpy")  # which decide the pixels


@dataclass(frozen=True)
class Unreadable:
    """A file that is no picture."""

    subset: str
    file: str
    reason: str


def unreadable(index: Index, journal: Journal) -> list[Unreadable]:
    """All files that could not be read, in order."""
    found = []
    for subset, files in _subsets(index):
        for first, entry in _entries(files, subset, journal):
            for place, reason in sorted(entry.unreadable.items()):
                name = files.paths[first + place].decode("utf-8", "backslashreplace")
                found.append(Unreadable(subset, f"{files.folder.name}/{name}", reason))
    return found


def write_unreadable(place: Path, found: list[Unreadable]) -> None:
    """List them in `unreadable.csv`; without any there is no such file."""
    if not found:
        (place / UNREADABLE).unlink(missing_ok=True)
        return

    def fill(file: IO[bytes]) -> None:
        lines = _Lines(file)
        table = csv.writer(lines)
        table.writerow(("subset", "file", "reason"))
        table.writerows((one.subset, one.file, one.reason) for one in found)

    write(place / UNREADABLE, fill, OUT)


def finish(place: Path, index: Index, journal: Journal, settings: Settings, root: Path) -> Record:
    """Write what belongs to the images, `prepared.json` last.

    Raises: RunFailed if a class has no image left.
    """
    left_out, stored, contents = 0, {}, []
    for name, files in _subsets(index):
        readable = _readable(files, name, journal)
        content = _content(files, name, np.flatnonzero(readable), journal)
        _require_all_classes(name, index.classes, content.labels)
        stored[name] = _store(place / name, files, content, journal, settings.pixels)
        left_out += int((~readable).sum())
        contents.append(content)
    record = Record(
        pixels=settings.pixels,
        val=settings.val,
        holdout=settings.holdout,
        listing=settings.listing,
        classes=index.classes,
        digest=digests.of_all(settings.pixels, index.classes, contents),
        subsets=stored,
    )
    if (root / CLASSES).exists():
        with explained(place / CLASSES, OUT):
            shutil.copyfile(root / CLASSES, place / CLASSES)
    made_from = {
        "root": str(root),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "unreadable": left_out,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }
    write_json(place / prepared.RECORD, prepared.as_json(record, made_from), OUT)
    return record


def _subsets(index: Index) -> tuple[tuple[str, Files], ...]:
    return (("train", index.train), ("val", index.val))


def _entries(files: Files, subset: str, journal: Journal) -> Iterator[tuple[int, Entry]]:
    """First image and entry of every chunk of a subset, in order."""
    for first in range(0, len(files.labels), chunks.CHUNK):
        yield first, journal.entries[subset, first]


def _readable(files: Files, subset: str, journal: Journal) -> np.ndarray:
    """Which images could be read, (N,)."""
    mask = np.ones(len(files.labels), bool)
    for first, entry in _entries(files, subset, journal):
        mask[[first + place for place in entry.unreadable]] = False
    return mask


def _require_all_classes(subset: str, classes: tuple[str, ...], labels: np.ndarray) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    empty = [classes[label] for label in np.flatnonzero(counts == 0)]
    if empty:
        raise RunFailed(
            f"of {', '.join(empty[:5])}{' and more' if len(empty) > 5 else ''} no image for "
            f"{subset} can be read: mend them, then give the same command"
        )


def _content(files: Files, subset: str, slots: np.ndarray, journal: Journal) -> Content:
    """What counts of a subset, of which the images at `slots` could be read."""
    sha256 = b"".join(bytes.fromhex(e.sha256) for _, e in _entries(files, subset, journal))
    chunks_sha256 = np.frombuffer(sha256, np.uint8).reshape(-1, digests.SHA256_BYTES)
    return Content(slots, files.labels[slots], chunks_sha256)


def _store(
    folder: Path, files: Files, content: Content, journal: Journal, pixels: Pixels
) -> Stored:
    """Write the arrays of a subset."""
    slots = content.slots
    arrays = {
        "labels.npy": content.labels,
        "names.npy": files.paths[slots],
        "slots.npy": slots,
        "digests.npy": content.chunks_sha256,
    }
    if pixels.codec == "jpeg":
        arrays["spans.npy"] = _spans(files, folder.name, journal)[slots]
    for name, array in arrays.items():
        write(folder / name, partial(np.save, arr=array, allow_pickle=False), OUT)
    size_bytes = (folder / prepared.IMAGES[pixels.codec]).stat().st_size
    return Stored(len(slots), len(files.labels), size_bytes)


def _spans(files: Files, subset: str, journal: Journal) -> np.ndarray:
    """Where each JPEG lies, (N, 2): first byte and size."""
    spans = np.zeros((len(files.labels), 2), np.int64)
    for first, entry in _entries(files, subset, journal):
        ends = entry.start + np.cumsum(entry.sizes)
        spans[first : first + len(ends), 0] = ends - entry.sizes
        spans[first : first + len(ends), 1] = entry.sizes
    return spans


class _Lines:
    """A binary file for those who write text."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def write(self, text: str) -> None:
        self.file.write(text.encode())
