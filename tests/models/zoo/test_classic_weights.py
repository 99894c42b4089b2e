"""Initial values, cuts and training of the networks from AlexNet to VGG and Network in Network."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from transferlab import models
from transferlab.models.dropout import Dropout
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo import alexnet2012, chatfield, nin, overfeat, vgg, zfnet

NARROW = {"conv1", "conv3", "classifier"}  # of nin: N(0, 0.01 ** 2), the others N(0, 0.05 ** 2)
ONE = {"conv2", "conv4", "conv5", "fc6", "fc7"}  # biases of alexnet2012 that start at 1

# family -> its builder, the side of a small image, and the deviation of a layer's weights by the
# name of its stage, its fan-in and its fan-out
Deviation = Callable[[str, int, int], float]
DRAWN: dict[str, tuple[Callable[..., StagedNetwork], int, Deviation]] = {
    "alexnet2012": (alexnet2012.build, 67, lambda *_: 0.01),
    "zfnet": (partial(zfnet.build, maps=(384, 384, 256)), 47, lambda *_: 0.01),
    "overfeat": (overfeat.fast, 71, lambda *_: 0.01),
    "chatfield": (partial(chatfield.medium, fc7=128), 41, lambda *_: 0.01),
    "vgg": (partial(vgg.build, configuration="A-LRN"), 32, lambda *_: 0.01),
    "vgg_glorot": (
        partial(vgg.build, configuration="B"), 32, lambda _, i, o: math.sqrt(2 / (i + o))
    ),
    "vgg_small": (
        vgg.small, 16, lambda name, i, o: 0.01 if name == "fc7" else math.sqrt(2 / i)
    ),
    "nin": (nin.build, 39, lambda name, i, o: 0.01 if name in NARROW else 0.05),
    "nin_cifar": (nin.cifar, 16, lambda *_: 0.05),
    "nin_small": (nin.small, 16, lambda name, i, o: math.sqrt(2 / i)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=DRAWN)
def drawn(request) -> Iterator[tuple[str, StagedNetwork]]:
    """A network with 7 outputs for its smallest image, with its initial values."""
    build, size, _ = DRAWN[request.param]
    with torch.device("meta"):
        network = build(num_outputs=7, image_size=size)
    network.to_empty(device="cpu")
    network.initialise(lambda name: sum(name.encode()))
    network.key_dropout(lambda name: 1 + sum(name.encode()))
    yield request.param, network


def layers(network: StagedNetwork) -> Iterator[tuple[str, nn.Module]]:
    """The weight layers by the last part of their stage's name."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield path.split(".")[-2], module


def test_initial_values_are_the_papers(drawn: tuple[str, StagedNetwork]):
    name, network = drawn
    deviation = DRAWN[name][2]
    for stage, layer in layers(network):
        weight, groups = layer.weight, getattr(layer, "groups", 1)
        taps = math.prod(weight.shape[2:])
        std = deviation(stage, weight.shape[1] * taps, weight.shape[0] // groups * taps)
        error = std / math.sqrt(weight.numel())  # of the mean
        assert abs(weight.mean().item()) < 5 * error, stage
        assert weight.std().item() == pytest.approx(std, abs=5 * error), stage
        bias = 1.0 if name == "alexnet2012" and stage in ONE else 0.0
        assert layer.bias.unique().tolist() == [bias], stage


@pytest.mark.parametrize("drawn", [name for name in DRAWN if name != "vgg_glorot"], indirect=True)
def test_prefix_then_head_is_the_whole_at_every_cut(drawn: tuple[str, StagedNetwork]):
    name, network = drawn
    x, wholes = image(DRAWN[name][1]), {}
    for training in (False, True):
        network.train(training).set_step(3)
        with torch.no_grad():
            for cuts in ("stage", "fine"):
                network.cuts = cuts
                if cuts == "stage" or len(network) > len(network.tops):  # else both are the same
                    wholes[training] = whole = check_every_cut(network, x)
                    assert whole.shape == (2, 7) and whole.std() > 0
    dropout = any(isinstance(module, Dropout) for module in network.modules())
    assert torch.equal(wholes[False], wholes[True]) == (not dropout)


def check_every_cut(network: StagedNetwork, x: Tensor) -> Tensor:
    whole, features = network(x), x
    for n in range(1, len(network)):
        features = network.prefix(n)[-1](features)
        assert list(network.prefix(n)) == list(network)[:n]
        assert torch.equal(network.head(n)(features), whole), n
    return whole


def image(size: int) -> Tensor:
    """Two images of grey levels about their mean."""
    noise = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return (noise - 0.5) * 255


def test_the_small_ones_learn():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(16) % 4
    templates = torch.randn(4, 3, 16, 16, generator=generator)
    x = templates[labels] + 0.5 * torch.randn(16, 3, 16, 16, generator=generator)
    for name in ("vgg_small", "nin_small"):
        network = models.build(name, num_outputs=4, image_size=16)
        network.initialise(lambda stage: sum(stage.encode()))
        optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        losses = []
        for step in range(20):
            network.set_step(step)
            loss = nn.functional.cross_entropy(network(x), labels)
            losses.append(loss.item())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert losses[-1] < 0.5 * losses[0], name
