"""Stages of one weight layer, and the map that fully connected layers are given."""

import pytest
import torch
from torch import nn

from transferlab.errors import UserError
from transferlab.models.dropout import Dropout
from transferlab.models.initial import gaussian
from transferlab.models.zoo import layers


def test_a_convolution_has_its_relu_and_what_follows_in_order():
    stage = layers.convolution(
        nn.Conv2d(3, 4, 3), gaussian(0.1), dropout=0.3, pool=nn.MaxPool2d(2), norm=nn.Identity()
    )
    assert [name for name, _ in stage.named_children()] == [
        "dropout", "conv", "relu", "pool", "norm"
    ]  # fmt: skip
    assert stage.get_submodule("dropout").p == 0.3
    assert "dropout" not in dict(
        layers.convolution(nn.Conv2d(3, 4, 3), gaussian(0.1)).named_children()
    )


def test_fully_connected_layers_flatten_then_drop_and_end_without_a_relu():
    stages = layers.fully_connected(
        {"fc4": 7, "fc5": 6, "fc6": 5},
        inputs=12,
        initial=gaussian(0.1, bias=1.0),
        last=gaussian(0.2),
    )
    assert {name: [type(layer).__name__ for layer in stage] for name, stage in stages.items()} == {
        "fc4": ["Flatten", "Linear", "ReLU"],
        "fc5": ["Dropout", "Linear", "ReLU"],
        "fc6": ["Dropout", "Linear"],
    }
    widths = {name: tuple(stage.get_submodule("fc").weight.shape) for name, stage in stages.items()}
    assert widths == {"fc4": (7, 12), "fc5": (6, 7), "fc6": (5, 6)}
    dropouts = [m.p for stage in stages.values() for m in stage if isinstance(m, Dropout)]
    assert dropouts == [0.5, 0.5]
    biases = []
    for stage in stages.values():
        stage.initialise(torch.Generator().manual_seed(0))
        biases.append(stage.get_submodule("fc").bias.unique().tolist())
    assert biases == [[1.0], [1.0], [0.0]]


def test_the_papers_alpha_is_of_each_of_five_channels():
    found = layers.response_norm()(torch.full((1, 5, 1, 1), 100.0))
    # the third channel sees all five: 2 + 1e-4 * 5 * 100 ** 2 = 7
    assert found[0, 2].item() == pytest.approx(100 / 7**0.75, rel=1e-5)


def test_the_side_of_a_map_is_the_one_that_torch_computes():
    with torch.device("meta"):
        for layer in (
            nn.Conv2d(3, 3, 7, stride=2, padding=1),
            nn.MaxPool2d(3, stride=2),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            nn.MaxPool2d(2, stride=2, padding=1, ceil_mode=True),
            nn.AvgPool2d(3, stride=3, ceil_mode=True),
        ):
            for size in range(7, 24):
                found = layer(torch.empty(1, 3, size, size))
                assert layers.map_side({"stage": nn.Sequential(layer)}, size) == found.shape[-1]


def test_an_image_too_small_is_refused_with_the_stage_where_the_map_vanishes():
    stages = {
        "conv1": nn.Sequential(nn.Conv2d(3, 8, 11, stride=4)),
        "conv2": nn.Sequential(nn.Conv2d(8, 8, 5), nn.MaxPool2d(2)),
    }
    assert layers.map_side(stages, 31) == 1
    with pytest.raises(UserError) as error:
        layers.map_side(stages, 30)
    assert str(error.value) == "data.crop=30 is too small: nothing is left of the image in conv2"
