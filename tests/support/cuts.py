"""Checks that every cut of a network is one: prefix(n) then head(n) is the whole. Shapes."""

import torch

from transferlab.models.stages import StagedNetwork


def drawn(network: StagedNetwork) -> StagedNetwork:
    """The network with initial values and dropout masks, each stage's of its own seed."""
    seeds: dict[str, int] = {}
    network.initialise(lambda name: seeds.setdefault(name, len(seeds)))
    network.key_dropout(lambda name: seeds.setdefault(name, len(seeds)))
    return network


def assert_every_cut(network: StagedNetwork, images: torch.Tensor) -> None:
    """Of both kinds of cuts, in training and in evaluation, bit for bit."""
    for network.cuts in ("stage", "fine"):
        for mode in (True, False):
            network.train(mode).set_step(11)
            with torch.no_grad():
                whole = network(images)
                for n in range(len(network) + 1):
                    parts = network.head(n)(network.prefix(n)(images))
                    assert torch.equal(parts, whole), (network.cuts, mode, n)


def assert_cuts_compose(network: StagedNetwork, images: torch.Tensor) -> None:
    """As `assert_every_cut`, for large networks: each stage computes once.

    At every cut prefix and head are the network's stages, which one after the other compute the
    whole, of both kinds of cuts, in training and in evaluation, bit for bit.
    """
    for network.cuts in ("stage", "fine"):
        for n in range(len(network) + 1):
            parts = [*network.prefix(n), *network.head(n)]
            assert all(a is b for a, b in zip(parts, network, strict=True))
        for mode in (True, False):
            network.train(mode).set_step(11)
            with torch.no_grad():
                features = images
                for stage in network:
                    features = stage(features)
                assert torch.equal(features, network(images)), (network.cuts, mode)


def outputs(network: StagedNetwork, image_size: int) -> list[tuple[int, ...]]:
    """The shape of each stage's output for one image; the network is on torch.device("meta")."""
    x, shapes = torch.empty(2, 3, image_size, image_size, device="meta"), []
    for stage in network:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    return shapes
