"""GoogLeNet against Szegedy et al. 2014 and its replication, BVLC/caffe models/bvlc_googlenet."""

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
    "conv1", "conv2", "inception_3a", "inception_3b", "inception_4a", "inception_4b",
    "inception_4c", "inception_4d", "inception_4e", "inception_5a", "inception_5b", "classifier",
)  # fmt: skip
# parameters of each stage with 1000 outputs, and its output for one image of 224 pixels
FACTS = (
    (9_472, (64, 56, 56)),
    (114_944, (192, 28, 28)),
    (163_696, (256, 28, 28)),
    (388_736, (480, 14, 14)),
    (376_176, (512, 14, 14)),
    (449_160, (512, 14, 14)),
    (510_104, (512, 14, 14)),
    (605_376, (528, 14, 14)),
    (868_352, (832, 7, 7)),
    (1_043_456, (832, 7, 7)),
    (1_444_080, (1024, 7, 7)),
    (1_025_000, (1000,)),
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def built(name: str, image_size: int, num_outputs: int = 1000) -> StagedNetwork:
    with torch.device("meta"):
        return models.build(name, num_outputs=num_outputs, image_size=image_size)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_stages_have_the_papers_names_parameters_and_maps():
    network = built("googlenet", 224)
    assert network.stage_names == NAMES
    assert [parameters(stage) for stage in network] == [count for count, _ in FACTS]
    assert outputs(network, 224) == [shape for _, shape in FACTS]
    assert sum(parameters(stage) for stage in network) == 6_998_552
    assert parameters(network) == 13_378_280


def test_a_module_has_the_branches_of_table_1():
    found = [
        (layer.out_channels, layer.kernel_size[0], layer.padding[0], layer.bias is not None)
        for layer in built("googlenet", 224).get_submodule("inception_4d").modules()
        if isinstance(layer, nn.Conv2d)
    ]
    assert found == [
        (112, 1, 0, True), (144, 1, 0, True), (288, 3, 1, True), (32, 1, 0, True),
        (64, 5, 2, True), (64, 1, 0, True),
    ]  # fmt: skip


def test_two_auxiliary_classifiers_weigh_three_tenths_each():
    network = built("googlenet", 224)
    assert network.taps == {"loss1": ("inception_4a", 0.3), "loss2": ("inception_4d", 0.3)}
    for name, channels, count in (("loss1", 512, 3_188_840), ("loss2", 528, 3_190_888)):
        head = network.get_submodule(f"auxiliary.{name}")
        assert parameters(head) == count
        pooled = head.pool(torch.empty(2, channels, 14, 14, device="meta"))
        assert pooled.shape == (2, channels, 4, 4)
        assert head(torch.empty(2, channels, 14, 14, device="meta")).shape == (2, 1000)


def test_dropout_is_before_the_classifiers_and_lrn_in_the_stem():
    network = built("googlenet", 224)
    dropouts = {n: m.p for n, m in network.named_modules() if isinstance(m, Dropout)}
    assert dropouts == {
        "classifier.dropout": 0.4,
        "auxiliary.loss1.dropout": 0.7,
        "auxiliary.loss2.dropout": 0.7,
    }
    assert network.deterministic_stages() == 11
    assert [list(dict(stage.named_children())) for stage in list(network)[:2]] == [
        ["conv", "pool", "norm"],
        ["3x3_reduce", "3x3", "norm", "pool"],
    ]
    norms = [m for m in network.modules() if isinstance(m, LocalResponseNorm)]
    assert [(m.size, m.alpha, m.beta, m.k) for m in norms] == 2 * [(5, 1e-4, 0.75, 1.0)]


def test_initial_values_are_caffes_xavier_and_biases_a_fifth_but_of_classifiers():
    network = drawn(models.build("googlenet", num_outputs=1000, image_size=224))
    zero = [name for name in network.state_dict() if name.endswith(("fc.bias", "classifier.bias"))]
    zero.remove("auxiliary.loss1.fc.bias")
    zero.remove("auxiliary.loss2.fc.bias")
    assert len(zero) == 3
    for name, value in network.named_parameters():
        if name.endswith("bias"):
            assert value.unique().tolist() == [0.0 if name in zero else pytest.approx(0.2)]
            continue
        fan_in = math.prod(value.shape[1:])
        assert value.abs().max() <= math.sqrt(3 / fan_in)
        within = 4 * math.sqrt(0.2 / value.numel())  # standard errors of a uniform's deviation
        assert value.std().item() == pytest.approx(math.sqrt(1 / fan_in), rel=within), name
        assert abs(value.mean()) < 5 * value.std() / math.sqrt(value.numel())


def test_it_takes_images_of_32_to_512_pixels():
    for size, last in ((32, (1024, 1, 1)), (33, (1024, 1, 1)), (320, (1024, 10, 10))):
        network = built("googlenet", size, 5)
        assert outputs(network, size)[-2:] == [last, (5,)]
        features = network.prefix(8)(torch.empty(2, 3, size, size, device="meta"))
        assert network.get_submodule("auxiliary.loss2")(features).shape == (2, 5)


def test_every_cut_is_one():
    network = drawn(models.build("googlenet", num_outputs=5, image_size=32))
    assert_cuts_compose(network, 50 * torch.randn(2, 3, 32, 32))


def test_the_small_one_has_the_same_stages_at_a_quarter_of_the_widths():
    network = built("googlenet_small", 32, 5)
    assert network.stage_names == NAMES
    shapes = outputs(network, 32)
    assert [shape[0] for shape in shapes[:-1]] == [
        16, 48, 64, 120, 128, 128, 128, 132, 208, 208, 256
    ]  # fmt: skip
    assert [shape[1] for shape in shapes[:-1]] == [16, 8, 8, 4, 4, 4, 4, 4, 2, 2, 2]
    assert network.taps == {"loss1": ("inception_4a", 0.3)}
    dropouts = {n: m.p for n, m in network.named_modules() if isinstance(m, Dropout)}
    assert dropouts == {"classifier.dropout": 0.25, "auxiliary.loss1.dropout": 0.7}


def test_every_cut_of_the_small_one_is_one():
    network = drawn(models.build("googlenet_small", num_outputs=5, image_size=16))
    assert_every_cut(network, torch.randn(2, 3, 16, 16))


def test_the_small_one_takes_images_of_16_to_96_pixels():
    for size, last in ((16, (256, 1, 1)), (33, (256, 2, 2)), (96, (256, 6, 6))):
        network = built("googlenet_small", size, 5)
        assert outputs(network, size)[-2:] == [last, (5,)]
        features = network.prefix(5)(torch.empty(2, 3, size, size, device="meta"))
        assert network.get_submodule("auxiliary.loss1")(features).shape == (2, 5)
