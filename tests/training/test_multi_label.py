"""Runs with several labels an image, end to end: pack, record, curve, interruption, a Trainer."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from support import configs, voc
from support.stopping import stop_after

from transferlab import store
from transferlab.data.datasets.voc import CLASSES
from transferlab.errors import UserError
from transferlab.experiment import average_precision
from transferlab.experiment.build import build_config
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.runtime import signals
from transferlab.training import build, losses
from transferlab.training.datamodule import HalfDataModule
from transferlab.training.module import TransferModule
from transferlab.training.recipe import Recipe
from transferlab.training.run import train_pack
from transferlab.training.scores import ValidationScores

Compose = Callable[..., RunConfig]


def shown(first: int) -> voc.Labels:
    """Twenty images, each of two classes, one of these open every fifth time."""
    return {
        f"{first + i:06}": {CLASSES[i]: 1, CLASSES[(i + 3) % 20]: 0 if i % 5 == 0 else 1}
        for i in range(20)
    }


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("VOCdevkit")
    *train, last = shown(1).items()
    return voc.devkit(root, train=dict(train), val=dict([last]), test=shown(101), side=16)


def words(devkit: Path, runs: Path, *more: str) -> list[str]:
    return [
        "+split=random", "data=voc2007", f"data.root={devkit}", f"runtime.store={runs}",
        "data.size=16", "data.crop=16", "train.epochs=null", "train.total_steps=6",
        "train.val_every=3", "train.batch_size=10", "train.val_batch_size=8",
        "train.loss=binary", "runtime.workers=0", *more,
    ]  # fmt: skip


def record(run: Run) -> dict[str, Any]:
    result = store.read_result(run)
    assert result is not None
    return result


def rows(run: Run) -> list[dict[str, str]]:
    with run.metrics_file.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def pack(devkit: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A base network and a run on it, uninterrupted; then two runs of one pack."""
    runs = tmp_path_factory.mktemp("runs")
    made = [
        resolve(build_config(configs.composed(words(devkit, runs, *which))))
        for which in (["transfer.variant=A2B"], ["transfer.variant=A1B+"])
    ]
    inline.carry_out(made)
    return made


def test_a_record_has_both_average_precisions_and_no_accuracy(pack: list[Run]):
    for run in pack:
        result = record(run)
        found = result["metrics"]
        assert [key for key in found if "top1" in key or "accuracy" in key] == []
        assert found["map_best10"] is None and found["map11_best10"] is None
        assert found["map11_peak"] >= found["map11_final"]
        assert (result["num_classes"], result["train_images"], result["val_images"]) == (10, 20, 20)
        last = rows(run)[-1]
        assert list(last)[3:7] == ["val/map11", "val/map", "train/loss", "val/loss"]
        assert float(last["val/map"]) == found["map_final"]
        assert float(last["val/map11"]) == found["map11_final"]
        assert found["chance"] < found["map_guess"] <= 1
        assert result["learned"] == (found["map11_final"] > found["map11_guess"])
        assert "undefined_classes" not in result


def test_the_numbers_are_those_of_the_weights_on_all_validation_images(pack: list[Run]):
    """By the network of the folder and average precision of all scores at once."""
    from transferlab.training.classifier import load_run
    from transferlab.training.inputs import half, load_images

    run = pack[0]
    val = half(run, load_images(run.config), "B").val
    files = [val.subset.name(position) for position in range(len(val))]
    classifier = load_run(run.folder)
    scores = classifier.logits(files).numpy()
    ((best, *_),) = classifier.classify_all(files[:1], topk=10)
    assert best.name == classifier.classes[scores[0].argmax()]
    assert best.probability == pytest.approx(1 / (1 + np.exp(-scores[0].max())))  # of its own

    reached = average_precision.means(scores, val.labels)
    metrics = record(run)["metrics"]
    assert {name: metrics[f"{name}_final"] for name in reached} == pytest.approx(reached, abs=1e-6)


def test_an_interrupted_run_ends_with_the_same_numbers(
    devkit: Path, pack: list[Run], tmp_path: Path, config: Compose
):
    """Stopped before a validation and resumed, in a pack of another composition."""
    run = resolve(config(*words(devkit, tmp_path, "transfer.variant=A2B")))
    assert run.base is not None
    inline.carry_out([resolve(config(*words(devkit, tmp_path, "transfer.variant=baseA")))])
    for step in (2, 4):
        with stop_after(step), signals.watch() as stop:
            train_pack([run], stop)
    with signals.watch() as stop:
        train_pack([run], stop)

    assert record(run)["weights_sha256"] == record(pack[0])["weights_sha256"]
    assert record(run)["metrics"] == record(pack[0])["metrics"]


def test_the_module_logs_the_same_in_a_trainer(devkit: Path, pack: list[Run], tmp_path: Path):
    run = pack[1]
    base = run.base
    assert base is not None
    overrides = [
        word for word in words(devkit, tmp_path) if not word.startswith(("+split", "data=voc"))
    ]
    images = HalfDataModule("voc2007", half="B", mean="A", overrides=overrides)
    images.setup()
    module = TransferModule(
        build.network(run), n=1, base=base.weights_file, split=images.split_digest, label="A1B+",
        recipe=Recipe.from_config(run.config.train),
    )  # fmt: skip
    trainer = Trainer(
        max_steps=6, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(module, images)

    logged = {key: value.item() for key, value in trainer.callback_metrics.items()}
    assert sorted(logged) == ["train/loss", "val/loss", "val/map", "val/map11"]
    metrics = record(run)["metrics"]
    assert logged["val/map"] == pytest.approx(metrics["map_final"], abs=1e-6)
    assert logged["val/map11"] == pytest.approx(metrics["map11_final"], abs=1e-6)


def test_scores_of_several_processes_are_in_the_order_of_the_list(monkeypatch: pytest.MonkeyPatch):
    """Equal scores: the order of the list decides, not that of the shares."""
    labels = torch.tensor([[1], [-1], [1], [-1]], dtype=torch.int8)
    zeros, shares = torch.zeros(2, 1), []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for first in (1, 0):  # the second process first
        mine = torch.tensor([first, first + 2])
        collected = ValidationScores()
        collected.add(mine, labels[mine], [zeros])
        shares.append([np.asarray(torch.cat(c)) for c in zip(*collected.parts, strict=True)])

    def gather(into: list[Any], own: object) -> None:
        into[:] = shares

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    # positives at 1 and 3 of the list: (1 + 2/3) / 2
    (reached,) = collected.take()
    assert reached == pytest.approx({"val/map": 5 / 6, "val/map11": (6 + 5 * 2 / 3) / 11})
    assert collected.parts == []


def test_a_loss_or_a_reduction_that_needs_one_label_an_image_is_refused(
    devkit: Path, tmp_path: Path, config: Compose
):
    for word, message in (
        ("train.loss=cross_entropy",
         "train.loss=cross_entropy needs one label an image, and data=voc2007 has images with "
         "several: set train.loss=binary or train.loss=hinge or train.loss=ranking"),
        ("data.per_class=2",
         "data.per_class=2 counts images of one class, and data=voc2007 has images with several: "
         "set data.per_class=null"),
    ):  # fmt: skip
        with pytest.raises(UserError) as error:
            resolve(config(*words(devkit, tmp_path, "transfer.variant=baseB"), word))
        assert str(error.value) == message
    with pytest.raises(UserError, match=r"train.loss=ranking .* runtime.devices=2"):
        config(
            *words(devkit, tmp_path, "transfer.variant=baseB"),
            *("train.loss=ranking", "runtime.devices=2"),
        )


def test_one_label_an_image_may_learn_by_any_loss(tmp_path: Path, config: Compose):
    """And has its accuracy."""
    run = resolve(config(
        "+split=whole", "transfer.variant=baseB", "data.size=16", "data.crop=16",
        "train.epochs=null", "train.total_steps=2", "train.loss=hinge",
        f"runtime.store={tmp_path}",
    ))  # fmt: skip
    inline.carry_out([run])

    metrics = record(run)["metrics"]
    assert ("top1_final" in metrics, "map_final" in metrics) == (True, False)
    made = build.module(build.subject(run))
    x, labels = torch.zeros(2, 3, 16, 16), torch.tensor([3, 4])
    assert made.eval().score(x, labels)[0] == losses.hinge(made(x), labels)
