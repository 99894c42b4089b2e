"""Residual and plain networks for ImageNet, against He et al. 2015 and torchvision."""

import math

import pytest
import torch
import torchvision
from support.cuts import assert_every_cut, drawn
from torch import nn

from transferlab import models
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo import resnet
from transferlab.models.zoo.residual import Residual


def build(name: str, image_size: int = 32, num_outputs: int = 5) -> StagedNetwork:
    return models.build(name, num_outputs=num_outputs, image_size=image_size)


def images(side: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_cuts_are_the_stages_of_table_1_or_every_block():
    network = build("resnet50")
    assert network.stage_names == ("conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "fc")
    network.cuts = "fine"
    blocks = {2: 3, 3: 4, 4: 6, 5: 3}
    names = [f"conv{x}_x.conv{x}_{i}" for x, count in blocks.items() for i in range(1, count + 1)]
    assert network.stage_names == ("conv1", *names, "fc")


def test_prefix_then_head_is_the_whole_at_every_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resnet, "WIDTHS", (4, 8, 16, 32))  # but for torchvision's
    for name in ("resnet18", "resnet18_a", "plain18", "resnet50"):
        assert_every_cut(drawn(build(name)), images())


@pytest.mark.parametrize(
    ("name", "library"), [("resnet18", "resnet18"), ("resnet50_v1.5", "resnet50")]
)
def test_it_computes_what_torchvisions_does(name: str, library: str):
    network = drawn(build(name, 64)).eval()
    theirs = getattr(torchvision.models, library)(num_classes=5).eval()
    values = network.state_dict().values()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    with torch.no_grad():
        assert torch.equal(network(images(64)), theirs(images(64)))


def test_the_papers_bottleneck_has_its_stride_in_the_first_convolution_and_torchvisions_not():
    for name, strides in (("resnet50", [2, 1, 1, 2]), ("resnet50_v1.5", [1, 2, 1, 2])):
        with torch.device("meta"):
            block = build(name).get_submodule("conv3_x.conv3_1")
        found = [m.stride[0] for m in block.modules() if isinstance(m, nn.Conv2d)]
        assert found == strides, name


def test_shortcuts_are_projections_where_the_option_says_so():
    for name, projected in (("resnet34_a", 0), ("resnet50", 4), ("resnet34_c", 16), ("plain34", 0)):
        with torch.device("meta"):
            units = [m for m in build(name).modules() if isinstance(m, Residual)]
        found = [unit for unit in units if unit.shortcut and list(unit.shortcut.parameters())]
        assert (len(units), len(found)) == (16, projected), name
        assert all((unit.shortcut is None) == name.startswith("plain") for unit in units)


@pytest.mark.parametrize("name", ["resnet18", "resnet34_a"])
def test_initial_values_are_hes(name: str):
    """Convolutions N(0, 2 / fan-out); the last layer uniform in 1 / sqrt(fan-in) either way."""
    network = drawn(build(name, num_outputs=1000))
    weights = {
        "conv1.conv": math.sqrt(2 / (64 * 49)),
        "conv3_x.conv3_1": math.sqrt(2 / (128 * 9)),  # from 64 channels
        "conv5_x.conv5_2": math.sqrt(2 / (512 * 9)),
        "fc": math.sqrt(1 / (3 * 512)),
    }
    for part, std in weights.items():
        layers = [
            m for m in network.get_submodule(part).modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        value = layers[0].weight
        within = 4 / math.sqrt(2 * value.numel())  # standard errors
        assert value.std().item() == pytest.approx(std, rel=within), part
        assert abs(value.mean().item()) < 4 * std / math.sqrt(value.numel()), part
    fc = network.get_submodule("fc.fc")
    assert fc.weight.abs().max().item() < 1 / math.sqrt(512)
    assert fc.bias.unique().tolist() == [0.0]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == {"resnet18": 20, "resnet34_a": 33}[name]
    for norm in norms:
        assert norm.weight.unique().tolist() == [1.0]
        assert norm.bias.unique().tolist() == [0.0]
        assert norm.running_mean.unique().tolist() == [0.0]
        assert norm.running_var.unique().tolist() == [1.0]
