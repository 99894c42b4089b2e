"""Answers are recorded, computed once, and refused where there is none, end to end."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from support.asked import HELD, evaluate, recorded, refused

from transferlab.__main__ import main
from transferlab.evaluation import posteriors, questions
from transferlab.evaluation.questions import Question
from transferlab.runtime import files
from transferlab.training.classifier import load_run

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
