"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), downloaded and verified by torchvision.

The published archives are pickles. torchvision checks their md5 sums; here they are read by an
unpickler that creates only arrays and plain values.
"""

import logging
import os
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from transferlab.data.datasets.decode import resize_all
from transferlab.data.datasets.images import ArraySubset, DataSet, Description, ImageSet
from transferlab.errors import UserError
from transferlab.runtime import commands, folders, paths

log = logging.getLogger(__name__)
CIFAR10 = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
CIFAR100 = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
    lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()
)
CLASSES = {"cifar10": CIFAR10, "cifar100": CIFAR100}
# The archives' md5 sums, which torchvision checks: they identify the images
DIGESTS = {
    "cifar10": "c58f30108f718f92721af3b95e74349a",
    "cifar100": "eb9058c3a382ffc7106e4002c42a8d85",
}
TRAIN_IMAGES = 50_000  # of either, the same number of every class: Krizhevsky 2009, Sec. 3


class Cifar(DataSet):
    """`root` is the folder with the unpacked archive, None for the cache."""

    name: ClassVar[str]
    uses = frozenset({"root"})

    def describe(self) -> Description:
        return Description(CLASSES[self.name], DIGESTS[self.name])

    def train_counts(self) -> tuple[int, ...]:
        count = len(CLASSES[self.name])
        return (TRAIN_IMAGES // count,) * count

    def load(self, *, size: int, resize: str, decode: str, cache: Path) -> ImageSet:
        root = paths.expand(self.root) if self.root else cache / self.name
        return load(self.name, root=root, size=size)


class Cifar10(Cifar):
    """`data=cifar10`."""

    name = "cifar10"


class Cifar100(Cifar):
    """`data=cifar100`."""

    name = "cifar100"


def load(name: str, *, root: Path, size: int) -> ImageSet:
    """CIFAR from the folder `root`, downloaded into it first if it is missing.

    Raises: UserError if it is missing and cannot be downloaded.
    """
    from torchvision import datasets
    from torchvision.datasets import utils

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    folder = root / kind.base_folder
    files = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]

    def complete(folder: Path) -> bool:
        return all(utils.check_integrity(str(folder / file), md5) for file, md5 in files)

    if not complete(folder):
        log.info("downloading %s into %s", kind.url, root)
        try:
            with folders.scratch(root) as scratch:  # in a shared cache names may be taken by links
                utils.download_and_extract_archive(
                    kind.url, str(scratch), filename=kind.filename, md5=kind.tgz_md5
                )
                if not complete(scratch / kind.base_folder):
                    raise UserError(f"{kind.url} has changed: its files have other digests")
                folders.make(folder)
                for path in (scratch / kind.base_folder).iterdir():
                    os.replace(path, folder / path.name)
                folders.share_tree(folder)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"data={name} cannot be downloaded: {error}; download {kind.url} elsewhere and "
                f"unpack it into {root}, or name the folder that holds {kind.base_folder} with "
                f"{commands.setting('data.root', 'DIR')}"
            ) from error
    names = read_arrays(folder / kind.meta["filename"])[kind.meta["key"]]
    if tuple(names) != CLASSES[name]:
        raise UserError(f"{folder} has other classes than {name}")
    train, val = (
        _subset(name, [folder / file for file, _ in part], size=size)
        for part in (kind.train_list, kind.test_list)
    )
    return ImageSet(CLASSES[name], DIGESTS[name], train, val)


def read_arrays(path: Path) -> dict[str, Any]:
    """The dictionary of arrays and lists in a file of the archives.

    Raises: pickle.UnpicklingError if it holds anything else.
    """
    with path.open("rb") as file:
        return _ArraysOnly(file, encoding="latin1").load()


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return allowed[module, name]


def _subset(name: str, files: list[Path], *, size: int) -> ArraySubset:
    parts = [read_arrays(file) for file in files]
    pixels = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
    key = "labels" if "labels" in parts[0] else "fine_labels"
    labels = np.concatenate([np.asarray(part[key], dtype=np.int64) for part in parts])
    pictures = pixels.transpose(0, 2, 3, 1)
    return ArraySubset(resize_all(pictures, size=size), labels, name, pictures=pictures)
