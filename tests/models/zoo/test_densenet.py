"""DenseNets, against Huang et al. 2016 and torchvision."""

import math

import pytest
import torch
import torchvision
from support.cuts import assert_every_cut, drawn
from torch import nn

from transferlab import models
from transferlab.models.dropout import Dropout
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo import cifar_densenet, densenet
from transferlab.models.zoo.dense import Dense


def build(name: str, image_size: int = 32, num_outputs: int = 5, **options) -> StagedNetwork:
    return models.build(name, num_outputs=num_outputs, image_size=image_size, **options)


def images(side: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_cuts_are_blocks_and_transitions_or_every_layer():
    with torch.device("meta"):
        network = build("densenet121")
        small = build("cifar_densenet40")
    assert network.stage_names == (
        "conv0", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3",
        "transition3", "denseblock4", "classifier",
    )  # fmt: skip
    assert small.stage_names == (
        "conv0", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3",
        "classifier",
    )  # fmt: skip
    for each, blocks in ((network, (6, 12, 24, 16)), (small, (12, 12, 12))):
        names = ["conv0"]
        for block, count in enumerate(blocks, start=1):
            names += [f"denseblock{block}.layer{layer}" for layer in range(1, count + 1)]
            names += [f"transition{block}"] if block < len(blocks) else ["classifier"]
        each.cuts = "fine"
        assert each.stage_names == tuple(names)


def test_prefix_then_head_is_the_whole_at_every_cut():
    options = {"num_outputs": 5, "image_size": 32, "growth": 4}
    for network in (
        densenet.build(layers=(2, 3, 2, 1), **options),
        cifar_densenet.build(depth=16, bc=True, **options),
        cifar_densenet.build(depth=13, bc=False, dropout=0.2, **options),
    ):
        assert_every_cut(drawn(network), images())


def test_it_computes_what_torchvisions_does():
    network = drawn(build("densenet121")).eval()
    theirs = torchvision.models.densenet121(num_classes=5).eval()
    values = network.state_dict().values()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    with torch.no_grad():
        assert torch.equal(network(images()), theirs(images()))


def test_a_dense_layer_appends_its_channels_to_the_input():
    with torch.no_grad():
        network = drawn(build("cifar_densenet_bc100")).eval()
        network.cuts = "fine"
        before, after = (network.prefix(n)(images()) for n in (3, 4))
    assert (before.shape[1], after.shape[1]) == (48, 60)
    assert torch.equal(after[:, :48], before)


def test_dropout_is_after_every_convolution_but_the_first():
    def layers(name: str, part: str) -> list[str]:
        with torch.device("meta"):
            module = build(name).get_submodule(part)
        return [name for name, _ in module.named_children()]

    one = "denseblock1.layer1.dense.layers"
    assert layers("cifar_densenet40_dropout", "conv0") == ["conv"]
    assert layers("cifar_densenet40_dropout", one) == ["norm", "relu", "conv", "dropout"]
    assert layers("cifar_densenet40_dropout", "transition1") == [
        "norm", "relu", "conv", "dropout", "pool",
    ]  # fmt: skip
    assert layers("cifar_densenet_bc100", one) == [
        "norm1", "relu1", "conv1", "norm2", "relu2", "conv2",
    ]  # fmt: skip
    with torch.device("meta"):
        found = [m.p for m in build("cifar_densenet40_dropout").modules() if isinstance(m, Dropout)]
        for name in ("cifar_densenet40", "densenet121"):
            assert not [m for m in build(name).modules() if isinstance(m, Dropout | nn.Dropout)]
    assert found == [0.2] * (3 * 12 + 2)


@pytest.mark.parametrize("name", ["densenet121", "cifar_densenet40"])
def test_initial_values_are_hes_by_fan_out(name: str):
    """Of the authors' code; torchvision draws by fan-in."""
    network = drawn(build(name, num_outputs=1000))
    layer = network.get_submodule("denseblock2.layer2")
    dense = next(m for m in layer.modules() if isinstance(m, Dense))
    convolutions = [m for m in dense.modules() if isinstance(m, nn.Conv2d)]
    stds = {
        "densenet121": [math.sqrt(2 / 128), math.sqrt(2 / (32 * 9))],
        "cifar_densenet40": [math.sqrt(2 / (12 * 9))],
    }[name]
    for convolution, std in zip(convolutions, stds, strict=True):
        within = 4 / math.sqrt(2 * convolution.weight.numel())  # standard errors
        assert convolution.weight.std().item() == pytest.approx(std, rel=within)
    classifier = network.get_submodule("classifier.fc")
    assert classifier.weight.abs().max().item() < 1 / math.sqrt(classifier.in_features)
    assert classifier.bias.unique().tolist() == [0.0]
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        assert (norm.weight.unique().tolist(), norm.bias.unique().tolist()) == ([1.0], [0.0])


def test_the_small_network_halves_its_channels_and_maps_in_transitions():
    network = drawn(build("densenet_small", 16))
    x, found = images(16), []
    with torch.no_grad():
        for stage in list(network)[:-1]:
            x = stage(x)
            found.append(tuple(x.shape[1:3]))
    assert found == [(24, 16), (60, 16), (30, 8), (66, 8), (33, 4), (69, 4)]
