"""How much room the images need on the disk, before anything is written."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transferlab.data.datasets.folder import Files, Index
from transferlab.data.datasets.prepared import Pixels
from transferlab.data.prepare import chunks
from transferlab.data.prepare.chunks import Chunk
from transferlab.data.prepare.crew import Crew
from transferlab.errors import UserError

SAMPLE = 64  # images encoded to know how large a JPEG is
MARGIN = 1.05  # for those that are larger than the sample's


def need(index: Index, pixels: Pixels, crew: Crew) -> int:
    """Bytes of all images and arrays of both subsets; of JPEGs an estimate from a sample."""
    total = 0
    for files in (index.train, index.val):
        count = len(files.labels)
        total += count * (files.paths.itemsize + 8 + 8 + 16) + 1_000_000
        if pixels.codec == "raw":
            total += count * pixels.size**2 * 3
        else:
            total += int(count * _jpeg_bytes(files, pixels, crew) * MARGIN)
    return total


def taken(place: Path) -> int:
    """Bytes that the files below a folder have on the disk already; a hole has none."""
    return sum(path.stat().st_blocks * 512 for path in place.rglob("*") if path.is_file())


def require(place: Path, need_bytes: int) -> int:
    """The bytes that are free. Raises: UserError if they are fewer than those still needed."""
    free, left = shutil.disk_usage(place).free, max(0, need_bytes - taken(place))
    if free < left:
        raise UserError(
            f"{place.parent} is on a disk with {size(free)} free and the images need "
            f"{size(left)}: make room, choose another place with --out DIR, or take less with "
            "--codec jpeg or a smaller --size"
        )
    return free


def size(count: int) -> str:
    """`1.3 GB`."""
    for unit, digits in (("GB", 9), ("MB", 6)):
        if count >= 10**digits:
            return f"{count / 10**digits:.1f} {unit}"
    return f"{count / 1000:.1f} kB"


def _jpeg_bytes(files: Files, pixels: Pixels, crew: Crew) -> float:
    """The mean size of a JPEG, over images evenly spread; 0 if none of them can be read."""
    places = np.unique(np.linspace(0, len(files.labels) - 1, SAMPLE).astype(int))
    names = [bytes(name) for name in files.paths[places]]
    samples = [Chunk("sample", 0, os.fspath(files.folder), (name,)) for name in names]
    tasks = [chunks.Task(sample, pixels, "", None) for sample in samples]
    found: Sequence[int] = [n for _, n in crew.each(_encoded_bytes, tasks) if n]
    return float(np.mean(found)) if found else 0.0


def _encoded_bytes(task: chunks.Task) -> int:
    assert task.pixels.quality is not None
    image = chunks.read(task.chunk, 0, task.pixels)
    return 0 if isinstance(image, str) else len(chunks.encode(image, task.pixels.quality))
