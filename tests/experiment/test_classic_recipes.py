"""Recipes of the networks before batch normalisation against their papers, number for number."""

from collections.abc import Callable

import pytest

from transferlab.experiment.config import RunConfig

Compose = Callable[..., RunConfig]
# recipe -> batch, steps, rate, momentum, decay of weights
CONSTANTS = {
    "krizhevsky2012": (128, 900_000, 0.01, 0.9, 5e-4),
    "zfnet": (128, 700_000, 0.01, 0.9, 0.0),
    "overfeat": (128, 900_820, 0.05, 0.6, 1e-5),
    "chatfield": (128, 900_000, 0.01, 0.9, 5e-4),
    "vgg": (256, 370_000, 0.01, 0.9, 5e-4),
    "nin": (64, 450_000, 0.01, 0.9, 5e-4),
    "nin_cifar": (128, 120_000, 0.1, 0.9, 1e-4),
}
# recipe -> the steps before which the rate is the one above times a power of its factor
DROPS = {
    "krizhevsky2012": (0.1, (225_000, 450_000, 675_000)),
    "zfnet": (0.1, (175_000, 350_000, 525_000)),
    "overfeat": (0.5, (300_273, 500_455, 600_546, 700_638, 800_729)),  # after 30, 50 to 80 epochs
    "chatfield": (0.1, (225_000, 450_000, 675_000)),
    "vgg": (0.1, (92_500, 185_000, 277_500)),
    "nin": (0.1, (200_000, 400_000)),
    "nin_cifar": (0.1, (100_000,)),
}
RUN = ("+split=whole", "transfer.variant=base", "transfer.target=B")


@pytest.fixture
def recipe(config: Compose) -> Callable[[str], RunConfig]:
    return lambda name: config(*RUN, f"train={name}")


def test_batches_rates_and_decay_are_the_papers(recipe: Callable[[str], RunConfig]):
    for name, constants in CONSTANTS.items():
        train = recipe(name).train
        found = (train.batch_size, train.total_steps, train.lr, train.momentum, train.weight_decay)
        assert found == constants, name
        assert (train.epochs, train.warmup, train.nesterov) == (None, 0.0, False), name
        assert train.mirror == (name != "nin_cifar"), name


def test_the_rate_drops_when_the_paper_lowers_it(recipe: Callable[[str], RunConfig]):
    from transferlab.training import Recipe

    for name, (factor, steps) in DROPS.items():
        train = recipe(name).train
        rate = Recipe.from_config(train).rate(train.total_steps)
        for drops, step in enumerate(steps):
            assert rate(step - 1) == pytest.approx(train.lr * factor**drops), name
            assert rate(step) == pytest.approx(train.lr * factor ** (drops + 1)), name
        assert rate(train.total_steps - 1) == pytest.approx(train.lr * factor ** len(steps)), name


def test_caffes_recipes_double_the_rate_of_biases_and_do_not_decay_them(
    recipe: Callable[[str], RunConfig],
):
    for name in ("chatfield", "vgg", "nin", "nin_cifar"):
        train = recipe(name).train
        assert (train.bias_lr_factor, train.bias_decay_factor) == (2.0, 0.0), name
        assert train.rate_in_velocity, name
    for name, decay in {"krizhevsky2012": 0.0, "zfnet": 0.0, "overfeat": 1.0}.items():
        train = recipe(name).train
        assert (train.bias_lr_factor, train.bias_decay_factor) == (1.0, decay), name
