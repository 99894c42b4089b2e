"""The recipes against the authors' release (yosinski/convnet_transfer), number for number."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from transferlab.experiment import compose
from transferlab.experiment.conf import CONF
from transferlab.experiment.config import RunConfig, total_steps

IMAGENET = ("+split=random", "data=imagenet", "model=alexnet", "train=yosinski2014", "transfer.n=3")


def test_yosinski2014_is_the_solver_of_the_release(config: Callable[..., RunConfig]):
    train = config(*IMAGENET).train
    assert (train.batch_size, train.total_steps, train.epochs) == (256, 450_000, None)
    assert (train.schedule, train.lr, train.lr_step, train.lr_factor) == (
        "step", 0.01, 100_000, 0.1,
    )  # fmt: skip
    assert (train.momentum, train.nesterov, train.rate_in_velocity) == (0.9, False, True)
    assert (train.weight_decay, train.bias_lr_factor, train.bias_decay_factor) == (0.0005, 2.0, 0.0)
    assert (train.warmup, train.val_every, train.mirror, train.reshuffle) == (
        0.0,
        1000,
        True,
        False,
    )
    assert train.precision == "float32"


def test_yosinski2014_reduced_differs_from_it_in_rate_and_steps_alone(
    config: Callable[..., RunConfig],
):
    """Source: yosinski/convnet_transfer, reduced-*/solver.prototxt."""
    full = config(*IMAGENET).train
    reduced = config(*IMAGENET, "train=yosinski2014_reduced").train

    assert (reduced.total_steps, reduced.lr, reduced.lr_step) == (200_000, 0.0125, 64_000)
    assert replace(reduced, total_steps=450_000, lr=0.01, lr_step=100_000) == full


def test_imagenet_is_the_data_layer_of_the_release(config: Callable[..., RunConfig]):
    data = config(*IMAGENET).data
    assert (data.size, data.crop, data.scale, data.resize, data.mean) == (
        256, 227, 1.0, "warp", "base",
    )  # fmt: skip


def test_the_learning_rates_of_a_run_are_those_in_the_logs(config: Callable[..., RunConfig]):
    from transferlab.training import Recipe

    rate = Recipe.from_config(config(*IMAGENET).train).rate(450_000)
    seen = {1: 0.01, 99_999: 0.01, 100_000: 1e-3, 199_999: 1e-3, 200_000: 1e-4, 300_000: 1e-5}
    for step, lr in (seen | {400_000: 1e-6, 450_000: 1e-6}).items():
        assert rate(step) == pytest.approx(lr, rel=1e-12)


def test_the_rate_of_a_reduced_network_drops_three_times(config: Callable[..., RunConfig]):
    from transferlab.training import Recipe

    rate = Recipe.from_config(config(*IMAGENET, "train=yosinski2014_reduced").train).rate(200_000)
    seen = {1: 0.0125, 63_999: 0.0125, 64_000: 1.25e-3, 127_999: 1.25e-3, 128_000: 1.25e-4}
    for step, lr in (seen | {191_999: 1.25e-4, 192_000: 1.25e-5, 200_000: 1.25e-5}).items():
        assert rate(step) == pytest.approx(lr, rel=1e-12)


def test_small32_is_nine_epochs_with_a_tenth_of_warm_up(config: Callable[..., RunConfig]):
    from transferlab.training import Recipe

    chosen = config("+split=random", "train=small32", "transfer.n=3")
    steps = total_steps(chosen, 50_000)
    rate = Recipe.from_config(chosen.train).rate(steps)
    assert steps == 3516
    assert rate(352) == pytest.approx(0.02) and rate(176) == pytest.approx(0.01)
    assert rate(352 + 1582) == pytest.approx(0.01, rel=1e-3) and rate(steps) == 0.0
    train = chosen.train
    assert (train.batch_size, train.weight_decay, train.momentum) == (128, 5e-4, 0.9)
    assert train.nesterov and train.mirror and train.channels_last
    assert train.precision == "float32"


def test_a_section_is_what_hydra_composes_of_it_and_of_what_it_inherits():
    for group, choice in (("train", "bn_x30"), ("train", "quick"), ("data", "cifar100")):
        composed = compose.compose(f"{group}/{choice}", [])[group]
        assert CONF.section(group, choice) == composed
    assert CONF.section("train", "bn_x30")["lr"] == 0.045
    assert CONF.section("train", "bn_x30")["norm_decay_factor"] == 0.0  # of bn_baseline
