"""SVMs on the features of finished runs, end to end, on several labels an image and on one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import configs, voc

from transferlab.__main__ import main
from transferlab.data.datasets.voc import CLASSES
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.runtime.files import sha256
from transferlab.training.classifier import load_run
from transferlab.training.inputs import half, load_images

SMALL = ("data.crop=16", "train.epochs=null", "train.total_steps=2", "runtime.workers=0")
Ask = Callable[..., dict[str, Any]]


def shown(first: int) -> voc.Labels:
    """Twelve images, each of one of four classes and one open label."""
    return {
        f"{first + i:06}": {CLASSES[i % 4]: 1, CLASSES[(i + 1) % 4]: 0} for i in range(12)
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network that learned two steps of VOC: its features are hardly trained."""
    place = tmp_path_factory.mktemp("chatfield")
    root = voc.devkit(place / "kit", train=shown(1), val=shown(21), test=shown(41), side=20)
    torch.set_num_threads(1)
    made = resolve(build_config(configs.composed([
        "+split=whole", "transfer.variant=baseB", "data=voc2007", f"data.root={root}",
        "data.size=20", *SMALL, "train.loss=hinge", "train.batch_size=8",
        f"runtime.store={place}/runs", f"runtime.cache={place}/cache",
    ])))  # fmt: skip
    inline.carry_out([made])
    return made


@pytest.fixture
def ask(run: Run, capsys: pytest.CaptureFixture[str]) -> Ask:
    def asked(*words: str) -> dict[str, Any]:
        line = ["evaluate", str(run.folder), "--protocol", "chatfield2014", "--device", "cpu"]
        status = main([*line, "--json", *words])
        assert status == 0
        (record,) = json.loads(capsys.readouterr().out)
        return record

    return asked


def test_features_are_those_of_the_last_stage_before_the_classifier(run: Run, ask: Ask):
    """By the SVMs of scikit-learn on features of the network that this test makes itself."""
    from sklearn.svm import LinearSVC

    from transferlab.experiment import average_precision

    record = ask()
    assert (record["images"], record["details"]["train_images"]) == (12, 24)
    assert record["details"]["choice_images"] == 12  # the official val
    assert record["details"]["stage"] == "fc7"
    assert record["details"]["features"] == 512
    assert len(record["details"]["undefined_classes"]) == 16
    assert sorted(record["details"]["average_precision"]) == sorted(CLASSES[:4])
    classifier, images = load_run(run.folder), half(run, load_images(run.config), "B")
    found = []
    for view in (images.train, images.val):
        files = [view.subset.name(position) for position in range(len(view))]
        with torch.no_grad():
            x = classifier.network.prefix(len(classifier.network) - 1)(classifier.preprocess(files))
        x = x.flatten(1).numpy()
        found.append(x / np.linalg.norm(x, axis=1, keepdims=True))
    scores = np.zeros((12, 20))
    for k in range(4):
        labels = images.train.labels[:, k]
        svm = LinearSVC(C=record["details"]["C"], random_state=0, max_iter=10_000)
        svm.fit(found[0][labels != 0], labels[labels != 0])
        scores[:, k] = svm.decision_function(found[1])
    expected = average_precision.means(scores, images.val.labels)
    assert record["metrics"] == pytest.approx(expected, abs=1e-6)


def test_every_setting_is_another_question_and_is_answered_once(run: Run, ask: Ask):
    lines = (
        (), ("--no-l2",), ("--grey",), ("--stage", "conv1"), ("--crops", "flip"),
        ("--crops", "ten", "--pooling", "tt"),
    )  # fmt: skip
    records = [ask(*line) for line in lines]
    assert len({record["id"] for record in records}) == len(lines)
    sizes = [record["details"]["features"] for record in records]
    assert sizes[5] == 10 * sizes[0] and sizes[4] == sizes[0]
    assert records[3]["details"]["stage"] == "conv1"
    written = {path.name: path.stat().st_mtime_ns for path in run.folder.glob("evaluations/*.json")}
    assert ask("--crops", "flip", "--pooling", "fs") == records[4]
    assert written == {
        path.name: path.stat().st_mtime_ns for path in run.folder.glob("evaluations/*.json")
    }


def test_another_data_set_of_one_label_an_image_has_its_accuracy(ask: Ask):
    """C is chosen on a fixed part of the training images."""
    record = ask("data=digits", "data.per_class=10")
    assert (record["images"], record["details"]["train_images"]) == (359, 100)
    assert record["details"]["choice_images"] == 30
    assert sorted(record["metrics"]) == ["top1"]
    assert record["metrics"]["top1"] > 0.5  # chance: 0.1; features of random filters


def test_an_unknown_stage_and_a_setting_of_another_protocol_are_refused(
    run: Run, capsys: pytest.CaptureFixture[str]
):
    line = ["evaluate", str(run.folder), "--protocol", "chatfield2014"]
    for words, message in (
        (["--stage", "fc9"], "--stage fc9 is no stage of baseB"),
        (["--dense"], "--dense has no effect with --protocol chatfield2014"),
    ):
        assert main([*line, *words]) == 2
        assert message in capsys.readouterr().err


def test_a_network_that_came_without_its_classifier_has_the_same_features(
    run: Run, ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """As a file of weights that somebody trained elsewhere may lack it."""
    folder = tmp_path / run.folder.name
    shutil.copytree(run.folder, folder)
    shutil.rmtree(folder / "evaluations", ignore_errors=True)
    path, interface = folder / "weights.safetensors", folder / "inference.json"
    kept = {name: w for name, w in load_file(path).items() if not name.startswith("fc8.")}
    save_file(kept, path)
    changed = {**json.loads(interface.read_text()), "num_outputs": 0, "classes": []}
    interface.write_text(json.dumps(changed))
    digests = {"weights_sha256": sha256(path), "inference_sha256": sha256(interface)}
    record = {**json.loads((folder / "result.json").read_text()), **digests}
    (folder / "result.json").write_text(json.dumps(record))

    words = ("data=digits", "data.per_class=10")
    line = ["evaluate", str(folder), "--protocol", "chatfield2014", "--device", "cpu", "--json"]
    assert main([*line, *words]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["metrics"] == ask(*words)["metrics"]
