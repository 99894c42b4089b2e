"""SGD as Caffe runs it: rates and decay by parameter, the rate by step, the velocity."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from transferlab.training import optimiser
from transferlab.training.recipe import Recipe
from transferlab.training.schedule import Schedule


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Listed(Recipe):
    """The release's factors at the given rates, the last of which stays."""

    rates: Sequence[float] = (0.1,)

    def rate(self, total_steps: int) -> Schedule:
        return lambda i: self.rates[min(i, len(self.rates)) - 1]


def build(*networks: nn.Module, step: int = 0, **settings):
    """The optimiser and its scheduler, at a rate of 0.1."""
    release: dict = dict(
        lr=0.1, schedule="cosine", momentum=0.9, weight_decay=0.0005, bias_lr_factor=2.0,
        bias_decay_factor=0.0,
    )  # fmt: skip
    return optimiser.build(networks, Listed(**(release | settings)), total_steps=12, step=step)


def layer(weight: float, bias: float) -> nn.Linear:
    """One weight and one bias in float64, so that sums by hand are exact enough."""
    made = nn.Linear(1, 1).double()
    with torch.no_grad():
        made.weight.fill_(weight)
        made.bias.fill_(bias)
    return made


def step(optimizer: torch.optim.SGD, made: nn.Linear, gradients: tuple[float, float]) -> None:
    made.weight.grad = torch.full_like(made.weight, gradients[0])
    made.bias.grad = torch.full_like(made.bias, gradients[1])
    optimizer.step()


def values(made: nn.Linear) -> tuple[float, float]:
    return made.weight.item(), made.bias.item()


# --- rates and decay by parameter ------------------------------------------------------------


def test_weights_decay_at_the_rate_and_biases_learn_twice_as_fast_without_decay():
    made = layer(weight=2.0, bias=3.0)
    optimizer, _ = build(made)
    step(optimizer, made, (0.5, 0.25))
    # weight: v = 0.5 + 0.0005 x 2 = 0.501, w = 2 - 0.1 x 0.501
    # bias:   v = 0.25,                     b = 3 - 0.2 x 0.25
    assert values(made) == pytest.approx((1.9499, 2.95), rel=1e-14)
    step(optimizer, made, (0.5, 0.25))
    # weight: v = 0.9 x 0.501 + 0.5 + 0.0005 x 1.9499 = 0.95187495
    # bias:   v = 0.9 x 0.25 + 0.25 = 0.475
    assert values(made) == pytest.approx((1.854712505, 2.855), rel=1e-14)


def test_factors_of_one_treat_biases_as_weights():
    made = layer(weight=2.0, bias=2.0)
    optimizer, _ = build(made, bias_lr_factor=1.0, bias_decay_factor=1.0)
    step(optimizer, made, (0.5, 0.5))
    assert values(made) == pytest.approx((1.9499, 1.9499), rel=1e-14)


def test_nesterov_looks_ahead():
    made = layer(weight=2.0, bias=3.0)
    optimizer, _ = build(made, nesterov=True, weight_decay=0.0)
    step(optimizer, made, (0.5, 0.0))
    assert values(made) == pytest.approx((2 - 0.1 * (0.5 + 0.9 * 0.5), 3.0), rel=1e-14)


def test_every_bias_and_nothing_else_is_in_the_group_of_biases():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    optimizer, _ = build(network, weight_decay=0.5, bias_decay_factor=0.25)
    weights, biases, _ = optimizer.param_groups
    assert [p.ndim for p in weights["params"]] == [4, 2]
    assert [tuple(p.shape) for p in biases["params"]] == [(4,), (2,)]
    assert (weights["weight_decay"], biases["weight_decay"]) == (0.5, 0.125)
    assert (weights["momentum"], biases["momentum"]) == (0.9, 0.9)


def test_scales_and_shifts_of_normalisation_have_factors_of_their_own():
    layers = [nn.BatchNorm2d(4), nn.GroupNorm(1, 4), nn.LayerNorm(5)]
    network = nn.Sequential(nn.Conv2d(3, 4, 3), *layers)
    optimizer, _ = build(network, weight_decay=0.5, norm_lr_factor=0.25, norm_decay_factor=0.5)
    *_, norms = optimizer.param_groups
    assert {id(p) for p in norms["params"]} == {id(p) for x in layers for p in x.parameters()}
    assert (norms["lr"], norms["weight_decay"]) == (0.025, 0.25)


def test_one_kernel_updates_networks_on_cuda_and_the_cpu_keeps_its_bits():
    with FakeTensorMode():  # a device that need not exist
        on_cuda, on_cpu = nn.Linear(2, 2, device="cuda"), nn.Linear(2, 2)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert build(on_cuda)[0].defaults["fused"] is True
    assert build(on_cpu)[0].defaults["fused"] is None
    assert build(on_cuda, on_cpu)[0].defaults["fused"] is None
    assert build(frozen)[0].defaults["fused"] is None


def test_frozen_parameters_are_not_in_the_optimiser():
    first, second = layer(1.0, 1.0), layer(2.0, 2.0)
    first.requires_grad_(False)
    optimizer, _ = build(nn.Sequential(first, second))
    inside = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert inside == {id(second.weight), id(second.bias)}


def test_networks_of_a_pack_move_as_they_would_alone():
    pair, alone = (layer(2.0, 3.0), layer(5.0, 7.0)), layer(5.0, 7.0)
    (together, _), (single, _) = build(*pair), build(alone)
    for _ in range(3):
        pair[0].weight.grad = torch.full_like(pair[0].weight, 9.0)
        step(together, pair[1], (0.5, 0.25))
        step(single, alone, (0.5, 0.25))
    assert values(pair[1]) == values(alone)
    assert pair[0].weight.item() < 1.0 and pair[0].bias.item() == 3.0


def test_every_groups_rate_follows_the_schedule_from_the_first_step_on():
    made = layer(1.0, 1.0)
    optimizer, scheduler = build(made, rates=(0.3, 0.2, 0.1))
    rates = []
    for _ in range(3):
        rates.append([group["lr"] for group in optimizer.param_groups])
        step(optimizer, made, (0.0, 0.0))
        scheduler.step()
    assert rates == [[0.3, 0.6, 0.3], [0.2, 0.4, 0.2], [0.1, 0.2, 0.1]]


def test_after_some_steps_it_begins_with_the_rate_of_the_next():
    optimizer, _ = build(layer(1.0, 1.0), rates=(0.3, 0.2, 0.1), step=2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2, 0.1]


def test_the_groups_have_names_for_monitors():
    optimizer, _ = build(layer(1.0, 1.0))
    assert [group["name"] for group in optimizer.param_groups] == ["weights", "biases", "norms"]


# --- Caffe's velocity ------------------------------------------------------------------------

RATES = [0.1] * 4 + [0.01] * 4 + [0.001] * 4
GRADIENTS = np.random.default_rng(0).normal(size=(len(RATES), 2)).tolist()


def caffe(rates: list[float]) -> list[tuple[float, float]]:
    """v = 0.9 v + lr m (g + wd w), w = w - v, with m = 2 and wd = 0 for the bias."""
    weight, bias, of_weight, of_bias = 2.0, 3.0, 0.0, 0.0
    path = []
    for rate, (first, second) in zip(rates, GRADIENTS, strict=True):
        of_weight = 0.9 * of_weight + rate * (first + 0.0005 * weight)
        of_bias = 0.9 * of_bias + 2 * rate * second
        weight, bias = weight - of_weight, bias - of_bias
        path.append((weight, bias))
    return path


def ours(rates: list[float], *, caffes: bool, resumed_at: int = 0) -> list[tuple[float, float]]:
    made = layer(2.0, 3.0)
    optimizer, scheduler = build(made, rates=rates, rate_in_velocity=caffes)
    path = []
    for number, gradients in enumerate(GRADIENTS):
        if number and number == resumed_at:
            saved = {k: v.clone() for k, v in optimiser.velocity(optimizer, made).items()}
            optimizer, scheduler = build(made, rates=rates, rate_in_velocity=caffes, step=number)
            optimiser.restore_velocity(optimizer, made, saved)
        step(optimizer, made, tuple(gradients))
        scheduler.step()
        path.append(values(made))
    return path


def test_rescaling_the_velocity_is_caffes_rule_over_drops_of_the_rate():
    assert np.allclose(ours(RATES, caffes=True), caffe(RATES), rtol=1e-12, atol=0)


def test_rescaling_the_velocity_is_caffes_rule_while_the_rate_rises():
    rates = [0.01 * (i + 1) for i in range(len(RATES))]
    assert np.allclose(ours(rates, caffes=True), caffe(rates), rtol=1e-12, atol=0)


@pytest.mark.parametrize("resumed_at", [1, 3, 4, 5, 8])
def test_caffes_rule_resumes_bit_for_bit_where_it_was_interrupted(resumed_at: int):
    assert ours(RATES, caffes=True, resumed_at=resumed_at) == ours(RATES, caffes=True)


def test_the_optimisers_own_state_holds_the_rate_that_is_in_the_velocity():
    made = layer(2.0, 3.0)
    optimizer, _ = build(made, rate_in_velocity=True)
    step(optimizer, made, (0.3, 0.7))
    again, _ = build(layer(2.0, 3.0), rate_in_velocity=True)
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0]["last_lr"] == 0.1


def test_torchs_own_rule_differs_after_a_drop_and_not_before():
    path, expected = np.array(ours(RATES, caffes=False)), np.array(caffe(RATES))
    assert np.allclose(path[:4], expected[:4], rtol=1e-12, atol=0)
    assert np.abs(path[4:] - expected[4:]).min() > 0.01


@pytest.mark.parametrize(
    ("rates", "caffes", "factor"),
    [((0.1, 0.1), True, 1), ((0.1, 0.05), False, 1), ((0.1, 0.05), True, 2), ((0.1, 0.0), True, 1)],
)
def test_the_velocity_is_rescaled_by_the_drop_of_the_rate(
    rates: tuple[float, float], caffes: bool, factor: int
):
    made = layer(2.0, 3.0)
    optimizer, scheduler = build(made, rates=rates, rate_in_velocity=caffes, weight_decay=0.0)
    step(optimizer, made, (0.3, 0.7))
    scheduler.step()
    before = {k: v.clone() for k, v in optimiser.velocity(optimizer, made).items()}
    step(optimizer, made, (0.0, 0.0))
    after = optimiser.velocity(optimizer, made)
    assert all(torch.equal(after[name], 0.9 * (factor * before[name])) for name in before)


def test_a_rate_of_zero_does_not_divide_by_zero():
    made = layer(2.0, 3.0)
    optimizer, scheduler = build(made, rates=(0.1, 0.0), rate_in_velocity=True)
    step(optimizer, made, (0.3, 0.7))
    scheduler.step()
    moved = values(made)
    step(optimizer, made, (0.3, 0.7))
    assert values(made) == moved


# --- the velocity in a checkpoint ------------------------------------------------------------


def test_there_is_no_velocity_before_the_first_step():
    made = layer(2.0, 3.0)
    assert optimiser.velocity(build(made)[0], made) == {}


def test_the_velocity_has_the_names_of_what_learns():
    frozen, learning = layer(1.0, 1.0), layer(2.0, 3.0)
    frozen.requires_grad_(False)
    network = nn.Sequential(frozen, learning)
    optimizer, _ = build(network)
    step(optimizer, learning, (0.3, 0.7))
    buffers = optimiser.velocity(optimizer, network)
    assert sorted(buffers) == ["1.bias", "1.weight"]
    assert buffers["1.bias"].item() == pytest.approx(0.7)
    assert buffers["1.weight"].item() == pytest.approx(0.3 + 0.0005 * 2)


def test_each_network_of_a_pack_has_the_velocity_of_its_own():
    first, second = layer(2.0, 3.0), layer(2.0, 3.0)
    optimizer, _ = build(first, second)
    step(optimizer, first, (0.3, 0.7))
    assert optimiser.velocity(optimizer, first)["bias"].item() == pytest.approx(0.7)
    assert optimiser.velocity(optimizer, second) == {}


def test_a_restored_velocity_resumes_bit_for_bit():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    batches = torch.randn(8, 5, 2, 4, 4)

    def learn(learner: nn.Sequential, optimizer: torch.optim.SGD, part: slice) -> None:
        for x in batches[part]:
            optimizer.zero_grad()
            learner(x).square().sum().backward()
            optimizer.step()

    whole, _ = build(network)
    learn(network, whole, slice(0, 4))
    resumed = copy.deepcopy(network)
    saved = {k: v.clone() for k, v in optimiser.velocity(whole, network).items()}
    learn(network, whole, slice(4, 8))

    (again, _), forgetful = build(resumed), copy.deepcopy(resumed)
    optimiser.restore_velocity(again, resumed, saved)
    learn(resumed, again, slice(4, 8))
    learn(forgetful, build(forgetful)[0], slice(4, 8))
    for name, value in network.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
        assert not torch.equal(value, forgetful.state_dict()[name])


def test_a_restored_velocity_is_a_copy():
    made = layer(2.0, 3.0)
    optimizer, _ = build(made)
    saved = {"weight": torch.full((1, 1), 4.0), "bias": torch.full((1,), 5.0)}
    optimiser.restore_velocity(optimizer, made, saved)
    assert optimiser.velocity(optimizer, made)["weight"].dtype == torch.float64
    step(optimizer, made, (0.3, 0.7))
    assert saved["weight"].item() == 4.0 and saved["bias"].item() == 5.0
    assert values(made) == pytest.approx((2 - 0.1 * (3.6 + 0.301), 3 - 0.2 * (4.5 + 0.7)))


def test_nothing_saved_restores_nothing():
    made = layer(2.0, 3.0)
    optimizer, _ = build(made)
    optimiser.restore_velocity(optimizer, made, {})
    assert optimiser.velocity(optimizer, made) == {}
