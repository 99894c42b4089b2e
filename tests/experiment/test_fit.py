"""Settings that make images and network fit, as messages and `prepare` suggest them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from transferlab.data import StoredPixels
from transferlab.errors import UserError
from transferlab.experiment import fit
from transferlab.experiment.conf import CONF
from transferlab.experiment.config import RunConfig
from transferlab.models.zoo import NETWORKS

Compose = Callable[..., RunConfig]
RUN = ("+split=random", "transfer.n=3")
PREPARED = (*RUN, "data=prepared", "data.root=P")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=alexnet"],
         "data.crop=32 does not fit model=alexnet, which takes 227 pixels: set data.size=256 "
         "data.crop=227 data.scale=1.0, or model=alexnet_small"),
        (["data=imagenet"],
         "data.crop=227 does not fit model=alexnet_small, which takes 16 to 96 pixels: set "
         "data.size=32 data.crop=32 data.scale=0.015625, or model=alexnet"),
        (["data.size=8", "data.crop=8"],
         "data.crop=8 does not fit model=alexnet_small, which takes 16 to 96 pixels: set "
         "data.size=32 data.crop=32, or model=alexnet data.size=256 data.crop=227 data.scale=1.0"),
    ],
)  # fmt: skip
def test_an_image_size_that_does_not_fit_is_refused_with_all_that_has_to_change(
    config: Compose, words: list[str], message: str
):
    with pytest.raises(UserError) as error:
        fit.check_network(config(*RUN, *words))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("words", "stored", "message"),
    [
        ([], StoredPixels(64, "warp", "exact"),
         "data.size=256 differs from the 64 pixels of P: set data.size=64 data.crop=64 "
         "data.scale=0.015625, or prepare the images again"),
        (["model=alexnet"], StoredPixels(300, "crop", "exact"),
         "data.size=256 differs from the 300 pixels of P: set data.size=300 data.resize=crop, or "
         "model=alexnet_small data.size=300 data.crop=96 data.scale=0.015625 data.resize=crop, or "
         "prepare the images again"),
        (["model=alexnet"], StoredPixels(256, "crop", "exact"),
         "data.resize=warp differs from the crop of P: set data.resize=crop, or "
         "model=alexnet_small data.crop=96 data.scale=0.015625 data.resize=crop, or prepare the "
         "images again"),
        (["model=alexnet"], StoredPixels(256, "warp", "scaled"),
         "data.decode=exact differs from the scaled of P: set data.decode=scaled, or "
         "model=alexnet_small data.crop=96 data.scale=0.015625 data.decode=scaled, or prepare the "
         "images again"),
        (["model=alexnet", "data.resize=side"], StoredPixels(256, "crop", "exact"),
         "data.resize=side takes crops from whole images, and those of P are squares: set "
         "data.resize=crop, or read the folder of which they were made"),
        (["model=alexnet", "data.scales=[256,512]"], StoredPixels(500, "warp", "exact"),
         "data.size=256 and data.scales=[256,512] must be at most the 500 pixels of P: choose "
         "smaller ones, or prepare larger images"),
        ([], StoredPixels(8, "warp", "exact"),
         "data.size=256 differs from the 8 pixels of P: name a network of yours with "
         "model.name=package.module:function, or prepare the images again"),
    ],
)  # fmt: skip
def test_prepared_images_of_another_size_are_refused_with_all_that_has_to_change(
    config: Compose, words: list[str], stored: StoredPixels, message: str
):
    with pytest.raises(UserError) as error:
        fit.check_stored(config(*PREPARED, *words), stored)
    assert str(error.value) == message


def test_images_of_the_stored_size_and_of_no_stored_size_fit(config: Compose):
    fit.check_stored(config(*PREPARED, "model=alexnet"), StoredPixels(256, "warp", "exact"))
    fit.check_stored(config(*RUN), None)
    jitter = ("model=alexnet", "data.scales=[256,512]", "data.size=384")
    fit.check_stored(config(*PREPARED, *jitter), StoredPixels(512, "warp", "exact"))
    fit.check_network(config(*RUN, "model.name=one.s:own", "data.size=500", "data.crop=500"))


@pytest.mark.parametrize(
    ("size", "classes", "command"),
    [
        (256, 1000, "+split=random data=prepared data.root=P model=alexnet train=yosinski2014 "
         "transfer.n=3"),
        (300, 4, "+split=random data=prepared data.root=P model=alexnet data.size=300 "
         "train=yosinski2014 transfer.n=3"),
        (226, 4, "+split=random data=prepared data.root=P data.size=226 data.crop=96 "
         "data.scale=0.015625 train=small32 transfer.n=3"),
        (32, 3, "+split=whole data=prepared data.root=P data.size=32 data.crop=32 "
         "data.scale=0.015625 train=small32 transfer.variant=baseB"),
    ],
)  # fmt: skip
def test_the_first_run_on_prepared_images_has_a_network_that_takes_them(
    size: int, classes: int, command: str
):
    first = fit.first_run(Path("P"), StoredPixels(size, "warp", "exact"), classes)
    assert first == f"python -m transferlab {command}"


def test_one_class_and_tiny_images_have_no_first_run():
    assert fit.first_run(Path("P"), StoredPixels(32, "warp", "exact"), 1) == (
        "a run needs at least 2 classes"
    )
    assert fit.first_run(Path("P"), StoredPixels(8, "warp", "exact"), 9) == (
        "name a network of yours with model.name=package.module:function, which takes 8 pixels"
    )


@pytest.mark.parametrize(("model", "data"), [("alexnet_small", "digits"), ("alexnet", "imagenet")])
def test_the_inputs_of_a_network_are_those_of_conf(config: Compose, model: str, data: str):
    composed = config(*RUN, f"data={data}").data
    values = {name: getattr(composed, name.removeprefix("data.")) for name in fit.KEYS}
    assert values == fit.inputs(model)


def test_every_network_has_a_choice_of_its_name_a_recipe_and_images_that_it_takes():
    assert NETWORKS.keys() == {*CONF.choices("model")}
    for name, entry in NETWORKS.items():
        least, most = entry.images
        assert entry.recipe in CONF.choices("train"), name
        assert least <= entry.crop <= min(most, entry.size), name
