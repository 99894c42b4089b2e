"""From image files to batches: data sets, halves of their classes, sampling, transforms, loaders.

May import: errors, runtime.

Two doors: `describe` tells the classes and the digest, which is all that a plan needs and takes no
torch (nor does `train_counts`, for what a plan will take); `load` gives the images. A user's own
data set is a function `package.module:function`, called with the keyword arguments root, val,
holdout, size and resize, that returns an `ImageSet`.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from transferlab.data.datasets import cifar, digits, folder, prepared
from transferlab.data.datasets.images import ImageSet
from transferlab.errors import UserError
from transferlab.runtime import plugins

NAMES = ("digits", "image_folder", "imagenet", "prepared", "cifar10", "cifar100")
CIFAR_TRAIN_IMAGES = 50_000  # of either, the same number of every class: Krizhevsky 2009, Sec. 3


@dataclass(frozen=True)
class Description:
    """The class names in their fixed order, and a digest that changes when the images do."""

    classes: tuple[str, ...]
    digest: str


@lru_cache(maxsize=8)  # asked for again and again in a process, and a user's own may be slow
def describe(name: str, *, root: str | None, val: str | None, holdout: float | None) -> Description:
    """What a plan must know of a data set. Raises: UserError if it is not there or not sound."""
    if name == "digits":
        return Description(digits.CLASSES, digits.digest(holdout))
    if name in cifar.CLASSES:
        return Description(cifar.CLASSES[name], cifar.DIGESTS[name])
    if name in ("image_folder", "imagenet"):
        index = folder.scan(root, val, holdout)
        return Description(index.classes, index.digest)
    if name == "prepared":
        record = prepared.find(root, val, holdout)
        return Description(record.classes, record.digest)
    images = _own(name, root=root, val=val, holdout=holdout, size=1, resize="warp")
    return Description(images.classes, images.digest)


@lru_cache(maxsize=8)  # a plan asks for each of its runs
def check(name: str, *, root: str | None, size: int, resize: str) -> None:
    """Whether the images can be had so. Raises: UserError if they were prepared otherwise."""
    if name == "prepared":
        prepared.check(root, size=size, resize=resize)


@lru_cache(maxsize=8)
def train_counts(
    name: str, *, root: str | None, val: str | None, holdout: float | None
) -> tuple[int, ...]:
    """How many training images each class has, in the order of the classes of `describe`.

    Raises: UserError as `describe` does.
    """
    if name in cifar.CLASSES:
        count = len(cifar.CLASSES[name])
        return (CIFAR_TRAIN_IMAGES // count,) * count
    if name == "digits":
        classes, labels = digits.CLASSES, digits.load(holdout=holdout, size=8).train.labels
    elif name in ("image_folder", "imagenet"):
        index = folder.scan(root, val, holdout)
        classes, labels = index.classes, index.train.labels
    elif name == "prepared":
        classes = prepared.find(root, val, holdout).classes
        labels = prepared.labels(root, val, holdout)
    else:
        images = _own(name, root=root, val=val, holdout=holdout, size=1, resize="warp")
        classes, labels = images.classes, images.train.labels
    return tuple(np.bincount(labels, minlength=len(classes)).tolist())


def load(
    name: str,
    *,
    root: str | None,
    val: str | None,
    holdout: float | None,
    size: int,
    resize: str,
    cache: Path,
) -> ImageSet:
    """The data set with images of `size` pixels a side; `cache` is where a download goes.

    Raises: UserError if it is not there or not sound.
    """
    if name == "digits":
        return digits.load(holdout=holdout, size=size)
    if name in cifar.CLASSES:
        return cifar.load(name, root=Path(root).expanduser() if root else cache / name, size=size)
    if name in ("image_folder", "imagenet"):
        return folder.load(root=root, val=val, holdout=holdout, size=size, resize=resize)
    if name == "prepared":
        return prepared.load(root=root, val=val, holdout=holdout, size=size, resize=resize)
    return _own(name, root=root, val=val, holdout=holdout, size=size, resize=resize)


def _own(name: str, **arguments: object) -> ImageSet:
    build = plugins.function("data.name", name, known=NAMES)
    images = build(**arguments)
    if not isinstance(images, ImageSet):
        raise UserError(f"data.name={name} returned {type(images).__name__}, not an ImageSet")
    return images
