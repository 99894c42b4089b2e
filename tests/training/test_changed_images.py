"""A store whose images change: what is trained again, what is reused, and what is refused."""

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Callback
from support.studies import make_local

from transferlab import data
from transferlab.data.datasets import folder
from transferlab.errors import Interrupted, UserError
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.launch import dispatch, inline
from transferlab.launch.inline import FinishedRun
from transferlab.runtime import signals
from transferlab.training.run import train_pack

Compose = Callable[..., RunConfig]
RECIPE = (
    "+split=random", "data.holdout=0.25", "data.size=16", "data.crop=16", "data.scale=0.015625",
    "train.epochs=null", "train.total_steps=2", "train.val_every=2", "train.batch_size=8",
    "runtime.workers=0", "runtime.accelerator=cpu",
)  # fmt: skip
SKIP = "data.unreadable=skip"
BROKEN = b"no image"


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four classes of twelve images of noise, uncompressed: all files are of one size."""
    noise = np.random.default_rng(0)
    for name in "abcd":
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(12):
            pixels = noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"images/{name}/{number:02d}.bmp")
    return tmp_path / "images"


def run_of(config: RunConfig) -> Run:
    """The run of a command of its own, which lists the folder anew."""
    folder.scan.cache_clear()
    data.describe.cache_clear()
    data.train_counts.cache_clear()
    return resolve(config)


class Study:
    """Commands on one folder of images, in stores and caches of their own names."""

    def __init__(self, config: Compose, root: Path, place: Path) -> None:
        self.config, self.root, self.place = config, root, place

    def run(self, *overrides: str, store: str = "s", cache: str = "c") -> Run:
        return run_of(
            self.config(
                *RECIPE, "data=image_folder", f"data.root={self.root}",
                f"runtime.store={self.place}/{store}", f"runtime.cache={self.place}/{cache}",
                *overrides,
            )
        )  # fmt: skip

    def __call__(self, *overrides: str, store: str = "s", cache: str = "c") -> FinishedRun:
        return inline.carry_out([self.run(*overrides, store=store, cache=cache)])[-1]

    def refused(self, *overrides: str) -> str:
        with pytest.raises(UserError) as error:
            self(*overrides)
        return str(error.value)


@pytest.fixture
def study(config: Compose, root: Path, tmp_path: Path) -> Study:
    return Study(config, root, tmp_path)


def weights(finished: FinishedRun) -> str:
    return finished.result["weights_sha256"]


def damage(path: Path) -> bytes:
    """Give a file another content of the same size; the one it had."""
    content = path.read_bytes()
    path.write_bytes(BROKEN.ljust(len(content), b"\0"))
    return content


def test_replaced_images_are_another_data_set_with_a_mean_of_their_own(study: Study, root: Path):
    before = study("transfer.variant=baseA")
    for path in root.glob("*/*.bmp"):
        content = bytearray(path.read_bytes())
        content[54:] = bytes(255 - level for level in content[54:])  # inverted, in the same size
        path.write_bytes(content)

    after = study("transfer.variant=baseA")
    assert after.run.id != before.run.id and not after.reused
    old_cache = study("transfer.variant=baseA", store="s2")
    new_cache = study("transfer.variant=baseA", store="s3", cache="c3")
    assert weights(after) == weights(old_cache) == weights(new_cache) != weights(before)
    assert study("transfer.variant=baseA").reused


def test_a_repaired_file_of_another_size_is_another_data_set(study: Study, root: Path):
    good = {path: path.read_bytes() for path in root.glob("*/0[345].bmp")}
    for path in good:
        path.write_bytes(BROKEN)
    left_out = study("transfer.variant=baseA", SKIP)
    assert len(left_out.result["skipped"]) > 0
    for path, content in good.items():
        path.write_bytes(content)

    repaired = study("transfer.variant=baseA")
    assert repaired.run.id != left_out.run.id and not repaired.reused
    assert repaired.result["skipped"] == {}


@pytest.fixture
def file(study: Study, root: Path) -> Path:
    """A training image of half A, damaged in its size, that the digest of the data passes over."""
    run = study.run("transfer.variant=baseA")
    train = folder.scan(str(root), None, 0.25).train
    for path in train.paths.tolist():
        if path.decode()[0] not in run.classes:
            continue
        content = damage(root / path.decode())
        if study.run("transfer.variant=baseA").id == run.id:
            return root / path.decode()
        (root / path.decode()).write_bytes(content)
    raise AssertionError("the digest covers every file")


def test_a_repaired_file_of_the_same_size_is_noticed_where_it_was_left_out(
    study: Study, file: Path, root: Path, tmp_path: Path
):
    name = f"train/{file.parent.name}/{file.name}"
    base, transfer = study("transfer.variant=baseA", SKIP), study("transfer.variant=A2B", SKIP)
    assert list(base.result["skipped"]) == list(transfer.result["skipped"]) == [name]
    assert study("transfer.variant=baseA", SKIP).reused

    # where none may be left out, the result is no answer
    assert study.refused("transfer.variant=baseA") == (
        f"data.unreadable=error, but baseA was trained without {name}, which could not be read: "
        f"use it with data.unreadable=skip, or repair the files and delete {base.run.folder} to "
        "train it again"
    )

    root.rename(tmp_path / "elsewhere")  # what was left out is known by its name in the folder
    study.root = tmp_path / "elsewhere"
    assert study("transfer.variant=A2B", SKIP).reused
    (study.root / file.relative_to(root)).write_bytes((study.root / "a/00.bmp").read_bytes())
    expected = (
        f"{name} could not be read when baseA was trained, and changed since: delete "
        f"{base.run.folder} to train it again"
    )
    for command in ("transfer.variant=baseA", "transfer.variant=A2B"):
        assert study.refused(command, SKIP) == study.refused(command) == expected

    # the cached mean image lacks the file, too
    fresh, other_cache = (study("transfer.variant=baseA", store="t", cache=cache)
                          for cache in ("c", "d"))  # fmt: skip
    assert fresh.result["skipped"] == {}
    assert weights(fresh) == weights(other_cache) != weights(base)


def test_a_record_names_what_the_mean_image_and_the_base_lack(study: Study, file: Path):
    """Two steps read 2 of 18 images: the mean lacks the file, the training has not come to it."""
    name, two = f"train/{file.parent.name}/{file.name}", ("train.batch_size=1", SKIP)
    assert list(study("transfer.variant=baseA", *two).result["skipped"]) == [name]
    # three steps read every image of half A, and none of half B is damaged
    three = ("train.total_steps=3", "data.mean=none", SKIP)
    assert list(study("transfer.variant=A2B", *three).result["skipped"]) == [name]


def test_a_study_refuses_a_result_without_a_repaired_file(study: Study, file: Path, root: Path):
    study("transfer.variant=baseA", SKIP)
    file.write_bytes((root / "a/00.bmp").read_bytes())
    launcher = make_local()
    with pytest.raises(UserError, match="and changed since: delete"):
        dispatch.order("study", [study.run("transfer.variant=baseA", SKIP)], launcher, pack=None)


class Interruption(Callback):
    """A signal after the first step."""

    def __init__(self, stop: signals.StopRequest) -> None:
        self.stop = stop

    def on_train_batch_end(self, *_: object) -> None:
        self.stop.number = signal.SIGTERM


def test_a_run_does_not_resume_when_a_file_that_it_left_out_was_repaired(
    study: Study, file: Path, root: Path
):
    longer = ("transfer.variant=baseA", "train.total_steps=4", SKIP)
    run = study.run(*longer)
    with signals.watch() as stop, pytest.raises(Interrupted):
        train_pack([run], stop, watchers=[Interruption(stop)])
    assert run.checkpoint_file.exists()
    file.write_bytes((root / "a/00.bmp").read_bytes())
    assert study.refused(*longer) == (
        f"train/{file.parent.name}/{file.name} could not be read when baseA was trained, and "
        f"changed since: delete {run.checkpoint_file} to train it again"
    )


def test_a_class_more_is_another_data_set(study: Study, root: Path):
    before = study("transfer.variant=baseA")
    (root / "e").mkdir()
    for path in (root / "a").iterdir():
        (root / "e" / path.name).write_bytes(path.read_bytes())
    after = study("transfer.variant=baseA")
    assert after.run.id != before.run.id and not after.reused
