"""A and B as two data sets: real trainings in both directions."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file
from support import trees

from transferlab import load_run, results
from transferlab.errors import UserError
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.run import MEAN
from transferlab.launch import inline
from transferlab.results import comparable
from transferlab.training import inputs
from transferlab.training.datamodule import HalfDataModule

Compose = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    """A: the digits at 24 pixels; B: 16 images of three classes, at 16."""
    root = trees.tree(tmp_path / "photos")
    return (
        "+split=datasets", "split.a.size=24", "split.a.crop=24", "split.a.per_class=5",
        "split.a.scale=0.01", "data=image_folder", f"data.root={root}", "data.size=16",
        "data.crop=16", "train.epochs=null", "train.total_steps=3", "train.val_every=3",
    )  # fmt: skip


def test_a_transfer_sees_the_images_of_its_target_as_its_base_saw_its_own(
    config: Compose, words: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "transferlab")
    runs = resolve_all(
        config(*words, f"transfer.variant={name}", *more)
        for name, more in (("A2B", ()), ("B2A", ()), ("A2B", ("data.mean=target",)))
    )

    finished = inline.carry_out(runs)

    by_label = {each.run.label: each for each in finished[:4]}
    assert [each.run.label for each in finished] == ["baseA", "baseB", "A2B", "B2A", "A2B"]
    a2b, b2a, own = by_label["A2B"], by_label["B2A"], finished[4]
    facts = {
        each.run.id: (each.result["num_classes"], each.result["train_images"]) for each in finished
    }
    assert facts[a2b.run.id] == facts[own.run.id] == facts[by_label["baseB"].run.id] == (3, 16)
    assert facts[b2a.run.id] == facts[by_label["baseA"].run.id] == (10, 50)
    assert a2b.result["prefix_unchanged"] is True
    assert a2b.result["data_classes"] == 3 and b2a.result["data_classes"] == 10

    # The view is that of the base, bit for bit, and with data.mean=target that of the target
    for each, base in ((a2b, "baseA"), (b2a, "baseB"), (own, "baseB")):
        seen, of_base = (load_run(folder.run.folder) for folder in (each, by_label[base]))
        assert seen.preprocess.settings == of_base.preprocess.settings
        means = [load_arrays(r.run.folder / MEAN)["mean"] for r in (each, by_label[base])]
        assert np.array_equal(*means)
    assert load_run(a2b.run.folder).preprocess.settings.size == 24
    assert load_run(a2b.run.folder).classes == ("Ant", "bee", "cat")
    assert load_run(b2a.run.folder).preprocess.settings.size == 16
    for transfer, base in ((a2b, "baseA"), (b2a, "baseB")):
        weights = load_file(transfer.run.weights_file)
        copied = load_file(by_label[base].run.weights_file)
        assert torch.equal(weights["conv2.conv.weight"], copied["conv2.conv.weight"])

    logged = [m for m in caplog.messages if m.startswith("data: ")]
    assert logged == [
        "data: digits, 10 classes, 50 training images",
        "data: image_folder photos, 3 classes, 16 training images",
    ]

    table = results.load(tmp_path / "runs").table
    sets = table.set_index("label")["data_set"].to_dict()
    assert sets == {"baseA": "digits", "B2A": "digits", "baseB": "photos", "A2B": "photos"}
    assert set(table["split"]) == {"datasets"}
    names = {part.name: {*part.runs["label"]} for part in comparable.split(table)}
    recipe = "alexnet_small quick total_steps=3 epochs=null val_every=3"
    assert names == {
        f"digits to photos (3 classes, 16 images) {recipe} mean=base": {"baseB", "A2B"},
        f"digits to photos (3 classes, 16 images) {recipe} mean=target": {"baseB", "A2B"},
        f"photos to digits (10 classes, 1.44k images) {recipe}": {"baseA", "B2A"},
    }


def test_a_module_of_one_of_two_data_sets_has_its_images_and_no_others_mean(
    tmp_path: Path, words: tuple[str, ...]
):
    overrides = [word for word in words if not word.startswith(("+split", "data="))]
    made = HalfDataModule(
        "image_folder", split="datasets", half="A",
        overrides=[*overrides, f"runtime.cache={tmp_path}/cache"],
    )  # fmt: skip

    made.setup()

    assert made.classes == tuple("0123456789")
    assert made.reader is not None and made.reader.crop == 24
    assert made.mean == "A" and inputs.mean_letter(made.config) == "A"
    with pytest.raises(UserError, match="^mean=B is that of another data set than half=A: "):
        HalfDataModule("image_folder", split="datasets", half="A", mean="B", overrides=overrides)
