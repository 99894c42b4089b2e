"""How much disk space the images need, before anything is written."""

import shutil
from pathlib import Path

import numpy as np

from transferlab.data.datasets.folder import Files, Index
from transferlab.data.datasets.prepared_record import Pixels
from transferlab.data.prepare.chunks import Chunk, ChunkEntry, ChunkTask
from transferlab.data.workers import Workers
from transferlab.errors import UserError

SAMPLE = 64  # images that are encoded to estimate the size of a JPEG
MARGIN = 1.05  # for those that are larger than the sample's
ChunkWorkers = Workers[ChunkTask, tuple[ChunkEntry, bytes] | None]
LABEL_BYTES = 8 + 8 + 16  # of an image in labels.npy, slots.npy, spans.npy


def needed(index: Index, pixels: Pixels, workers: ChunkWorkers) -> int:
    """Bytes of all images and arrays of both subsets; of JPEGs an estimate from a sample."""
    total = 0
    for files in index.subsets.values():
        raw = pixels.codec == "raw"
        image_bytes = pixels.size**2 * 3 if raw else _jpeg_bytes(files, pixels, workers) * MARGIN
        each = image_bytes + files.paths.itemsize + LABEL_BYTES
        total += int(len(files.labels) * each) + 1_000_000
    return total


def used(folder: Path) -> int:
    """Bytes that the files below a folder have on the disk; a hole has none."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def require(folder: Path, needed_bytes: int) -> int:
    """The free bytes. Raises: UserError if they are fewer than are still needed."""
    free, left = shutil.disk_usage(folder).free, max(0, needed_bytes - used(folder))
    if free < left:
        raise UserError(
            f"{folder.parent} is on a disk with {text(free)} free and the images need "
            f"{text(left)}: make room, choose another folder with --out DIR, or use --codec jpeg "
            "or a smaller --size"
        )
    return free


def text(size_bytes: int) -> str:
    """`1.3 GB`."""
    for unit, digits in (("GB", 9), ("MB", 6)):
        if size_bytes >= 10**digits:
            return f"{size_bytes / 10**digits:.1f} {unit}"
    return f"{size_bytes / 1000:.1f} kB"


def _jpeg_bytes(files: Files, pixels: Pixels, workers: ChunkWorkers) -> float:
    """The mean size of a JPEG, over evenly spaced images; 0 if none of them can be read."""
    positions = np.unique(np.linspace(0, len(files.labels) - 1, SAMPLE).astype(int))
    sample = Chunk("sample", 0, str(files.folder), tuple(files.paths[positions].tolist()))
    sizes: list[int] = []
    for _, made in workers.each([ChunkTask(sample, pixels, "", None)]):
        sizes += [] if made is None else filter(None, made[0].sizes)
    return float(np.mean(sizes)) if sizes else 0.0
