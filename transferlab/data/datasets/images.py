"""The interface of every data set: classes, a digest, and two subsets of uint8 images.

Shapes: B images of a batch, N of a subset, S pixels a side of a stored image, P of a crop, K
classes; images are (S, S, 3) uint8, RGB. Labels are (N,) int64, positions in the class list, or
those of several classes an image (multi-label): (N, K) int8, 1 where a class is present, -1 where
it is absent, and 0 where that is left open (VOC: only difficult objects).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from transferlab.data import sampling
from transferlab.data.crops import Crops, centre, copy_crop, copy_crops
from transferlab.data.datasets import decode
from transferlab.errors import UserError

HOLDOUT_SEED = 2014  # fixed, so that every run holds out the same images
# The keys of `data` that only some data sets use -> the value that asks for nothing
OPTIONS = MappingProxyType(
    {
        "root": None,
        "val": None,
        "holdout": None,
        "resize": "warp",
        "decode": "exact",
        "unreadable": "error",
    }  # fmt: skip
)


@dataclass(frozen=True)
class UnreadableImage:
    """Why an image cannot be read; its `name` in the data set, the same wherever that lies, as
    `train/CLASS/FILE`; and the sha256 of its file, by which a repair is noticed."""

    reason: str
    name: str
    sha256: str


class Subset(Protocol):
    """The training or the validation images, addressed by position 0..N-1."""

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64, positions in the data set's class list, or (N, K) int8 of 1, -1 and 0."""
        ...

    @property
    def size(self) -> int:
        """S, pixels a side; of images of different shapes, of the shorter side."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether `read` only copies, which worker processes would not speed up."""
        ...

    def read(
        self, positions: np.ndarray, out: np.ndarray, crops: Crops | None
    ) -> dict[int, UnreadableImage]:
        """Fill `out` (B, P, P, 3) uint8 with crops of the images at `positions` (B,), in place.

        Without `crops` they are the images' centres; if it has sides, each image is resized to its
        own. Returns the images that cannot be read, by their positions in the batch.
        """
        ...

    @property
    def scaled(self) -> bool:
        """Whether a `picture` has only the detail that its `side` needs."""
        ...

    def picture(self, position: int, side: int) -> "np.ndarray | UnreadableImage":
        """The image (H, W, 3) uint8 before it is resized to `side`, of stored images as it was
        stored."""
        ...

    def name(self, position: int) -> str:
        """The image's file, or another name for it to show in messages."""
        ...


@runtime_checkable
class Announced(Protocol):
    """A subset that lies on a disk, which can begin to read images before they are needed."""

    def announce(self, positions: np.ndarray) -> None:
        """Have the disk read the images at `positions` (B,), without waiting for it."""
        ...


@dataclass(frozen=True)
class ImageSet:
    """A data set. `classes` in a fixed order; `digest` changes whenever the images do.

    development: (N,) bool, the training images that its authors set apart for the choice of
        settings, where they did.
    """

    classes: tuple[str, ...]
    digest: str
    train: Subset
    val: Subset
    development: np.ndarray | None = None


@dataclass(frozen=True)
class Description:
    """The class names in their fixed order, a digest that changes when the images or their labels
    do, and whether an image can show several of the classes."""

    classes: tuple[str, ...]
    digest: str
    multi_label: bool = False


@dataclass(frozen=True)
class StoredPixels:
    """Images that were resized once: pixels a side, and `data.resize` and `data.decode` of them."""

    size: int
    resize: str
    decode: str


@dataclass(frozen=True)
class DataSet(ABC):
    """A data set as a config names it: its `data.root`, `data.val` and `data.holdout`.

    Every method raises UserError if the images are missing or damaged, or the three do not suit
    this data set. Only `load` may import torch: the others serve a plan. `uses` are those of
    `OPTIONS` that have an effect here; any other that a user sets is refused.
    """

    uses: ClassVar[frozenset[str]] = frozenset(OPTIONS)

    root: str | None
    val: str | None
    holdout: float | None

    @abstractmethod
    def describe(self) -> Description:
        """The classes and the digest."""

    @abstractmethod
    def train_counts(self) -> tuple[int, ...]:
        """The number of training images of each class, in the order of the classes: see
        `class_counts`."""

    @abstractmethod
    def load(self, *, size: int, resize: str, decode: str, cache: Path) -> ImageSet:
        """The images, `size` pixels a side; a download goes into the folder `cache`."""

    def changed(self, skipped: Mapping[str, str]) -> tuple[str, ...]:
        """Of images that could not be read, name -> sha256, those whose files have changed since.

        None by default: most data sets are checked as a whole.
        """
        return ()

    def stored(self) -> StoredPixels | None:
        """How the images were resized when they were stored; None if they are resized when read."""
        return None


def check_classes(classes: object, source: str) -> None:
    """Raises: UserError unless they are distinct names of Unicode text, in a tuple.

    `source` is the data set, for the message.
    """
    if not isinstance(classes, tuple) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"{source} has classes that are not a tuple of names")
    for name in classes:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{source} has a class whose name is not text: {name}") from error
    if not all(classes) or len({*classes}) < len(classes):
        raise UserError(f"{source} has two classes of the same name, or one without a name")


def check_labels(labels: np.ndarray, classes: Sequence[str], source: str) -> None:
    """Raises: UserError unless they are those of `Subset.labels`, N above 0."""
    if is_multi_label(labels) and labels.dtype == np.int8 and labels.shape[1] == len(classes):
        if len(labels) and not set(np.unique(labels).tolist()) <= {-1, 0, 1}:
            raise UserError(f"{source} has other labels than 1 (present), -1 (absent) and 0 (open)")
    elif labels.dtype != np.int64 or labels.ndim != 1:
        raise UserError(
            f"{source} has labels {labels.dtype} {labels.shape}: need int64 (N,), or for several "
            f"classes an image int8 (N, {len(classes)})"
        )
    if not len(labels):
        raise UserError(f"{source} has no images")
    if labels.ndim == 1 and not 0 <= labels.min() <= labels.max() < len(classes):
        raise UserError(
            f"{source} has the labels {labels.min()}..{labels.max()}: need 0..{len(classes) - 1}"
        )


def is_multi_label(labels: np.ndarray) -> bool:
    """Whether they are (N, K): several classes an image."""
    return labels.ndim == 2


def class_counts(labels: np.ndarray, classes: Sequence[str]) -> tuple[int, ...]:
    """How many of the images each class has. In multi-label data every class has all of them: each
    says of every image whether it is in it."""
    if is_multi_label(labels):
        return (len(labels),) * len(classes)
    return tuple(np.bincount(labels, minlength=len(classes)).tolist())


def count_images(counts: Iterable[int], *, multi_label: bool) -> int:
    """The images of some classes, from the number of each: see `class_counts`."""
    return max(counts) if multi_label else sum(counts)


@dataclass(frozen=True)
class ArraySubset:
    """Images that are held in memory: pixels (N, S, S, 3) uint8, labels as of `Subset`.

    `pictures` (N, H, W, 3) are the images before they were resized; None if they were not.
    """

    pixels: np.ndarray
    labels: np.ndarray
    source: str
    in_memory: bool = True
    pictures: np.ndarray | None = None
    scaled: bool = False

    @property
    def size(self) -> int:
        return self.pixels.shape[1]

    def read(
        self, positions: np.ndarray, out: np.ndarray, crops: Crops | None
    ) -> dict[int, UnreadableImage]:
        if crops is not None and crops.sides is not None:
            return read_pictures(self, positions, out, crops, resize="warp")
        copy_crops(self.pixels, positions, out, crops)
        return {}

    def picture(self, position: int, side: int) -> np.ndarray:
        pictures = self.pixels if self.pictures is None else self.pictures
        return pictures[position]

    def name(self, position: int) -> str:
        return f"{self.source}[{position}]"


def read_pictures(
    subset: Subset,
    positions: np.ndarray,
    out: np.ndarray,
    crops: Crops | None,
    *,
    resize: str,
) -> dict[int, UnreadableImage]:
    """Fill `out` as `Subset.read` says, each picture resized by itself as `decode.fit` does."""
    unreadable, sides = {}, None if crops is None else crops.sides
    for slot, position in enumerate(positions.tolist()):
        size = subset.size if sides is None else int(sides[slot])
        picture = subset.picture(position, size)
        if isinstance(picture, UnreadableImage):
            unreadable[slot] = picture
            continue
        pixels = decode.fit(picture, size=size, resize=resize)
        if crops is None:
            row, column = centre(pixels.shape, out.shape[1])
        else:
            row, column = crops.corner(slot, pixels.shape, out.shape[1])
        copy_crop(pixels, out[slot], row, column)
    return unreadable


def hold_out(labels: np.ndarray, part: float, images: np.ndarray) -> np.ndarray:
    """The mask (N,) of a fixed, stratified sample: the fraction `part` of every class.

    Each class keeps at least one image on either side. `images` (N,) are numbers that stand for the
    images, as their place in a fixed data set or a hash of their names: a further image changes the
    subset of at most one other, of its own class.
    """
    held = np.zeros(len(labels), dtype=bool)
    ranks = sampling.bits(sampling.HOLDOUT, HOLDOUT_SEED, images)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(round(part * len(members)), 1), len(members) - 1)
        held[members[np.argsort(ranks[members], kind="stable")[:count]]] = True
    return held
