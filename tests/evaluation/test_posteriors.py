"""Finished runs asked end to end: trained on coloured rectangles, evaluated from their folders."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transferlab.__main__ import main
from transferlab.evaluation import posteriors, questions
from transferlab.evaluation.questions import Question
from transferlab.experiment import compose
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline
from transferlab.runtime import files
from transferlab.training.classifier import load_run

CLASSES = "abcd"  # two for each half
HELD = 12  # validation images of a class
RUN = (
    "+split=random", "data=image_folder", "data.size=20", "data.crop=16", "train.epochs=null",
    "train.total_steps=12", "train.val_every=12", "train.batch_size=8", "runtime.workers=0",
    "runtime.threads=1",
)  # fmt: skip


def photographs(root: Path) -> None:
    """Noisy rectangles of two shapes, each class brighter at another place."""
    draw = np.random.default_rng(0)
    for subset, count in (("train", 16), ("val", HELD)):
        for place, name in enumerate(CLASSES):
            (root / subset / name).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 160, ((24, 30) if number % 2 else (28, 22)) + (3,))
                row, column = 11 * (place // 2), 11 * (place % 2)
                pixels[row : row + 11, column : column + 11] += 60
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(root / subset / name / f"{number}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A store with baseA, its A2B, which subtracts the mean of A, and baseB; and the images."""
    place = tmp_path_factory.mktemp("evaluated")
    photographs(place / "images")
    torch.set_num_threads(1)
    own = (f"data.root={place}/images", f"runtime.store={place}/runs")
    configs = [
        build_config(
            compose.compose("config", [*RUN, *own, f"runtime.cache={place}/cache", variant])
        )
        for variant in ("transfer.variant=A2B", "transfer.variant=baseB")
    ]
    runs = inline.carry_out([resolve(config) for config in configs])
    folders = {each.run.label: each.run.folder for each in runs}
    yield SimpleNamespace(store=place / "runs", images=place / "images", **folders)


@pytest.fixture
def place(trained: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """A copy of the store without evaluations, and the images."""
    store = Path(shutil.copytree(trained.store, tmp_path / "runs"))
    folders = {label: store / getattr(trained, label).name for label in ("baseA", "A2B", "baseB")}
    return SimpleNamespace(store=store, images=trained.images, **folders)


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    """The records that the command prints."""
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    records: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return records


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words)]) == 2
    return capsys.readouterr().err


def recorded(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def pictures(images: Path, classes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """The validation images of the classes, and their labels."""
    listed = [(path, name) for name in classes for path in (images / "val" / name).iterdir()]
    return [path for path, _ in listed], np.array([classes.index(name) for _, name in listed])


# --- what is found ------------------------------------------------------------------------------


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


# --- the record ---------------------------------------------------------------------------------


def test_an_answer_is_computed_once(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    both = (place.A2B, place.baseB)
    (record,) = evaluate(capsys, *both, "--average", "--crops", "flip")
    (alone,) = evaluate(capsys, place.baseB)
    asked: list[str] = []
    monkeypatch.setattr(posteriors, "answer", lambda evaluation: asked.append("again"))

    moved = place.baseB.rename(place.store / "elsewhere")
    (again,) = evaluate(capsys, moved, place.A2B, "--average", "--crops", "flip")
    assert (again, asked) == (record, [])
    assert evaluate(capsys, moved, "--crops", "centre", "--batch-size", "3") == [alone]
    with pytest.raises(AttributeError):  # the fake answer is none
        main(["evaluate", str(moved), "--crops", "flip"])
    assert asked == ["again"]


def test_unreadable_images_are_left_out_if_asked_and_named(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    images = Path(shutil.copytree(place.images, tmp_path / "images"))
    run = load_run(place.baseB)
    victim = images / "val" / run.classes[0] / "3.png"
    content = victim.read_bytes()
    victim.write_bytes(b"x" * len(content))
    root = f"data.root={images}"

    assert f"{victim} cannot be read" in refused(capsys, place.baseB, root)
    assert not list((place.baseB / "evaluations").glob("*.json"))
    name = f"val/{run.classes[0]}/3.png"
    for words in ((), ("--scales", "24")):
        (record,) = evaluate(capsys, place.baseB, root, "data.unreadable=skip", *words)
        assert record["images"] == 2 * HELD - 1
        assert record["skipped"] == {name: files.sha256(victim)}


def test_a_repaired_image_is_asked_again(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str]
):
    (record,) = evaluate(capsys, place.baseB)
    path = place.baseB / "evaluations" / f"{record['id']}.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "skipped": {"val/a/3.png": "0" * 64}}))

    (again,) = evaluate(capsys, place.baseB)

    assert again["skipped"] == {}


# --- refusals -----------------------------------------------------------------------------------


def test_runs_and_images_of_other_classes_are_refused(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    classes = load_run(place.baseA).classes
    message = refused(capsys, place.baseB, place.baseA, "--average")
    assert "has 2 classes and 2 outputs" in message and f"it has {', '.join(classes)}" in message

    images = Path(shutil.copytree(place.images, tmp_path / "images"))
    for subset in ("train", "val"):
        shutil.rmtree(images / subset / classes[1])
    message = refused(capsys, place.baseA, f"data.root={images}")
    assert (
        f"image_folder lacks 1 of the 2 classes of baseA {recorded(place.baseA)['id']}" in message
    )


def test_a_device_that_this_machine_lacks_is_refused(
    place: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(posteriors.devices, "best", lambda accelerator: torch.device("cpu"))
    monkeypatch.setattr(posteriors.devices, "present", lambda: "only cpu")
    for device in ("gpu", "cuda", "mps"):
        assert refused(capsys, place.baseB, "--device", device) == (
            f"error: --device {device} is not available on this machine, which has only cpu\n"
        )


def test_a_study_asks_its_runs_its_questions(
    place: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    asked = (
        Question("posteriors", {"crops": "flip"}, {"transfer.target": ["B"]}, None),
        Question("posteriors", {"crops": "centre"}, {"model.name": ["nin_small"]}, None),
    )
    monkeypatch.setattr(questions, "load", lambda name: asked)

    records = evaluate(capsys, "--study", "mine", "--store", place.store)

    assert [record["runs"][0]["label"] for record in records] == ["A2B", "baseB"]
    assert {record["text"] for record in records} == {"centre crop and its mirror image"}
