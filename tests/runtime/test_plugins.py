"""A user's own data set, named as package.module:function."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from transferlab import data
from transferlab.data.datasets.images import ArraySubset, ImageSet
from transferlab.errors import UserError
from transferlab.runtime import plugins


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("own_data")

    def squares(*, root, val, holdout, size, resize):  # type: ignore[no-untyped-def]
        pixels = np.full((8, size, size, 3), 7, dtype=np.uint8)
        subset = ArraySubset(pixels, np.arange(8) % 4, f"{root}/{val}/{holdout}/{resize}")
        return ImageSet(("a", "b", "c", "d"), "f" * 64, subset, subset)

    def raising(**arguments):  # type: ignore[no-untyped-def]
        print("a line for people")
        return 1 / 0

    def leaving(**arguments):  # type: ignore[no-untyped-def]
        sys.exit("not today\n")

    def labelled(labels: np.ndarray, classes: object = ("a", "b", "c")):  # type: ignore[no-untyped-def]
        pixels = np.zeros((len(labels), 1, 1, 3), np.uint8)
        subset = ArraySubset(pixels, labels, "own")
        return lambda **arguments: ImageSet(classes, "f" * 64, subset, subset)  # type: ignore[arg-type]

    vars(own).update(
        squares=squares, raising=raising, leaving=leaving, number=7, other=lambda folder: None,
        nothing=lambda **arguments: None,
        bare=lambda **arguments: (_ for _ in ()).throw(AssertionError),
        listed=labelled(np.arange(3), ["a", "b", "c"]),
        twice=labelled(np.arange(3), ("a", "b", "a")),
        bytes=labelled(np.arange(3), ("a", "caf\udce9", "c")),
        few=labelled(np.arange(3), ("a", "b")),
        fractions=labelled(np.arange(3) / 2),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "own_data", own)
    data.describe.cache_clear()


def test_it_is_described_and_loaded_with_the_arguments_of_the_config(tmp_path: Path):
    where = {"root": "here", "val": "test", "holdout": 0.5}
    described = data.describe("own_data:squares", **where)  # type: ignore[arg-type]
    assert (described.classes, described.digest) == (("a", "b", "c", "d"), "f" * 64)
    images = data.load(
        "own_data:squares", **where, size=9, resize="crop", decode="exact", cache=tmp_path
    )  # type: ignore[arg-type]
    assert images.train.size == 9
    assert images.val.name(3) == "here/test/0.5/crop[3]"


def calls(name: str, place: Path) -> str:
    """The message of planning and loading the data set of that name."""
    source = {"root": None, "val": None, "holdout": None}
    with pytest.raises(UserError) as error:
        data.describe(name, **source)
        data.load(name, **source, size=1, resize="warp", decode="exact", cache=place)
    return str(error.value)


@pytest.mark.parametrize(
    ("attribute", "ending"),
    [
        ("raising", "raised ZeroDivisionError: division by zero"),
        ("bare", "raised AssertionError"),
        ("leaving", "raised SystemExit: not today"),
        ("number", "is a int: it must be a DataSet or a function"),
        ("nothing", "returned NoneType: it must return ImageSet"),
        ("listed", "has classes that are not a tuple of names"),
        ("twice", "has two classes of the same name, or one without a name"),
        ("bytes", "has a class whose name is not text: caf\udce9"),
        ("few", "has the labels 0..2: need 0..1"),
        ("fractions", "has labels float64 (3,): need int64 (N,), or for several classes "
         "an image int8 (N, 3)"),
        ("missing", "cannot be imported: AttributeError: module 'own_data' has no attribute "
         "'missing'"),
        ("", "cannot be imported: AttributeError: module 'own_data' has no attribute ''"),
    ],
)  # fmt: skip
def test_one_that_does_not_do_what_it_must_is_named_with_the_reason(
    tmp_path: Path, attribute: str, ending: str
):
    assert calls(f"own_data:{attribute}", tmp_path) == f"data.name=own_data:{attribute} {ending}"


def test_one_with_other_arguments_is_named_with_those_that_it_gets(tmp_path: Path):
    message = calls("own_data:other", tmp_path)
    assert message.startswith("data.name=own_data:other raised TypeError: ")
    assert message.endswith("got an unexpected keyword argument 'root'")


def test_what_it_prints_goes_to_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    calls("own_data:raising", tmp_path)
    assert capsys.readouterr() == ("", "a line for people\n")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("raises", "1 / 0", "ZeroDivisionError: division by zero"),
        ("leaves", "import sys; sys.exit(3)", "SystemExit: 3"),
        ("unfinished", "def f(:", "SyntaxError: invalid syntax (unfinished.py, line 1)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, reason: str
):
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    assert calls(f"{name}:f", tmp_path) == f"data.name={name}:f cannot be imported: {reason}"


@pytest.mark.parametrize("name", [":f", ".a:f", "a..b:f"])
def test_a_name_that_is_no_module_is_refused(tmp_path: Path, name: str):
    assert calls(name, tmp_path).startswith(f"data.name={name} cannot be imported: ")


def test_ctrl_c_is_not_an_error_of_a_plug_in():
    with pytest.raises(KeyboardInterrupt), plugins.guarded("data.name", "own:f", known=()):
        raise KeyboardInterrupt


def test_an_error_of_ours_is_not_blamed_on_a_plug_in():
    with pytest.raises(ZeroDivisionError), plugins.guarded("data.name", "f", known=("f",)):
        raise ZeroDivisionError
