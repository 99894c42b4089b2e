"""BN-Inception and its variants against Ioffe and Szegedy 2015, and Google's slim."""

import math

import pytest
import torch
from support.cuts import assert_cuts_compose, assert_every_cut, drawn, outputs
from torch import nn

from transferlab import models
from transferlab.models.dropout import Dropout
from transferlab.models.normalisation import LocalResponseNorm
from transferlab.models.stages import StagedNetwork

NAMES = (
    "conv1", "conv2", "inception_3a", "inception_3b", "inception_3c", "inception_4a",
    "inception_4b", "inception_4c", "inception_4d", "inception_4e", "inception_5a", "inception_5b",
    "classifier",
)  # fmt: skip
# parameters of each stage with 1000 outputs, and its output for one image of 224 pixels
FACTS = (
    (9_536, (64, 56, 56)),
    (115_200, (192, 28, 28)),
    (219_072, (256, 28, 28)),
    (260_160, (320, 28, 28)),
    (385_088, (576, 14, 14)),
    (609_984, (576, 14, 14)),
    (665_344, (576, 14, 14)),
    (895_936, (576, 14, 14)),
    (1_108_032, (576, 14, 14)),
    (1_439_744, (1024, 7, 7)),
    (2_182_272, (1024, 7, 7)),
    (2_279_616, (1024, 7, 7)),
    (1_025_000, (1000,)),
)
# parameters with 1000 outputs
VARIANTS = {
    "inception_no_bn": 11_185_032,
    "bn_inception_baseline": 11_194_984,
    "bn_inception": 11_194_984,
    "bn_inception_sigmoid": 11_194_984,
    "bn_inception_figure5": 11_285_224,
    "bn_inception_separable": 11_188_224,
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def built(name: str, image_size: int = 224, num_outputs: int = 1000) -> StagedNetwork:
    with torch.device("meta"):
        return models.build(name, num_outputs=num_outputs, image_size=image_size)


def count(network: StagedNetwork, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


def test_stages_have_the_papers_names_parameters_and_maps():
    network = built("bn_inception")
    assert network.stage_names == NAMES
    assert [sum(p.numel() for p in stage.parameters()) for stage in network] == [
        parameters for parameters, _ in FACTS
    ]
    assert outputs(network, 224) == [shape for _, shape in FACTS]


def test_every_variant_has_its_parameters_and_the_same_stages():
    for name, parameters in VARIANTS.items():
        network = built(name)
        assert sum(p.numel() for p in network.parameters()) == parameters, name
        assert network.stage_names == NAMES


def test_variants_differ_by_batch_norm_lrn_dropout_and_activation():
    kinds = (nn.BatchNorm2d, LocalResponseNorm, Dropout, nn.ReLU, nn.Sigmoid)
    networks = {name: built(name) for name in VARIANTS}
    found = {name: [count(net, kind) for kind in kinds] for name, net in networks.items()}
    assert found == {
        "inception_no_bn": [0, 2, 1, 69, 0],
        "bn_inception_baseline": [69, 2, 1, 69, 0],
        "bn_inception": [69, 0, 0, 69, 0],
        "bn_inception_sigmoid": [69, 0, 0, 0, 69],
        "bn_inception_figure5": [69, 0, 0, 69, 0],
        "bn_inception_separable": [68, 0, 0, 69, 0],
    }
    small = {name: models.build(f"{name}_small", num_outputs=10, image_size=32)
             for name in ("inception_no_bn", "bn_inception_baseline", "bn_inception",
                          "bn_inception_sigmoid")}  # fmt: skip
    assert {name: [count(net, kind) for kind in kinds] for name, net in small.items()} == {
        name: found[name] for name in small
    }
    assert networks["inception_no_bn"].get_submodule("classifier.dropout").p == 0.4
    assert networks["bn_inception"].deterministic_stages() == 13


def test_the_figures_projections_give_608_channels():
    shapes = dict(zip(NAMES, outputs(built("bn_inception_figure5"), 224), strict=True))
    assert shapes["inception_4c"] == shapes["inception_4d"] == (608, 14, 14)
    assert shapes["inception_4e"] == (1056, 7, 7)


def test_modules_of_stride_2_pool_and_pass_and_the_last_takes_the_maximum():
    network = built("bn_inception")
    pools = {
        name: network.get_submodule(f"{name}.mixed.pool.pool")
        for name in NAMES
        if name.startswith("inception")
    }
    maxima = {name for name, pool in pools.items() if isinstance(pool, nn.MaxPool2d)}
    assert maxima == {"inception_3c", "inception_4e", "inception_5b"}
    assert pools["inception_3c"].stride == pools["inception_4e"].stride == 2
    assert pools["inception_5b"].stride == 1
    assert not any(pool.count_include_pad for name, pool in pools.items() if name not in maxima)
    for name in ("inception_3c", "inception_4e"):
        branches = dict(network.get_submodule(f"{name}.mixed").named_children())
        assert list(branches) == ["3x3", "double3x3", "pool"]
        assert list(dict(branches["pool"].named_children())) == ["pool"]


def test_branches_of_stride_2_meet_at_every_size_of_images():
    for size, sides in ((32, (4, 2, 1)), (52, (6, 3, 2)), (100, (12, 6, 3)), (300, (37, 19, 10))):
        shapes = dict(zip(NAMES, outputs(built("bn_inception", size, 5), size), strict=True))
        found = [shapes[name][1] for name in ("inception_3b", "inception_3c", "inception_5b")]
        assert tuple(found) == sides


def test_initial_values_are_hes_cut_at_two_deviations():
    network = drawn(models.build("bn_inception", num_outputs=1000, image_size=224))
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == 1e-3
            assert module.weight.unique().tolist() == [1.0]
            assert module.bias.unique().tolist() == [0.0]
        elif isinstance(module, nn.Conv2d | nn.Linear):
            values = module.weight
            std = math.sqrt(2 / math.prod(values.shape[1:]))
            assert values.abs().max() <= 2 * math.sqrt(1.3) * std
            within = 0.003 + 4 / math.sqrt(2 * values.numel())  # standard errors
            assert values.std().item() == pytest.approx(std, rel=within), name
            assert abs(values.mean()) < 5 * std / math.sqrt(values.numel())
            assert module.bias is None or module.bias.unique().tolist() == [0.0]


def test_the_separable_convolution_starts_with_a_deviation_of_one():
    network = drawn(models.build("bn_inception_separable", num_outputs=5, image_size=32))
    for name, parameters in (("7x7_depthwise", 1_176), ("1x1_pointwise", 1_536)):
        layer = network.get_submodule(f"conv1.{name}")
        assert layer.weight.numel() == parameters
        assert layer.weight.std().item() == pytest.approx(0.88, rel=0.08)  # N(0, 1) cut at 2
    assert network.get_submodule("conv1.7x7_depthwise").groups == 3


def test_every_cut_is_one():
    network = drawn(models.build("bn_inception_baseline", num_outputs=5, image_size=32))
    assert_cuts_compose(network, torch.randn(2, 3, 32, 32))


def test_the_small_one_has_the_same_stages_at_a_quarter_of_the_widths():
    network = built("bn_inception_small", 32, 5)
    assert network.stage_names == NAMES
    shapes = outputs(network, 32)[:-1]
    assert [shape[0] for shape in shapes] == [
        16, 48, 64, 80, 144, 144, 144, 144, 144, 256, 256, 256
    ]  # fmt: skip
    assert [shape[1] for shape in shapes] == [16, 8, 8, 8, 4, 4, 4, 4, 4, 2, 2, 2]


def test_every_cut_of_the_small_one_is_one():
    network = drawn(models.build("bn_inception_small", num_outputs=5, image_size=16))
    assert_every_cut(network, torch.randn(2, 3, 16, 16))
