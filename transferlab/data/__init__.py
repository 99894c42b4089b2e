"""From image files to batches: data sets, halves of their classes, sampling, transforms, loaders.

May import: errors, runtime.

`load` returns the images; a plan needs the others, which import no torch. All raise UserError if
they are missing, damaged or unsuitable.

To add a data set: a file in `datasets/` with a class that derives from `DataSet`, a line in
`DATASETS`, and conf/data/NAME.yaml. A user's own is named `package.module:attribute`: such a class,
or a function with the keyword arguments root, val, holdout, size and resize that returns an
`ImageSet`.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from transferlab.data.datasets.custom import Custom
from transferlab.data.datasets.images import (
    OPTIONS,
    DataSet,
    Description,
    ImageSet,
    StoredPixels,
    check_classes,
    check_labels,
    count_images,
)
from transferlab.errors import UserError
from transferlab.runtime import plugins

__all__ = [
    "DATASETS", "OPTIONS", "DataSet", "Description", "ImageSet", "StoredPixels",
    "count_images", "describe", "load", "stored", "train_counts", "uses",
]  # fmt: skip

DATASETS = {
    "digits": "transferlab.data.datasets.digits:Digits",
    "image_folder": "transferlab.data.datasets.folder:ImageFolder",
    "imagenet": "transferlab.data.datasets.folder:ImageFolder",
    "prepared": "transferlab.data.datasets.prepared:Prepared",
    "cifar10": "transferlab.data.datasets.cifar:Cifar10",
    "cifar100": "transferlab.data.datasets.cifar:Cifar100",
    "voc2007": "transferlab.data.datasets.voc:Voc2007",
}

KEY = "data.name"

# Cached: called for each job of a multirun and each data.per_class of a study, and slow for some


@lru_cache(maxsize=8)
def describe(name: str, *, root: str | None, val: str | None, holdout: float | None) -> Description:
    """The classes of a data set, and its digest."""
    with plugins.guarded(KEY, name, known=DATASETS):
        described = _dataset(name, root, val, holdout).describe()
    plugins.require(Description, described, KEY, name)
    check_classes(described.classes, f"{KEY}={name}")
    return described


def stored(name: str, *, root: str | None) -> StoredPixels | None:
    """How the images of a data set were resized when they were stored, if they were."""
    with plugins.guarded(KEY, name, known=DATASETS):
        return _dataset(name, root, None, None).stored()


@lru_cache(maxsize=8)
def train_counts(
    name: str, *, root: str | None, val: str | None, holdout: float | None
) -> tuple[int, ...]:
    """The number of training images of each class, in the order of the classes of `describe`: see
    `class_counts`."""
    with plugins.guarded(KEY, name, known=DATASETS):
        return _dataset(name, root, val, holdout).train_counts()


def uses(name: str) -> frozenset[str]:
    """Those of the keys `OPTIONS` of a config's `data` that have an effect for a data set."""
    return type(_dataset(name, None, None, None)).uses


def changed(
    name: str,
    *,
    root: str | None,
    val: str | None,
    holdout: float | None,
    skipped: Mapping[str, str],
) -> tuple[str, ...]:
    """Of images that could not be read, name -> sha256, those whose files have changed since."""
    with plugins.guarded(KEY, name, known=DATASETS):
        return _dataset(name, root, val, holdout).changed(skipped) if skipped else ()


def load(
    name: str,
    *,
    root: str | None,
    val: str | None,
    holdout: float | None,
    size: int,
    resize: str,
    decode: str,
    cache: Path,
) -> ImageSet:
    """The data set with images of `size` pixels a side; `cache` is where a download goes."""
    with plugins.guarded(KEY, name, known=DATASETS):
        dataset = _dataset(name, root, val, holdout)
        images = dataset.load(size=size, resize=resize, decode=decode, cache=cache)
        plugins.require(ImageSet, images, KEY, name)
        for subset in (images.train, images.val):
            check_labels(subset.labels, images.classes, f"{KEY}={name}")
    return images


def _dataset(name: str, root: str | None, val: str | None, holdout: float | None) -> DataSet:
    named = plugins.function(KEY, DATASETS.get(name, name), known=DATASETS)
    if isinstance(named, type) and issubclass(named, DataSet):
        return named(root, val, holdout)
    if not callable(named):
        kind = type(named).__name__
        raise UserError(f"{KEY}={name} is a {kind}: it must be a DataSet or a function")
    return Custom(root, val, holdout, name, named)
