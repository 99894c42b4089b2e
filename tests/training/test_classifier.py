"""The network of a finished run, used from a copy of its folder alone, against an evaluation that
is written out here and shares no code with the package.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

import transferlab
from transferlab import models
from transferlab.data.datasets import decode
from transferlab.errors import UserError
from transferlab.experiment import compose
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve
from transferlab.launch import inline
from transferlab.runtime import files
from transferlab.training.classifier import Classifier, Preprocess
from transferlab.training.inference import Inference, Preprocessing

CLASSES = "013458"  # three for each half
RUN = (
    "+split=random", "data=image_folder", "data.size=20", "data.crop=16",
    "data.scale=[0.01,0.02,0.005]",
    "train.epochs=null", "train.total_steps=60", "train.val_every=60", "train.batch_size=16",
    "transfer.n=2", "runtime.workers=0", "runtime.threads=1",
)  # fmt: skip


def digits(root: Path) -> None:
    """An image folder of digits, 18 by 26 pixels, each class in a colour of its own."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    for name in CLASSES:
        for number, image in enumerate(raw.images[raw.target == int(name)][:60]):
            grey = Image.fromarray((image * 15).astype(np.uint8)).resize((26, 18))
            bands = (grey, grey.point(lambda level, k=int(name): level * k // 9), grey)
            path = root / ("train" if number < 40 else "val") / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.merge("RGB", bands).save(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """An A2B whose folder was copied under another name, its store and data set removed; the
    validation pictures of its half with their classes."""
    place = tmp_path_factory.mktemp("classifier")
    torch.set_num_threads(1)
    digits(place / "images")
    config = build_config(
        compose.compose(
            "config",
            [*RUN, f"data.root={place}/images", f"runtime.store={place}/runs",
             f"runtime.cache={place}/cache"],
        )
    )  # fmt: skip
    run = inline.carry_out([resolve(config)])[-1].run
    shutil.copytree(run.folder, place / "the network")
    pictures = [
        (path, name)
        for name in run.classes
        for path in sorted((place / "images" / "val" / name).iterdir())
    ]
    kept = [
        (Path(shutil.copy(path, place / f"{name}-{path.name}")), name) for path, name in pictures
    ]
    mean_of_a = training_mean(place / "images" / "train", run.half("A"))
    for folder in ("images", "runs", "cache"):
        shutil.rmtree(place / folder)
    yield SimpleNamespace(
        folder=place / "the network", pictures=kept, mean_of_a=mean_of_a, label=run.label
    )


@pytest.fixture
def folder(finished: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the folder, to be damaged."""
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


# --- an independent evaluation -------------------------------------------------------------------


def resized(path: Path) -> torch.Tensor:
    """(1, 3, 20, 20) of levels 0 to 255."""
    pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None]
    return F.interpolate(pixels, (20, 20), mode="bilinear", antialias=True)


def training_mean(folder: Path, classes: tuple[str, ...]) -> torch.Tensor:
    files = [path for name in classes for path in sorted((folder / name).iterdir())]
    return torch.cat([resized(path) for path in files]).double().mean(dim=0)  # (3, 20, 20)


def logits(folder: Path, path: Path) -> torch.Tensor:
    weights = load_file(folder / "weights.safetensors")
    mean = load_file(folder / "mean.safetensors")["mean"].permute(2, 0, 1)
    factors = torch.tensor([0.01, 0.02, 0.005])[:, None, None]
    x = ((resized(path) - mean) * factors)[:, :, 2:18, 2:18]
    for stage, padding, pooled in (
        ("conv1", 2, True), ("conv2", 1, True), ("conv3", 1, False), ("conv4", 1, False),
        ("conv5", 1, True),
    ):  # fmt: skip
        x = F.conv2d(
            x, weights[f"{stage}.conv.weight"], weights[f"{stage}.conv.bias"], padding=padding
        ).relu()
        x = F.max_pool2d(x, 3, stride=2, padding=1) if pooled else x
    x = x.flatten(1)
    for stage in ("fc6", "fc7", "fc8"):
        x = x @ weights[f"{stage}.fc.weight"].T + weights[f"{stage}.fc.bias"]
        x = x if stage == "fc8" else x.relu()
    return x[0]


def test_a_copied_folder_classifies_as_an_independent_evaluation_does(finished: SimpleNamespace):
    network = transferlab.load_run(finished.folder)
    record = json.loads((finished.folder / "result.json").read_text())
    paths = [path for path, _ in finished.pictures]
    expected = torch.stack([logits(finished.folder, path) for path in paths])

    torch.testing.assert_close(network.logits(paths), expected, rtol=1e-4, atol=1e-4)
    guesses = [prediction[0].name for prediction in network.classify_all(paths, topk=1)]
    assert guesses == [network.classes[k] for k in expected.argmax(dim=1)]
    hits = [guess == name for guess, (_, name) in zip(guesses, finished.pictures, strict=True)]
    assert len(hits) == record["val_images"] == 60
    assert sum(hits) / 60 == record["metrics"]["top1_final"] > 0.5  # chance is a third
    assert (record["label"], len(set(guesses))) == ("A2B", 3)


def test_the_folder_holds_the_mean_image_of_the_base_half(finished: SimpleNamespace):
    mean = load_file(finished.folder / "mean.safetensors")["mean"]

    torch.testing.assert_close(
        mean.permute(2, 0, 1).double(), finished.mean_of_a, rtol=0, atol=1e-4
    )


def test_the_classes_and_the_preprocessing_can_be_read_without_the_package(
    finished: SimpleNamespace,
):
    raw = json.loads((finished.folder / "inference.json").read_text())

    assert raw["classes"] == sorted({name for _, name in finished.pictures})
    assert (raw["model"], raw["num_outputs"]) == ("alexnet_small", 3)
    mean_sha256 = raw["preprocessing"].pop("mean_sha256")
    assert raw["preprocessing"] == {
        "channels": "RGB", "size": 20, "resize": "warp", "crop": 16, "scale": [0.01, 0.02, 0.005],
        "grey": False, "decode": "exact",
    }  # fmt: skip
    assert len(mean_sha256) == 64


# --- what it takes and gives ---------------------------------------------------------------------


def test_a_file_an_opened_image_and_an_array_are_the_same_picture(finished: SimpleNamespace):
    network = transferlab.load_run(str(finished.folder))
    path = finished.pictures[0][0]
    pixels = np.array(Image.open(path))

    answers = [network.classify(picture) for picture in (path, str(path), Image.open(path), pixels)]

    assert answers == [answers[0]] * 4
    names, probabilities = zip(*answers[0], strict=True)
    assert sorted(names) == sorted(network.classes)
    assert sum(probabilities) == pytest.approx(1)
    assert list(probabilities) == sorted(probabilities, reverse=True)
    assert network.classify(path, topk=1) == answers[0][:1]
    both = network.classify_all([path, pixels])
    assert [[name for name, _ in predictions] for predictions in both] == [list(names)] * 2
    assert network.classify_all([]) == []


def test_the_network_and_the_inputs_can_be_used_by_themselves(finished: SimpleNamespace):
    network = transferlab.load_run(finished.folder)
    paths = [path for path, _ in finished.pictures[:3]]

    inputs = network.preprocess(paths)

    assert inputs.shape == (3, 3, 16, 16) and inputs.dtype == torch.float32
    assert not network.network.training
    with torch.no_grad():
        assert torch.equal(network.network(inputs), network.logits(paths))
    assert repr(network) == f"<A2B {network.record['id']}: 3 classes>"


def test_the_example_of_the_readme_works(finished: SimpleNamespace):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    _, example = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    example = re.sub(r'"runs/[^"]*"', f'"{finished.folder}"', example)
    pictures = iter([path for path, _ in finished.pictures])

    exec(re.sub(r'"\w+\.png"', lambda _: f'"{next(pictures)}"', "import transferlab\n" + example))


def test_a_rectangle_in_grey_is_cropped_in_the_middle_and_a_colour_is_subtracted():
    picture = np.random.default_rng(0).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    settings = Preprocessing("RGB", 20, "side", 16, None, (0.5, 0.25, 2.0), grey=True)
    colour = np.array([10, 20, 30], dtype=np.float32)
    inputs = Preprocess(settings, colour, channels_last=False)([picture])
    resized = F.interpolate(torch.from_numpy(picture).permute(2, 0, 1)[None], (20, 29),
                            mode="bilinear", antialias=True)[0, :, 2:18, 6:22]  # fmt: skip
    luminance = Image.fromarray(resized.permute(1, 2, 0).numpy()).convert("L")
    for channel, (mean, factor) in enumerate([(10, 0.5), (20, 0.25), (30, 2.0)]):
        expected = (np.asarray(luminance, dtype=np.float32) - mean) * factor
        np.testing.assert_allclose(inputs[0, channel], expected, rtol=1e-6)


def test_a_file_has_the_detail_that_the_network_was_trained_on(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.jpg")
    found = {}
    for how in ("exact", "scaled"):
        settings = Preprocessing("RGB", 16, "warp", 16, None, 1.0, decode=how)
        inputs = Preprocess(settings, None, channels_last=False)([tmp_path / "image.jpg"])
        found[how] = inputs[0].permute(1, 2, 0).numpy()
    quarter = decode.read(str(tmp_path / "image.jpg"), least=16)
    assert np.array_equal(found["scaled"], quarter.astype(np.float32))
    assert not np.array_equal(found["exact"], found["scaled"])


def test_an_output_without_a_class_has_its_number_for_a_name():
    settings = Preprocessing("RGB", 16, "warp", 16, None, 1.0)
    interface = Inference("alexnet_small", None, 3, ("cat", "dog"), settings, "float32", False)
    network = models.build("alexnet_small", num_outputs=3, image_size=16)
    network.initialise(len)

    predictions = Classifier(network, interface, None, {"config": {"train": {}}}).classify(
        np.zeros((16, 16, 3), np.uint8)
    )

    assert sorted(name for name, _ in predictions) == ["cat", "dog", "output 2"]


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ("none.png", "none.png cannot be read: No such file or directory"),
        (
            np.zeros((8, 8, 3)),
            "an array of float64 with shape (8, 8, 3) is no picture: need uint8 of shape (height, "
            "width, 3), red, green, blue",
        ),
        (
            np.zeros((8, 8), dtype=np.uint8),
            "an array of uint8 with shape (8, 8) is no picture: need uint8 of shape (height, "
            "width, 3), red, green, blue",
        ),
    ],
)
def test_what_is_no_picture_is_refused(finished: SimpleNamespace, picture: Any, message: str):
    with pytest.raises(UserError) as error:
        transferlab.load_run(finished.folder).classify(picture)
    assert str(error.value) == message


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.safetensors", "mean.safetensors", "inference.json"])
def test_a_changed_file_is_refused_by_its_name(folder: Path, name: str):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-2] + b"0" + content[-1:])

    with pytest.raises(UserError, match=f"/{name} has the digest .*: the file was changed"):
        transferlab.load_run(folder)

    (folder / name).unlink()
    with pytest.raises(UserError, match=f"/{name} is missing: restore the right file"):
        transferlab.load_run(folder)


def test_a_network_that_is_built_otherwise_now_is_refused(folder: Path):
    interface = json.loads((folder / "inference.json").read_text())
    (folder / "inference.json").write_text(json.dumps(interface | {"num_outputs": 4}))
    record = json.loads((folder / "result.json").read_text())
    record["inference_sha256"] = files.sha256(folder / "inference.json")
    (folder / "result.json").write_text(json.dumps(record))

    with pytest.raises(UserError) as error:
        transferlab.load_run(folder)
    assert str(error.value).startswith(
        f"{folder}/weights.safetensors is not of model.name=alexnet_small as it is now, but as "
        f"version {transferlab.__version__} built it: "
    )
    assert "fc8.fc.weight" in str(error.value)


def test_a_folder_without_a_result_is_no_finished_run(folder: Path):
    (folder / "result.json").unlink()

    with pytest.raises(UserError) as error:
        transferlab.load_run(folder)
    assert (
        str(error.value) == f"{folder} has no result.json: it is not the folder of a finished run"
    )


def test_a_run_of_an_earlier_version_says_what_is_missing_and_how_to_get_it(folder: Path):
    record = json.loads((folder / "result.json").read_text())
    del record["inference_sha256"]
    (folder / "result.json").write_text(json.dumps(record))

    with pytest.raises(UserError) as error:
        transferlab.load_run(folder)
    assert str(error.value) == (
        f"{folder} has no inference.json: an earlier version made it, which kept neither the "
        "classes nor the mean image. Train it again in this one: python -m transferlab rerun "
        f"{folder}"
    )


def test_a_network_that_a_strangers_run_names_is_imported_only_with_trust(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    interface = json.loads((folder / "inference.json").read_text())
    (folder / "inference.json").write_text(json.dumps(interface | {"model": "nowhere:build"}))
    record = json.loads((folder / "result.json").read_text())
    record["inference_sha256"] = files.sha256(folder / "inference.json")
    (folder / "result.json").write_text(json.dumps(record))

    with pytest.raises(UserError, match="model.name=nowhere:build cannot be imported"):
        transferlab.load_run(folder)  # one's own
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(UserError, match="names code that this command would run: model.name=now"):
        transferlab.load_run(folder)
    with pytest.raises(UserError, match="model.name=nowhere:build cannot be imported"):
        transferlab.load_run(folder, trust=True)
    monkeypatch.setenv("TRANSFERLAB_TRUST", str(folder.parent))
    with pytest.raises(UserError, match="model.name=nowhere:build cannot be imported"):
        transferlab.load_run(folder)
