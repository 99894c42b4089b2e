"""Pre-activation and wide residual networks, against He et al. 2016 and their authors' code."""

import math

import pytest
import torch
from support.cuts import assert_every_cut, drawn
from torch import nn

from transferlab import models
from transferlab.models.dropout import Dropout
from transferlab.models.zoo import preact_resnet, wide_resnet
from transferlab.models.zoo.residual import PreActivation


def images(side: int = 16) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_cuts_are_the_three_stages_or_every_unit():
    with torch.device("meta"):
        network = models.build("wrn_16_8", num_outputs=10, image_size=32, cuts="fine")
    names = ("conv1", "stage1.1", "stage1.2", "stage2.1", "stage2.2", "stage3.1", "stage3.2", "fc")
    assert network.stage_names == names


def test_prefix_then_head_is_the_whole_at_every_cut():
    wide = wide_resnet.build(num_outputs=5, image_size=16, depth=16, widening=1, dropout=0.3)
    deep = preact_resnet.build(num_outputs=5, image_size=16, depth=20)
    for network in (wide, deep):
        assert_every_cut(drawn(network), images())


def test_a_projection_takes_the_activated_input_and_the_identity_the_input():
    branch = nn.Conv2d(4, 4, 3, padding=1)
    nn.init.zeros_(branch.weight)
    nn.init.zeros_(branch.bias)
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(PreActivation(4, 4, 1, {"conv": branch})(x), x)

    widen = nn.Conv2d(4, 6, 3, stride=2, padding=1)
    nn.init.zeros_(widen.weight)
    nn.init.zeros_(widen.bias)
    unit = PreActivation(4, 6, 2, {"conv": widen})
    assert torch.equal(unit(x), unit.projection(unit.bn(x).relu()))


def test_the_last_stage_before_the_classifier_ends_in_batch_norm_and_relu():
    network = drawn(preact_resnet.build(num_outputs=5, image_size=16, depth=11)).eval()
    with torch.no_grad():
        depths = [bool((network.prefix(n)(images()) < 0).any()) for n in range(1, 5)]
    assert depths == [True, True, True, False]


def test_dropout_is_between_the_convolutions_of_a_unit():
    with torch.device("meta"):
        network = models.build("wrn_28_10_dropout", num_outputs=10, image_size=32)
        plain = models.build("wrn_28_10", num_outputs=10, image_size=32)
    assert not [m for m in plain.modules() if isinstance(m, Dropout)]
    units = [m for m in network.modules() if isinstance(m, PreActivation)]
    assert len(units) == 12
    for unit in units:
        names = [name for name, _ in unit.branch.named_children()]
        assert names == ["conv1", "bn2", "relu2", "dropout", "conv2"]
        assert unit.branch.dropout.p == 0.3


def test_initial_values_are_hes_by_fan_out():
    network = drawn(wide_resnet.build(num_outputs=10, image_size=16, depth=16, widening=2))
    found = {
        "stage2.1.block.branch.conv1": math.sqrt(2 / (64 * 9)),
        "stage2.1.block.projection": math.sqrt(2 / 64),
        "fc.fc": math.sqrt(1 / (3 * 128)),
    }
    for name, std in found.items():
        value = network.get_submodule(name).weight
        within = 4 / math.sqrt(2 * value.numel())  # standard errors
        assert value.std().item() == pytest.approx(std, rel=within), name
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        assert (norm.weight.unique().tolist(), norm.bias.unique().tolist()) == ([1.0], [0.0])
