"""How many training images a class has: known to a plan without torch, and equal to the
loader's."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transferlab import data
from transferlab.data.datasets import cifar, folder
from transferlab.data.datasets.images import ArraySubset, ImageSet
from transferlab.errors import UserError


@pytest.fixture(autouse=True)
def nothing_counted_before():
    data.train_counts.cache_clear()
    folder.scan.cache_clear()


def counts(name: str, root: Path | None = None, **where: Any) -> tuple[int, ...]:
    where = {"val": None, "holdout": None} | where
    return data.train_counts(name, root=None if root is None else str(root), **where)


def tree(root: Path, **images: int) -> Path:
    """A folder with the given number of images of each class, and one of each to validate on."""
    for subset, number in [("train", None), ("val", 1)]:
        for name, count in images.items():
            (root / subset / name).mkdir(parents=True)
            for image in range(count if number is None else number):
                Image.new("RGB", (2, 2)).save(root / subset / name / f"{image}.png")
    return root


def test_digits_without_those_held_out_are_counted(tmp_path: Path):
    loaded = data.load(
        "digits",
        root=None,
        val=None,
        holdout=0.2,
        size=8,
        resize="warp",
        decode="exact",
        cache=tmp_path,
    )

    # 178 182 177 183 181 182 181 179 174 180, each less a fifth: UCI, optdigits.tes
    assert counts("digits", holdout=0.2) == (142, 146, 142, 146, 145, 146, 145, 143, 139, 144)
    assert np.bincount(loaded.train.labels).tolist() == list(counts("digits", holdout=0.2))


def test_cifar_has_as_many_of_each_class():
    assert counts("cifar10") == (5000,) * 10
    assert counts("cifar100") == (500,) * 100
    assert len(cifar.CLASSES) == 2


@pytest.mark.parametrize("name", ["image_folder", "imagenet"])
def test_a_folder_is_counted_in_the_order_of_its_classes(tmp_path: Path, name: str):
    root = tree(tmp_path, zebra=3, apple=5, mouse=1)

    described = data.describe(name, root=str(root), val="val", holdout=None)

    assert described.classes == ("apple", "mouse", "zebra")
    assert counts(name, root, val="val") == (5, 1, 3)


def test_held_out_images_of_a_folder_do_not_count(tmp_path: Path):
    root = tree(tmp_path, apple=10, mouse=4)

    assert counts("image_folder", root, holdout=0.3) == (7, 3)


def test_a_class_of_a_users_own_without_training_images_counts_too(
    monkeypatch: pytest.MonkeyPatch,
):
    own, asked = ModuleType("own_data"), []

    def squares(**arguments: object) -> ImageSet:
        asked.append(arguments)
        subset = ArraySubset(np.zeros((3, 1, 1, 3), np.uint8), np.array([1, 0, 1]), "squares")
        return ImageSet(("a", "b", "c"), "f" * 64, subset, subset)

    own.squares = squares  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_data", own)

    assert counts("own_data:squares", Path("here"), val="test") == (1, 2, 0)
    assert counts("own_data:squares", Path("here"), val="test") == (1, 2, 0)
    assert asked == [
        {"root": "here", "val": "test", "holdout": None, "size": 1, "resize": "warp"}
    ]  # asked once


def test_missing_data_are_refused_as_by_describe(tmp_path: Path):
    for name, message in [
        ("squares", "data.name=squares is unknown"),
        ("image_folder", "data.root is missing"),
        ("digits", "data.holdout is missing"),
    ]:
        with pytest.raises(UserError, match=message):
            counts(name)
