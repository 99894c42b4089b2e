"""The networks from AlexNet to VGG and Network in Network, against what their papers say of them.

Row by row they are compared with `layers.csv` in tests/models/test_layers.py.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models as library

from transferlab import models
from transferlab.models.dropout import Dropout
from transferlab.models.stages import StagedNetwork
from transferlab.models.zoo import NETWORKS

CONF = Path(__file__).parents[3] / "conf"
EIGHT = "conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8"
NINE = "conv1 conv2 conv3 conv4 conv5 conv6 fc7 fc8 fc9"
BLOCKS = "block1 block2 block3 block4 block5 fc6 fc7 fc8"
# network -> parameters with 1,000 outputs (nin_cifar: 10), pixels a side, cuts=stage, number of
# stages with cuts=fine, sides of the maps after each stage that has one
FACTS = {
    "alexnet2012": (60_965_224, 227, EIGHT, 8, (27, 13, 13, 13, 6)),
    "zfnet": (62_357_608, 224, EIGHT, 8, (55, 13, 13, 13, 6)),
    "zfnet_wide": (107_627_624, 224, EIGHT, 8, (55, 13, 13, 13, 6)),
    "overfeat_fast": (145_920_872, 231, EIGHT, 8, (28, 12, 12, 12, 6)),
    "overfeat_accurate": (144_656_488, 221, NINE, 9, (36, 15, 15, 15, 15, 5)),
    "cnn_f": (60_834_536, 224, EIGHT, 8, (27, 13, 13, 13, 6)),
    "cnn_m": (102_908_520, 224, EIGHT, 8, (54, 13, 13, 13, 6)),
    "cnn_m_2048": (92_469_864, 224, EIGHT, 8, (54, 13, 13, 13, 6)),
    "cnn_m_1024": (87_250_536, 224, EIGHT, 8, (54, 13, 13, 13, 6)),
    "cnn_m_128": (82_683_624, 224, EIGHT, 8, (54, 13, 13, 13, 6)),
    "cnn_s": (102_908_520, 224, EIGHT, 8, (37, 17, 17, 17, 6)),
    "vgg_a": (132_863_336, 224, BLOCKS, 11, (112, 56, 28, 14, 7)),
    "vgg_a_lrn": (132_863_336, 224, BLOCKS, 11, (112, 56, 28, 14, 7)),
    "vgg_b": (133_047_848, 224, BLOCKS, 13, (112, 56, 28, 14, 7)),
    "vgg_c": (133_638_952, 224, BLOCKS, 16, (112, 56, 28, 14, 7)),
    "vgg_d": (138_357_544, 224, BLOCKS, 16, (112, 56, 28, 14, 7)),
    "vgg_e": (143_667_240, 224, BLOCKS, 19, (112, 56, 28, 14, 7)),
    "nin": (7_595_176, 224, "mlpconv1 mlpconv2 mlpconv3 mlpconv4 classifier", 12, (27, 13, 6, 6)),
    "nin_cifar": (966_986, 32, "mlpconv1 mlpconv2 mlpconv3 classifier", 9, (16, 8, 8)),
}  # fmt: skip
# the small ones with 10 outputs, at 32 pixels
SMALL = {
    "zfnet_small": (589_498, EIGHT, (16, 8, 8, 8, 4)),
    "zfnet_wide_small": (969_274, EIGHT, (16, 8, 8, 8, 4)),
    "cnn_f_small": (368_618, EIGHT, (8, 4, 4, 4, 2)),
    "cnn_m_small": (501_690, EIGHT, (16, 4, 4, 4, 2)),
    "cnn_m_128_small": (242_282, EIGHT, (16, 4, 4, 4, 2)),
    "cnn_s_small": (501_690, EIGHT, (11, 6, 6, 6, 2)),
    "vgg_a_small": (229_562, BLOCKS, (16, 8, 4, 2, 1)),
    "vgg_b_small": (232_466, BLOCKS, (16, 8, 4, 2, 1)),
    "vgg_e_small": (398_674, BLOCKS, (16, 8, 4, 2, 1)),
    "vgg_b_5x5_small": (255_386, BLOCKS, (16, 8, 4, 2, 1)),
}
FINE = {
    "overfeat_accurate": NINE,
    "vgg_a_lrn": "block1.conv1_1 block2.conv2_1 block3.conv3_1 block3.conv3_2 block4.conv4_1 "
    "block4.conv4_2 block5.conv5_1 block5.conv5_2 fc6 fc7 fc8",
    "nin": "mlpconv1.conv1 mlpconv1.cccp1 mlpconv1.cccp2 mlpconv2.conv2 mlpconv2.cccp3 "
    "mlpconv2.cccp4 mlpconv3.conv3 mlpconv3.cccp5 mlpconv3.cccp6 mlpconv4.conv4-1024 "
    "mlpconv4.cccp7-1024 classifier",
    "vgg_small": "block1.conv1_1 block2.conv2_1 block3.conv3_1 block3.conv3_2 block4.conv4_1 "
    "block4.conv4_2 fc5 fc6 fc7",
    "nin_small": "mlpconv1.conv1 mlpconv1.cccp1 mlpconv1.cccp2 mlpconv2.conv2 mlpconv2.cccp3 "
    "mlpconv2.cccp4 mlpconv3.conv3 mlpconv3.cccp5 classifier",
}
LRN = "LocalResponseNorm(5, alpha=0.0005, beta=0.75, k=2.0)"  # Krizhevsky's, Sec. 3.3


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def weightless(name: str, **arguments) -> StagedNetwork:
    size = FACTS[name][1] if name in FACTS else 32
    outputs = 10 if name == "nin_cifar" or name in SMALL else 1000
    with torch.device("meta"):
        return models.build(name, num_outputs=outputs, image_size=size, **arguments)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def layers(network: StagedNetwork) -> Iterator[tuple[str, nn.Module]]:
    """The weight layers by the last part of their stage's name."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield path.split(".")[-2], module


def kinds(stage: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in stage]


def map_sides(network: StagedNetwork, size: int) -> tuple[int, ...]:
    """Of the outputs of all stages that are maps."""
    x, found = torch.empty(1, 3, size, size, device="meta"), []
    for stage in network.eval():
        x = stage(x)
        found += [x.shape[-1]] if x.ndim == 4 else []
    return tuple(found)


def test_parameters_stages_and_maps_are_the_papers():
    for name, (count, size, stages, fine, sides) in FACTS.items():
        network = weightless(name)
        assert parameters(network) == count, name
        assert network.stage_names == tuple(stages.split()), name
        assert map_sides(network, size) == sides, name
        network.cuts = "fine"
        assert len(network.stage_names) == fine, name


def test_the_small_ones_have_the_papers_stages_and_leave_a_map_of_small_images():
    for name, (count, stages, sides) in SMALL.items():
        network = weightless(name)
        assert parameters(network) == count, name
        assert network.stage_names == tuple(stages.split()), name
        assert map_sides(network, 32) == sides, name
        assert (CONF / "model" / f"{name}.yaml").exists()


def test_the_registry_has_the_images_and_the_recipe_of_each_paper():
    recipes = {"alexnet2012": "krizhevsky2012", "cnn": "chatfield", "nin_cifar": "nin_cifar"}
    for name, (_, size, *_) in FACTS.items():
        entry = NETWORKS[name]
        family = name.partition("_")[0]
        recipe = recipes.get(name) or recipes.get(family) or family
        assert (entry.crop, entry.recipe) == (size, recipe), name
        assert (CONF / "train" / f"{recipe}.yaml").exists()
        assert (CONF / "model" / f"{name}.yaml").exists()
        fixed = not name.startswith(
            ("vgg", "nin")
        )  # sizes that the arithmetic of strides depends on
        assert (entry.images == (size, size)) == fixed, name


def test_fine_cuts_are_between_all_weight_layers_and_named_after_them():
    for name, stages in FINE.items():
        assert weightless(name, cuts="fine").stage_names == tuple(stages.split())
    blocks = [weightless(name).get_submodule("block4") for name in ("vgg_b", "vgg_c", "vgg_e")]
    assert [list(dict(block.named_children())) for block in blocks] == [
        ["conv4_1", "conv4_2"],
        ["conv4_1", "conv4_2", "conv4_3"],
        ["conv4_1", "conv4_2", "conv4_3", "conv4_4"],
    ]


def test_normalisation_and_pools_follow_in_the_order_of_each_paper():
    first = ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d"]
    expected = {  # network -> the layers of its first two stages
        "alexnet2012": (first, first),
        "zfnet": 2 * (["Conv2d", "ReLU", "MaxPool2d", "LocalResponseNorm"],),
        "overfeat_fast": 2 * (["Conv2d", "ReLU", "MaxPool2d"],),
        "overfeat_accurate": 2 * (["Conv2d", "ReLU", "MaxPool2d"],),
        "cnn_f": (first, first),
        "cnn_m_128": (first, first),
        "cnn_s": (first, ["Conv2d", "ReLU", "MaxPool2d"]),
    }
    for name, stages in expected.items():
        network = weightless(name)
        assert (kinds(network[0]), kinds(network[1])) == stages, name
        norms = [repr(m) for m in network.modules() if type(m).__name__ == "LocalResponseNorm"]
        assert set(norms) <= {LRN}, name


def test_pools_are_those_of_each_paper():
    expected = {  # network -> kernel and stride of its pools, and whether they round up
        "alexnet2012": ([(3, 2)] * 3, False),
        "zfnet": ([(3, 2)] * 3, True),
        "overfeat_fast": ([(2, 2)] * 3, False),
        "overfeat_accurate": ([(3, 3), (2, 2), (3, 3)], False),
        "cnn_f": ([(3, 2)] * 3, True),
        "cnn_m": ([(3, 2)] * 3, True),
        "cnn_s": ([(3, 3), (2, 2), (3, 3)], True),
        "vgg_c": ([(2, 2)] * 5, False),
        "nin": ([(3, 2)] * 3, True),
        "nin_cifar": ([(3, 2)] * 2, True),
    }
    for name, (windows, ceil) in expected.items():
        pools = [
            m for m in weightless(name).modules() if isinstance(m, nn.MaxPool2d | nn.AvgPool2d)
        ]
        assert [(pool.kernel_size, pool.stride) for pool in pools] == windows, name
        assert {pool.ceil_mode for pool in pools} == {ceil}, name
    assert kinds(weightless("nin_cifar", cuts="fine")[5])[-1] == "AvgPool2d"


def test_the_towers_of_alexnet_meet_in_conv3():
    network = weightless("alexnet2012")
    groups = {name: m.groups for name, m in layers(network) if isinstance(m, nn.Conv2d)}
    assert groups == {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}
    for name in ("zfnet", "cnn_f", "overfeat_fast"):
        assert {m.groups for _, m in layers(weightless(name)) if isinstance(m, nn.Conv2d)} == {1}


def test_dropout_opens_the_stage_whose_input_it_drops():
    expected = {
        "alexnet2012": {"fc7.dropout": 0.5, "fc8.dropout": 0.5},
        "zfnet": {"fc7.dropout": 0.5, "fc8.dropout": 0.5},
        "overfeat_accurate": {"fc8.dropout": 0.5, "fc9.dropout": 0.5},
        "cnn_m": {"fc7.dropout": 0.5, "fc8.dropout": 0.5},
        "vgg_e": {"fc7.dropout": 0.5, "fc8.dropout": 0.5},
        "vgg_small": {"fc6.dropout": 0.25, "fc7.dropout": 0.25},
        "nin": {"mlpconv4.conv4-1024.dropout": 0.5},
        "nin_cifar": {"mlpconv2.conv2.dropout": 0.5, "mlpconv3.conv3.dropout": 0.5},
        "nin_small": {},
    }
    for name, dropouts in expected.items():
        network = weightless(name)
        found = {path: m.p for path, m in network.named_modules() if isinstance(m, Dropout)}
        assert found == dropouts, name
        assert all(
            kinds(network.get_submodule(p.rpartition(".")[0]))[0] == "Dropout" for p in found
        )


def test_vgg_has_torchvisions_layers_in_torchvisions_order():
    graphs = {"a": library.vgg11, "b": library.vgg13, "d": library.vgg16, "e": library.vgg19}
    for letter, graph in graphs.items():
        with torch.device("meta"):
            theirs = graph(init_weights=False)
        ours = weightless(f"vgg_{letter}")
        assert leaves(ours.prefix(5)) == leaves(theirs.features)
        assert [tuple(m.weight.shape) for name, m in layers(ours) if name.startswith("fc")] == [
            tuple(m.weight.shape) for m in theirs.classifier if isinstance(m, nn.Linear)
        ]


def test_vgg_c_and_a_lrn_differ_from_d_and_a_where_the_paper_says():
    c, d = leaves(weightless("vgg_c").prefix(5)), leaves(weightless("vgg_d").prefix(5))
    assert [(ours, theirs) for ours, theirs in zip(c, d, strict=True) if ours != theirs] == [
        (
            f"Conv2d({maps}, {maps}, kernel_size=(1, 1), stride=(1, 1))",
            f"Conv2d({maps}, {maps}, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
        )
        for maps in (256, 512, 512)
    ]
    lrn, a = leaves(weightless("vgg_a_lrn").prefix(5)), leaves(weightless("vgg_a").prefix(5))
    assert lrn == [*a[:2], LRN, *a[2:]]


def test_the_small_vggs_have_the_layers_of_the_large_ones_with_an_eighth_of_the_maps():
    for name in ("vgg_a_lrn", "vgg_c", "vgg_e"):
        small, large = weightless(f"{name}_small").prefix(5), weightless(name).prefix(5)
        assert [*map(type, small.modules())] == [*map(type, large.modules())], name
        for ours, theirs in zip(convolutions(small), convolutions(large), strict=True):
            assert ours.out_channels * 8 == theirs.out_channels, name
            assert (ours.kernel_size, ours.padding) == (theirs.kernel_size, theirs.padding), name


def test_the_control_of_vgg_b_has_one_5x5_for_two_3x3():
    for name, first in {"vgg_b_5x5": 64, "vgg_b_5x5_small": 8}.items():
        found = [
            (conv.in_channels, conv.out_channels, conv.kernel_size, conv.padding)
            for conv in convolutions(weightless(name).prefix(5))
        ]
        widths = [3, first, first * 2, first * 4, first * 8, first * 8]
        pairs = zip(widths, widths[1:], strict=False)
        assert found == [(before, after, (5, 5), (2, 2)) for before, after in pairs]


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def leaves(module: nn.Module) -> list[str]:
    return [repr(m) for m in module.modules() if not any(m.children())]


def test_logits_of_network_in_network_are_means_of_rectified_maps():
    for name in ("nin", "nin_cifar"):
        expected = ["Conv2d", "ReLU", "AdaptiveAvgPool2d", "Flatten"]
        assert kinds(weightless(name).get_submodule("classifier")) == expected
    assert "ReLU" not in kinds(weightless("nin_small").get_submodule("classifier"))


def test_the_least_image_of_a_range_is_the_least_that_leaves_a_map():
    for name, least in {"vgg_d": 32, "vgg_small": 16, "nin": 39}.items():
        assert NETWORKS[name].images[0] == least
        with torch.device("meta"):
            network = models.build(name, num_outputs=7, image_size=least).eval()
            assert network(torch.empty(1, 3, least, least)).shape == (1, 7)
            with pytest.raises(RuntimeError, match="too small"):
                network(torch.empty(1, 3, least - 1, least - 1))
