"""PASCAL VOC 2007 for classification: 20 classes, several an image, in the devkit's own layout.

Labels are those of `VOC2007/ImageSets/Main/CLASS_SET.txt`, lines of an id and 1, -1 or 0: a class
that is only shown by difficult objects is 0, which the devkit leaves out of training and of average
precision. The XML files of single objects are not read.
Source: Everingham et al. 2010, Sec. 2 and 3.1; VOCdevkit 2007, VOCevalcls.m.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from transferlab.data.datasets import listing
from transferlab.data.datasets.folder import FileSet, Index
from transferlab.data.datasets.listing import Files
from transferlab.errors import UserError
from transferlab.runtime import commands, paths

YEAR = "VOC2007"
CLASSES = tuple(
    """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike
    person pottedplant sheep sofa train tvmonitor""".split()
)
TRAINS_ON = {"test": "trainval", "val": "train"}  # the set to validate on -> that to train on
LABELS = {"1": 1, "-1": -1, "0": 0}
NAMED = 3  # ids in a message


class Voc2007(FileSet):
    """`data=voc2007`: `root` holds VOC2007/, `val` is the set to validate on, test or val."""

    uses = frozenset({"root", "val", "resize", "decode", "unreadable"})

    @property
    def _index(self) -> Index:
        return scan(self.root, self.val)


@lru_cache(maxsize=4)
def scan(root: str | None, val: str | None) -> Index:
    """The images of both sets with their labels (N, 20), in the order of the devkit's lists.

    Raises: UserError if a list or an image is missing, or the lists contradict one another.
    """
    if root is None:
        raise UserError(
            f"data.root is missing: name the folder that holds {YEAR}/, usually VOCdevkit, with "
            f"{commands.setting('data.root', 'DIR')}"
        )
    if val not in TRAINS_ON:
        choices = " or ".join(commands.setting("data.val", name) for name in TRAINS_ON)
        raise UserError(f"data.val={val} is no set of data=voc2007: choose {choices}")
    folder = paths.expand(root) / YEAR
    if not folder.is_dir():
        raise UserError(f"data.root={root} has no folder {YEAR}: name the one that holds it")
    train, held = (_files(folder, name) for name in (TRAINS_ON[val], val))
    if both := sorted({*train.paths.tolist()} & {*held.paths.tolist()}):
        raise UserError(
            f"{folder} has images in {TRAINS_ON[val]} that are in {val} too: {_listed(both)}"
        )
    development = None
    chosen_on = _list(folder, CLASSES[0], "val")
    if val == "test" and chosen_on.exists():  # the part of trainval for the choice of settings
        ids = _read(chosen_on)
        development = np.isin(train.paths, [f"{image}.jpg".encode() for image in ids])
    return Index(CLASSES, listing.digest([train, held]), train, held, development)


def _files(folder: Path, name: str) -> Files:
    """The images of one set. Raises: UserError."""
    lists = {one: _read(_list(folder, one, name)) for one in CLASSES}
    ids = list(lists[CLASSES[0]])
    _require_alike(folder, name, ids, lists)
    labels = np.array([list(lists[one].values()) for one in CLASSES], np.int8).T
    images = folder / "JPEGImages"
    names = [f"{image}.jpg" for image in ids]
    sizes = [_size(images / image) for image in names]
    if missing := [image for image, size in zip(names, sizes, strict=True) if size < 0]:
        raise UserError(
            f"{images} lacks {len(missing)} of the {len(names)} images of {name}: "
            f"{_listed(missing)}"
        )
    paths_ = np.array([image.encode() for image in names])
    return Files(images, paths_, np.array(sizes, np.int64), np.ascontiguousarray(labels))


def _list(folder: Path, one: str, name: str) -> Path:
    """The labels of one class in one set."""
    return folder / "ImageSets" / "Main" / f"{one}_{name}.txt"


def _read(path: Path) -> dict[str, int]:
    """Id -> label of each line. Raises: UserError for a list that is missing or damaged."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"{path} cannot be read: {reason}") from error
    labels: dict[str, int] = {}
    for number, words in _lines(text):
        if len(words) != 2 or words[1] not in LABELS or "/" in words[0]:
            raise UserError(
                f"{path}, line {number}: {' '.join(words)!r} must be an id and its label, 1 "
                "(present), -1 (absent) or 0 (only difficult objects)"
            )
        if words[0] in labels:
            raise UserError(f"{path}, line {number}: {words[0]} is listed more than once")
        labels[words[0]] = LABELS[words[1]]
    if not labels:
        raise UserError(f"{path} lists no images")
    return labels


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The number and the words of every line that has some; their ends may be CR LF."""
    for number, line in enumerate(text.splitlines(), 1):
        if words := line.split():
            yield number, words


def _require_alike(
    folder: Path, name: str, ids: Sequence[str], lists: Mapping[str, Mapping[str, int]]
) -> None:
    """Raises: UserError unless every list has the same ids in the same order."""
    for image in sorted({image for labels in lists.values() for image in labels}):
        without = [one for one, labels in lists.items() if image not in labels]
        if without:
            raise UserError(
                f"{folder}: the image {image} of {name} has labels of "
                f"{len(CLASSES) - len(without)} of the {len(CLASSES)} classes: it is not in "
                f"{_listed([f'{one}_{name}.txt' for one in without])}"
            )
    for one, labels in lists.items():
        if list(labels) != ids:
            raise UserError(
                f"{folder}: {one}_{name}.txt lists the images in another order than "
                f"{CLASSES[0]}_{name}.txt"
            )


def _size(path: Path) -> int:
    """Bytes; -1 for a missing file."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _listed(names: Sequence[str | bytes]) -> str:
    shown = [name.decode() if isinstance(name, bytes) else name for name in names[:NAMED]]
    return ", ".join(shown) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
