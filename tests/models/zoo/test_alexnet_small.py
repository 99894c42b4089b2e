"""The small network: AlexNet's stages at 16 to 96 pixels."""

import math

import pytest
import torch

from transferlab import models
from transferlab.errors import UserError
from transferlab.models.dropout import Dropout
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo import alexnet_small

NAMES = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def network(image_size: int = 32, num_outputs: int = 5) -> StagedNetwork:
    built = alexnet_small.build(num_outputs=num_outputs, image_size=image_size)
    built.initialise(lambda name: 50 + NAMES.index(name))
    built.key_dropout(lambda name: 70 + NAMES.index(name))
    return built


def images(size: int = 32) -> torch.Tensor:
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_it_has_the_eight_stages_of_alexnet():
    assert network().stage_names == NAMES


def test_every_stage_has_its_parameters():
    counts = {
        name: sum(parameter.numel() for parameter in stage.parameters())
        for name, stage in network().named_children()
    }
    assert counts == {
        "conv1": 32 * 3 * 25 + 32,
        "conv2": 64 * 32 * 9 + 64,
        "conv3": 96 * 64 * 9 + 96,
        "conv4": 96 * 96 * 9 + 96,
        "conv5": 64 * 96 * 9 + 64,
        "fc6": 512 * 64 * 4 * 4 + 512,
        "fc7": 512 * 512 + 512,
        "fc8": 5 * 512 + 5,
    }


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        (32, (16, 8, 8, 8, 4)),
        (16, (8, 4, 4, 4, 2)),
        (33, (17, 9, 9, 9, 5)),
        (96, (48, 24, 24, 24, 12)),
    ],
)
def test_maps_halve_at_each_pool_and_round_up(size: int, sides: tuple[int, ...]):
    built, x = network(size), images(size)
    found = []
    with torch.no_grad():
        for stage in built[:5]:
            x = stage(x)
            found.append(tuple(x.shape[1:]))
        assert built.head(5)(x).shape == (4, 5)
    channels = (32, 64, 96, 96, 64)
    assert found == [(c, side, side) for c, side in zip(channels, sides, strict=True)]


def test_dropout_of_a_quarter_opens_fc7_and_fc8():
    found = {n: m.p for n, m in network().named_modules() if isinstance(m, Dropout)}
    assert found == {"fc7.dropout": 0.25, "fc8.dropout": 0.25}
    assert network().deterministic_stages() == 6


def test_initial_weights_are_hes_and_biases_zero():
    weights = network().state_dict()
    stds = {
        "conv1.conv": math.sqrt(2 / 75),
        "conv2.conv": math.sqrt(2 / 288),
        "conv3.conv": math.sqrt(2 / 576),
        "conv4.conv": math.sqrt(2 / 864),
        "conv5.conv": math.sqrt(2 / 864),
        "fc6.fc": math.sqrt(2 / 1024),
        "fc7.fc": math.sqrt(2 / 512),
        "fc8.fc": 0.01,
    }
    assert sorted(weights) == sorted(f"{n}.{part}" for n in stds for part in ("weight", "bias"))
    for name, std in stds.items():
        value = weights[f"{name}.weight"]
        within = 4 / math.sqrt(2 * value.numel())  # standard errors
        assert value.std().item() == pytest.approx(std, rel=within)
        assert weights[f"{name}.bias"].unique().tolist() == [0.0]


def test_about_unit_variance_comes_out_of_every_hidden_stage():
    x, built = images(), network().eval()
    with torch.no_grad():
        for stage in built[:-1]:
            x = stage(x)
            assert 0.3 < x.pow(2).mean().item() < 12


@pytest.mark.parametrize("n", range(9))
def test_prefix_then_head_is_the_whole_in_both_modes(n: int):
    built = network()
    with torch.no_grad():
        for mode in (True, False):
            built.train(mode).set_step(11)
            assert torch.equal(built.head(n)(built.prefix(n)(images())), built(images()))


def test_its_logits_change_with_the_step_in_training_only():
    built = network()
    logits = {}
    with torch.no_grad():
        for mode in (True, False):
            for step in (0, 1):
                built.train(mode).set_step(step)
                logits[mode, step] = built(images())
    assert not torch.equal(logits[True, 0], logits[True, 1])
    assert torch.equal(logits[False, 0], logits[False, 1])


@pytest.mark.parametrize("size", [8, 15, 97, 227])
def test_another_image_size_is_refused(size: int):
    with pytest.raises(UserError) as error:
        models.build("alexnet_small", num_outputs=5, image_size=size)
    assert str(error.value) == (
        f"data.crop={size} does not fit model=alexnet_small, which takes 16 to 96 pixels"
    )
