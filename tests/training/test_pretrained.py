"""A network that was trained elsewhere as A: adopted, copied from, exported, and refused."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file, save_file
from support import trees
from support.fake_cluster import FakeCluster
from support.studies import make_slurm

from transferlab import load_run, results
from transferlab.__main__ import main
from transferlab.errors import UserError
from transferlab.experiment import compose, pretrained
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve, resolve_all
from transferlab.experiment.run import MEAN, make_run
from transferlab.launch import dispatch, inline
from transferlab.launch.inline import FinishedRun

Compose = Callable[..., RunConfig]
STEPS = ("train.epochs=null", "train.total_steps=2", "train.val_every=2", "data.per_class=4")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def photos(tmp_path: Path) -> tuple[str, ...]:
    """B: 16 images of three classes."""
    root = trees.tree(tmp_path / "photos")
    sizes = ("data.size=16", "data.crop=16")
    return ("+split=pretrained", "data=image_folder", f"data.root={root}", *sizes, *STEPS)


@pytest.fixture
def digits(config: Compose, tmp_path: Path) -> FinishedRun:
    """A network of another store: all ten digits, at 24 pixels."""
    run = config(
        "+split=whole", "transfer.variant=baseB", "data.size=28", "data.crop=24",
        "data.scale=0.01", *STEPS, f"runtime.store={tmp_path}/elsewhere",
    )  # fmt: skip
    return inline.carry_out([resolve(run)])[-1]


def test_a_finished_run_is_the_base_of_others_and_is_never_trained(
    config: Compose, photos: tuple[str, ...], digits: FinishedRun, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    words = (*photos, f"split.weights={digits.run.folder}")
    runs = resolve_all(
        config(*words, f"transfer.variant={name}") for name in ("A2B", "A2B+", "baseB")
    )
    a2b, tuned, baseB = runs
    assert a2b.base is not None and tuned.base is not None and a2b.base.id == tuned.base.id
    assert baseB.base is None and a2b.classes == ("Ant", "bee", "cat")

    caplog.set_level(logging.INFO, "transferlab")
    done = {each.run.label: each for each in inline.carry_out(runs)}

    base = done["baseA"]
    assert "baseA  16 tensors copied" in caplog.messages
    assert base.result["metrics"] == {"tensors": 16} and base.result["steps"] == 0
    assert base.result["account"]["source"] == str(digits.run.folder)
    assert base.result["account"]["outputs"] == base.result["num_classes"] == 10
    theirs, ours = (load_file(each.run.weights_file) for each in (digits, base))
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    frozen, learnt = (load_file(done[name].run.weights_file) for name in ("A2B", "A2B+"))
    for name in theirs:
        if name.startswith(("conv1.", "conv2.")):
            assert torch.equal(frozen[name], theirs[name])
            assert not torch.equal(learnt[name], theirs[name])
    assert done["A2B"].result["prefix_unchanged"] is True

    # B is seen as the network saw its own images, whose mean image comes with it
    seen = load_run(done["A2B"].run.folder).preprocess.settings
    assert (seen.size, seen.crop, seen.scale) == (28, 24, 0.01)
    means = [load_arrays(each.run.folder / MEAN)["mean"] for each in (digits, done["A2B"])]
    assert np.array_equal(*means)
    assert load_run(base.run.folder).classes == tuple("0123456789")

    # Nothing is trained twice, the source is not needed again, and no table averages the base
    for file in digits.run.folder.iterdir():
        file.unlink()
    assert all(each.reused for each in inline.carry_out(runs))
    assert resolve(a2b.config).id == a2b.id
    found = results.load(tmp_path / "runs")
    assert sorted(found.table["label"]) == ["A2B", "A2B+", "baseB"]
    assert "baseA" not in set(found.left_out["label"])
    (experiment,) = found.experiments
    assert experiment.name.startswith(
        f"{digits.run.folder.name} to photos (3 classes, 16 images) alexnet_small"
    )


def test_the_same_weights_are_one_base_wherever_they_come_from_and_export_is_their_way(
    config: Compose, photos: tuple[str, ...], digits: FinishedRun, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    out = tmp_path / "w.safetensors"
    assert main(["export", str(digits.run.folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 16 tensors under the names of this package\n"
    assert main(["export", str(digits.run.folder), "--out", str(tmp_path / "w.pt")]) == 0
    assert main(["export", str(digits.run.folder), "--out", str(tmp_path / "w")]) == 2

    given = ("split.a.size=28", "split.a.crop=24", "split.a.scale=0.01", "split.a.mean=none")
    bare = (f"split.weights={tmp_path}/w.pt", "data@split.a=digits", *given)
    folder, file, other = (
        resolve(config(*photos, *words, "transfer.variant=A2B"))
        for words in ((f"split.weights={digits.run.folder}",), (f"split.weights={out}",), bare)
    )

    assert folder.id == file.id and folder.base is not None and file.base is not None
    assert folder.base.id == file.base.id
    assert other.id != file.id  # whose images are prepared otherwise
    assert json.dumps(inline.carry_out([file])[0].result["account"]["renamed"]) == "{}"
    assert torch.equal(
        load_file(file.base.weights_file)["conv1.conv.weight"],
        torch.load(tmp_path / "w.pt", weights_only=True)["conv1.conv.weight"],
    )


def test_a_run_that_is_of_no_images_of_a_or_of_uncovered_stages_is_refused(
    config: Compose, photos: tuple[str, ...], digits: FinishedRun, tmp_path: Path
):
    words = (*photos, f"split.weights={digits.run.folder}")
    for name in ("A2A", "B2A", "R2A"):
        with pytest.raises(UserError, match=f"^{name} has no images to learn: A of split=pretr"):
            config(*words, f"transfer.variant={name}")
    with pytest.raises(UserError, match=r"^missing split\.weights: split=pretrained needs"):
        config(*photos, "transfer.variant=A2B")
    with pytest.raises(UserError, match=r"^split\.weights=x is used only by split=pretrained"):
        config("+split=random", "split.weights=x", "transfer.variant=A2B")

    tensors = load_file(digits.run.weights_file)
    del tensors["conv3.conv.bias"]
    file = tmp_path / "part.safetensors"
    save_file(tensors, file)
    part = (*photos, f"split.weights={file}")
    with pytest.raises(UserError) as error:
        resolve(config(*part, "transfer.variant=A2B"))
    assert str(error.value) == (
        f"split.weights={file} does not say how its images were prepared: name that with split.a, "
        "for instance split.a=imagenet_torchvision (shorter side 256, crop 224, torchvision's mean "
        "and deviation)"
    )
    seen = ("data@split.a=digits", "split.a.mean=[1,2,3]", "split.a.size=24", "split.a.crop=24")
    with pytest.raises(UserError) as error:
        resolve(config(*part, *seen, "transfer.variant=A3B"))
    assert str(error.value) == (
        f"split.weights={file} covers 2 stages of model=alexnet_small, and 3 are to be copied: "
        "missing conv3.conv.bias; choose transfer.n up to 2"
    )
    run = resolve(config(*part, *seen, "transfer.variant=A2B"))
    (base, done) = inline.carry_out([run])
    assert {n.partition(".")[0] for n in load_file(base.run.weights_file)} == {"conv1", "conv2"}
    assert done.result["base_id"] == base.run.id
    with pytest.raises(UserError, match=r"^split\.a\.mean=base is a mean image, and split\.w"):
        resolve(config(*part, "data@split.a=digits", "transfer.variant=A2B"))


def test_the_id_of_the_base_is_that_of_its_weights_and_golden(
    config: Compose, photos: tuple[str, ...], tmp_path: Path
):
    """Golden as those of test_identity: never write a new id here."""
    a = (
        "data@split.a=digits", "split.a.name=weights", "split.a.holdout=null",
        "split.a.digest='11'", "split.a.mean=none", "data.digest='22'", "split.digest='33'",
    )  # fmt: skip
    words = (*photos, "split.weights=W", *a)
    made = [
        make_run(config(*words, *more, "transfer.variant=A2B"))
        for more in ((), ("seed=7",), ("data.size=20",), ("train.lr=0.5",), ("split.weights=V",))
    ]
    assert {run.base_id for run in made} == {"da99e1f6a698"}
    assert (made[0].id, made[4].id) == ("d0aa4ea019f8", "d0aa4ea019f8")
    assert len({run.id for run in made}) == 4
    first, *others = (run.base.config for run in made[:3] if run.base is not None)
    assert others == [first, first]  # of neither the seed nor the data of its dependents
    assert (first.data, first.seed) == (first.split.a, 0)


def test_the_network_follows_from_the_weights_of_a_library_and_of_a_run(digits: FinishedRun):
    for weights, model in (
        ("torchvision:ResNet50_Weights.IMAGENET1K_V2", "torchvision:resnet50"),
        ("torchvision:EfficientNet_V2_S_Weights.DEFAULT", "torchvision:efficientnet_v2_s"),
        ("timm:resnet10t.c3_in1k", "timm:resnet10t"),
        (str(digits.run.folder), "alexnet_small"),
        ("file.safetensors", None),
    ):
        assert pretrained.model_of(weights) == model
        words = ["+split=pretrained", f"split.weights={weights}"]
        named = [] if model is None else [f"model.name={model}"]
        assert compose.with_model(words) == [*words, *named]
        assert compose.with_model([*words, "model=alexnet"]) == [*words, "model=alexnet"]


def test_a_network_of_torchvision_is_exported_under_its_names_and_read_back(
    config: Compose, photos: tuple[str, ...], tmp_path: Path
):
    """With the names of the library's own file before it was adopted, and after."""
    torch.manual_seed(0)
    library = torchvision.models.squeezenet1_1(num_classes=7)
    save_file(library.state_dict(), tmp_path / "theirs.safetensors")
    words = (
        *photos, "model.name=torchvision:squeezenet1_1", "data@split.a=digits",
        "split.a.mean=none", "split.a.size=32", "split.a.crop=32",
        f"split.weights={tmp_path}/theirs.safetensors",
    )  # fmt: skip
    run = resolve(config(*words, "transfer.variant=baseA"))
    (base,) = inline.carry_out([run])
    assert base.result["num_classes"] == 7

    out = tmp_path / "ours.safetensors"
    assert main(["export", str(base.run.folder), "--out", str(out)]) == 0

    exported = load_file(out)
    assert all(torch.equal(value, exported[name]) for name, value in library.state_dict().items())
    fresh = torchvision.models.squeezenet1_1(num_classes=7)
    fresh.load_state_dict(exported, strict=True)
    again = resolve(config(
        *(word for word in words if not word.startswith(("split.", "data@"))),
        f"split.weights={out}", "transfer.variant=baseA",
    ))  # fmt: skip
    assert again.id == base.run.id


def test_a_study_brings_the_network_into_the_store_and_its_jobs_train_only_the_others(
    config: Compose, photos: tuple[str, ...], digits: FinishedRun, tmp_path: Path
):
    words = (*photos, f"split.weights={digits.run.folder}")
    wanted = [config(*words, f"transfer.variant={name}") for name in ("A1B", "A2B", "baseB")]
    launcher = make_slurm()

    order = dispatch.order("s", dispatch.resolved(wanted, launcher), launcher, pack=None)

    assert [run.label for run in order.runs] == ["baseA", "baseB", "A1B", "A2B"]
    assert [run.label for run in order.todo] == ["baseB", "A1B", "A2B"]
    assert not order.runs[0].folder.exists()  # a plan writes nothing
    submission = dispatch.submit(order, FakeCluster())
    labels = {run.id: run.label for run in order.runs}
    packs = [[labels[run] for run in pack] for job in submission.jobs for pack in job.packs]
    assert sorted(packs) == [["A1B", "A2B"], ["baseB"]]
    assert load_file(order.runs[0].weights_file).keys() == load_file(digits.run.weights_file).keys()
    again = dispatch.order("s", dispatch.resolved(wanted, launcher), launcher, pack=None)
    assert [run.label for run in again.todo] == ["baseB", "A1B", "A2B"]
