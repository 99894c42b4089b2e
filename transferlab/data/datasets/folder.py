"""Any tree of images, `train/CLASS/*` and `val/CLASS/*`, or `CLASS/*` with a part held out.

An unpacked ImageNet is such a tree. The index is an array of paths and one of labels, so that 1.28
million images take about 100 MB once, and nothing per worker process.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from transferlab.data import sampling
from transferlab.data.datasets.decode import EXTENSIONS, UNREADABLE, read_rgb
from transferlab.data.datasets.images import (
    HOLDOUT_SEED,
    DataSet,
    Description,
    ImageSet,
    centre_corners,
    class_counts,
    hold_out,
)
from transferlab.errors import UserError


@dataclass(frozen=True)
class Files:
    """Image files below one folder: paths (N,) as bytes `CLASS/NAME`, labels (N,) int64."""

    folder: Path
    paths: np.ndarray
    labels: np.ndarray

    def take(self, mask: np.ndarray) -> "Files":
        return Files(self.folder, self.paths[mask], self.labels[mask])


@dataclass(frozen=True)
class Index:
    """The classes, the files of both subsets, and the digest of it all."""

    classes: tuple[str, ...]
    digest: str
    train: Files
    val: Files

    @property
    def subsets(self) -> dict[str, Files]:
        return {"train": self.train, "val": self.val}


@dataclass(frozen=True)
class FileSubset:
    """Images that are decoded from their files whenever they are read."""

    files: Files
    size: int
    resize: str
    in_memory: bool = False

    @property
    def labels(self) -> np.ndarray:
        return self.files.labels

    def read(
        self, positions: np.ndarray, out: np.ndarray, corners: np.ndarray | None
    ) -> dict[int, str]:
        crop, unreadable = out.shape[1], {}
        if corners is None:
            corners = centre_corners(len(positions), self.size, crop)
        for slot, (row, column) in enumerate(corners.tolist()):
            name = self.name(positions[slot])
            try:
                pixels = read_rgb(name, size=self.size, resize=self.resize)
            except UNREADABLE as error:
                unreadable[slot] = str(error).partition("<_io")[0].strip()
            else:
                out[slot] = pixels[row : row + crop, column : column + crop]
        return unreadable

    def name(self, position: int) -> str:
        return os.path.join(self.files.folder, os.fsdecode(self.files.paths[position]))


class ImageFolder(DataSet):
    """`data=image_folder` and `data=imagenet`: the folder `root`, `val` being the name of its
    validation folder, or `holdout` the part of every class that is held out."""

    def describe(self) -> Description:
        index = scan(self.root, self.val, self.holdout)
        return Description(index.classes, index.digest)

    def train_counts(self) -> tuple[int, ...]:
        index = scan(self.root, self.val, self.holdout)
        return class_counts(index.train.labels, index.classes)

    def load(self, *, size: int, resize: str, cache: Path) -> ImageSet:
        """Lists the files; each is decoded when it is read."""
        index = scan(self.root, self.val, self.holdout)
        train, held = (FileSubset(files, size, resize) for files in (index.train, index.val))
        return ImageSet(index.classes, index.digest, train, held)


@lru_cache(maxsize=4)
def scan(root: str | None, val: str | None, holdout: float | None) -> Index:
    """List the folder, once in a process.

    The digest covers every file's name and, of the first file of each class, the bytes: other
    images, or the same images in another size, make another data set; its location does not count.

    Raises: UserError if the folder is missing, empty or not of the expected form.
    """
    if root is None:
        raise UserError("data.root is missing: name the folder that holds train/CLASS/* and val/*")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UserError(f"data.root={root} is not a folder")
    subfolders = _folders(folder)
    if not subfolders:
        raise UserError(f"data.root={root} contains no folders: need train/CLASS/* and val/*")
    if holdout is not None:
        return _hold_out(folder / "train" if "train" in subfolders else folder, holdout)
    if val is None:
        raise UserError("data.val is missing: name the validation folder, or set data.holdout")
    for subset in ("train", val):
        if subset not in subfolders:
            raise UserError(
                f"data.root={root} has no folder {subset!r} (it has {_listed(subfolders)}): "
                + (
                    "need train/CLASS/*"
                    if subset == "train"
                    else "name it with data.val=NAME, or hold out a part with data.holdout=0.2"
                )
            )
    classes = _folders(folder / "train")
    _require_same(folder, classes, _folders(folder / val), val)
    train, held = _files(folder / "train", classes), _files(folder / val, classes)
    return Index(tuple(classes), _digest((train, held)), train, held)


def _hold_out(folder: Path, holdout: float) -> Index:
    """The index of one folder of classes, with a part of every class for validation."""
    classes = _folders(folder)
    files = _files(folder, classes)
    smallest = int(np.bincount(files.labels, minlength=len(classes)).argmin())
    if np.count_nonzero(files.labels == smallest) < 2:
        raise UserError(
            f"data.holdout={holdout} needs 2 images of a class or more: "
            f"{folder / classes[smallest]} has 1"
        )
    held = hold_out(
        files.labels, holdout, lambda n: sampling.bits(sampling.HOLDOUT, HOLDOUT_SEED, np.arange(n))
    )
    digest = hashlib.sha256(f"{_digest((files,))} {holdout!r}".encode()).hexdigest()
    return Index(tuple(classes), digest, files.take(~held), files.take(held))


def _folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, in ASCII order, the usual numbering of classes."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted(names)


def _files(folder: Path, classes: Sequence[str]) -> Files:
    paths, labels = [], []
    for label, name in enumerate(classes):
        with os.scandir(folder / name) as entries:
            images = sorted(
                e.name
                for e in entries
                if e.name.lower().endswith(EXTENSIONS) and not e.name.startswith(".")
            )
        if not images:
            raise UserError(f"{folder / name} has no images ({' '.join(EXTENSIONS)})")
        paths.append(np.array([os.fsencode(f"{name}/{file}") for file in images]))
        labels.append(np.full(len(images), label, dtype=np.int64))
    if not paths:
        raise UserError(f"{folder} contains no class folders")
    return Files(folder, np.concatenate(paths), np.concatenate(labels))


def _digest(subsets: Sequence[Files]) -> str:
    digest = hashlib.sha256()
    for files in subsets:
        digest.update(b"\n".join(files.paths.tolist()) + b"\n\n")
        _, first = np.unique(files.labels, return_index=True)
        for path in files.paths[first]:
            digest.update(_content_digest(os.path.join(files.folder, os.fsdecode(path))))
    return digest.hexdigest()


def _content_digest(path: str) -> bytes:
    """That of an empty file if it cannot be opened, for instance a dangling link."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return hashlib.sha256().digest()


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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
