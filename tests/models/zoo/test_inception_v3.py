"""Inception-v3 against Szegedy et al. 2015, the authors' training code and torchvision."""

import pytest
import torch
from support.cuts import assert_cuts_compose, drawn
from torch import nn
from torchvision.models import inception

from transferlab import models
from transferlab.models.dropout import Dropout
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo.inception_v3 import WholeMap, auxiliary_head, tap_side

# stage -> parameters, its output for one image of 299 pixels
FACTS = {
    "Conv2d_1a_3x3": (928, (32, 149, 149)),
    "Conv2d_2a_3x3": (9_280, (32, 147, 147)),
    "Conv2d_2b_3x3": (18_560, (64, 73, 73)),
    "Conv2d_3b_1x1": (5_280, (80, 73, 73)),
    "Conv2d_4a_3x3": (138_624, (192, 35, 35)),
    "Mixed_5b": (255_904, (256, 35, 35)),
    "Mixed_5c": (277_472, (288, 35, 35)),
    "Mixed_5d": (285_152, (288, 35, 35)),
    "Mixed_6a": (1_153_280, (768, 17, 17)),
    "Mixed_6b": (1_297_408, (768, 17, 17)),
    "Mixed_6c": (1_691_008, (768, 17, 17)),
    "Mixed_6d": (1_691_008, (768, 17, 17)),
    "Mixed_6e": (2_141_952, (768, 17, 17)),
    "Mixed_7a": (1_698_304, (1280, 8, 8)),
    "Mixed_7b": (5_044_608, (2048, 8, 8)),
    "Mixed_7c": (6_076_800, (2048, 8, 8)),
    "fc": (2_049_000, (1000,)),
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> StagedNetwork:
    return drawn(models.build("inception_v3", num_outputs=5, image_size=75))


def weightless(image_size: int = 299) -> StagedNetwork:
    with torch.device("meta"):
        return models.build("inception_v3", num_outputs=1000, image_size=image_size)


def untouched(module: nn.Module, generator: torch.Generator) -> None:
    """A rule that leaves torch's initial values."""


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_stages_have_the_releases_names_parameters_and_maps():
    built, x, found = weightless(), torch.empty(2, 3, 299, 299, device="meta"), {}
    for name, stage in built.stages.items():
        x = stage(x)
        found[name] = (parameters(stage), tuple(x.shape[1:]))
    assert found == FACTS
    assert tuple(found) == tuple(FACTS)
    assert sum(parameters(stage) for stage in built) == 23_834_568
    assert parameters(built) == 27_161_264


def test_the_auxiliary_classifier_hangs_on_mixed_6e():
    built = weightless()
    assert built.taps == {"AuxLogits": ("Mixed_6e", 0.4)}
    head = built.get_submodule("auxiliary.AuxLogits")
    maps = [torch.empty(2, 768, 17, 17, device="meta")]
    for layer in head:
        maps.append(layer(maps[-1]))
    assert [tuple(each.shape[1:]) for each in maps[1:]] == [
        (768, 5, 5), (128, 5, 5), (768, 1, 1), (768, 1, 1), (768,), (1000,)
    ]  # fmt: skip


def test_the_auxiliary_classifier_fits_the_maps_of_every_image():
    built = weightless()
    with torch.device("meta"):
        for size in (75, 76, 100, 224, 300, 512):
            assert built.prefix(13)(torch.empty(2, 3, size, size)).shape[2] == tap_side(size)
        for side in range(1, 31):
            head = auxiliary_head(768, side, 5, initial=untouched)
            assert head(torch.empty(2, 768, side, side)).shape == (2, 5)


def test_dropout_of_a_fifth_is_before_the_classifier():
    built = weightless()
    found = {name: layer.p for name, layer in built.named_modules() if isinstance(layer, Dropout)}
    assert found == {"fc.dropout": 0.2}
    assert not any(isinstance(layer, nn.Dropout) for layer in built.modules())
    assert built.deterministic_stages() == 16


def test_initial_values_are_the_authors(network: StagedNetwork):
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == 1e-3
            assert module.weight.unique().tolist() == [1.0]
            assert module.bias.unique().tolist() == [0.0]
        elif isinstance(module, nn.Conv2d | nn.Linear):
            std = 0.01 if isinstance(module, WholeMap) or name == "fc.fc" else 0.1
            std = 0.001 if name == "auxiliary.AuxLogits.fc" else std
            values = module.weight
            assert values.abs().max() <= 2 * std
            within = 4 / values.numel() ** 0.5
            assert values.std().item() == pytest.approx(0.8796 * std, rel=within), name
            assert abs(values.mean()) < 5 * std / values.numel() ** 0.5
            assert module.bias is None or module.bias.unique().tolist() == [0.0]


def test_it_computes_what_torchvisions_network_computes(network: StagedNetwork):
    library = inception.Inception3(num_classes=5, aux_logits=False, init_weights=False).eval()
    renamed = {
        key.replace(".mixed.", ".").replace("fc.fc.", "fc."): value
        for key, value in network.state_dict().items()
        if not key.startswith("auxiliary.")
    }
    library.load_state_dict(renamed, strict=True)
    x = torch.randn(1, 3, 75, 75)
    with torch.no_grad():
        logits = network.eval()(x)
        assert logits.std() > 1e-4
        assert torch.equal(logits, library(x))


def test_its_auxiliary_classifier_computes_what_torchvisions_computes():
    library = inception.InceptionAux(768, 5).eval()
    ours = auxiliary_head(768, 17, 5, initial=untouched).eval()
    library.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(2, 768, 17, 17)
    with torch.no_grad():
        assert torch.equal(ours(x), library(x))


def test_every_cut_is_one(network: StagedNetwork):
    assert_cuts_compose(network, torch.randn(2, 3, 75, 75))
