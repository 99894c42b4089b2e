"""A data set that `prepare` has decoded and resized once, so that reading it is a mere copy.

Its files are described in `prepared_record`. Nothing is unpickled, and no path is read from the
disk.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.crops import Crops, copy_crops
from transferlab.data.datasets import decode
from transferlab.data.datasets.images import (
    DataSet,
    Description,
    ImageSet,
    StoredPixels,
    UnreadableImage,
    class_counts,
    read_pictures,
)
from transferlab.data.datasets.mapped import Mapped
from transferlab.data.datasets.prepared_record import (
    IMAGES,
    RECORD,
    SUBSETS,
    PreparedRecord,
    StoredSubset,
    damaged,
    read_record,
)
from transferlab.errors import UserError
from transferlab.runtime import commands, paths


class Prepared(DataSet):
    """`data=prepared`: the folder `root` that `prepare` has made, with its subsets."""

    uses = frozenset({"root", "resize", "decode", "unreadable"})

    def describe(self) -> Description:
        record = self._record()
        return Description(record.classes, record.digest)

    def train_counts(self) -> tuple[int, ...]:
        record = self._record()
        labels = _labels(self._folder / "train", record, record.subsets["train"])
        return class_counts(labels, record.classes)

    def load(self, *, size: int, resize: str, decode: str, cache: Path) -> ImageSet:
        self._require(size, resize, decode)
        record = self._record()
        train, val = (
            open_subset(self._folder / name, record, record.subsets[name], size=size)
            for name in SUBSETS
        )
        return ImageSet(record.classes, record.digest, train, val)

    def changed(self, skipped: Mapping[str, str]) -> tuple[str, ...]:
        """Damaged JPEGs whose bytes have changed, as those of a restored copy."""
        record = self._record()

        def sha256(name: str) -> str:
            subset, _, file = name.partition("/")
            parts = record.subsets[subset]
            stored = open_subset(self._folder / subset, record, parts, size=record.pixels.size)
            assert isinstance(stored, JpegSubset), "raw images cannot be unreadable"
            return stored.sha256(int(np.flatnonzero(stored.names == os.fsencode(file))[0]))

        return tuple(name for name, recorded in skipped.items() if sha256(name) != recorded)

    def stored(self) -> StoredPixels:
        pixels = self._record().pixels
        return StoredPixels(pixels.size, pixels.resize, pixels.decode)

    def _require(self, size: int, resize: str, decode: str) -> None:
        """Raises: UserError for larger images, or those that were decoded or resized otherwise."""
        pixels = self._record().pixels
        if size > pixels.size:
            raise UserError(
                f"data.size={size} is above the {pixels.size} pixels of {self.root}: set "
                f"{commands.setting('data.size', pixels.size)}, or prepare the images again"
            )
        for key, value in (("resize", resize), ("decode", decode)):
            stored = getattr(pixels, key)
            if value != stored:
                raise UserError(
                    f"data.{key}={value} differs from the {stored} of {self.root}: set "
                    f"{commands.setting(f'data.{key}', stored)}, or prepare the images again"
                )

    @property
    def _folder(self) -> Path:
        if self.root is None:
            raise UserError(
                "data.root is missing: name the folder --out of prepare with "
                f"{commands.setting('data.root', 'DIR')}"
            )
        return paths.expand(self.root)

    def _record(self) -> PreparedRecord:
        folder = self._folder
        for key, value in (("val", self.val), ("holdout", self.holdout)):
            if value is not None:
                raise UserError(
                    f"data.{key}={value} does not apply to data=prepared: {self.root} has its "
                    f"subsets already; set {commands.setting(f'data.{key}', None)}"
                )
        return read_record(folder)


def open_subset(
    folder: Path, record: PreparedRecord, stored: StoredSubset, *, size: int
) -> "RawSubset | JpegSubset":
    """The subset that the arrays describe, to be read with images of `size` pixels a side.

    Raises: UserError if files are missing or do not fit.
    """
    labels, codec, side = _labels(folder, record, stored), record.pixels.codec, record.pixels.size
    names = array(folder / "names.npy", lambda a: a.dtype.kind == "S", (stored.images,))
    if codec not in IMAGES:
        raise UserError(f"{folder.parent / RECORD} is damaged: codec {codec!r} is unknown")
    path = folder / IMAGES[codec]
    try:
        mapped = Mapped(path)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    room = stored.slots * side * side * 3 if codec == "raw" else stored.size_bytes
    if len(mapped.bytes) != room:
        raise damaged(path, f"it has {len(mapped.bytes)} bytes, not {room}")
    if codec == "raw":
        here = slots(folder, stored)
        return RawSubset(mapped, size, side, here, labels, names, in_memory=size == side)
    spans = whole_numbers(folder / "spans.npy", (stored.images, 2), below=room + 1)
    if spans.sum(axis=1).max(initial=0) > room:
        raise damaged(folder / "spans.npy", "an image ends behind the end of the file")
    return JpegSubset(mapped, size, side, spans, labels, names)


@dataclass(frozen=True)
class RawSubset:
    """Images in a mapped file with a slot for every source file, readable or not. slots: (N,).

    Of `side` pixels a side in the file, and of `size` when they are read.
    """

    mapped: Mapped
    size: int
    side: int
    slots: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    in_memory: bool = True
    scaled: bool = False

    def announce(self, positions: np.ndarray) -> None:
        image_bytes = self.side * self.side * 3
        self.mapped.fetch(self.slots[positions] * image_bytes, np.full(len(positions), image_bytes))

    def read(
        self, positions: np.ndarray, out: np.ndarray, crops: Crops | None
    ) -> dict[int, UnreadableImage]:
        if self.size != self.side or (crops is not None and crops.sides is not None):
            return read_pictures(self, positions, out, crops, resize="warp")
        copy_crops(self._images, self.slots[positions], out, crops)
        return {}

    def picture(self, position: int, side: int) -> np.ndarray:
        return self._images[self.slots[position]]

    @property
    def _images(self) -> np.ndarray:
        return self.mapped.bytes.reshape(-1, self.side, self.side, 3)

    def name(self, position: int) -> str:
        return os.fsdecode(self.names[position])


@dataclass(frozen=True)
class JpegSubset:
    """JPEGs in a memory-mapped file. spans: (N, 2), first byte and size in bytes.

    Of `side` pixels a side in the file, and of `size` when they are read.
    """

    mapped: Mapped
    size: int
    side: int
    spans: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    in_memory: bool = False
    scaled: bool = False

    def announce(self, positions: np.ndarray) -> None:
        spans = self.spans[positions]
        self.mapped.fetch(spans[:, 0], spans[:, 1])

    def read(
        self, positions: np.ndarray, out: np.ndarray, crops: Crops | None
    ) -> dict[int, UnreadableImage]:
        return read_pictures(self, positions, out, crops, resize="warp")

    def picture(self, position: int, side: int) -> np.ndarray | UnreadableImage:
        start, size = self.spans[position].tolist()
        try:
            pixels = decode.jpeg(self.mapped.bytes[start : start + size])
            if pixels.shape != (self.side, self.side, 3):
                raise ValueError(f"it has {pixels.shape[1]} x {pixels.shape[0]} pixels")
        except ValueError as error:
            return UnreadableImage(
                f"its JPEG in the prepared data is damaged: {error}",
                f"{self.mapped.path.parent.name}/{self.name(position)}",
                self.sha256(position),
            )
        return pixels

    def sha256(self, position: int) -> str:
        """The digest of a JPEG's bytes."""
        start, size = self.spans[position].tolist()
        return hashlib.sha256(self.mapped.map[start : start + size]).hexdigest()

    def name(self, position: int) -> str:
        return os.fsdecode(self.names[position])


def _labels(folder: Path, record: PreparedRecord, stored: StoredSubset) -> np.ndarray:
    return whole_numbers(folder / "labels.npy", (stored.images,), below=len(record.classes))


def slots(folder: Path, stored: StoredSubset) -> np.ndarray:
    """Which of all files the images of a subset are, (N,) int64."""
    return whole_numbers(folder / "slots.npy", (stored.images,), below=stored.slots)


def whole_numbers(path: Path, shape: tuple[int, ...], *, below: int) -> np.ndarray:
    """The integers in a file, which are in 0..below-1. Raises: UserError if it is damaged."""
    return array(
        path,
        lambda a: a.dtype == np.int64 and 0 <= a.min(initial=0) and a.max(initial=0) < below,
        shape,
    )


def array(path: Path, sound: Callable[[np.ndarray], bool], shape: tuple[int, ...]) -> np.ndarray:
    """The numbers in a file, of this shape. Raises: UserError if they are not `sound`."""
    try:
        with path.open("rb") as file:
            numbers = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # numpy raises anything for a damaged file
        raise damaged(path, error) from error
    if numbers.shape != shape or not sound(numbers):
        raise damaged(path, f"{numbers.dtype} of shape {numbers.shape} do not fit {RECORD}")
    return numbers
