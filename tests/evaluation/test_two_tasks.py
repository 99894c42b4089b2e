"""Evaluations of runs of two data sets, and of a network that was trained elsewhere."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import configs, trees

from transferlab.__main__ import main
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline

STEPS = (
    "train.epochs=null", "train.total_steps=2", "train.val_every=2", "train.batch_size=8",
    "runtime.workers=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A is seen at 24 of 28 pixels, B at 16, and by A2B at 24, as its base sees. The folders of
    A2B and B2A of `datasets`, and of A2B and its adopted baseA of `pretrained`."""
    place = tmp_path_factory.mktemp("tasks")
    torch.set_num_threads(1)
    others, photos = trees.tree(place / "others"), trees.tree(place / "photos")

    def carry_out(*words: str) -> dict[str, Path]:
        composed = configs.composed([*words, *STEPS, f"runtime.cache={place}/cache"])
        done = inline.carry_out([resolve(build_config(composed))])
        return {each.run.label: each.run.folder for each in done}

    b = ("data=image_folder", f"data.root={photos}", "data.size=16", "data.crop=16")
    seen = ("size=28", "crop=24", "scale=0.01", f"root={others}")
    a = ("data@split.a=image_folder", *(f"split.a.{word}" for word in seen))
    datasets = ("+split=datasets", *a, *b)
    two = carry_out(*datasets, "transfer.variant=A2B", f"runtime.store={place}/datasets")
    two |= carry_out(*datasets, "transfer.variant=B2A", f"runtime.store={place}/datasets")
    whole = carry_out(
        "+split=whole", "data=image_folder", *(f"data.{word}" for word in seen),
        "transfer.variant=baseB", f"runtime.store={place}/elsewhere",
    )  # fmt: skip
    adopted = carry_out(
        "+split=pretrained", *b, f"split.weights={whole['baseB']}", "transfer.variant=A2B",
        f"runtime.store={place}/pretrained",
    )  # fmt: skip
    return SimpleNamespace(
        two=two, whole=whole["baseB"], adopted=adopted, others=others, photos=photos
    )


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    return dict(record)


def test_a_transfer_is_asked_on_its_target_as_its_base_sees(
    trained: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    for folder, root in (
        (trained.two["A2B"], trained.photos),
        (trained.two["B2A"], trained.others),
        (trained.two["baseA"], trained.others),
        (trained.adopted["A2B"], trained.photos),
    ):
        record = evaluate(capsys, folder)
        final = json.loads((folder / "result.json").read_text())["metrics"]
        assert record["source"]["root"] == str(root)
        assert record["metrics"]["top1"] == final["top1_final"]
        assert record["metrics"]["loss"] == pytest.approx(final["val_loss_final"], rel=1e-5)
    assert "and not" not in caplog.text and "other images" not in caplog.text


def test_an_adopted_network_is_asked_on_images_that_are_named(
    trained: SimpleNamespace, capsys: pytest.CaptureFixture[str]
):
    base = trained.adopted["baseA"]
    assert main(["evaluate", str(base)]) == 2
    assert capsys.readouterr().err.endswith(
        "was trained elsewhere, and its images are unknown: name some with data=NAME\n"
    )

    record = evaluate(capsys, base, "data=image_folder", f"data.root={trained.others}")

    assert record["metrics"] == evaluate(capsys, trained.whole)["metrics"]
    assert record["images"] == 7
