"""Residual and plain networks for small images, against He et al. 2015 and Huang et al. 2016."""

import pytest
import torch
from support.cuts import assert_every_cut, drawn

from transferlab import models
from transferlab.models.dropout import StochasticDepth
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo import cifar_resnet, residual


def build(name: str, image_size: int = 16, num_outputs: int = 5, **options) -> StagedNetwork:
    return models.build(name, num_outputs=num_outputs, image_size=image_size, **options)


def images(side: int = 16, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_a_plain_network_starts_from_the_values_of_the_residual_one():
    plain, resnet = (drawn(build(f"cifar_{kind}20")).state_dict() for kind in ("plain", "resnet"))
    assert plain.keys() == resnet.keys()
    assert all(torch.equal(plain[name], resnet[name]) for name in plain)


def test_cuts_are_the_three_stages_or_every_unit():
    network = build("cifar_resnet20")
    assert network.stage_names == ("conv1", "stage1", "stage2", "stage3", "fc")
    network.cuts = "fine"
    units = [f"stage{stage}.{unit}" for stage in (1, 2, 3) for unit in (1, 2, 3)]
    assert network.stage_names == ("conv1", *units, "fc")


@pytest.mark.parametrize("size", [16, 31, 96])
def test_maps_halve_twice_and_round_up(size: int):
    sides = {16: (16, 16, 8, 4), 31: (31, 31, 16, 8), 96: (96, 96, 48, 24)}[size]
    x, found = images(size, 1), []
    network = build("resnet_small", size)
    with torch.no_grad():
        for stage in list(network)[:-1]:
            x = stage(x)
            found.append(tuple(x.shape[1:]))
    assert found == [(c, s, s) for c, s in zip((16, 16, 32, 64), sides, strict=True)]


def test_prefix_then_head_is_the_whole_at_every_cut():
    options = {"num_outputs": 5, "image_size": 16, "depth": 20}
    for kind in ({"residual": True}, {"residual": False}, {"residual": True, "survival": 0.5}):
        assert_every_cut(drawn(cifar_resnet.build(**options, **kind)), images())


def test_option_a_takes_every_second_pixel_and_appends_zero_channels():
    x = images(5)
    found = residual.shortcut("A", 3, 7, 2)(x)
    assert found.shape == (2, 7, 3, 3)
    assert torch.equal(found[:, :3], x[:, :, ::2, ::2])
    assert not found[:, 3:].any()


def test_a_unit_without_branch_is_its_shortcut():
    unit = build("cifar_resnet20").get_submodule("stage2.1.block")
    for parameter in unit.branch.bn2.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(2, 16, 8, 8)  # positive, so that the last ReLU changes nothing
    with torch.no_grad():
        assert torch.equal(unit(x)[:, :16], x[:, :, ::2, ::2])


def test_units_survive_less_the_deeper_they_are():
    """The last of 54 with 0.5, the first with 1 - 0.5 / 54. Source: Huang et al. 2016, Eq. 4."""
    network = build("cifar_resnet110_stochastic")
    drops = [m for m in network.modules() if isinstance(m, StochasticDepth)]
    assert [drop.p for drop in drops] == pytest.approx([unit / 108 for unit in range(1, 55)])
    assert not [m for m in build("cifar_resnet110").modules() if isinstance(m, StochasticDepth)]


def test_a_branch_survives_for_a_whole_batch_and_in_evaluation_is_its_expectation():
    network = cifar_resnet.build(num_outputs=5, image_size=16, depth=8, residual=True, survival=0.5)
    branch = drawn(network).eval().get_submodule("stage3.1.block.branch")
    x = torch.randn(4, 32, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        full, expected = branch[:-1](x), branch(x)
        branch.survival.train()  # the batch norms stay in evaluation
        outcomes = []
        for step in range(200):
            network.set_step(step)
            outcomes.append(branch(x))
    assert torch.allclose(expected, 0.5 * full)
    kept = [bool(outcome.any()) for outcome in outcomes]
    assert all(
        torch.allclose(outcome, full if keep else torch.zeros_like(full))
        for outcome, keep in zip(outcomes, kept, strict=True)
    )
    assert 72 < sum(kept) < 128  # four deviations of 7 about 100


def test_the_small_networks_have_eight_fine_stages():
    for name in ("resnet_small", "plain_small", "resnet_small_stochastic"):
        network = build(name, 32, 10)
        network.cuts = "fine"
        assert len(network) == 8
        assert sum(p.numel() for p in network.parameters()) == 172_506


@pytest.mark.parametrize(("reduction", "parameters"), [("maxpool", 172_506), ("parallel", 160_986)])
def test_the_reduction_of_a_small_network_may_be_another(reduction: str, parameters: int):
    for name in ("resnet_small", "plain_small"):
        network = drawn(build(name, 16, 10, reduction=reduction))
        assert sum(p.numel() for p in network.parameters()) == parameters
        assert_every_cut(network, images())
