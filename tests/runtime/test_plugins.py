"""A user's own data set, named as package.module:function."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from transferlab import data
from transferlab.data.datasets.images import ArraySubset, ImageSet
from transferlab.errors import UserError


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("own_data")

    def squares(*, root, val, holdout, size, resize):  # type: ignore[no-untyped-def]
        pixels = np.full((8, size, size, 3), 7, dtype=np.uint8)
        subset = ArraySubset(pixels, np.arange(8) % 4, f"{root}/{val}/{holdout}/{resize}")
        return ImageSet(("a", "b", "c", "d"), "f" * 64, subset, subset)

    own.squares = squares  # type: ignore[attr-defined]
    own.nothing = lambda **arguments: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_data", own)


def test_it_is_described_and_loaded_with_the_arguments_of_the_config(tmp_path: Path):
    where = {"root": "here", "val": "test", "holdout": 0.5}
    described = data.describe("own_data:squares", **where)  # type: ignore[arg-type]
    assert (described.classes, described.digest) == (("a", "b", "c", "d"), "f" * 64)
    images = data.load("own_data:squares", **where, size=9, resize="crop", cache=tmp_path)  # type: ignore[arg-type]
    assert images.train.size == 9
    assert images.val.name(3) == "here/test/0.5/crop[3]"


def test_a_function_that_returns_something_else_is_refused():
    with pytest.raises(UserError, match="own_data:nothing returned NoneType, not an ImageSet"):
        data.describe("own_data:nothing", root=None, val=None, holdout=None)
