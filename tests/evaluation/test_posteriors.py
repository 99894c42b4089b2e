"""What finished runs answer, end to end, against references that are written out here."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from support.asked import HELD, RUN, evaluate, recorded

from transferlab.__main__ import main
from transferlab.experiment import compose
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline
from transferlab.training.classifier import load_run


def pictures(images: Path, classes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """The validation images of the classes, and their labels."""
    listed = [(path, name) for name in classes for path in (images / "val" / name).iterdir()]
    return [path for path, _ in listed], np.array([classes.index(name) for _, name in listed])


def test_the_centre_crop_is_the_last_validation_of_the_run_exactly(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    folders = (place.baseA, place.A2B, place.baseB)
    records = evaluate(capsys, *folders)

    finals = [recorded(folder)["metrics"] for folder in folders]
    assert [record["metrics"]["top1"] for record in records] == [f["top1_final"] for f in finals]
    losses = [record["metrics"]["loss"] for record in records]
    assert losses == pytest.approx([final["val_loss_final"] for final in finals], rel=1e-5)
    assert len({*losses}) == 3
    assert [(r["images"], r["text"]) for r in records] == 3 * [(2 * HELD, "centre crop")]
    assert "and not" not in caplog.text


def test_the_centre_crop_of_whole_rectangles_in_grey_is_the_last_validation_too(
    trained: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = [
        *RUN, f"data.root={trained.images}", f"runtime.store={tmp_path}", "data.resize=side",
        "data.size=21", "data.grey=true", "transfer.variant=baseB",  # 21 and 16: an odd margin
    ]  # fmt: skip
    (done,) = inline.carry_out([resolve(build_config(compose.compose("config", words)))])

    (record,) = evaluate(capsys, done.run.folder)
    (scaled,) = evaluate(capsys, done.run.folder, "--scales", "21")

    final = recorded(done.run.folder)["metrics"]
    assert record["metrics"]["top1"] == final["top1_final"]
    assert record["metrics"]["loss"] == pytest.approx(final["val_loss_final"], rel=1e-5)
    assert scaled["metrics"] == record["metrics"]


def test_a_run_on_scaled_jpegs_is_asked_about_scaled_jpegs(
    trained: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for path in trained.images.rglob("*.png"):
        larger = (tmp_path / "images" / path.relative_to(trained.images)).with_suffix(".jpg")
        larger.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.resize((4 * image.width, 4 * image.height)).save(larger)
    words = [
        *RUN, f"data.root={tmp_path}/images", f"runtime.store={tmp_path}/runs", "data.size=21",
        f"runtime.cache={tmp_path}/cache", "data.decode=scaled", "transfer.variant=baseB",
    ]  # fmt: skip
    (done,) = inline.carry_out([resolve(build_config(compose.compose("config", words)))])

    (record,) = evaluate(capsys, done.run.folder)

    final = recorded(done.run.folder)["metrics"]
    assert record["metrics"]["loss"] == pytest.approx(final["val_loss_final"], rel=1e-5)
    saved = json.loads((done.run.folder / "inference.json").read_text())["preprocessing"]
    assert saved["decode"] == "scaled"
    paths, labels = pictures(tmp_path / "images", done.run.classes)
    logits = load_run(done.run.folder).logits(paths)
    loss = F.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert loss == pytest.approx(final["val_loss_final"], rel=1e-5)


def test_another_accuracy_than_the_recorded_one_is_reported(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    path = place.baseB / "result.json"
    found = recorded(place.baseB)["metrics"]["top1_final"]
    record = recorded(place.baseB)
    record["metrics"] |= {"top1_final": 0.125}
    path.write_text(json.dumps(record))

    evaluate(capsys, place.baseB)

    assert (
        f"top-1 accuracy is {found:.6f} and not 0.125000 as in {path}, which was computed on "
        f"{record['device']}: other devices and versions round differently"
    ) in caplog.messages


def test_an_average_is_of_the_posteriors_and_has_the_error_of_each_run(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str]
):
    (record,) = evaluate(capsys, place.A2B, place.baseB, "--average")

    runs = [load_run(folder) for folder in (place.A2B, place.baseB)]
    paths, labels = pictures(place.images, runs[0].classes)
    each = [run.logits(paths).double().softmax(dim=1).numpy() for run in runs]
    mean = (each[0] + each[1]) / 2
    for found, expected in zip(
        [record["metrics"], *(run["metrics"] for run in record["runs"])], [mean, *each], strict=True
    ):
        assert found["top1"] == np.mean(expected.argmax(axis=1) == labels)
        probabilities = expected[np.arange(len(labels)), labels]
        assert found["loss"] == pytest.approx(-np.log(probabilities).mean(), rel=1e-6)
        assert found["top5"] is None
    assert [run["label"] for run in record["runs"]] == ["A2B", "baseB"]
    assert (place.A2B / "evaluations" / f"{record['id']}.json").exists()


def test_a_table_shows_each_run_and_the_average(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str]
):
    assert main(["evaluate", str(place.A2B), str(place.baseB), "--average", "--crops", "flip"]) == 0
    shown = capsys.readouterr().out.splitlines()

    (record,) = evaluate(capsys, place.A2B, place.baseB, "--average", "--crops", "flip")
    assert shown[0] == "centre crop and its mirror image"
    assert shown[1].split() == ["run", "id", "model", "images", "top1", "top5", "loss"]
    rows = [*record["runs"], record]
    for line, row, label in zip(shown[3:], rows, ("A2B", "baseB", "average of 2"), strict=True):
        metrics = [f"{row['metrics'][name]:.4f}" for name in ("top1", "loss")]
        model = ["alexnet_small"] if "model" in row else []
        assert line.split() == [*label.split(), row["id"], *model, "24", *metrics]


def test_training_images_and_other_images_are_asked(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (training,) = evaluate(capsys, place.baseB, "--subset", "train")
    assert training["images"] == 32
    (few,) = evaluate(capsys, place.baseB, "--subset", "train", "data.per_class=5")
    assert few["images"] == 10

    moved = Path(shutil.copytree(place.images, tmp_path / "moved"))
    shutil.copytree(moved / "val" / "a", moved / "val" / "0 another class")
    shutil.copytree(moved / "train" / "a", moved / "train" / "0 another class")
    (own,) = evaluate(capsys, place.baseB)
    (other,) = evaluate(capsys, place.baseB, "data=image_folder", f"data.root={moved}")
    assert other["id"] != own["id"]
    assert other["metrics"] == own["metrics"]  # classes are found by name
    assert other["source"] == {"name": "image_folder", "root": str(moved)}


def test_crops_and_dense_evaluation_of_rectangles_reach_the_network(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str]
):
    settings = (
        ("--crops", "ten"), ("--crops", "ten", "--scales", "24"), ("--dense",),
        ("--dense", "--scales", "20,24"),
    )  # fmt: skip
    losses = [evaluate(capsys, place.baseB, *words)[0]["metrics"]["loss"] for words in settings]

    assert len({*losses}) == 4
