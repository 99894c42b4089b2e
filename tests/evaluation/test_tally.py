"""Metrics of scores, counted batch by batch; and runs with several labels an image, end to end."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import configs, voc

from transferlab.__main__ import main
from transferlab.data.datasets.voc import CLASSES
from transferlab.evaluation.tally import MeanPrecisions, TopAccuracies
from transferlab.experiment import average_precision
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline
from transferlab.training.classifier import load_run


def test_accuracies_of_batches_are_those_of_all_images():
    scores = torch.tensor(
        [[0.3, 0.1, 0.2, 0.15, 0.05, 0.2], [0.1, 0.1, 0.1, 0.1, 0.5, 0.1]], dtype=torch.float64
    )
    tally = TopAccuracies(probabilities=True)
    tally.add(scores[:1], np.array([0]))  # the first
    tally.add(scores[[0, 0, 1]], np.array([4, 2, 3]))  # the sixth, the second, one of equal ones

    assert tally.images == 4
    found = tally.metrics()
    assert (found["top1"], found["top5"]) == (0.25, 0.75)
    assert found["loss"] == pytest.approx(-np.log([0.3, 0.05, 0.2, 0.1]).mean())


def test_what_is_not_defined_is_none():
    tally = TopAccuracies(probabilities=False)
    tally.add(torch.zeros(1, 5, dtype=torch.float64), np.array([0]))

    assert tally.metrics() == {"top1": 1.0, "top5": None, "loss": None}


def test_a_probability_of_zero_has_a_finite_loss():
    tally = TopAccuracies(probabilities=True)
    tally.add(torch.tensor([[1.0, 0.0]], dtype=torch.float64), np.array([1]))

    assert tally.metrics()["loss"] == pytest.approx(708.4, abs=0.1)


def test_precisions_are_of_all_images_at_once():
    draw = np.random.default_rng(0)
    scores = draw.normal(size=(30, 4))  # one output more than classes
    labels = draw.choice([1, -1, 0], size=(30, 3)).astype(np.int8)
    tally = MeanPrecisions()
    for batch in (slice(0, 7), slice(7, 30)):
        tally.add(torch.from_numpy(scores[batch]), labels[batch])

    assert tally.images == 30
    assert tally.metrics() == average_precision.means(scores[:, :3], labels)


# --- runs ---------------------------------------------------------------------------------------


def shown(first: int) -> voc.Labels:
    """Ten images of two classes each; no image shows the last class."""
    return {f"{first + i:06}": {CLASSES[i]: 1, CLASSES[i + 9]: 1} for i in range(10)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """baseB trained by the logistic and by the hinge loss: their folders."""
    place = tmp_path_factory.mktemp("several")
    root = voc.devkit(place / "VOCdevkit", train=shown(1), val=shown(51), test=shown(101), side=16)
    words = [
        "+split=whole", "data=voc2007", f"data.root={root}", f"runtime.store={place}/runs",
        "data.size=16", "data.crop=16", "train.epochs=null", "train.total_steps=4",
        "train.val_every=4", "train.batch_size=10", "transfer.variant=baseB", "runtime.workers=0",
    ]  # fmt: skip
    made = [
        resolve(build_config(configs.composed([*words, f"train.loss={loss}"])))
        for loss in ("binary", "hinge")
    ]
    return [each.run.folder for each in inline.carry_out(made)]


def records(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_the_centre_crop_has_both_precisions_of_the_last_validation(
    runs: list[Path], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    for folder, record in zip(runs, records(capsys, *runs), strict=True):
        final = json.loads((folder / "result.json").read_text())["metrics"]
        assert record["metrics"] == {"map11": final["map11_final"], "map": final["map_final"]}
        assert record["details"] == {"undefined": ["tvmonitor"]}
    assert "and not" not in caplog.text


def test_posteriors_of_every_class_are_averaged(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
):
    (record,) = records(capsys, runs[0], "--crops", "flip")

    run = load_run(runs[0])
    images = sorted((runs[0].parents[1] / "VOCdevkit/VOC2007/JPEGImages").glob("0001*.jpg"))
    x = run.preprocess(images)
    with torch.no_grad():
        both = [run.network(each).double().sigmoid().numpy() for each in (x, x.flip(3))]
    labels = np.full((10, 20), -1, dtype=np.int8)
    labels[range(10), range(10)] = labels[range(10), range(9, 19)] = 1
    assert record["metrics"] == average_precision.means((both[0] + both[1]) / 2, labels)


def test_scores_of_different_losses_are_not_averaged(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
):
    assert main(["evaluate", *map(str, runs), "--average"]) == 2
    message = capsys.readouterr().err
    assert "was trained with train.loss=hinge, baseB" in message and "with binary" in message
    assert main(["evaluate", str(runs[0]), "--subset", "train", "data.per_class=3"]) == 2
    assert "data.per_class=3 counts images of one class" in capsys.readouterr().err
