"""Recipes of the residual and dense networks against their papers, number for number."""

from collections.abc import Callable

import pytest

from transferlab.experiment.config import RunConfig, TrainConfig

Compose = Callable[..., RunConfig]
# recipe -> batch, steps, decay of weights; factor and steps of the drops of a rate of 0.1
CONSTANTS = {
    "resnet": (256, 600_000, 1e-4, 0.1, (150_000, 300_000)),
    "resnet_cifar": (128, 64_000, 1e-4, 0.1, (32_000, 48_000)),
    "resnet110_cifar": (128, 64_000, 1e-4, 0.1, (32_000, 48_000)),
    "preact": (128, 64_000, 1e-4, 0.1, (32_000, 48_000)),
    "wide_resnet": (128, 200 * 390, 5e-4, 0.2, (60 * 390, 120 * 390, 160 * 390)),
    "stochastic_depth": (128, 500 * 352, 1e-4, 0.1, (250 * 352, 375 * 352)),
    "densenet": (256, 90 * 5005, 1e-4, 0.1, (30 * 5005, 60 * 5005)),
    "densenet_cifar": (64, 300 * 782, 1e-4, 0.1, (150 * 782, 225 * 782)),
}
CAFFE = ("resnet", "resnet_cifar", "resnet110_cifar", "preact")  # the others are Torch's
WARM = {"resnet110_cifar": 400, "preact": 400}  # steps


@pytest.fixture
def recipe(config: Compose) -> Callable[[str], TrainConfig]:
    words = ("+split=whole", "transfer.variant=base", "transfer.target=B")
    return lambda name: config(*words, f"train={name}").train


def test_batches_steps_and_decay_are_the_papers(recipe: Callable[[str], TrainConfig]):
    for name, constants in CONSTANTS.items():
        train = recipe(name)
        drops = (train.lr_factor, train.lr_steps)
        found = (train.batch_size, train.total_steps, train.weight_decay, *drops)
        assert found == constants, name
        assert (train.lr, train.momentum, train.mirror) == (0.1, 0.9, True), name
        caffe = (train.nesterov, train.rate_in_velocity) == (False, True)
        torch = (train.nesterov, train.rate_in_velocity) == (True, False)
        assert caffe if name in CAFFE else torch, name


def test_biases_and_batch_norm_learn_and_decay_as_weights(recipe: Callable[[str], TrainConfig]):
    for name in CONSTANTS:
        train = recipe(name)
        factors = (train.bias_lr_factor, train.norm_lr_factor)
        assert factors == (1.0, 1.0), name
        assert (train.bias_decay_factor, train.norm_decay_factor) == (1.0, 1.0), name


def test_the_rate_is_the_papers_at_every_drop(recipe: Callable[[str], TrainConfig]):
    from transferlab.training import Recipe

    for name, (_, total, _, factor, steps) in CONSTANTS.items():
        rate = Recipe.from_config(recipe(name)).rate(total)
        if name in WARM:
            assert rate(WARM[name] // 2) == pytest.approx(0.05), name
        assert rate(WARM.get(name, 1)) == pytest.approx(0.1), name
        for drops, step in enumerate(steps):
            assert rate(step - 1) == pytest.approx(0.1 * factor**drops), name
            assert rate(step) == pytest.approx(0.1 * factor ** (drops + 1)), name
        assert rate(total) == pytest.approx(0.1 * factor ** len(steps)), name
