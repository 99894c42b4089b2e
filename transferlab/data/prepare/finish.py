"""From finished chunks to data that can be read: the arrays, the digest, the record."""

import csv
import io
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from transferlab.data.datasets import prepared_record
from transferlab.data.datasets.folder import Files, Index
from transferlab.data.datasets.prepared_record import (
    IMAGES,
    RECORD,
    PreparedRecord,
    PrepareSettings,
    StoredSubset,
)
from transferlab.data.prepare import OUT, chunks
from transferlab.data.prepare.chunks import Content
from transferlab.data.prepare.journal import Journal
from transferlab.errors import RunFailed
from transferlab.runtime.files import write, write_json
from transferlab.runtime.provenance import versions

UNREADABLE = "unreadable.csv"
CLASSES = "classes.csv"  # the groups of split=manmade_natural, a file beside the images


@dataclass(frozen=True)
class UnreadableFile:
    """A file that cannot be decoded."""

    subset: str
    file: str
    reason: str


def unreadable_files(index: Index, journal: Journal) -> list[UnreadableFile]:
    """All files that could not be read, in order."""
    return [
        UnreadableFile(
            subset,
            f"{files.folder.name}/{files.paths[first + n].decode('utf-8', 'backslashreplace')}",
            reason,
        )
        for subset, files in index.subsets.items()
        for first in _firsts(files)
        for n, reason in sorted(journal.entries[subset, first].unreadable.items())
    ]


def write_unreadable(folder: Path, unreadable: list[UnreadableFile]) -> None:
    """List them in `unreadable.csv`; if there are none, delete that file."""
    if not unreadable:
        (folder / UNREADABLE).unlink(missing_ok=True)
        return
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(("subset", "file", "reason"))
    table.writerows((each.subset, each.file, each.reason) for each in unreadable)
    write(folder / UNREADABLE, lambda file: file.write(text.getvalue().encode()), OUT)


def finish(
    folder: Path, index: Index, journal: Journal, settings: PrepareSettings, root: Path
) -> PreparedRecord:
    """Write arrays, class groups and record beside the images, `prepared.json` last.

    Raises: RunFailed if a class has no image left.
    """
    stored, contents = {}, []
    for subset, files in index.subsets.items():
        content, spans = _content(files, subset, journal)
        _require_all_classes(subset, index.classes, content.labels)
        path = folder / subset / IMAGES[settings.pixels.codec]
        _write_arrays(path, files, content, spans if settings.pixels.codec == "jpeg" else None)
        stored[subset] = StoredSubset(len(content.slots), len(files.labels), path.stat().st_size)
        contents.append(content)
    record = PreparedRecord(
        settings.pixels,
        settings.val,
        settings.holdout,
        settings.listing,
        sources=index.digest,
        classes=index.classes,
        digest=chunks.digest_of_all(settings.pixels, index.classes, contents),
        subsets=stored,
    )
    if (root / CLASSES).exists():
        groups = (root / CLASSES).read_bytes()
        write(folder / CLASSES, lambda file: file.write(groups), OUT)
    made_from = {
        "root": str(root),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "unreadable": sum(each.slots - each.images for each in stored.values()),
        "versions": versions(),
    }
    write_json(folder / RECORD, prepared_record.as_json(record, made_from), OUT)
    return record


def _firsts(files: Files) -> range:
    """The first image of every chunk of a subset."""
    return range(0, len(files.labels), chunks.CHUNK)


def _content(files: Files, subset: str, journal: Journal) -> tuple[Content, np.ndarray]:
    """What the digest covers of a subset, and first byte and size of its JPEGs, (N, 2)."""
    readable = np.ones(len(files.labels), bool)
    spans = np.zeros((len(files.labels), 2), np.int64)
    sha256 = []
    for first in _firsts(files):
        entry = journal.entries[subset, first]
        readable[[first + n for n in entry.unreadable]] = False
        sizes = np.array(entry.sizes, np.int64)
        rows = slice(first, first + len(sizes))
        spans[rows, 0] = entry.start + np.cumsum(sizes) - sizes
        spans[rows, 1] = sizes
        sha256.append(bytes.fromhex(entry.sha256))
    slots = np.flatnonzero(readable)
    digests = np.frombuffer(b"".join(sha256), np.uint8).reshape(-1, chunks.SHA256_BYTES)
    return Content(slots, files.labels[slots], digests), spans[slots]


def _require_all_classes(subset: str, classes: tuple[str, ...], labels: np.ndarray) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    empty = [classes[label] for label in np.flatnonzero(counts == 0)]
    if empty:
        raise RunFailed(
            f"{subset} has no readable image of {', '.join(empty[:5])}"
            f"{' and more classes' if len(empty) > 5 else ''}: repair the files, then run the "
            "command again"
        )


def _write_arrays(images: Path, files: Files, content: Content, spans: np.ndarray | None) -> None:
    """Write the arrays of a subset beside its images."""
    arrays = {
        "labels.npy": content.labels,
        "names.npy": files.paths[content.slots],
        "slots.npy": content.slots,
        "digests.npy": content.chunks_sha256,
    }
    if spans is not None:
        arrays["spans.npy"] = spans
    for name, array in arrays.items():
        write(images.with_name(name), partial(np.save, arr=array, allow_pickle=False), OUT)
