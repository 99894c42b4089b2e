"""The image files of class folders: names, sizes, and what identifies them.

Folders inside a class folder belong to the class, in the order of torchvision's ImageFolder. The
listing is arrays, so that 1.28 million files take about 100 MB once, and nothing per worker
process.
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferlab.data.datasets.decode import EXTENSIONS
from transferlab.data.datasets.images import is_multi_label
from transferlab.errors import UserError
from transferlab.runtime import commands
from transferlab.runtime.files import sha256

log = logging.getLogger(__name__)
DirEntry = os.DirEntry[str]
Identity = tuple[int, int]  # of a folder: its device and inode
SAMPLED = 5  # files of each class whose content the digest covers
HIDDEN = "hidden"
NAMED = 5  # hidden folders in a warning


@dataclass(frozen=True)
class Files:
    """Image files below one folder: paths (N,) as bytes `CLASS/NAME`, sizes (N,) in bytes, -1 for
    a missing file, int64, and labels as of `Subset`."""

    folder: Path
    paths: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray

    def take(self, mask: np.ndarray) -> "Files":
        return Files(self.folder, self.paths[mask], self.sizes[mask], self.labels[mask])

    def path(self, position: int) -> str:
        return os.path.join(self.folder, os.fsdecode(self.paths[position]))


@dataclass(frozen=True)
class Listing:
    """The images of class folders; `others` counts the files that are not read, by kind."""

    files: Files
    others: Counter[str]


def list_files(folder: Path, classes: Sequence[str]) -> Listing:
    """The files below `folder/CLASS`, deeper ones too, by class, folder and name.

    Raises: UserError if a class has no image, a folder cannot be read, or a link leads in a circle.
    """
    paths: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    others: Counter[str] = Counter()
    for name in classes:
        before = len(paths)
        local = os.fsdecode(name.encode())  # as this locale spells it
        for inner, entries, hidden in _walk(folder / local):
            images = [] if hidden else [e for e in entries if _is_image(e.name)]
            if images:
                images.sort(key=lambda entry: os.fsencode(entry.name))
                paths.append(np.array([os.fsencode(f"{local}/{inner}{e.name}") for e in images]))
                sizes.append(np.array([_size(entry) for entry in images], np.int64))
            if len(images) < len(entries):
                others.update(HIDDEN if hidden else _kind(e.name) for e in entries
                              if hidden or not _is_image(e.name))  # fmt: skip
        if len(paths) == before:
            raise UserError(f"{folder / name} has no images ({' '.join(EXTENSIONS)})")
        labels.append(np.full(sum(map(len, sizes[before:])), len(labels), np.int64))
    if not paths:
        raise UserError(f"{folder} contains no class folders")
    files = Files(folder, np.concatenate(paths), np.concatenate(sizes), np.concatenate(labels))
    return Listing(files, others)


def folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted."""
    names = [e.name for e in _entries(folder) if e.is_dir() and not e.name.startswith(".")]
    return sorted(names)


def class_names(folder: Path) -> list[str]:
    """Names of the class folders in `folder`, as UTF-8 in any locale.

    In the order of their bytes, the usual numbering of classes. Logs the names of folders that
    begin with a dot, such as `.ipynb_checkpoints`, which are no classes.

    Raises: UserError for a name that is not UTF-8, which no record can hold.
    """
    names = sorted(map(os.fsencode, folders(folder)))
    hidden = sorted(e.name for e in _entries(folder) if e.is_dir() and e.name.startswith("."))
    if hidden:
        more = f" and {len(hidden) - NAMED} more" if len(hidden) > NAMED else ""
        log.warning(
            "%s: folders that begin with a dot are no classes, rename them if they are: %s%s",
            folder, ", ".join(hidden[:NAMED]), more,
        )  # fmt: skip
    try:
        return [name.decode() for name in names]
    except UnicodeDecodeError as error:
        named = folder / os.fsdecode(error.object)
        rename = commands.line(str(named), str(folder / "NAME"), program="mv")
        raise UserError(
            f"{named} is a class whose name is not UTF-8: rename it, {rename}"
        ) from error


def name_hashes(files: Files) -> np.ndarray:
    """64 bits of each file's name `CLASS/NAME`, (N,) uint64: a number for the image that neither
    other files nor the folder's place change."""
    hashes = (hashlib.blake2b(path, digest_size=8).digest() for path in files.paths.tolist())
    return np.frombuffer(b"".join(hashes), "<u8")


def digest(subsets: Sequence[Files]) -> str:
    """A digest of every file's name, size and labels, and of the content of `SAMPLED` files of a
    class.

    Which files are sampled follows from their names. A copy of the folder has the same digest.
    """
    total = hashlib.sha256()
    for files in subsets:
        total.update(b"\0".join(files.paths.tolist()) + b"\0\0")
        total.update(files.sizes.astype("<i8").tobytes())
        if is_multi_label(files.labels):  # which no path contains
            total.update(files.labels.tobytes())
        for position in _sample(files).tolist():
            total.update(bytes.fromhex(content_digest(files.path(position))))
    return total.hexdigest()


def content_digest(path: str) -> str:
    """The sha256 of a file; that of an empty file if it cannot be opened, as a dangling link."""
    try:
        return sha256(Path(path))
    except OSError:
        return hashlib.sha256().hexdigest()


def _sample(files: Files) -> np.ndarray:
    """Positions of the files with the `SAMPLED` lowest hashes of each class."""
    if is_multi_label(files.labels):
        members, labels = np.nonzero(files.labels == 1)
    else:
        members, labels = np.arange(len(files.labels)), files.labels
    order = np.lexsort((name_hashes(files)[members], labels))
    labels = labels[order]
    rank_in_class = np.arange(len(order)) - np.searchsorted(labels, labels)
    return np.unique(members[order[rank_in_class < SAMPLED]])


def _walk(top: Path) -> Iterator[tuple[str, list[DirEntry], bool]]:
    """Every folder below `top`, itself included, in order: its name there (`""` or `a/b/`), its
    files, and whether a part of that name begins with a dot."""
    folders: dict[str, tuple[list[DirEntry], bool]] = {}
    pending: list[tuple[str, bool, tuple[Identity, ...]]] = [("", False, (_identity(top),))]
    while pending:
        inner, hidden, above = pending.pop()
        files: list[DirEntry] = []
        for entry in _entries(top / inner):
            if not entry.is_dir():
                files.append(entry)
                continue
            identity = _identity(Path(entry.path))
            if identity in above:
                raise UserError(f"{entry.path} is a link to a folder that contains it: delete it")
            deeper = f"{inner}/{entry.name}" if inner else entry.name
            pending.append((deeper, hidden or entry.name.startswith("."), (*above, identity)))
        folders[inner] = files, hidden
    for inner in sorted(folders, key=os.fsencode):
        yield (f"{inner}/" if inner else ""), *folders[inner]


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def _kind(name: str) -> str:
    """What a file that is not read is counted as."""
    ending = os.path.splitext(name)[1].lower()
    return HIDDEN if name.startswith(".") else ending or "without an ending"


def _entries(folder: Path) -> list[DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error


def _identity(folder: Path) -> Identity:
    try:
        status = os.stat(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error
    return status.st_dev, status.st_ino


def _size(file: DirEntry) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1
