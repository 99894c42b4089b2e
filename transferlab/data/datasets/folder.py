"""Any tree of images, `train/CLASS/*` and `val/CLASS/*`, or `CLASS/*` with a part held out.

An unpacked ImageNet is such a tree.
"""

import hashlib
import logging
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from transferlab.data.crops import Crops
from transferlab.data.datasets import decode, listing
from transferlab.data.datasets.images import (
    DataSet,
    Description,
    ImageSet,
    UnreadableImage,
    class_counts,
    hold_out,
    is_multi_label,
    read_pictures,
)
from transferlab.data.datasets.listing import Files, Listing, content_digest, list_files
from transferlab.errors import UserError
from transferlab.runtime import commands, paths

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Index:
    """The classes, the files of both subsets, and the digest of it all; `development` as of
    `ImageSet`."""

    classes: tuple[str, ...]
    digest: str
    train: Files
    val: Files
    development: np.ndarray | None = None

    @property
    def subsets(self) -> dict[str, Files]:
        return {"train": self.train, "val": self.val}


@dataclass(frozen=True)
class FileSubset:
    """Images that are decoded from their files whenever they are read. `subset`: train or val."""

    subset: str
    files: Files
    size: int
    resize: str
    decode: str
    in_memory: bool = False

    @property
    def labels(self) -> np.ndarray:
        return self.files.labels

    def read(
        self, positions: np.ndarray, out: np.ndarray, crops: Crops | None
    ) -> dict[int, UnreadableImage]:
        return read_pictures(self, positions, out, crops, resize=self.resize)

    @property
    def scaled(self) -> bool:
        return self.decode == "scaled"

    def picture(self, position: int, side: int) -> np.ndarray | UnreadableImage:
        name = self.name(position)
        try:
            return decode.read(name, least=decode.least_side(self.decode, side))
        except decode.UNREADABLE as error:
            return UnreadableImage(
                str(error).partition("<_io")[0].strip(),
                f"{self.subset}/{os.fsdecode(self.files.paths[position])}",
                content_digest(name),
            )

    def name(self, position: int) -> str:
        return self.files.path(position)


class FileSet(DataSet):
    """Image files that an index names."""

    @property
    @abstractmethod
    def _index(self) -> Index:
        """The files; listed once in a process."""

    def describe(self) -> Description:
        index = self._index
        return Description(index.classes, index.digest, is_multi_label(index.train.labels))

    def train_counts(self) -> tuple[int, ...]:
        index = self._index
        return class_counts(index.train.labels, index.classes)

    def load(self, *, size: int, resize: str, decode: str, cache: Path) -> ImageSet:
        """Lists the files; each is decoded when it is read."""
        index = self._index
        train, held = (FileSubset(n, f, size, resize, decode) for n, f in index.subsets.items())
        return ImageSet(index.classes, index.digest, train, held, index.development)

    def changed(self, skipped: Mapping[str, str]) -> tuple[str, ...]:
        folders = {name: files.folder for name, files in self._index.subsets.items()}

        def sha256(name: str) -> str:
            subset, _, path = name.partition("/")
            if subset not in folders or ".." in path.split("/"):
                return ""  # of a record that was made by hand: it leads to no file of this folder
            return content_digest(os.path.join(folders[subset], path))

        return tuple(name for name, recorded in skipped.items() if sha256(name) != recorded)


class ImageFolder(FileSet):
    """`data=image_folder` and `data=imagenet`: the folder `root`, `val` being the name of its
    validation folder, or `holdout` the part of every class that is held out."""

    @property
    def _index(self) -> Index:
        return scan(self.root, self.val, self.holdout)


@lru_cache(maxsize=4)
def scan(root: str | None, val: str | None, holdout: float | None) -> Index:
    """List the folder, once in a process. Its location does not change the digest.

    Raises: UserError if the folder is missing, empty or not of the expected form.
    """
    if root is None:
        raise UserError(
            "data.root is missing: name the folder that holds train/CLASS/* and val/* with "
            f"{commands.setting('data.root', 'DIR')}"
        )
    folder = paths.expand(root)
    if not folder.is_dir():
        raise UserError(f"data.root={root} is not a folder")
    subfolders = listing.folders(folder)
    if not subfolders:
        raise UserError(f"data.root={root} contains no folders: need train/CLASS/* and val/*")
    if holdout is not None:
        return _hold_out(root, folder / "train" if "train" in subfolders else folder, holdout)
    if val is None:
        raise UserError(f"data.val is missing: {_other_subset()}")
    for subset in ("train", val):
        if subset not in subfolders:
            raise UserError(
                f"data.root={root} has no folder {subset!r} (it has {_listed(subfolders)}): "
                + ("need train/CLASS/*" if subset == "train" else _other_subset())
            )
    classes = listing.class_names(folder / "train")
    _require_same(folder, classes, listing.class_names(folder / val), val)
    train, held = _images(root, [list_files(folder / name, classes) for name in ("train", val)])
    return Index(tuple(classes), listing.digest([train, held]), train, held)


def _hold_out(root: str, folder: Path, holdout: float) -> Index:
    """The index of one folder of classes, with a part of every class for validation."""
    classes = listing.class_names(folder)
    (files,) = _images(root, [list_files(folder, classes)])
    smallest = int(np.bincount(files.labels, minlength=len(classes)).argmin())
    if np.count_nonzero(files.labels == smallest) < 2:
        raise UserError(
            f"data.holdout={holdout} needs 2 images of a class or more: "
            f"{folder / classes[smallest]} has 1"
        )
    held = hold_out(files.labels, holdout, listing.name_hashes(files))
    digest = hashlib.sha256(f"{listing.digest([files])} {holdout!r}".encode()).hexdigest()
    return Index(tuple(classes), digest, files.take(~held), files.take(held))


def _images(root: str, listings: Sequence[Listing]) -> list[Files]:
    """The images of the listings. Logs which other files the class folders hold, in one line."""
    others: Counter[str] = sum((each.others for each in listings), Counter())
    if others:
        log.warning(
            "%s: files in class folders that are not read: %s",
            root,
            ", ".join(f"{count} {kind}" for kind, count in sorted(others.items())),
        )
    return [each.files for each in listings]


def _require_same(folder: Path, train: Sequence[str], held: Sequence[str], val: str) -> None:
    only_train, only_val = sorted(set(train) - set(held)), sorted(set(held) - set(train))
    if only_train or only_val:
        parts = [
            f"only in {name}: {_listed(classes)}"
            for name, classes in (("train", only_train), (val, only_val))
            if classes
        ]
        raise UserError(f"data.root={folder} has other classes in train than in {val}: "
                        + "; ".join(parts))  # fmt: skip


def _other_subset() -> str:
    """How the validation images are found."""
    return (
        f"name the validation folder with {commands.setting('data.val', 'NAME')}, or hold out a "
        f"part with {commands.setting('data.holdout', 0.2)}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
